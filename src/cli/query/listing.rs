//! Events, page by page.

use crate::cli::client::{self, Client};
use crate::cli::filter;
use crate::cli::{Error, Session};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A page of the server's answer.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) events: Vec<Event>,
    next: Option<String>,
}

/// An event as the server wrote it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::cli) struct Event(Box<RawValue>);

/// What of an event is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct View<'a> {
    #[serde(borrow)]
    pub(super) timestamp: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(super) source: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) sequence: u64,
}

/// Events of one request: more would only make the first ones come later.
const PAGE: u64 = 1000;
const PATH: &str = "/api/v1/events";

impl Event {
    /// All of it, on one line.
    pub(super) fn json(&self) -> &str {
        self.0.get()
    }

    pub(super) fn view(&self) -> Result<View<'_>, Error> {
        client::answer(self.0.get())
    }
}

/// Hands every page of the answer to `each`, up to `limit` events.
pub(super) async fn pages(
    client: &Client,
    filters: &[(&'static str, String)],
    (limit, ascending): (u64, bool),
    session: &mut Session,
    each: &mut dyn FnMut(Page, &mut Session) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut left = limit;
    let mut cursor = None;
    loop {
        let page = page(client, filters, (left, ascending), cursor.take(), session).await?;
        cursor.clone_from(&page.next);
        left = left.saturating_sub(page.events.len() as u64);
        each(page, session)?;
        if left == 0 || cursor.is_none() {
            return Ok(());
        }
    }
}

/// One page from `cursor` on.
pub(super) async fn page(
    client: &Client,
    filters: &[(&'static str, String)],
    (limit, ascending): (u64, bool),
    cursor: Option<String>,
    session: &mut Session,
) -> Result<Page, Error> {
    let mut parameters = filters.to_vec();
    parameters.push(("limit", limit.min(PAGE).to_string()));
    parameters.push(("order", if ascending { "asc" } else { "desc" }.to_owned()));
    parameters.extend(cursor.map(|it| ("cursor", it)));
    client::answer(&client.ask(&filter::with_query(PATH, &parameters), session).await?)
}

impl Page {
    /// Whether there may be more.
    pub(super) fn has_next(&self) -> bool {
        self.next.is_some()
    }
}
