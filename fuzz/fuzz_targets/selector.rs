//! Any text as a selector: no panic, an error that points into the text, and a display that reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observatory::selector::Selector;

fuzz_target!(|text: &str| {
    match Selector::parse(text) {
        Ok(selector) => {
            let shown = selector.to_string();
            let again = Selector::parse(&shown).expect("what is shown can be read");
            assert_eq!(again.to_string(), shown);
        }
        Err(err) => assert!(!err.to_string().is_empty()),
    }
});
