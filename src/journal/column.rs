//! A column of short texts: the values of one field, sources, ids.
//!
//! ```text
//! u8          how
//! texts       lengths as a column of integers, then all bytes
//! fixed       varint length of each, then all bytes
//! dictionary  varint number of entries, the entries as lengths and bytes, then the entry of each value as
//!             a column of integers
//! integers    a column of integers; the texts are their digits
//! decimals    u8 digits after the point, u8 style, then a column of integers: the values without the point
//! hex         varint length of each in bytes, then all bytes that the lower-case digits spell
//! ```
//!
//! Every way gives back the same bytes: a number that is not written as we would write it is a text. The
//! number of values is stored elsewhere.

use super::ints;
use crate::codec::{DecodeError, Reader, Writer};
use hashbrown::HashMap;

const TEXTS: u8 = 0;
const FIXED: u8 = 1;
const DICTIONARY: u8 = 2;
const INTEGERS: u8 = 3;
const DECIMALS: u8 = 4;
const HEX: u8 = 5;

/// Digits that surely fit into 64 bits.
const MAX_DIGITS: usize = 18;
const MAX_SCALE: usize = 9;
/// Entries of a dictionary at most.
const MAX_ENTRIES: usize = 1 << 16;

/// A column that was read.
#[derive(Debug)]
pub(super) enum Column {
    /// The bytes of all values, and where each one ends.
    Texts(Vec<u8>, Vec<usize>),
    /// The bytes of all values, and the length of each.
    Fixed(Vec<u8>, usize),
    /// The different values, and which one each value is.
    Dictionary(Vec<Vec<u8>>, Vec<u32>),
    Integers(Vec<i64>),
    /// Values without the point, digits after it, and how they are written.
    Decimals(Vec<i64>, usize, Style),
    /// The bytes of all values, and how many each one has.
    Hex(Vec<u8>, usize),
}

/// How decimals are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// All with the same number of digits after the point.
    Padded,
    /// Without zeros at the end, and without a point when nothing follows it.
    Short,
    /// The same, but with `.0` when nothing follows the point.
    Pointed,
}

const STYLES: [Style; 3] = [Style::Padded, Style::Short, Style::Pointed];

/// Appends `values` to `out`.
pub(super) fn encode(out: &mut Writer, values: &[&[u8]]) {
    if values.is_empty() {
        return;
    }
    let dictionary = Dictionary::new(values);
    if let Some(it) = dictionary.as_ref().filter(|it| it.entries.len() <= values.len() / 4 + 1) {
        return it.encode(out);
    }
    if let Some(numbers) = all(values, integer) {
        out.u8(INTEGERS);
        return ints::encode(out, &numbers);
    }
    if let Some((numbers, scale, style)) = decimals(values) {
        out.u8(DECIMALS);
        out.u8(scale.to_le_bytes()[0]);
        out.u8(style as u8);
        return ints::encode(out, &numbers);
    }
    let size: usize = values.iter().map(|it| it.len()).sum();
    if let Some(it) = dictionary.filter(|it| it.size_bytes + values.len() < size) {
        return it.encode(out);
    }
    let len = values.first().map_or(0, |it| it.len());
    if values.iter().any(|it| it.len() != len) {
        out.u8(TEXTS);
        let lens: Vec<_> = values.iter().map(|it| signed(it.len())).collect();
        ints::encode(out, &lens);
        values.iter().for_each(|it| out.bytes(it));
    } else if len.is_multiple_of(2) && len >= 8 && values.iter().all(|it| is_hex(it)) {
        out.u8(HEX);
        out.varint(len as u64 / 2);
        for pair in values.iter().flat_map(|it| it.as_chunks().0) {
            let [high, low] = pair.map(|it| digit(it).unwrap_or(0));
            out.u8(high << 4 | low);
        }
    } else {
        out.u8(FIXED);
        out.varint(len as u64);
        values.iter().for_each(|it| out.bytes(it));
    }
}

