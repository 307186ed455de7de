//! The engine without the pipeline: bodies in, pages out.

mod expiry;
mod limits;
mod model;
mod quarantine;
mod retries;
mod rules;
mod storage;
mod sums;

use super::*;
use crate::event::Time;
use crate::exposition::{Encoder, Format, Options, Taken, Writable, negotiate, parse};
use crate::push;
use crate::store;
use crate::store::{Batch, Store};

/// Groups on a store of their own.
struct World {
    groups: Groups,
    table: Table,
    now_ms: i64,
    store: Store,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&store::Config::new(dir.path().join("data"))).unwrap();
        let table = store.table("groups").unwrap();
        let groups = Groups::load(&table, config, (1, 2), Time::default()).unwrap();
        Self { groups, table, now_ms: 1_000_000, store, _dir: dir }
    }

    /// `path` is what follows `/metrics/`.
    fn push(&mut self, terms: impl Into<Terms>, path: &str, body: &str) -> Result<(), String> {
        let options = push::Options { utf8: true };
        let grouping = push::grouping(&format!("/metrics/{path}"), options).unwrap();
        let families = push::families(body.as_bytes(), None, true, &push::Limits::default());
        self.apply(terms, &grouping, families.unwrap())
    }

    fn apply(
        &mut self,
        terms: impl Into<Terms>,
        grouping: &Grouping,
        families: Vec<Family>,
    ) -> Result<(), String> {
        self.now_ms += 1000;
        let now = Time::from_millis(self.now_ms);
        self.groups.set_now(Now { wall: now, steady: now });
        let push = self.groups.view().prepare(terms, grouping, families);
        let outcome = self.groups.apply(push, now);
        self.keep(outcome.writes);
        outcome.result.map_err(|it| it.to_string())
    }

    fn keep(&self, writes: Vec<Write>) {
        let mut batch = Batch::default();
        for it in writes {
            match it.value {
                Some(value) => batch.put(&it.key, &value),
                None => batch.remove(&it.key),
            }
        }
        self.table.apply(batch).unwrap();
    }

    fn put(&mut self, path: &str, body: &str) -> Result<(), String> {
        self.push(Op::Put, path, body)
    }

    fn post(&mut self, path: &str, body: &str) -> Result<(), String> {
        self.push(Op::Post, path, body)
    }

    /// The same groups, as another process would find them.
    fn reload(&mut self) {
        let config = self.groups.view().config().clone();
        self.groups =
            Groups::load(&self.table, config, (3, 4), Time::from_millis(self.now_ms)).unwrap();
    }

    fn page(&self) -> String {
        page(&self.groups.view(), &[], negotiate(None))
    }

    /// The samples, without those of the two times.
    fn samples(&self) -> Vec<String> {
        samples(&self.page())
    }

    /// The value of the sample that begins with `start`.
    fn value(&self, start: &str) -> Option<f64> {
        let page = self.page();
        let line = page.lines().find(|it| it.starts_with(start))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

fn page(view: &View, taken: &[Taken<'_>], format: Format) -> String {
    let mut encoder = Encoder::new(format, Options::default());
    let page = view.page(taken, format);
    for it in page.families() {
        encoder.begin_family(&it.head());
        it.write(&mut encoder, &mut |_| {});
        encoder.end_family();
    }
    encoder.finish();
    page.done();
    String::from_utf8_lossy(&encoder.take()).into_owned()
}

fn samples(page: &str) -> Vec<String> {
    let ours = |it: &&str| !it.starts_with('#') && !it.starts_with("push_");
    page.lines().filter(ours).map(str::to_owned).collect()
}

/// Series that the last page left out for `reason`.
fn dropped(view: &View, reason: &str) -> u64 {
    let mut registry = prometheus_client::registry::Registry::default();
    view.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let start = format!("scrape_dropped_series{{reason=\"{reason}\"}} ");
    let line = text.lines().find_map(|it| it.strip_prefix(&start));
    line.unwrap().parse().unwrap()
}

/// Reads the page in every format that we can read, as strictly as we can.
fn assert_valid(view: &View) {
    for accept in [
        "text/plain;version=0.0.4",
        "text/plain;version=1.0.0;escaping=allow-utf-8",
        "text/plain;version=1.0.0;escaping=dots",
        "text/plain;version=1.0.0;escaping=values",
    ] {
        let page = page(view, &[], negotiate(Some(accept)));
        let families = parse::text(page.as_bytes(), parse::Limits::default());
        let families = families.unwrap_or_else(|it| panic!("{accept}: {it}\n{page}"));
        let mut seen = std::collections::HashSet::new();
        for it in families.iter().flat_map(|it| &it.samples) {
            let labels = it.labels.iter().filter(|it| !it.1.is_empty());
            let series = (it.name.clone(), labels.cloned().collect::<Vec<_>>());
            assert!(seen.insert(series), "{accept}: {:?} twice\n{page}", it.name);
        }
    }
    let format = negotiate(Some("application/openmetrics-text;version=1.0.0"));
    let page = page(view, &[], format);
    let families = parse::open_metrics(page.as_bytes(), parse::Limits::default());
    families.unwrap_or_else(|it| panic!("{it}\n{page}"));
}
