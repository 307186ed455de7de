//! A push is applied: validated, checked, committed.

use super::check;
use super::group::{Content, Group, Part};
use super::index::Index;
use super::life::Life;
use super::prepare::{NewPart, Push};
use super::reject::Rejected;
use super::retries::{Id, Known};
use super::stored;
use super::sum;
use super::{Groups, Op};
use crate::event::Time;
use std::{
    iter::Peekable,
    sync::{Arc, atomic::Ordering},
};

/// What became of a push.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it was taken.
    pub result: Result<(), Rejected>,
    /// What is to be made durable, in any case.
    pub writes: Vec<Write>,
    /// How to take it back if that fails.
    pub undo: Undo,
}

/// An after-image: what is to stand in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Vec<u8>,
    /// The value; `None` if there is to be none. [`version`](super::version) tells an older one from a newer
    /// one.
    pub value: Option<Vec<u8>>,
}

/// What a change undid.
#[derive(Debug, Default)]
pub struct Undo {
    pub(super) groups: Vec<Before>,
    pub(super) retries: Vec<Remembered>,
}

/// A key of a retry, and what was known of it.
pub(super) type Remembered = (Id, Option<Known>);

/// The key of a group, and what it was.
pub(super) type Before = (Arc<[u8]>, Option<Arc<Group>>);

impl Undo {
    /// The groups that changed, as they were; of a removal those that are gone.
    pub fn before(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.iter().filter_map(|it| it.1.as_ref())
    }
}

impl Groups {
    /// Applies `push`, which came at `now`. Atomic: it is taken whole, or nothing changes but the time of the
    /// group's last failure. One that was taken already, as its `Idempotency-Key` tells, changes nothing.
    pub fn apply(&mut self, mut push: Push, now: Time) -> Outcome {
        if let Some((id, fingerprint)) = push.retry
            && let Some(known) = self.retries.find(&id, self.now.steady)
        {
            return self.repeated(known == fingerprint);
        }
        let old = self.view.by_key(&push.key);
        if push.op == Op::Delete {
            return self.delete(old.into_iter().collect());
        }
        let mut errors = push.errors.clone();
        if errors.is_empty()
            && let Some(it) = &old
        {
            errors = sum::apply(&mut self.index, &mut push, &it.content).err().unwrap_or_default();
        }
        if let Some(it) = self.exceeded(&push, old.as_deref()) {
            self.view.shared.own.limited(it.limit);
            return self.reject(&push, old, it.into(), now);
        }
        if errors.is_empty() && self.view.shared.config.check {
            errors = check::check(&mut self.index, &self.foreign, &push, old.as_deref());
        }
        let kept =
            old.as_ref().filter(|_| push.op == Op::Post).map_or(0, |it| it.content.data.len());
        if u32::try_from(push.data.len() + kept).is_err() {
            errors.push("the group would be larger than 4 GiB".to_owned());
        }
        if !errors.is_empty() {
            return self.reject(&push, old, Rejected::invalid(errors), now);
        }
        self.version += 1;
        let retry = push.retry;
        let group = self.merged(push, old.as_deref(), now);
        let mut writes = vec![stored::group(&group)];
        let key = Arc::clone(&group.key);
        let mut undo = self.put(old, group);
        if let Some((id, fingerprint)) = retry {
            let (version, at) = (self.version, self.now.steady);
            let known = Known { version, fingerprint, at, group: key };
            self.retries.remember(id, known, (&mut writes, &mut undo.retries));
            self.count_keys();
        }
        self.view.shared.own.stored();
        Outcome { result: Ok(()), writes, undo }
    }

    /// A push came with a key that is known.
    fn repeated(&self, same: bool) -> Outcome {
        if same {
            self.view.shared.own.repeated();
        } else {
            self.view.shared.own.rejected();
        }
        let result = if same { Ok(()) } else { Err(Rejected::KeyReused) };
        Outcome { result, writes: Vec::new(), undo: Undo::default() }
    }

    /// Takes back what was applied last.
    pub fn undo(&mut self, undo: Undo) {
        for (id, known) in undo.retries.into_iter().rev() {
            self.retries.set(id, known);
        }
        self.count_keys();
        for (key, old) in undo.groups {
            // The names may have been let go of since.
            let old = old.map(|it| Arc::new(self.renamed(&it)));
            let new = match &old {
                Some(it) => self.view.lock().insert(key, Arc::clone(it)),
                None => self.view.lock().remove(&*key),
            };
            self.index.replace(new.as_deref(), old.as_deref());
        }
        self.changed();
    }

    fn count_keys(&self) {
        self.view.shared.keys.store(self.retries.len() as u64, Ordering::Relaxed);
    }

