//! Cursors as text: where a list goes on, for clients to keep and hand back.
//!
//! The text is URL-safe base64 of a version byte, the order, the place and two bytes of checksum, so that
//! a text that was cut, mistyped or made for the other order is refused instead of leading elsewhere.

use crate::journal::Cursor;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 1;
const ASCENDING: u8 = b'a';
const DESCENDING: u8 = b'd';

/// Why a text is no cursor of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It was cut, changed, or never was one.
    #[error("is not the `next` of an earlier answer: begin again without it")]
    Unknown,
    /// It was made by a later version.
    #[error("was made by another version: begin again without it")]
    Version,
    /// It was made for the other order.
    #[error("was made for order={0}: begin again without it, or ask for that order")]
    Order(&'static str),
}

/// The text of `cursor`, which was made for a list in this order.
#[must_use]
pub fn write_cursor(cursor: Cursor, ascending: bool) -> String {
    let mut bytes = vec![VERSION, if ascending { ASCENDING } else { DESCENDING }];
    bytes.extend_from_slice(&cursor.0.to_be_bytes());
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads what [`write_cursor`] wrote.
///
/// # Errors
///
/// The text is no cursor, or one for the other order.
pub fn read_cursor(text: &str, ascending: bool) -> Result<Cursor, CursorError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Unknown)?;
    let (body, sum) = bytes.split_last_chunk::<2>().ok_or(CursorError::Unknown)?;
    if checksum(body) != *sum {
        return Err(CursorError::Unknown);
    }
    match body {
        [VERSION, ASCENDING, ..] if !ascending => Err(CursorError::Order("asc")),
        [VERSION, DESCENDING, ..] if ascending => Err(CursorError::Order("desc")),
        [VERSION, ASCENDING | DESCENDING, place @ ..] => {
            let place = place.try_into().map_err(|_| CursorError::Unknown)?;
            Ok(Cursor(u64::from_be_bytes(place)))
        }
        [VERSION, ..] | [] => Err(CursorError::Unknown),
        _ => Err(CursorError::Version),
    }
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let [.., high, low] = xxh3_64(bytes).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_written_reads_back() {
        for ascending in [true, false] {
            for place in [0, 1, 4242, u64::MAX] {
                let text = write_cursor(Cursor(place), ascending);
                assert_eq!(text.len(), 16);
                assert!(text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)));
                assert_eq!(read_cursor(&text, ascending), Ok(Cursor(place)));
                let name = if ascending { "asc" } else { "desc" };
                assert_eq!(read_cursor(&text, !ascending), Err(CursorError::Order(name)));
            }
        }
    }

    #[test]
    fn what_was_cut_or_changed_is_refused() {
        let text = write_cursor(Cursor(123_456), true);
        for end in 0..text.len() {
            assert_eq!(read_cursor(&text[..end], true), Err(CursorError::Unknown), "{end}");
        }
        for longer in [format!("{text}A"), format!("{text}AAAA"), format!("{text}=")] {
            assert_eq!(read_cursor(&longer, true), Err(CursorError::Unknown), "{longer}");
        }
        for (at, _) in text.char_indices() {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(read_cursor(&changed, true), Err(CursorError::Unknown), "{changed}");
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let mut bytes = vec![VERSION + 1, ASCENDING, 0];
        bytes.extend(checksum(&bytes));
        let text = URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(read_cursor(&text, true), Err(CursorError::Version));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String, ascending: bool) {
            if let Ok(it) = read_cursor(&text, ascending) {
                prop_assert_eq!(write_cursor(it, ascending), text);
            }
        }

        /// A body with a right checksum is no more trusted than any other.
        #[test]
        fn any_body_is_read_or_refused(mut bytes: Vec<u8>, ascending: bool) {
            bytes.extend(checksum(&bytes));
            let _ = read_cursor(&URL_SAFE_NO_PAD.encode(bytes), ascending);
        }
    }
}
