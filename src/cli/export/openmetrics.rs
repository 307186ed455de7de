//! `observatory export openmetrics`.

use crate::cli::client;
use crate::cli::client::{Client, Request};
use crate::cli::filter;
use crate::cli::{Error, Session};
use reqwest::Method;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Write the past as it would have been scraped.
#[derive(Debug, clap::Args)]
#[command(mut_arg("timeout", |it| it.default_value("60").help("Seconds that the server may be silent")))]
#[command(after_help = "\
What Prometheus would have, had it scraped these metrics all the time: computed by the server from its events, each of which counts from its own time. `promtool tsdb create-blocks-from openmetrics FILE DIR` makes blocks of it; move them into the data directory of a Prometheus. FILE appears when everything is in it.

Examples:
  observatory export openmetrics --since 30d --rules new-rules.yml -o past.om
  observatory export openmetrics --since 2026-01-05T00:00:00Z --until 2026-01-06T00:00:00Z --step 15s --metric ci_builds_total -o day.om")]
pub(in crate::cli) struct Args {
    /// Events that happened since: how long ago, such as 7d, or a time
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Events that happened before [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Between two samples, such as 15s
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    step: String,
    /// Rule file [default: the rules of the server]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Metric or span; repeats [default: all]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// File to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: client::Args,
}

pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let mut parameters = vec![("since", args.since.clone()), ("step", args.step.clone())];
    parameters.extend(args.until.clone().map(|it| ("until", it)));
    parameters.extend(args.metrics.iter().map(|it| ("metric", it.clone())));
    let path = filter::with_query("/api/v1/export/openmetrics", &parameters);
    let rules = args.rules.as_deref().map(read).transpose()?;
    let method = if rules.is_some() { Method::POST } else { Method::GET };
    let body = rules.map(|it| ("application/yaml", it));
    let request = Request { method, path: &path, body };
    let client = Client::new(&args.server, session)?;
    let file = args.output.as_deref().filter(|it| *it != Path::new("-"));
    client::block_on(super::export(&client, &request, (file, "samples"), session))
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path)
        .map_err(|err| Error::Input(format!("cannot read {}: {err}", path.display())))
}

#[cfg(test)]
mod tests {
    use crate::cli::client::tests::{http, serve};
    use crate::cli::tests::observatory;
    use std::fs;

    const ANSWER: &str = "# TYPE a counter\na_total 1 60\n# EOF\n";

    fn export(arguments: &[&str], answer: String) -> (u8, String, String, String) {
        let (url, server) = serve(vec![answer]);
        let all = ["export", "openmetrics", "--url", &url, "--timeout", "5"];
        let all: Vec<_> = all.iter().chain(arguments).copied().collect();
        let (code, out, err) = observatory(&all, &[], "");
        (code, out, err, server.join().unwrap().pop().unwrap())
    }

    #[test]
    fn what_is_asked_and_where_it_goes() {
        let (code, out, err, request) = export(&["--since", "7d"], http("200 OK", "", ANSWER));
        assert_eq!((code, out.as_str(), err.as_str()), (0, ANSWER, ""));
        assert!(
            request.starts_with("GET /api/v1/export/openmetrics?since=7d&step=1m HTTP"),
            "{request}"
        );

        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (rules, file) = (path("rules.yml"), path("past.om"));
        fs::write(&rules, "version: 1\n").unwrap();
        let arguments = [
            "--since", "7d", "--until", "1d", "--step", "15s", "--metric", "a", "--rules", &rules,
            "-o", &file,
        ];
        let (code, out, err, request) = export(&arguments, http("200 OK", "", ANSWER));
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        assert!(err.contains("samples in ") && err.contains("past.om"), "{err}");
        assert_eq!(fs::read_to_string(&file).unwrap(), ANSWER);
        let path = "/api/v1/export/openmetrics?since=7d&step=15s&until=1d&metric=a";
        assert!(request.starts_with(&format!("POST {path} HTTP")), "{request}");
        assert!(request.ends_with("\r\n\r\nversion: 1\n"), "{request}");
    }

    #[test]
    fn what_breaks_off_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("past.om");
        let broken = format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{ANSWER}");
        let (code, _, err, _) = export(&["--since", "7d", "-o", file.to_str().unwrap()], broken);
        assert_eq!(code, 69, "{err}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let missing = ["export", "openmetrics", "--since", "7d", "--rules", "/nonexistent"];
        assert_eq!(observatory(&missing, &[], "").0, 65);
    }
}