    fn renamed(&mut self, it: &Group) -> Group {
        let name = |part: &Part| Part { name: self.index.name(&part.name.text), ..part.clone() };
        let parts = it.content.parts.iter().map(name).collect();
        Group {
            key: Arc::clone(&it.key),
            block: it.block.clone(),
            content: Arc::new(Content { parts, data: it.content.data.clone() }),
            ..*it
        }
    }

    pub(super) fn put(&mut self, old: Option<Arc<Group>>, new: Group) -> Undo {
        self.index.replace(old.as_deref(), Some(&new));
        let key = Arc::clone(&new.key);
        self.view.lock().insert(Arc::clone(&key), Arc::new(new));
        self.changed();
        Undo { groups: vec![(key, old)], retries: Vec::new() }
    }

    /// Notes the failure; a new group only if nobody else has its labels, and never beyond a limit.
    fn reject(
        &mut self,
        push: &Push,
        old: Option<Arc<Group>>,
        rejected: Rejected,
        now: Time,
    ) -> Outcome {
        self.view.shared.own.rejected();
        let limited = matches!(rejected, Rejected::Limit(_));
        let result = Err(rejected);
        if old.is_none() && (limited || self.index.has(push.hash)) {
            return Outcome { result, writes: Vec::new(), undo: Undo::default() };
        }
        self.version += 1;
        let content = old.as_ref().map(|it| Arc::clone(&it.content)).unwrap_or_default();
        let group = Group {
            key: Arc::clone(&push.key),
            block: push.block.clone(),
            quoted: push.quoted,
            version: self.version,
            pushed: old.as_ref().and_then(|it| it.pushed),
            failed: Some(now),
            life: old.as_ref().map_or_else(|| Life::begin(push.ttl, now, self.now), |it| it.life),
            content,
        };
        let write = if old.is_some() { stored::failure(&group) } else { stored::group(&group) };
        Outcome { result, writes: vec![write], undo: self.put(old, group) }
    }

    /// The group after `push`.
    fn merged(&mut self, push: Push, old: Option<&Group>, now: Time) -> Group {
        let empty = Content::default();
        let before = old.map_or(&empty, |it| &*it.content);
        let content = Merge {
            index: &mut self.index,
            before,
            keep: push.op == Op::Post,
            data: Vec::with_capacity(push.data.len()),
            parts: Vec::with_capacity(push.parts.len()),
            version: self.version,
            now,
        };
        let content = content.run(&push.data, push.parts.into_iter().peekable());
        Group {
            key: push.key,
            block: push.block,
            quoted: push.quoted,
            version: self.version,
            pushed: Some(now),
            failed: old.and_then(|it| it.failed),
            life: Life::begin(push.ttl, now, self.now),
            content: Arc::new(content),
        }
    }
}

/// The families of a group before a push and those of the push, on their way to become one.
struct Merge<'a> {
    index: &'a mut Index,
    before: &'a Content,
    /// Whether families that the push does not have are kept.
    keep: bool,
    data: Vec<u8>,
    parts: Vec<Part>,
    version: u64,
    now: Time,
}

impl Merge<'_> {
    fn run(mut self, data: &[u8], mut new: Peekable<impl Iterator<Item = NewPart>>) -> Content {
        for (at, part) in self.before.parts.iter().enumerate() {
            while let Some(it) = new.next_if(|it| *it.name < *part.name.text) {
                self.push(data, it, None);
            }
            if let Some(it) = new.next_if(|it| *it.name == *part.name.text) {
                self.push(data, it, Some(part));
            } else if self.keep {
                let part = Part { start: self.start(), ..part.clone() };
                self.data.extend_from_slice(self.before.bytes(at));
                self.parts.push(part);
            }
        }
        for it in new {
            self.push(data, it, None);
        }
        Content { parts: self.parts.into(), data: self.data.into() }
    }

    /// Where the next family begins. The size was looked at before.
    fn start(&self) -> u32 {
        u32::try_from(self.data.len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, data: &[u8], new: NewPart, old: Option<&Part>) {
        let same = old.filter(|it| it.kind == new.kind && *it.help == *new.help);
        let name = old.map(|it| Arc::clone(&it.name));
        let name = name.unwrap_or_else(|| self.index.name(&new.name));
        let help = same.map(|it| Arc::clone(&it.help));
        let help = help.unwrap_or_else(|| self.index.help(&new.name, &new.help));
        self.parts.push(Part {
            name,
            help,
            start: self.start(),
            series: u32::try_from(new.hashes.len()).unwrap_or(u32::MAX),
            since: same.map_or(self.version, |it| it.since),
            received: self.now,
            kind: new.kind,
            traits: new.traits,
        });
        self.data.extend_from_slice(data.get(new.bytes).unwrap_or_default());
    }
}
