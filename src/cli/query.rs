//! `observatory query`.

mod follow;
mod listing;
mod summary;
mod table;

use super::client::{self, Client};
use super::{Error, Session, filter};
pub(super) use listing::Event;
use table::Table;

/// Ask a server for events.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints a line per event: time (UTC), type, source, and of the data what tells the most, shortened to the width of the terminal. --json prints everything, one object per line. --by counts instead of listing: per group, and with --interval per hour or day; --value adds the figures of a number.

Examples:
  observatory query --since 2h
  observatory query 'ci_build_completed{status!=\"success\", branch=~\"release/.*\"}' --since 7d
  observatory query --type deployment_completed --limit 1000 --json | jq -r .data.service
  observatory query --follow --type 'agent_error,agent_registered'
  observatory query --by type,data.status --since 1d --interval 1h
  observatory query --type ci_build_completed --by data.project --value data.duration_seconds")]
pub(super) struct Args {
    #[command(flatten)]
    filter: filter::Args,
    /// At most so many events, or groups [default: 100 events, all groups]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Newest first (desc) or oldest first (asc); groups by count, start or group [default: desc; count, or start with --interval]
    #[arg(long, value_parser = ["desc", "asc", "count", "start", "group"], hide_possible_values = true)]
    order: Option<String>,
    /// Print JSON, complete, one event per line; the answer of the server with --by
    #[arg(long)]
    json: bool,
    /// Then print new events as they come, oldest first, until Ctrl-C
    #[arg(long, short, conflicts_with = "order")]
    follow: bool,
    /// Count instead of listing; by type, unless --by says otherwise
    #[arg(long, conflicts_with = "follow")]
    summary: bool,
    /// Count by these paths, such as type,source,data.status
    #[arg(long, value_name = "PATHS", conflicts_with = "follow")]
    by: Vec<String>,
    /// Count per length of time, such as 1h or 1d
    #[arg(long, value_name = "DURATION", conflicts_with = "follow")]
    interval: Option<String>,
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "follow",
        help = "Add sum, mean, extremes and percentiles of this number, such as data.duration_seconds"
    )]
    value: Option<String>,
    #[command(flatten)]
    server: client::Args,
}

/// Events that are shown if nobody says how many.
const DEFAULT_LIMIT: u64 = 100;

/// Asks what `args` say.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let counts =
        args.summary || !args.by.is_empty() || args.interval.is_some() || args.value.is_some();
    let client = Client::new(&args.server, session)?;
    if counts {
        return client::block_on(summary::run(args, &client, session));
    }
    let ascending = match args.order.as_deref() {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(it) => {
            let message = format!("--order {it} is for groups (--by); events come desc or asc");
            return Err(Error::Usage(message));
        }
    };
    let mut printer = Printer::new(args.json, session);
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let filters = args.filter.parameters()?;
    client::block_on(async {
        if args.follow {
            return follow::run(&client, &filters, limit, (&mut printer, session)).await;
        }
        listing::pages(&client, &filters, (limit, ascending), session, &mut |page, session| {
            printer.print(&page.events, session)
        })
        .await
    })
}

/// How events are written.
pub(super) struct Printer {
    json: bool,
    table: Table,
}

impl Printer {
    pub(super) fn new(json: bool, session: &Session) -> Self {
        Self { json, table: Table::of(session) }
    }

    pub(super) fn print(&mut self, events: &[Event], session: &mut Session) -> Result<(), Error> {
        let mut text = String::new();
        if self.json {
            for it in events {
                text.push_str(it.json());
                text.push('\n');
            }
        } else {
            self.table.rows(events, &mut text)?;
        }
        session.write(text.as_bytes())
    }
}

#[cfg(test)]
mod tests;
