//! `observatory verify`.

use super::progress::{Progress, Unit};
use super::{Error, Session, settings};
use crate::app::verify;
use crate::app::verify::{Report, VerifyError};
use crate::store::OpenError;

/// Check everything that is stored, while no server runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads every file, block, snapshot piece, token and log record, and says what is damaged and what is lost by it.
Ends with 0 if all is well, and with 1 if something is damaged.

Examples:
  observatory verify --data-dir ./observatory-data
  observatory verify --data-dir ./observatory-data --json
  observatory verify --data-dir ./observatory-data --repair")]
pub(super) struct Args {
    /// Directory that holds everything [default: ./observatory-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Go on without what is damaged: the old store is kept in DIR/quarantine, with a list
    #[arg(long)]
    repair: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Checks, and with `--repair` repairs.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let settings = settings::Args::of_data_dir(args.data_dir.clone()).load(session)?.settings;
    let mut progress: Option<(&'static str, Progress)> = None;
    let res = verify::verify(&settings.store(), args.repair, &mut |what, done, total| {
        if progress.as_ref().is_none_or(|it| it.0 != what) {
            let (name, unit) = match what {
                "files" => ("checking the files", Unit::Bytes),
                "repairing" => ("repairing", Unit::Things("values")),
                _ => ("checking", Unit::Things("values")),
            };
            let new = Progress::new(name, unit);
            progress =
                Some((what, total.map_or_else(|| Progress::new(name, unit), |it| new.of(it))));
        }
        if let Some((_, it)) = &mut progress {
            it.update(done, session);
        }
    });
    if let Some((_, mut it)) = progress {
        it.finish(session);
    }
    let report = res.map_err(|error| match error {
        VerifyError::Open(OpenError::Damaged { path, what }) => Error::Data(format!(
            "the store in {} cannot be opened at all: {what}; nothing was changed: restore a backup",
            path.display()
        )),
        error => Error::Data(error.to_string()),
    })?;
    if args.json {
        let json = serde_json::to_string(&report).map_err(|it| Error::System(it.to_string()))?;
        session.print(&json)?;
    } else {
        session.print(text(&report).trim_end())?;
    }
    if report.findings.is_empty() { Ok(()) } else { Err(Error::Refused(String::new())) }
}

fn text(report: &Report) -> String {
    let mut res = String::new();
    for it in &report.findings {
        res.push_str(&format!("{}\n  wrong: {}\n  lost:  {}\n", it.place, it.what, it.lost));
        if !it.kept.is_empty() {
            res.push_str(&format!("  kept:  {}\n", it.kept.join(", ")));
        }
    }
    let Report { events, values, .. } = report;
    let n = report.findings.len();
    res.push_str(&match n {
        0 => format!("all is well: {events} events, {values} values\n"),
        _ => format!("{n} findings; {events} events and {values} values can be read\n"),
    });
    match &report.quarantine {
        Some(it) => res.push_str(&format!(
            "repaired: the server can be started again; what was taken out of use is in {}\n",
            it.display()
        )),
        None if n > 0 => res.push_str(
            "restore a backup, or run again with --repair to go on without what is damaged\n",
        ),
        None => {}
    }
    res
}
