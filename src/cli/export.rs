//! `observatory export`.

mod file;
mod openmetrics;
mod prometheus_rules;

use super::client::{self, Client, Request};
use super::filter;
use super::progress::{self, Progress, Unit};
use super::{Error, Session};
use file::Target;
use reqwest::Method;
use std::path::{Path, PathBuf};

/// Write what the server knows into files.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write events into a file
    Events(Args),
    /// Write metrics as they would have been scraped
    Openmetrics(openmetrics::Args),
    /// Write the alert rules as those of Prometheus
    PrometheusRules(prometheus_rules::Args),
}

/// Write events into a file.
#[derive(Debug, clap::Args)]
// The server may be silent for long: without an answer it reads all blocks before it says so.
#[command(mut_arg("timeout", |it| it.default_value("60").help("Seconds that the server may be silent")))]
#[command(after_help = "\
All events that match, oldest first. FILE appears when everything is in it: until then it is FILE.part. If the stream breaks off there is no FILE, and the exit code says so.

Examples:
  observatory export events -o events.ndjson.zst
  observatory export events --since 7d --type deployment_completed -o deployments.csv
  observatory export events 'ci_build_completed{status!=\"success\"}' --format csv --columns timestamp,data.project,data.status
  observatory export events --since 1d | jq -r .data.project | sort | uniq -c")]
pub(super) struct Args {
    #[command(flatten)]
    filter: filter::Args,
    /// How events are written [default: by the name of the file, else ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Columns of a CSV file, such as id,timestamp,data.status
    #[arg(long, value_name = "PATHS")]
    columns: Option<String>,
    /// Oldest first (asc), or newest first (desc)
    #[arg(long, value_parser = ["asc", "desc"], default_value = "asc")]
    order: String,
    /// At most so many events [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// File to write, compressed if it ends with .gz or .zst [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: client::Args,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One JSON object per line
    Ndjson,
    /// One JSON array
    Json,
    /// Comma-separated, as RFC 4180 says
    Csv,
}

/// Exports what `command` says.
pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Error> {
    let args = match command {
        Command::Events(it) => it,
        Command::Openmetrics(it) => return openmetrics::run(it, session),
        Command::PrometheusRules(it) => return prometheus_rules::run(it, session),
    };
    let path = filter::with_query("/api/v1/events/export", &args.parameters()?);
    let client = Client::new(&args.server, session)?;
    let file = args.output.as_deref().filter(|it| *it != Path::new("-"));
    let request = Request { method: Method::GET, path: &path, body: None };
    client::block_on(export(&client, &request, (file, "events"), session))
}

impl Args {
    fn parameters(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut parameters = self.filter.parameters()?;
        let named = self.output.as_deref().and_then(Format::of_file);
        let format = self.format.or(named).unwrap_or(Format::Ndjson);
        parameters.push(("format", format.name().to_owned()));
        parameters.push(("order", self.order.clone()));
        parameters.extend(self.columns.clone().map(|it| ("columns", it)));
        parameters.extend(self.limit.map(|it| ("limit", it.to_string())));
        Ok(parameters)
    }
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

async fn export(
    client: &Client,
    request: &Request<'_>,
    (file, what): (Option<&Path>, &str),
    session: &mut Session,
) -> Result<(), Error> {
    let mut stream = client.open(request, session).await?;
    // Only now: what the server refuses must not touch a file.
    let mut target = file.map(Target::create).transpose()?;
    let mut progress = Progress::new("exporting", Unit::Bytes);
    let mut bytes = 0;
    let result = loop {
        let chunk = match stream.chunk().await {
            Ok(Some(it)) => it,
            Ok(None) => break Ok(()),
            Err(err) => break Err(err),
        };
        bytes += chunk.len() as u64;
        let written = match &mut target {
            Some(it) => it.write(&chunk),
            None => session.write(&chunk),
        };
        if let Err(err) = written {
            break Err(err);
        }
        progress.update(bytes, session);
    };
    progress.finish(session);
    match (target, result) {
        (Some(target), Ok(())) => {
            let path = target.finish()?;
            let size = progress::bytes_text(bytes);
            session.note(&format!("observatory: {size} of {what} in {}", path.display()));
            Ok(())
        }
        (Some(target), Err(err)) => {
            target.discard();
            Err(err)
        }
        (None, result) => result,
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::{http, serve};
    use crate::cli::tests::observatory;
    use std::fs;

    fn export(arguments: &[&str], answer: String) -> (u8, String, String, String) {
        let (url, server) = serve(vec![answer]);
        let all = ["export", "events", "--url", &url, "--timeout", "5"];
        let all: Vec<_> = all.iter().chain(arguments).copied().collect();
        let (code, out, err) = observatory(&all, &[], "");
        let request = server.join().unwrap().pop().unwrap();
        (code, out, err, request.lines().next().unwrap().to_owned())
    }

    #[test]
    fn to_standard_output() {
        let (code, out, err, request) =
            export(&["--type", "t", "--limit", "2"], http("200 OK", "", "{}\n{}\n"));
        assert_eq!((code, out.as_str(), err.as_str()), (0, "{}\n{}\n", ""));
        let path = "/api/v1/events/export?type=t&format=ndjson&order=asc&limit=2";
        assert_eq!(request, format!("GET {path} HTTP/1.1"));
    }

    #[test]
    fn a_file_says_its_format_and_appears_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.csv.gz");
        let name = path.to_str().unwrap();
        let (code, out, err, request) = export(&["-o", name], http("200 OK", "", "id\r\n1\r\n"));
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        assert!(request.contains("format=csv"), "{request}");
        let mut text = String::new();
        let bytes = fs::read(&path).unwrap();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*bytes), &mut text)
            .unwrap();
        assert_eq!(text, "id\r\n1\r\n");
        assert!(err.contains("7 B of events in"), "{err}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_stream_that_breaks_off_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.json.zst");
        fs::write(&path, "old").unwrap();
        // It says more than it sends.
        let broken = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\n[{}";
        let (code, _, err, request) = export(&["-o", path.to_str().unwrap()], broken.to_owned());
        assert_eq!(code, 69, "{err}");
        assert!(request.contains("format=json"), "{request}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_the_server_refuses_is_told() {
        let body = r#"{"error":"invalid_parameter","message":"columns names none"}"#;
        let (code, _, err, _) = export(&["--columns", ""], http("400 Bad Request", "", body));
        assert_eq!(code, 2);
        assert!(err.contains("columns names none"), "{err}");
        let (code, ..) = observatory(&["export", "events", "a{"], &[], "");
        assert_eq!(code, 2);
    }
}
