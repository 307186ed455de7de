//! A column of integers.
//!
//! ```text
//! u8      how: 0 all are equal, 1 differences, 2 planes
//! equal:       signed value
//! differences: varint unit, signed first value, then signed differences divided by the unit
//! planes:      varint unit, signed least value, u8 width, then all lowest bytes of
//!              (value - least) / unit, all second bytes, ...
//! ```
//!
//! The unit is the greatest common divisor, as times are often whole milliseconds. Planes suit what does
//! not grow steadily. The number of values is stored elsewhere.

use crate::codec::{DecodeError, Reader, Writer};

const EQUAL: u8 = 0;
const DIFFERENCES: u8 = 1;
const PLANES: u8 = 2;

/// Appends `values` to `out`.
pub(super) fn encode(out: &mut Writer, values: &[i64]) {
    let Some(first) = values.first().copied() else { return };
    let differences = || values.iter().zip(values.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a));
    let unit = unit(differences());
    if unit == 0 {
        out.u8(EQUAL);
        out.signed(first);
        return;
    }
    let steps = || differences().map(|it| it / unit);
    let least = values.iter().copied().min().unwrap_or(first);
    let above = |it: &i64| it.wrapping_sub(least).cast_unsigned() / unit.cast_unsigned();
    let greatest = values.iter().map(above).max().unwrap_or(0);
    let width = (64 - greatest.leading_zeros()).div_ceil(8) as usize;
    let sizes: usize = steps().map(size_of_signed).sum();
    if sizes <= width * values.len() {
        out.u8(DIFFERENCES);
        out.varint(unit.cast_unsigned());
        out.signed(first);
        steps().for_each(|it| out.signed(it));
    } else {
        out.u8(PLANES);
        out.varint(unit.cast_unsigned());
        out.signed(least);
        out.u8(width.to_le_bytes()[0]);
        for plane in 0..width {
            for it in values {
                out.u8((above(it) >> (8 * plane)).to_le_bytes()[0]);
            }
        }
    }
}

/// Reads `n` values.
pub(super) fn decode(reader: &mut Reader<'_>, n: usize) -> Result<Vec<i64>, DecodeError> {
    if n == 0 {
        return Ok(Vec::new());
    }
    match reader.u8()? {
        EQUAL => Ok(vec![reader.signed()?; n]),
        DIFFERENCES => {
            let unit = reader.varint()?.cast_signed();
            let mut value = reader.signed()?;
            let mut res = Vec::with_capacity(n);
            res.push(value);
            for _ in 1..n {
                value = value.wrapping_add(reader.signed()?.wrapping_mul(unit));
                res.push(value);
            }
            Ok(res)
        }
        PLANES => {
            let unit = reader.varint()?;
            let least = reader.signed()?;
            let width = reader.u8()?;
            let mut above = vec![0u64; n];
            for plane in 0..width.min(8) {
                let bytes = reader.bytes(n)?;
                for (it, byte) in above.iter_mut().zip(bytes) {
                    *it |= u64::from(*byte) << (8 * plane);
                }
            }
            let value = |it: u64| least.wrapping_add(it.wrapping_mul(unit).cast_signed());
            Ok(above.into_iter().map(value).collect())
        }
        _ => Err(DecodeError::Malformed),
    }
}

/// Bytes that [`Writer::signed`] takes for `it`.
fn size_of_signed(it: i64) -> usize {
    let zigzag = (it.cast_unsigned() << 1) ^ (it >> 63).cast_unsigned();
    (64 - zigzag.leading_zeros()).div_ceil(7).max(1) as usize
}

/// The greatest common divisor; 0 if all are 0.
fn unit(differences: impl Iterator<Item = i64>) -> i64 {
    let mut res = 0;
    for it in differences {
        res = gcd(res, it.unsigned_abs());
        if res == 1 {
            break;
        }
    }
    // Half of the range has no positive number.
    i64::try_from(res).unwrap_or(1)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(values: &[i64]) -> usize {
        let mut out = Writer::default();
        encode(&mut out, values);
        let bytes = out.into_inner();
        let mut reader = Reader::new(&bytes);
        assert_eq!(decode(&mut reader, values.len()).unwrap(), values);
        assert!(reader.is_empty());
        bytes.len()
    }

    proptest! {
        #[test]
        fn values_read_back(values: Vec<i64>, unit in 1..1_000_000i64, base: i64) {
            size(&values);
            let small = |it: &i64| base.wrapping_add((it % 1000).wrapping_mul(unit));
            size(&values.iter().map(small).collect::<Vec<_>>());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, n in 0..1000usize) {
            let _ = decode(&mut Reader::new(&bytes), n);
        }
    }

    #[test]
    fn what_is_regular_is_small() {
        assert!(size(&[7; 1000]) <= 3);
        let times: Vec<_> =
            (0..1000).map(|it| 1_767_607_200_000_000_000 + it * 1_000_000).collect();
        assert!(size(&times) <= 1020);
        let scattered: Vec<_> = (0..1000).map(|it| it * 7919 % 60_000).collect();
        assert!(size(&scattered) <= 2020);
        size(&[i64::MIN, i64::MAX, 0]);
        size(&[0, i64::MIN]);
    }
}
