//! Numbers as the text formats write them.

/// The largest integer up to which every integer is exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends a sample's value: plain digits for an integer that a double holds exactly, else the shortest
/// text that reads back as the same number.
#[inline]
pub(super) fn value(out: &mut Vec<u8>, value: f64) {
    if value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        let int = value as i64;
        #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
        let same = (int as f64).to_bits() == value.to_bits();
        if same {
            out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
            return;
        }
    }
    unusual(out, value);
}

fn unusual(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    } else {
        out.extend_from_slice(special(value).as_bytes());
    }
}

fn special(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

#[inline]
pub(super) fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a bucket bound or a quantile. In a label the *text* identifies the series, so it is what the
/// other implementations write: the shortest digits, an exponent of at least two digits below 1e-4 and
/// from 1e6 on (where Go's `%g` puts it); OpenMetrics adds `.0` to what looks like an integer.
pub fn label(out: &mut Vec<u8>, value: f64, open_metrics: bool) {
    if !value.is_finite() {
        out.extend_from_slice(special(value).as_bytes());
        return;
    }
    let start = out.len();
    let mut buffer = zmij::Buffer::new();
    let (digits, point) = decimal(buffer.format_finite(value.abs()));
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let exponent = point - 1;
    if !(-4..6).contains(&exponent) {
        scientific(out, &digits, exponent);
    } else {
        positional(out, &digits, point);
    }
    let text = out.get(start..).unwrap_or_default();
    if open_metrics && !text.iter().any(|it| matches!(it, b'.' | b'e')) {
        out.extend_from_slice(b".0");
    }
}

fn scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    let (first, rest) = digits.split_at(1.min(digits.len()));
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let exponent = exponent.unsigned_abs();
    if exponent < 10 {
        out.push(b'0');
    }
    integer(out, exponent.into());
}

fn positional(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let before = usize::try_from(point).unwrap_or(0);
    let (whole, fraction) = digits.split_at(before.min(digits.len()));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    out.extend(std::iter::repeat_n(b'0', before.saturating_sub(digits.len())));
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-point).unwrap_or(0)));
        out.extend_from_slice(fraction);
    }
}

/// The digits of a positive decimal number without zeros around them, and where the point stands
/// relative to the first: 0.05 is `5` and -1.
fn decimal(text: &str) -> (Vec<u8>, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.trim_start_matches('+').parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = digits.iter().take_while(|it| **it == b'0').count();
    let end = digits.iter().rposition(|it| *it != b'0').map_or(zeros, |it| it + 1);
    let kept = digits.get(zeros..end).unwrap_or_default();
    if kept.is_empty() {
        return (b"0".to_vec(), 1);
    }
    let point = i32::try_from(whole.len()).unwrap_or(0) - i32::try_from(zeros).unwrap_or(0);
    (kept.to_vec(), point + exponent)
}

/// Appends a time as seconds with as many decimals as it needs; `per_second` is its own unit.
pub(super) fn seconds(out: &mut Vec<u8>, time: i64, per_second: u64) {
    if time < 0 {
        out.push(b'-');
    }
    let time = time.unsigned_abs();
    integer(out, time / per_second);
    let rest = time % per_second;
    if rest == 0 {
        return;
    }
    out.push(b'.');
    // The leading one keeps the zeros that belong before the decimals.
    let mut buffer = itoa::Buffer::new();
    let decimals = buffer.format(per_second + rest).get(1..).unwrap_or_default();
    out.extend_from_slice(decimals.trim_end_matches('0').as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (1e6, "1000000"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (0.1, "0.1"),
            (61.5, "61.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| value(out, number)), expected);
        }
    }

    #[test]
    fn bounds_are_written_as_others_write_them() {
        for (number, prometheus, open_metrics) in [
            (0.0, "0", "0.0"),
            (1.0, "1", "1.0"),
            (10.0, "10", "10.0"),
            (-2.5, "-2.5", "-2.5"),
            (0.005, "0.005", "0.005"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "1e-05", "1e-05"),
            (0.000_012_5, "1.25e-05", "1.25e-05"),
            (100_000.0, "100000", "100000.0"),
            (1e6, "1e+06", "1e+06"),
            (2_592_000.0, "2.592e+06", "2.592e+06"),
            (1e100, "1e+100", "1e+100"),
            (f64::INFINITY, "+Inf", "+Inf"),
        ] {
            assert_eq!(text(|out| label(out, number, false)), prometheus);
            assert_eq!(text(|out| label(out, number, true)), open_metrics);
        }
    }

    #[test]
    fn times() {
        for (time, per_second, expected) in [
            (0, 1000, "0"),
            (1_767_607_200_000, 1000, "1767607200"),
            (1_767_607_200_050, 1000, "1767607200.05"),
            (1_767_607_200_000_000_001, 1_000_000_000, "1767607200.000000001"),
            (-1500, 1000, "-1.5"),
        ] {
            assert_eq!(text(|out| seconds(out, time, per_second)), expected);
        }
    }

    proptest! {
        #[test]
        fn numbers_read_back(number in any::<f64>()) {
            for text in [text(|out| value(out, number)), text(|out| label(out, number, true))] {
                let back: f64 = text.parse().unwrap();
                prop_assert!(back.to_bits() == number.to_bits() || back.is_nan() && number.is_nan());
            }
        }
    }
}