/// Reads `n` values.
pub(super) fn decode(reader: &mut Reader<'_>, n: usize) -> Result<Column, DecodeError> {
    if n == 0 {
        return Ok(Column::Integers(Vec::new()));
    }
    let fixed = |reader: &mut Reader<'_>| {
        let len = reader.size()?;
        let size = len.checked_mul(n).ok_or(DecodeError::Malformed)?;
        Ok((reader.bytes(size)?.to_vec(), len))
    };
    Ok(match reader.u8()? {
        TEXTS => {
            let ends = ends(&ints::decode(reader, n)?)?;
            let size = ends.last().copied().unwrap_or(0);
            Column::Texts(reader.bytes(size)?.to_vec(), ends)
        }
        FIXED => fixed(reader).map(|(bytes, len)| Column::Fixed(bytes, len))?,
        HEX => fixed(reader).map(|(bytes, len)| Column::Hex(bytes, len))?,
        DICTIONARY => {
            let n_entries = reader.size()?;
            if n_entries > n {
                return Err(DecodeError::Malformed);
            }
            let mut entry = || reader.size().and_then(|it| reader.bytes(it)).map(<[u8]>::to_vec);
            let entries = (0..n_entries).map(|_| entry()).collect::<Result<Vec<_>, _>>()?;
            let places = ints::decode(reader, n)?.into_iter();
            let known = |it: i64| u32::try_from(it).ok().filter(|it| (*it as usize) < n_entries);
            let places = places.map(known).collect::<Option<_>>().ok_or(DecodeError::Malformed)?;
            Column::Dictionary(entries, places)
        }
        INTEGERS => Column::Integers(ints::decode(reader, n)?),
        DECIMALS => {
            let scale = usize::from(reader.u8()?);
            let style = STYLES.get(usize::from(reader.u8()?)).copied();
            let style = style.filter(|_| scale <= MAX_SCALE).ok_or(DecodeError::Malformed)?;
            Column::Decimals(ints::decode(reader, n)?, scale, style)
        }
        _ => return Err(DecodeError::Malformed),
    })
}

/// Where each of the texts ends that have these lengths.
fn ends(lens: &[i64]) -> Result<Vec<usize>, DecodeError> {
    let mut end = 0usize;
    let mut next = |len: &i64| {
        end = end.checked_add(usize::try_from(*len).ok()?)?;
        Some(end)
    };
    lens.iter().map(&mut next).collect::<Option<_>>().ok_or(DecodeError::Malformed)
}

// === impl Column ===

impl Column {
    /// Appends the value at `at`; nothing if there is none.
    pub(super) fn push(&self, at: usize, out: &mut Vec<u8>) {
        match self {
            Self::Integers(it) => {
                let number = it.get(at).copied().unwrap_or_default();
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Self::Decimals(it, scale, style) => {
                write_decimal(out, it.get(at).copied().unwrap_or_default(), *scale, *style);
            }
            Self::Hex(bytes, len) => {
                for it in bytes.get(at * len..(at + 1) * len).unwrap_or_default() {
                    out.extend([it >> 4, it & 15].map(hex_digit));
                }
            }
            Self::Texts(..) | Self::Fixed(..) | Self::Dictionary(..) => {
                out.extend_from_slice(self.stored(at).unwrap_or_default());
            }
        }
    }

    /// The value at `at`, if it is stored as such.
    fn stored(&self, at: usize) -> Option<&[u8]> {
        match self {
            Self::Texts(bytes, ends) => {
                let start = at.checked_sub(1).map_or(Some(0), |it| ends.get(it).copied())?;
                bytes.get(start..*ends.get(at)?)
            }
            Self::Fixed(bytes, len) => bytes.get(at * len..(at + 1) * len),
            Self::Dictionary(entries, places) => {
                entries.get(*places.get(at)? as usize).map(Vec::as_slice)
            }
            Self::Integers(_) | Self::Decimals(..) | Self::Hex(..) => None,
        }
    }

    /// The value at `at`, in `buffer` if it has to be made.
    pub(super) fn get<'v>(&'v self, at: usize, buffer: &'v mut Vec<u8>) -> &'v [u8] {
        if let Some(it) = self.stored(at) {
            return it;
        }
        buffer.clear();
        self.push(at, buffer);
        buffer
    }
}

// === dictionaries ===

/// The different values in the order of their first occurrence.
struct Dictionary<'v> {
    entries: Vec<&'v [u8]>,
    places: Vec<i64>,
    size_bytes: usize,
}

