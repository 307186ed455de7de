//! How long events are kept: the settings as types, and how they are read and shown.

use super::node::Node;
use super::settings::Size;
use super::units;
use super::value::{Context, Fault, Value, quoted, read_list, show_list};
use crate::pipeline;
use crate::selector::Glob;
use std::time::Duration;

/// How long events are kept, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// What is neither a log nor a sample.
    pub events: Age,
    /// Events whose type one of `log_types` matches.
    pub logs: Age,
    /// Events whose type one of `sample_types` matches, and none of `log_types`.
    pub samples: Age,
    /// Which types are logs.
    pub log_types: Globs,
    /// Which types are samples.
    pub sample_types: Globs,
    /// Bytes of stored events beyond which the oldest go.
    pub max_bytes: Bound,
    /// How often the server looks for what is too old.
    pub interval: Duration,
}

/// The age at which something goes; `None` keeps it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub Option<Duration>);

/// A number of bytes that must not be exceeded; `None` for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound(pub Option<Size>);

/// Globs over event types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Globs(Vec<String>);

// === impl Retention ===

impl Retention {
    pub(super) fn pipeline(&self) -> pipeline::Retention {
        pipeline::Retention {
            events: self.events.0,
            logs: self.logs.0,
            samples: self.samples.0,
            log_types: self.log_types.compile(),
            sample_types: self.sample_types.compile(),
            max_bytes: self.max_bytes.0.map(|it| it.0),
            interval: self.interval,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        let globs = |it: &[&str]| Globs(it.iter().map(|it| (*it).to_owned()).collect());
        let days = |it: u64| Age(Some(Duration::from_hours(24 * it)));
        Self {
            events: days(90),
            logs: days(7),
            samples: days(30),
            log_types: globs(pipeline::Retention::LOG_TYPES),
            sample_types: globs(pipeline::Retention::SAMPLE_TYPES),
            max_bytes: Bound(None),
            interval: Duration::from_hours(1),
        }
    }
}

// === impl Bound ===

impl Bound {
    /// As a limit.
    pub(super) fn get(self) -> usize {
        self.0.map_or(usize::MAX, Size::get)
    }
}

// === impl Globs ===

impl Globs {
    /// What does not compile was refused when it was read.
    fn compile(&self) -> Vec<Glob> {
        self.0.iter().filter_map(|it| Glob::parse(it).ok()).collect()
    }
}

// === impl Value ===

/// `0` and `off` switch off.
fn is_off(text: &str) -> bool {
    matches!(text.trim(), "off" | "0")
}

impl Value for Age {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("an age such as 12h, 7d or 90d, or `off` to keep for ever", |it| {
            if is_off(it) {
                return Some(Self(None));
            }
            units::duration(it).map(|it| Self(Some(it).filter(|it| *it > Duration::ZERO)))
        })
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "off".to_owned(), units::show_duration)
    }
}

impl Value for Bound {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a size such as 10GiB or 500MB, or `off`", |it| {
            if is_off(it) {
                return Some(Self(None));
            }
            units::size(it).map(|it| Self(Some(Size(it)).filter(|it| it.0 > 0)))
        })
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "off".to_owned(), |it| units::show_size(it.0))
    }
}

impl Value for Globs {
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let glob = |node: &Node, _: &Context<'_>| {
            let text = node.scalar("a glob over event types such as log_*")?;
            let text = text.trim();
            match Glob::parse(text) {
                Ok(_) if !text.is_empty() => Ok(text.to_owned()),
                Ok(_) => Err(node.fault("expected a glob over event types, found nothing")),
                Err((_, reason)) => Err(node.fault(format!("{reason}, in the glob `{text}`"))),
            }
        };
        read_list(node, context, glob).map(Self)
    }

    fn show(&self) -> String {
        show_list(self.0.iter().map(|it| quoted(it)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::check;
    use super::*;

    #[test]
    fn ages_and_bounds() {
        for off in ["off", "0", "0s", "'off'"] {
            check::<Age>(off, "off");
        }
        check::<Age>("90d", "90d");
        check::<Age>("1d12h", "36h");
        let expected = "expected an age such as 12h, 7d or 90d, or `off` to keep for ever, found";
        for bad in ["90", "-1d", "never", "1.5d"] {
            check::<Age>(bad, &format!("{expected} `{bad}`"));
        }
        check::<Bound>("off", "off");
        check::<Bound>("0", "off");
        check::<Bound>("10GiB", "10GiB");
        check::<Bound>("much", "expected a size such as 10GiB or 500MB, or `off`, found `much`");
    }

    #[test]
    fn globs() {
        check::<Globs>("[log_*, '*.log']", "[\"log_*\", \"*.log\"]");
        check::<Globs>("'a, b_*'", "[a, \"b_*\"]");
        check::<Globs>("[]", "[]");
        check::<Globs>("['']", "expected a glob over event types, found nothing");
        check::<Globs>(
            "['a[', {a: b}]",
            "the `[` is not closed, in the glob `a[`; expected a glob over event types such as log_*, found a map",
        );
    }

    #[test]
    fn defaults_agree_with_the_pipeline() {
        let ours = Retention::default().pipeline();
        assert_eq!(format!("{ours:?}"), format!("{:?}", pipeline::Retention::default()));
    }
}
