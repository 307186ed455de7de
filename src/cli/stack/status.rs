//! `observatory status`.

use super::super::{Error, Session, client, settings};
use super::{Context, Place, relay, remote};
use crate::config;
use crate::stack;
use crate::stack::{Dir, Phase, Plan, Service, ServiceName};
use client::{Client, Request};
use serde::Serialize;
use serde_json::Value;
use std::{process::Command, time::Duration};

/// Tell how the services of the stack are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 if every service is healthy, 1 if one is not, 3 if nothing runs. A service that is not part of the stack is left out.

With --self it asks one server only, at OBSERVATORY_URL or where the configuration says that it listens, and ends with 0 if that is healthy: the health check of a container.

Examples:
  observatory status
  observatory status --json | jq -r '.services[] | select(.status != \"healthy\") | .name'
  observatory status --environment remote --host vonnegut
  observatory status --self")]
pub(in super::super) struct Args {
    #[command(flatten)]
    stack: super::Args,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    /// Ask the server alone: the health check of a container
    #[arg(long = "self")]
    own: bool,
}

const PROBE: Duration = Duration::from_secs(2);

/// How a stack is.
#[derive(Debug, Serialize)]
struct Report {
    environment: String,
    backend: &'static str,
    /// `healthy`, `degraded` or `stopped`.
    status: &'static str,
    services: Vec<Row>,
}

/// How a service is.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// `healthy`, `unhealthy`, `restarting`, `crash loop` or `stopped`.
    status: String,
    port: Option<u16>,
    pid: Option<i32>,
    restarts: u32,
    url: Option<String>,
    /// What is wrong.
    detail: Option<String>,
}

/// Tells.
pub(in super::super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    if args.own {
        return own(args, session);
    }
    let context = args.stack.load(session)?;
    let report = match context.place()? {
        Place::Remote(ssh) => {
            let verb: &[&str] = if args.json { &["status", "--json"] } else { &["status"] };
            return remote::run(&context, &ssh, verb, session);
        }
        Place::Compose(compose) if compose.dir().is_dir() => {
            report(&context, "compose", containers(compose.ps(), compose.services())?)
        }
        Place::Compose(_) => report(&context, "compose", Vec::new()),
        Place::Processes => {
            let dir = context.dir();
            let plan = dir
                .plan()
                .ok()
                .filter(|_| dir.supervisor().is_some() || !stack::marked(dir.path()).is_empty());
            report(&context, "processes", plan.map_or_else(Vec::new, |it| rows(&it, &dir)))
        }
    };
    if args.json {
        let text =
            serde_json::to_string_pretty(&report).map_err(|err| Error::System(err.to_string()))?;
        session.print(&text)?;
    } else if report.services.is_empty() {
        session.print("nothing runs; `observatory up` starts the stack")?;
    } else {
        session.print(table_of(&report.services).trim_end())?;
    }
    match report.status {
        "healthy" => Ok(()),
        "degraded" => Err(Error::Refused(String::new())),
        _ => Err(Error::NotRunning(String::new())),
    }
}

fn report(context: &Context, backend: &'static str, services: Vec<Row>) -> Report {
    let status = if services.iter().all(|it| it.status == "stopped") {
        "stopped"
    } else if services.iter().all(|it| it.status == "healthy") {
        "healthy"
    } else {
        "degraded"
    };
    Report { environment: context.loaded.environment.clone(), backend, status, services }
}

/// Prints the table of what was started.
pub(super) fn table(plan: &Plan, dir: &Dir, session: &mut Session) -> Result<(), Error> {
    session.print(table_of(&rows(plan, dir)).trim_end())
}

fn rows(plan: &Plan, dir: &Dir) -> Vec<Row> {
    let supervised = dir.supervisor().is_some();
    let state = dir.state();
    let row = |it: &Service| {
        let said = state.as_ref().and_then(|state| state.services.get(&it.name));
        let process = said.and_then(|it| it.process).filter(|it| it.runs());
        let health = stack::healthy(it.address, &it.health_path, PROBE);
        let (status, detail) = match (said.map(|it| it.phase), process, health) {
            (Some(Phase::CrashLoop), _, _) => ("crash loop", said.and_then(|it| it.ended.clone())),
            (_, None, _) => {
                let status = if supervised { "restarting" } else { "stopped" };
                (status, said.and_then(|it| it.ended.clone()))
            }
            (_, Some(_), Err(why)) => ("unhealthy", Some(why)),
            (_, Some(_), Ok(())) if supervised => ("healthy", None),
            (_, Some(_), Ok(())) => {
                ("unhealthy", Some("nobody supervises it: `observatory up` mends that".to_owned()))
            }
        };
        Row {
            name: it.name.clone(),
            status: status.to_owned(),
            port: Some(it.listen.port()),
            pid: process.map(|it| it.pid),
            restarts: said.map_or(0, |it| it.restarts),
            url: Some(format!("http://{}", it.address)),
            detail,
        }
    };
    plan.services.iter().map(row).collect()
}