impl<'v> Dictionary<'v> {
    /// `None` if most values are different.
    fn new(values: &[&'v [u8]]) -> Option<Self> {
        let max = (values.len() / 2 + 1).min(MAX_ENTRIES);
        let mut known = HashMap::new();
        let mut res = Self { entries: vec![], places: vec![], size_bytes: 0 };
        for it in values {
            let place = *known.entry(*it).or_insert_with(|| {
                res.entries.push(it);
                res.size_bytes += it.len() + 1;
                res.entries.len() - 1
            });
            if res.entries.len() > max {
                return None;
            }
            res.places.push(signed(place));
        }
        Some(res)
    }

    fn encode(&self, out: &mut Writer) {
        out.u8(DICTIONARY);
        out.varint(self.entries.len() as u64);
        for it in &self.entries {
            out.varint(it.len() as u64);
            out.bytes(it);
        }
        ints::encode(out, &self.places);
    }
}

// === numbers ===

fn all<T>(values: &[&[u8]], read: impl Fn(&[u8]) -> Option<T>) -> Option<Vec<T>> {
    values.iter().map(|it| read(it)).collect()
}

/// The integer that `text` spells, if we would spell it so.
fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => digits.len() <= MAX_DIGITS,
        _ => false,
    };
    if canonical { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// The values without their points, the digits after the point, and the style in which all are written.
fn decimals(values: &[&[u8]]) -> Option<(Vec<i64>, usize, Style)> {
    let scale_of = |it: &&[u8]| memchr::memchr(b'.', it).map_or(0, |at| it.len() - at - 1);
    let scale = values.iter().map(scale_of).max().filter(|it| (1..=MAX_SCALE).contains(it))?;
    let numbers = all(values, |it| decimal(it, scale))?;
    let mut buffer = Vec::new();
    let mut same = |number: i64, text: &[u8], style| {
        buffer.clear();
        write_decimal(&mut buffer, number, scale, style);
        buffer == text
    };
    let style = STYLES.into_iter().find(|style| {
        numbers.iter().zip(values).all(|(number, text)| same(*number, text, *style))
    })?;
    Some((numbers, scale, style))
}

fn decimal(text: &[u8], scale: usize) -> Option<i64> {
    let (sign, digits) = text.strip_prefix(b"-").map_or((1, text), |it| (-1, it));
    let after = memchr::memchr(b'.', digits).map_or(0, |at| digits.len() - at - 1);
    if digits.len() + scale - after > MAX_DIGITS {
        return None;
    }
    let mut res = 0i64;
    for it in digits.iter().filter(|it| **it != b'.') {
        res = res * 10 + i64::from(it.checked_sub(b'0').filter(|it| *it <= 9)?);
    }
    let missing = u32::try_from(scale.checked_sub(after)?).ok()?;
    Some(sign * res * 10i64.pow(missing))
}

fn write_decimal(out: &mut Vec<u8>, number: i64, scale: usize, style: Style) {
    if number < 0 {
        out.push(b'-');
    }
    let power = 10u64.pow(u32::try_from(scale.min(MAX_SCALE)).unwrap_or(0));
    let (whole, mut rest) = (number.unsigned_abs() / power, number.unsigned_abs() % power);
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    let mut digits = scale;
    while style != Style::Padded && digits > 0 && rest.is_multiple_of(10) {
        rest /= 10;
        digits -= 1;
    }
    if digits == 0 {
        if style == Style::Pointed {
            out.extend_from_slice(b".0");
        }
        return;
    }
    out.push(b'.');
    let start = out.len();
    out.resize(start + digits, b'0');
    for it in out.iter_mut().skip(start).rev() {
        *it = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
    }
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|it| digit(*it).is_some())
}

