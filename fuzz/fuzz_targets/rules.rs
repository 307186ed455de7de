//! Any text as a rule file, and any data through what compiles: no panic, and only updates of its own families.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observatory::event::{EventId, NewEvent, Time};
use observatory::rules::{RuleSet, Updates};
use observatory::sources::{self, Limits, RequestMeta};

fuzz_target!(|input: (&str, &str)| {
    let (file, data) = input;
    let rules = match RuleSet::parse(file) {
        Ok(it) => it,
        Err(err) => {
            assert!(!err.to_string().is_empty());
            return;
        }
    };
    let limits = Limits { event: observatory::event::Limits::default(), events: 10 };
    let Ok(parsed) = sources::parse(data.as_bytes(), &RequestMeta::default(), &limits) else {
        return;
    };
    let mut updates = Updates::default();
    for event in parsed.events.into_iter().flatten() {
        let event: NewEvent<'_> = event;
        let event = event.accept(Time::from_millis(0), || EventId::Given("x".into()));
        rules.evaluate(&event, &mut updates);
    }
    for op in &updates.ops {
        assert!((op.family as usize) < rules.families().len());
        // A label block is text of this value.
        let _ = updates.text(op.labels);
    }
});
