//! What the groups show on a page: the families of all groups, merged by name.
//!
//! Pushes are checked, so that there usually is nothing to leave out. What disagrees all the same (it was
//! taken without a check, or the rules made a metric of that name since) is left out and counted; of several
//! that disagree, the one that has been there for longest stays.

use super::View;
use super::check;
use super::encode;
use super::group::{Group, Name};
use super::prepare;
use super::prepare::{FAILED, PUSHED};
use super::series::Samples;
use crate::event::Time;
use crate::exposition;
use crate::exposition::{Encoder, Escaping, FamilyHead, Format, Kind, Taken, Writable};
use crate::labels;
use hashbrown::{HashMap, HashSet};
use std::{
    borrow::Cow,
    cell::Cell,
    hint,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const PUSHED_HELP: &str = "Last Unix time when changing this group in the Pushgateway succeeded.";
const FAILED_HELP: &str = "Last Unix time when changing this group in the Pushgateway failed.";

/// Groups that are looked up together, before any of them is written.
const AHEAD: usize = 32;

/// What the groups show on one page.
#[derive(Debug)]
pub struct Page {
    view: View,
    groups: Vec<Arc<Group>>,
    /// Which family of which group, one name after the other.
    members: Vec<(u32, u32)>,
    /// Sorted by name.
    families: Vec<Selected>,
    escaping: Escaping,
    dropped: Dropped,
}

/// Series that were left out, by reason.
#[derive(Debug, Default)]
pub(super) struct Dropped([AtomicU64; REASONS.len()]);

/// Why a series is left out: its family has another type elsewhere, it is there twice, its name is that of a
/// sample of a histogram or summary, it may be a series of the rules, its name is reserved for the server, or
/// its name falls together with another when it is escaped.
const REASONS: [&str; 6] = ["type", "duplicate", "name", "rule", "reserved", "escaping"];

#[derive(Clone, Copy, Debug)]
enum Reason {
    Type,
    Duplicate,
    Name,
    Rule,
    Reserved,
    Escaping,
}

/// A family of the page.
#[derive(Debug)]
struct Selected {
    name: Arc<str>,
    help: Arc<str>,
    kind: Kind,
    /// What the format calls it.
    shown: Kind,
    quoted: bool,
    members: Members,
    /// Since which version of all groups.
    since: u64,
    /// Whether to look for series that are there twice.
    dedup: bool,
    /// The label names of the rules' metric of this name.
    foreign: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
enum Members {
    /// When groups were pushed, or failed to be.
    Times(fn(&Group) -> Option<Time>),
    Parts(Range<usize>),
}

/// A family of a page, to be written.
#[derive(Clone, Copy, Debug)]
pub struct PageFamily<'a> {
    page: &'a Page,
    family: &'a Selected,
}

impl View {
    /// What the groups show on a page where `taken` stands already.
    #[must_use]
    pub fn page(&self, taken: &[Taken<'_>], format: Format) -> Page {
        let groups = self.groups();
        let (members, mut families) = gather(&groups);
        if !groups.is_empty() {
            let twins = self.shared.twins.load(Ordering::Relaxed);
            let quoted = groups.iter().any(|it| it.quoted);
            families.push(times(PUSHED, PUSHED_HELP, Group::pushed, twins, quoted));
            families.push(times(FAILED, FAILED_HELP, Group::failed, twins, quoted));
        }
        families.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut page = Page {
            view: self.clone(),
            groups,
            members,
            families,
            escaping: format.escaping,
            dropped: Dropped::default(),
        };
        page.select(taken, format);
        page
    }
}

fn times(
    name: &str,
    help: &str,
    time: fn(&Group) -> Option<Time>,
    dedup: bool,
    quoted: bool,
) -> Selected {
    Selected {
        name: name.into(),
        help: help.into(),
        kind: Kind::Gauge,
        shown: Kind::Gauge,
        quoted,
        members: Members::Times(time),
        since: 0,
        dedup,
        foreign: None,
    }
}

/// What is known of a name while the groups are looked at.
#[derive(Default)]
struct Found {
    name: Option<Arc<Name>>,
    n: usize,
    /// Where its next member goes.
    next: usize,
    kind: Option<(u64, Kind)>,
    help: Option<(u64, Arc<str>)>,
    quoted: bool,
    odd: bool,
}

/// The families of all groups: a look at each group to count, another one to tell where everything is.
fn gather(groups: &[Arc<Group>]) -> (Vec<(u32, u32)>, Vec<Selected>) {
    let mut found: Vec<Found> = Vec::new();
    for part in groups.iter().flat_map(|it| &it.content.parts) {
        let id = part.name.id as usize;
        if found.len() <= id {
            found.resize_with(id + 1, Found::default);
        }
        let Some(it) = found.get_mut(id) else { continue };
        if it.name.is_none() {
            it.name = Some(Arc::clone(&part.name));
        }
        it.n += 1;
        it.quoted |= part.traits.quoted;
        it.odd |= part.traits.odd;
        if it.kind.is_none_or(|(since, _)| part.since < since) {
            it.kind = Some((part.since, part.kind));
        }
        let older = it.help.as_ref().is_none_or(|(since, _)| part.since < *since);
        if older && !part.help.is_empty() {
            it.help = Some((part.since, Arc::clone(&part.help)));
        }
    }
    let mut total = 0;
    for it in &mut found {
        it.next = total;
        total += it.n;
    }
    let mut members = vec![(0, 0); total];
    for (group, parts) in (0u32..).zip(groups.iter().map(|it| &it.content.parts)) {
        for (at, part) in (0u32..).zip(parts) {
            let Some(it) = found.get_mut(part.name.id as usize) else { continue };
            if let Some(member) = members.get_mut(it.next) {
                *member = (group, at);
                it.next += 1;
            }
        }
    }
    let families = found.into_iter().filter_map(|it| {
        let (name, (since, kind)) = (it.name?, it.kind?);
        Some(Selected {
            name: Arc::clone(&name.text),
            help: it.help.map_or_else(|| "".into(), |it| it.1),
            kind,
            // Counters that OpenMetrics forbids, until the format is known.
            shown: if it.odd { Kind::Untyped } else { kind },
            quoted: it.quoted,
            members: Members::Parts(it.next - it.n..it.next),
            since,
            dedup: name.suspect.load(Ordering::Relaxed),
            foreign: None,
        })
    });
    (members, families.collect())
}

impl Page {
    /// Its families, sorted by name.
    #[must_use]
    pub fn families(&self) -> Vec<PageFamily<'_>> {
        self.families.iter().map(|family| PageFamily { page: self, family }).collect()
    }

    /// Says that the page is written: what was left out is counted now.
    pub fn done(&self) {
        self.view.shared.own.dropped(&self.dropped);
    }

    /// Decides which families are shown, and how.
    fn select(&mut self, taken: &[Taken<'_>], format: Format) {
        let taken: HashMap<&str, &Taken<'_>> = taken.iter().map(|it| (it.name, it)).collect();
        let mut families = std::mem::take(&mut self.families);
        families.retain_mut(|it| self.agrees(it, &taken));
        let names: HashMap<Arc<str>, (Kind, u64)> =
            families.iter().map(|it| (Arc::clone(&it.name), (it.kind, it.since))).collect();
        let stands = |name: &str| {
            let taken = taken.get(name).map(|it| (it.kind, 0));
            taken.or_else(|| names.get(name).copied())
        };
        families.retain(|it| {
            let collides = collides(it, &stands);
            if collides {
                self.drop_all(it, Reason::Name);
            }
            !collides
        });
        if format.escaping != Escaping::AllowUtf8 {
            self.keep_escaped_names_apart(&mut families, &taken, format.escaping);
        }
        for it in &mut families {
            let rewritten = format.escaping != Escaping::AllowUtf8 && it.quoted;
            it.dedup |= rewritten;
            // In OpenMetrics a counter's family has a name without `_total`, which another may have.
            let base = it.name.strip_suffix("_total").filter(|_| it.kind == Kind::Counter);
            let clash = base.is_some_and(|it| stands(it).is_some());
            if !format.is_open_metrics() || (!clash && it.shown == it.kind) {
                it.shown = it.kind;
            } else {
                it.shown = Kind::Untyped;
            }
        }
        self.families = families;
    }

    /// Whether a family is shown, given what stands on the page already. Leaves out its members of another
    /// type.
    fn agrees(&mut self, it: &mut Selected, taken: &HashMap<&str, &Taken<'_>>) -> bool {
        if prepare::is_own(&it.name) {
            self.drop_all(it, Reason::Reserved);
            return false;
        }
        if let Some(taken) = taken.get(&*it.name) {
            it.kind = taken.kind;
            it.foreign = Some(taken.labels.to_vec());
        }
        let kind = it.kind;
        let Members::Parts(range) = &mut it.members else { return kind == Kind::Gauge };
        let Some(members) = self.members.get_mut(range.clone()) else { return false };
        let part = |(group, at): (u32, u32)| {
            self.groups.get(group as usize)?.content.parts.get(at as usize)
        };
        let mut n = 0;
        for at in 0..members.len() {
            let Some(member) = members.get(at).copied() else { continue };
            let Some(part) = part(member) else { continue };
            if part.kind == kind {
                members.swap(n, at);
                n += 1;
            } else {
                self.dropped.count(Reason::Type, u64::from(part.series));
            }
        }
        range.end = range.start + n;
        if it.dedup
            && let Some(members) = self.members.get_mut(range.clone())
        {
            // The oldest first, so that it is the one that stays.
            let groups = &self.groups;
            members.sort_by_key(|(group, at)| {
                let group = groups.get(*group as usize);
                group.and_then(|it| it.content.parts.get(*at as usize)).map(|it| it.since)
            });
        }
        n > 0
    }

    /// Of names that fall together when they are escaped, a legacy one stays, or the oldest.
    fn keep_escaped_names_apart(
        &mut self,
        families: &mut Vec<Selected>,
        taken: &HashMap<&str, &Taken<'_>>,
        escaping: Escaping,
    ) {
        let legacy = |it: &Selected| labels::is_metric_name(&it.name);
        if families.iter().all(legacy) {
            return;
        }
        let mut order: Vec<usize> = (0..families.len()).collect();
        order.sort_by_key(|at| families.get(*at).map(|it| (!legacy(it), it.since)));
        let mut claimed: HashSet<String> = HashSet::new();
        let shown = |name: &str, kind| {
            let name = exposition::escaped_name(name, escaping).into_owned();
            let owned = check::owned(kind).iter().map(|it| format!("{name}{it}"));
            owned.chain([name.clone()]).collect::<Vec<_>>()
        };
        for it in taken.values() {
            claimed.extend(shown(it.name, it.kind));
        }
        let mut hidden = HashSet::new();
        for at in order {
            let Some(it) = families.get(at) else { continue };
            let names = shown(&it.name, it.kind);
            if !legacy(it) && names.iter().any(|it| claimed.contains(it)) {
                hidden.insert(Arc::clone(&it.name));
                self.drop_all(it, Reason::Escaping);
            } else {
                claimed.extend(names);
            }
        }
        families.retain(|it| !hidden.contains(&it.name));
    }

    fn drop_all(&self, it: &Selected, reason: Reason) {
        let n = match &it.members {
            Members::Times(_) => self.groups.len() as u64,
            Members::Parts(range) => {
                let members = self.members.get(range.clone()).unwrap_or_default();
                let part = |(group, at): &(u32, u32)| {
                    self.groups.get(*group as usize)?.content.parts.get(*at as usize)
                };
                members.iter().filter_map(part).map(|it| u64::from(it.series)).sum()
            }
        };
        self.dropped.count(reason, n);
    }
}

/// Whether the name of a family is that of a sample of another one that has been there for longer, or the
/// other way round.
fn collides(it: &Selected, stands: &dyn Fn(&str) -> Option<(Kind, u64)>) -> bool {
    let of_another = ["_count", "_sum", "_bucket"].iter().any(|suffix| {
        let other = it.name.strip_suffix(suffix).and_then(stands);
        other.is_some_and(|(kind, since)| check::owned(kind).contains(suffix) && since <= it.since)
    });
    of_another
        || check::owned(it.kind).iter().any(|suffix| {
            stands(&format!("{}{suffix}", it.name)).is_some_and(|(_, since)| since < it.since)
        })
}

// === impl Dropped ===

impl Dropped {
    fn count(&self, reason: Reason, n: u64) {
        if let Some(it) = self.0.get(reason as usize) {
            it.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.0.iter().map(|it| it.load(Ordering::Relaxed)))
    }
}

// === impl PageFamily ===

impl Writable for PageFamily<'_> {
    fn head(&self) -> FamilyHead<'_> {
        let family = self.family;
        FamilyHead {
            quoted_labels: family.quoted,
            ..FamilyHead::new(&family.name, &family.help, family.shown)
        }
    }

    fn write(&self, encoder: &mut Encoder, pause: &mut dyn FnMut(&mut Encoder)) {
        let filter = Filter::new(self.page, self.family);
        match &self.family.members {
            Members::Times(time) => {
                for groups in self.page.groups.chunks(AHEAD) {
                    fetch(groups.iter().map(|it| it.block.as_bytes()));
                    for group in groups {
                        if filter.lets_in(&group.block) {
                            encoder.gauge(&group.block, seconds(time(group)));
                            pause(encoder);
                        }
                    }
                }
            }
            Members::Parts(range) => {
                let members = self.page.members.get(range.clone()).unwrap_or_default();
                let mut families = Vec::with_capacity(AHEAD);
                for members in members.chunks(AHEAD) {
                    families.clear();
                    families.extend(members.iter().filter_map(|(group, at)| {
                        let group = self.page.groups.get(*group as usize)?;
                        Some(group.content.samples(*at as usize))
                    }));
                    fetch(families.iter().map(Samples::bytes));
                    for it in families.drain(..) {
                        encode::samples(it, self.family.shown, &filter, (encoder, pause));
                    }
                }
            }
        }
    }
}

