//! Any bytes as every kind of stored value of the journal: no panic, no memory that is not in the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observatory::journal::{Query, read_anything};
use observatory::selector::Selector;

fuzz_target!(|input: (&str, &[u8])| {
    let (selector, bytes) = input;
    let matches = Selector::parse(selector).into_iter().collect();
    let _ = read_anything(bytes, &Query { matches, ..Query::default() });
});