/// What the engine says, either as an array or as a line per container.
fn containers(command: Command, wanted: &[&'static str]) -> Result<Vec<Row>, Error> {
    let (code, out, said) = relay::output(command)?;
    if code != 0 {
        return Err(Error::System(format!("the containers cannot be listed: {}", said.trim())));
    }
    let text = String::from_utf8_lossy(&out);
    let found: Vec<Value> = serde_json::from_str(&text)
        .unwrap_or_else(|_| text.lines().filter_map(|it| serde_json::from_str(it).ok()).collect());
    let field = |it: &Value, name: &str| {
        it.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let row = |name: &&'static str| {
        let it = found.iter().find(|it| field(it, "Service") == *name);
        let (state, health) =
            it.map_or_else(Default::default, |it| (field(it, "State"), field(it, "Health")));
        let status = match (state.as_str(), health.as_str()) {
            ("running", "healthy" | "") => "healthy",
            ("running", _) => "unhealthy",
            ("restarting", _) => "restarting",
            _ => "stopped",
        };
        let published = it.and_then(|it| it.pointer("/Publishers/0/PublishedPort")?.as_u64());
        let port = published.and_then(|it| u16::try_from(it).ok()).filter(|it| *it > 0);
        Row {
            name: (*name).to_owned(),
            status: status.to_owned(),
            port,
            pid: None,
            restarts: 0,
            url: port.map(|it| format!("http://127.0.0.1:{it}")),
            detail: Some(health).filter(|it| !it.is_empty() && it != "healthy"),
        }
    };
    Ok(wanted.iter().map(row).collect())
}

fn table_of(rows: &[Row]) -> String {
    let mut text =
        format!("{:<13} {:<11} {:>8} {:>8}  {}\n", "SERVICE", "STATUS", "PID", "RESTARTS", "URL");
    for it in rows {
        let pid = it.pid.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let url = it.url.as_deref().unwrap_or("-");
        let detail = it.detail.as_ref().map_or_else(String::new, |it| format!("  ({it})"));
        text.push_str(&format!(
            "{:<13} {:<11} {pid:>8} {:>8}  {url}{detail}\n",
            it.name, it.status, it.restarts
        ));
    }
    text
}

/// The health check of a container: one line, and an exit code.
fn own(args: &Args, session: &mut Session) -> Result<(), Error> {
    let (url, prefix) = match session.variable("OBSERVATORY_URL") {
        Some(it) => (it.to_owned(), String::new()),
        None => listening(args, session)?,
    };
    let arguments = client::Args { url: Some(url), token: None, timeout: Some(PROBE * 2) };
    let client = Client::new(&arguments, session)?.without_token().without_retries();
    let path = format!("{prefix}/-/healthy");
    let request = Request { method: reqwest::Method::GET, path: &path, body: None };
    let mut quiet = |_: String| ();
    let answer = client::block_on(async {
        Ok(client.exchange(&request, client.timeout(), &mut quiet).await?)
    });
    match answer {
        Ok(_) => session.print(&format!("{} is healthy", client.base())),
        Err(err) => {
            session.print(&err.to_string())?;
            Err(Error::Refused(String::new()))
        }
    }
}

/// Where the configuration says that the server listens.
fn listening(args: &Args, session: &Session) -> Result<(String, String), Error> {
    let file = settings::file(args.stack.config.as_deref(), session)?;
    let sources =
        config::Sources { file, environment: session.environment().clone(), flags: Vec::new() };
    let settings = config::load(&sources)?.settings;
    let listen = settings.listen.first().cloned();
    let listen = listen.unwrap_or(config::Listen {
        host: "127.0.0.1".to_owned(),
        port: ServiceName::Observatory.usual_port(),
    });
    let host = match listen.host.as_str() {
        "0.0.0.0" | "::" => "127.0.0.1".to_owned(),
        it if it.contains(':') => format!("[{it}]"),
        it => it.to_owned(),
    };
    Ok((format!("http://{host}:{}", listen.port), settings.web.route_prefix.0))
}

#[cfg(test)]
mod tests {
    use super::super::super::client::tests::{http, serve};
    use super::super::super::tests::observatory;

    #[test]
    fn the_health_check_is_one_line_and_a_code() {
        let (url, server) = serve(vec![http("200 OK", "", "fine")]);
        let (code, out, err) = observatory(&["status", "--self"], &[("OBSERVATORY_URL", &url)], "");
        assert_eq!((code, out, err), (0, format!("{url} is healthy\n"), String::new()));
        assert!(server.join().unwrap()[0].starts_with("GET /-/healthy "));
        let (url, server) = serve(vec![http("503 Service Unavailable", "", "disk")]);
        let (code, out, err) = observatory(&["status", "--self"], &[("OBSERVATORY_URL", &url)], "");
        server.join().unwrap();
        assert_eq!((code, out.lines().count(), err.as_str()), (1, 1, ""), "{out}");
        assert!(out.contains("503"), "{out}");
    }

    #[test]
    fn without_a_url_the_configuration_says_where_it_listens() {
        let environment = [("OBSERVATORY_LISTEN", ":1"), ("OBSERVATORY_TOKEN", "0123456789abcdef")];
        let (code, out, err) = observatory(&["status", "--self"], &environment, "");
        assert_eq!((code, out.lines().count(), err.as_str()), (1, 1, ""), "{out}");
        assert!(out.contains("http://127.0.0.1:1 "), "{out}");
    }
}