/// Has the processor wait for where all of these begin at once, instead of for each by itself when it is
/// written: of ten thousand groups, each lies somewhere else.
fn fetch<'a>(all: impl Iterator<Item = &'a [u8]>) {
    hint::black_box(all.fold(0, |acc, it| acc ^ it.first().copied().unwrap_or_default()));
}

/// What of a family is shown.
pub(super) struct Filter<'a> {
    family: &'a Selected,
    page: &'a Page,
    seen: std::cell::RefCell<HashSet<u64>>,
    plain: bool,
    scratch: Cell<Vec<u8>>,
}

impl<'a> Filter<'a> {
    fn new(page: &'a Page, family: &'a Selected) -> Self {
        Self {
            family,
            page,
            seen: Default::default(),
            plain: !family.dedup && family.foreign.is_none(),
            scratch: Cell::default(),
        }
    }

    /// Whether the series of `block` is shown. Call it once for each.
    #[inline]
    pub(super) fn lets_in(&self, block: &str) -> bool {
        self.plain || self.judge(block)
    }

    fn judge(&self, block: &str) -> bool {
        if let Some(labels) = &self.family.foreign
            && check::may_be_one_of(block, labels)
        {
            self.page.dropped.count(Reason::Rule, 1);
            return false;
        }
        if !self.family.dedup {
            return true;
        }
        let escaped = if self.family.quoted {
            exposition::escaped_block(block, self.page.escaping)
        } else {
            Cow::Borrowed(block)
        };
        let key = self.page.view.shared.hash_key;
        let mut scratch = self.scratch.take();
        let hash = prepare::hash_of_block(key, "", &escaped, &mut scratch);
        self.scratch.set(scratch);
        let fresh = self.seen.borrow_mut().insert(hash);
        if !fresh {
            self.page.dropped.count(Reason::Duplicate, 1);
        }
        fresh
    }
}

/// Seconds since the epoch, 0 for never.
#[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
fn seconds(time: Option<Time>) -> f64 {
    time.map_or(0.0, |it| it.as_nanos() as f64 / 1e9)
}
