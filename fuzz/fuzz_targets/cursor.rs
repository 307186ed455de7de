//! A cursor is text that a client hands back: it is read as what was written, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observatory::history::{read_cursor, write_cursor};

fuzz_target!(|input: (&str, bool)| {
    let (text, ascending) = input;
    if let Ok(cursor) = read_cursor(text, ascending) {
        assert_eq!(write_cursor(cursor, ascending), text);
    }
});