fn digit(it: u8) -> Option<u8> {
    match it {
        b'0'..=b'9' => Some(it - b'0'),
        b'a'..=b'f' => Some(it - b'a' + 10),
        _ => None,
    }
}

fn hex_digit(it: u8) -> u8 {
    if it < 10 { b'0' + it } else { b'a' + it - 10 }
}

fn signed(it: usize) -> i64 {
    i64::try_from(it).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the values are stored as, and in how many bytes.
    #[track_caller]
    fn round(values: &[impl AsRef<[u8]>]) -> (u8, usize) {
        let values: Vec<&[u8]> = values.iter().map(AsRef::as_ref).collect();
        let mut out = Writer::default();
        encode(&mut out, &values);
        let bytes = out.into_inner();
        let mut reader = Reader::new(&bytes);
        let column = decode(&mut reader, values.len()).unwrap();
        assert!(reader.is_empty());
        let mut buffer = Vec::new();
        for (i, it) in values.iter().enumerate() {
            assert_eq!(column.get(i, &mut buffer), *it);
        }
        (bytes.first().copied().unwrap_or_default(), bytes.len())
    }

    fn texts(n: usize, text: impl Fn(usize) -> String) -> Vec<String> {
        (0..n).map(text).collect()
    }

    #[test]
    fn every_way_is_taken_where_it_pays() {
        assert_eq!(round(&texts(100, |i| format!("main-{}", i % 3))).0, DICTIONARY);
        assert_eq!(round(&texts(100, |i| (i * 17).to_string())).0, INTEGERS);
        assert_eq!(round(&texts(100, |i| format!("{:.3}", i as f64 * 1.7))).0, DECIMALS);
        assert_eq!(round(&texts(100, |i| format!("{}", i as f64 * 0.25))).0, DECIMALS);
        assert_eq!(round(&texts(100, |i| format!("{:?}", (i + 1) as f64 * -0.25))).0, DECIMALS);
        let hex = texts(100, |i| format!("{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        assert_eq!(round(&hex), (HEX, 2 + 800));
        assert_eq!(round(&texts(100, |i| format!("x{i:07}"))).0, FIXED);
        assert_eq!(round(&texts(100, |i| "x".repeat(i))).0, TEXTS);
    }

    #[test]
    fn what_we_would_write_otherwise_is_a_text() {
        for odd in ["007", "+5", "-0", "1e3", "", "1.", ".5", "00.5", "-0.0", "9999999999999999999"]
        {
            let mut values = texts(20, |i| i.to_string());
            values.push(odd.to_owned());
            round(&values);
            let mut values = texts(20, |i| format!("{i}.5"));
            values.push(odd.to_owned());
            round(&values);
        }
    }

    proptest! {
        #[test]
        fn texts_read_back(values in prop::collection::vec(".{0,8}", 0..50)) {
            round(&values);
        }

        #[test]
        fn numbers_read_back(values in prop::collection::vec("-?[0-9]{1,20}(\\.[0-9]{0,11})?", 0..50)) {
            round(&values);
        }

        #[test]
        fn hex_reads_back(values in prop::collection::vec("[0-9a-f]{10}", 0..50)) {
            round(&values);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, n in 0..1000usize) {
            if let Ok(column) = decode(&mut Reader::new(&bytes), n) {
                let mut out = Vec::new();
                (0..n + 1).for_each(|it| column.push(it, &mut out));
            }
        }
    }
}
