//! Any bytes as a request body in every dialect: no panic, and whatever is accepted keeps the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observatory::sources::{self, Limits, RequestMeta};

const TYPES: [Option<&str>; 4] = [
    None,
    Some("application/json"),
    Some("application/x-ndjson"),
    Some("application/cloudevents-batch+json"),
];

fuzz_target!(|input: (u8, &[u8])| {
    let (dialect, body) = input;
    let content_type = TYPES[usize::from(dialect) % TYPES.len()];
    let meta = RequestMeta { content_type, cloud_event: None };
    let limits = Limits { event: observatory::event::Limits::default(), events: 100 };
    let Ok(parsed) = sources::parse(body, &meta, &limits) else { return };
    assert!(parsed.events.len() <= limits.events);
    for event in parsed.events.into_iter().flatten() {
        assert!(!event.event_type.is_empty() && event.event_type.len() <= limits.event.name_bytes);
        assert!(!event.source.is_empty() && event.source.len() <= limits.event.name_bytes);
        assert!(event.data.starts_with('{') && event.data.ends_with('}'), "{}", event.data);
    }
});
