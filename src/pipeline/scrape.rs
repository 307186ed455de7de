//! Scrapes: who waits for the same page gets the same page.

use super::queue::Command;
use super::{Pipeline, now};
use crate::exposition::{Format, MetricFamily, Taken, Writable, parse};
use crate::metrics::{Audience, Rendered};
use bytes::Bytes;
use prometheus_client::encoding;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};
use tokio::sync::oneshot;

/// Larger pages are kept only while somebody is reading them.
const KEEP_BYTES: usize = 1 << 20;

/// How a scrape is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScrapeFormat {
    /// The exposition format.
    pub format: Format,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
}

/// The pages that were rendered last, per format and audience.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<HashMap<(ScrapeFormat, bool), Slot>>);

/// One page. Who renders it holds the lock; who waits for the lock finds a page that was begun after it
/// asked, and takes it.
type Slot = Arc<tokio::sync::Mutex<Option<Page>>>;

#[derive(Debug)]
struct Page {
    begun: Instant,
    version: u64,
    len: usize,
    shared: Weak<[Bytes]>,
    kept: Option<Arc<[Bytes]>>,
}

impl Page {
    fn rendered(&self) -> Option<Rendered> {
        let chunks = self.kept.clone().or_else(|| self.shared.upgrade())?;
        Some(Rendered { chunks, len: self.len })
    }
}

impl Pipeline {
    /// Renders `/metrics`. It shows everything that was acknowledged before the call. Callers that come
    /// while a page is rendered share the next one, and a page is shown again for a second if nothing
    /// happened; so N scrapers cost one render or two.
    pub async fn scrape(&self, format: ScrapeFormat, audience: Audience) -> Rendered {
        let asked = Instant::now();
        let held = self.note(audience).await;
        let slot = {
            let mut pages = self.inner.pages.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(pages.entry((format, held)).or_default())
        };
        let mut slot = slot.lock().await;
        // Both only grow, so that their sum tells whether either changed.
        let version = self.inner.metrics.version().wrapping_add(self.inner.groups.changes());
        if let Some(page) = &*slot {
            let unchanged = page.version == version && page.begun.elapsed() < self.inner.page_cache;
            if let (true, Some(it)) = (unchanged || page.begun >= asked, page.rendered()) {
                return it;
            }
        }
        let begun = Instant::now();
        let pipeline = self.clone();
        let rendered = tokio::task::spawn_blocking(move || {
            let own = pipeline.own_families();
            let groups = |taken: &[Taken<'_>], show: &mut dyn FnMut(&[&dyn Writable])| {
                let page = pipeline.inner.groups.page(taken, format.format);
                let families = page.families();
                let families: Vec<_> = families.iter().map(|it| it as &dyn Writable).collect();
                show(&families);
                page.done();
            };
            pipeline.inner.metrics.render(
                (format.format, format.gzip),
                held,
                now().as_millis(),
                (&own, &groups),
            )
        });
        let Ok(rendered) = rendered.await else { return Rendered { chunks: Arc::new([]), len: 0 } };
        let kept = (rendered.len <= KEEP_BYTES).then(|| Arc::clone(&rendered.chunks));
        let shared = Arc::downgrade(&rendered.chunks);
        *slot = Some(Page { begun, version, len: rendered.len, shared, kept });
        self.inner.own.scraped(begun.elapsed());
        rendered
    }

    /// Notes who scrapes; whether held series are to be shown at 0.
    async fn note(&self, audience: Audience) -> bool {
        let Audience::Prometheus(scraper) = audience else { return false };
        if let Some(mark_ms) = self.inner.metrics.scraped(scraper, now().as_millis()) {
            // On disk before it is shown, so that a crash does not take a value back.
            let (reply, stored) = oneshot::channel();
            self.order(Command::StoreMark(mark_ms, reply)).await;
            let _ = stored.await;
            self.inner.metrics.release(mark_ms);
        }
        true
    }

    /// The server's own families. Whatever cannot be read is left out, so that it spoils nothing else.
    fn own_families(&self) -> Vec<MetricFamily> {
        let Some(registry) = self.inner.registry.get() else { return Vec::new() };
        let mut text = String::new();
        if encoding::text::encode(&mut text, registry).is_err() {
            return Vec::new();
        }
        let families = parse::open_metrics(text.as_bytes(), parse::Limits::default());
        families.unwrap_or_else(|error| {
            tracing::error!(%error, "the server's own metrics cannot be shown");
            Vec::new()
        })
    }
}
