//! A group as it is: what was pushed last, and when.

use super::life::Life;
use super::series::Samples;
use crate::event::Time;
use crate::exposition::Kind;
use std::sync::{Arc, atomic::AtomicBool};

/// What ends a name and a value in a group's key: no UTF-8 text holds it.
const END: u8 = 0xff;

/// A group: never changed, but replaced.
#[derive(Debug)]
pub struct Group {
    pub(super) key: Arc<[u8]>,
    /// The label block of its `push_time_seconds`: the grouping's labels, and `instance`.
    pub(super) block: Box<str>,
    /// Whether a name in that block is quoted.
    pub(super) quoted: bool,
    /// Counts all changes of all groups; a later state of a group has a larger one.
    pub(super) version: u64,
    pub(super) pushed: Option<Time>,
    pub(super) failed: Option<Time>,
    pub(super) life: Life,
    pub(super) content: Arc<Content>,
}

/// What a group's pushes left.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The families, sorted by name.
    pub(super) parts: Box<[Part]>,
    /// Their metrics, one family after the other.
    pub(super) data: Box<[u8]>,
}

/// A family of a group.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: Arc<Name>,
    pub(super) help: Arc<str>,
    /// Where its metrics begin in the data. They end where those of the next family begin.
    pub(super) start: u32,
    /// How many there are.
    pub(super) series: u32,
    /// The version of the group that first had this family with this type and help, without a break.
    pub(super) since: u64,
    pub(super) received: Time,
    pub(super) kind: Kind,
    pub(super) traits: Traits,
}

/// What the metrics of a family need when they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// Whether a label block holds quoted names.
    pub(super) quoted: bool,
    /// Whether the metrics have more to say than a number.
    pub(super) rich: bool,
    /// Whether it is a counter that is negative or no number, which OpenMetrics forbids.
    pub(super) odd: bool,
}

/// A name that families have, once for all groups.
#[derive(Debug)]
pub(super) struct Name {
    /// Its place in lists of all names.
    pub(super) id: u32,
    pub(super) text: Arc<str>,
    /// Whether groups may disagree about it, so that a page must look at every series.
    pub(super) suspect: AtomicBool,
}

/// A family of a group, for reading.
#[derive(Clone, Copy, Debug)]
pub struct FamilyView<'a> {
    content: &'a Content,
    at: usize,
    part: &'a Part,
}

/// The key of the group that `labels` (sorted by name) name.
pub(super) fn key<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Arc<[u8]> {
    let mut res = Vec::with_capacity(64);
    for (name, value) in labels {
        for it in [name, value] {
            res.extend_from_slice(it.as_bytes());
            res.push(END);
        }
    }
    res.into()
}

/// The labels of a key, sorted by name.
pub(super) fn labels_of(key: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut texts = key.split(|it| *it == END).map(|it| str::from_utf8(it).unwrap_or_default());
    std::iter::from_fn(move || {
        let name = texts.next().filter(|it| !it.is_empty())?;
        Some((name, texts.next()?))
    })
}

// === impl Group ===

impl Group {
    /// The labels that name it, sorted.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        labels_of(&self.key)
    }

    /// The value of the label `name` among those that name it.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels().find(|it| it.0 == name).map(|it| it.1)
    }

    /// The label block of its `push_time_seconds`: its labels, and `instance`.
    #[must_use]
    pub fn label_block(&self) -> &str {
        &self.block
    }

    /// Counts all changes of all groups, this one the last of them that this group saw.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When a push was last taken.
    #[must_use]
    pub fn pushed(&self) -> Option<Time> {
        self.pushed
    }

    /// When a push was last rejected.
    #[must_use]
    pub fn failed(&self) -> Option<Time> {
        self.failed
    }

    /// Whether the last push was taken.
    #[must_use]
    pub fn last_push_successful(&self) -> bool {
        self.failed <= self.pushed
    }

    /// Its families, sorted by name, without the two that say when it was pushed.
    pub fn families(&self) -> impl ExactSizeIterator<Item = FamilyView<'_>> {
        let view = |(at, part)| FamilyView { content: &self.content, at, part };
        self.content.parts.iter().enumerate().map(view)
    }

    /// How many metrics it has, a histogram or summary being one, without the two times.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.content.parts.iter().map(|it| u64::from(it.series)).sum()
    }

    /// Bytes of its labels and metrics. Names and help texts are shared with other groups.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let parts = self.content.parts.len() * size_of::<Part>();
        self.key.len() + self.block.len() + parts + self.content.data.len()
    }
}

// === impl Content ===

impl Content {
    /// The bytes of the family at `at`.
    pub(super) fn bytes(&self, at: usize) -> &[u8] {
        let start = self.parts.get(at).map_or(0, |it| it.start as usize);
        let end = self.parts.get(at + 1).map_or(self.data.len(), |it| it.start as usize);
        self.data.get(start..end).unwrap_or_default()
    }

    pub(super) fn samples(&self, at: usize) -> Samples<'_> {
        let (kind, rich) =
            self.parts.get(at).map_or((Kind::Untyped, false), |it| (it.kind, it.traits.rich));
        Samples::new(self.bytes(at), kind, rich)
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.parts.binary_search_by(|it| it.name.text.as_ref().cmp(name)).ok()
    }
}

// === impl FamilyView ===

impl<'a> FamilyView<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.part.name.text
    }

    /// Its help text, unescaped; empty if none was sent.
    #[must_use]
    pub fn help(&self) -> &'a str {
        &self.part.help
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.part.kind
    }

    /// How many metrics it has.
    #[must_use]
    pub fn series(&self) -> u32 {
        self.part.series
    }

    /// When it was last pushed.
    #[must_use]
    pub fn received(&self) -> Time {
        self.part.received
    }

    /// Its metrics, in the order in which they were sent.
    #[must_use]
    pub fn samples(&self) -> Samples<'a> {
        self.content.samples(self.at)
    }
}
