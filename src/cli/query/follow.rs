//! New events as they come.

use super::Printer;
use super::listing::{self, Event};
use crate::cli::client::Client;
use crate::cli::{Error, Session};
use crate::history;
use crate::journal::Cursor;
use std::time::Duration;

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints the newest `limit` events, oldest first, and then what comes, until Ctrl-C.
pub(super) async fn run(
    client: &Client,
    filters: &[(&'static str, String)],
    limit: u64,
    (printer, session): (&mut Printer, &mut Session),
) -> Result<(), Error> {
    let interrupted = tokio::signal::ctrl_c();
    let work = async {
        let place = first(client, filters, limit, (printer, session)).await?;
        follow(client, filters, place, (printer, session)).await
    };
    tokio::select! {
        it = work => it,
        it = interrupted => it.map_err(|err| Error::System(format!("cannot listen for Ctrl-C: {err}"))),
    }
}

/// Prints what is there. The sequence number at which to go on.
async fn first(
    client: &Client,
    filters: &[(&'static str, String)],
    limit: u64,
    (printer, session): (&mut Printer, &mut Session),
) -> Result<u64, Error> {
    // Asked first: what comes between the two questions is then in the second answer.
    let mut place = newest(client, session).await? + 1;
    let mut found = Vec::new();
    listing::pages(client, filters, (limit, false), session, &mut |page, _| {
        found.extend(page.events);
        Ok(())
    })
    .await?;
    found.reverse();
    if let Some(it) = found.last() {
        place = place.max(it.view()?.sequence + 1);
    }
    printer.print(&found, session)?;
    Ok(place)
}

async fn follow(
    client: &Client,
    filters: &[(&'static str, String)],
    mut place: u64,
    (printer, session): (&mut Printer, &mut Session),
) -> Result<(), Error> {
    // A server that restarts is asked again soon, and told of at once.
    let client = client.clone().without_retries();
    let mut away = false;
    loop {
        tokio::time::sleep(PAUSE).await;
        match new(&client, filters, place, session).await {
            Ok((events, next)) => {
                if std::mem::take(&mut away) {
                    session.note("observatory: the server is back");
                }
                printer.print(&events, session)?;
                place = next;
            }
            Err(Error::Unavailable(why)) => {
                if !std::mem::replace(&mut away, true) {
                    session.note(&format!("observatory: {why}; waiting for it, Ctrl-C ends"));
                }
            }
            Err(err) => return Err(err),
        }
    }
}

/// What came at `place` or after it, and where to go on.
async fn new(
    client: &Client,
    filters: &[(&'static str, String)],
    place: u64,
    session: &mut Session,
) -> Result<(Vec<Event>, u64), Error> {
    // Asked first: everything up to it is in the answers below, whether it matches or not.
    let newest = newest(client, session).await?;
    if newest + 1 < place {
        session.note(
            "observatory: the server has another journal now; it is followed from its beginning",
        );
        return Ok((Vec::new(), 1));
    }
    let mut events: Vec<Event> = Vec::new();
    let mut next = place;
    while next <= newest {
        let cursor = history::write_cursor(Cursor(next), true);
        let page = listing::page(client, filters, (u64::MAX, true), Some(cursor), session).await?;
        let more = page.has_next();
        if let Some(it) = page.events.last() {
            next = it.view()?.sequence + 1;
        }
        events.extend(page.events);
        if !more {
            break;
        }
    }
    Ok((events, next.max(newest + 1)))
}

/// The sequence number of the newest event of all; 0 if there is none.
async fn newest(client: &Client, session: &mut Session) -> Result<u64, Error> {
    let page = listing::page(client, &[], (1, false), None, session).await?;
    page.events.first().map_or(Ok(0), |it| Ok(it.view()?.sequence))
}
