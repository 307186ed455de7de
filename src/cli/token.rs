//! `observatory token`: on the data directory, or through the server that holds it.

use super::client::{self, Client, Request};
use super::{Error, Session, settings};
use crate::config;
use crate::event::Time;
use crate::store::{OpenError, Store};
use crate::tokens::{self, Role, Roles, TokenError, TokenInfo, Tokens};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Create, list and revoke access tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a token and print its secret, which is shown only once
    Create(Create),
    /// List the tokens
    List(List),
    /// Make a token invalid
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Roles: ingest (send events), read (query, scrape), control (also reload and operate), admin (everything). While a server runs, the data directory is its own: name the server with --url, and give a token with the role admin if it asks for one.

Examples:
  observatory token create ci --role ingest
  observatory token create grafana --role read --expires 365d --data-dir /var/lib/observatory
  observatory token create ops --role admin --url http://127.0.0.1:9091")]
pub(super) struct Create {
    /// Name of the token, for lists and logs
    name: String,
    /// What it may do: ingest, read, control or admin; repeats
    #[arg(long = "role", value_name = "ROLE", required = true, value_delimiter = ',')]
    roles: Vec<Role>,
    /// How long it is valid, such as 30d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires: Option<Duration>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  observatory token list
  observatory token list --url http://127.0.0.1:9091 --json")]
pub(super) struct List {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A running server refuses the token from its next request on.

Example:
  observatory token revoke ci --url http://127.0.0.1:9091")]
pub(super) struct Revoke {
    /// Name or id of the token
    #[arg(value_name = "NAME")]
    which: String,
    #[command(flatten)]
    place: Place,
}

/// Where the tokens are.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(mut_arg("url", |it| it.help("Server that holds the tokens [env: OBSERVATORY_URL] [default: none, the data directory is used]")))]
struct Place {
    /// Data directory, while no server runs on it [default: that of the configuration]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data_dir: Option<String>,
    #[command(flatten)]
    server: client::Args,
}

/// What is told of a token; the server's answers have this shape.
#[derive(Debug, Deserialize, Serialize)]
struct Shown {
    id: String,
    name: String,
    roles: Vec<String>,
    created_at: Option<String>,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// The secret, in the answer to its creation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// A list of tokens.
#[derive(Debug, Deserialize, Serialize)]
struct ShownList {
    tokens: Vec<Shown>,
}

/// A token to be created.
#[derive(Debug, Serialize)]
struct Wanted<'a> {
    name: &'a str,
    roles: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

const PATH: &str = "/api/v1/tokens";

/// Creates, lists or revokes.
pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Error> {
    match command {
        Command::Create(args) => create(args, session),
        Command::List(args) => list(args, session),
        Command::Revoke(args) => revoke(args, session),
    }
}

fn create(args: &Create, session: &mut Session) -> Result<(), Error> {
    let now = session.now();
    let expires = args.expires.map(|it| now.saturating_add(it));
    let secret = if args.place.is_remote(session) {
        let wanted = Wanted {
            name: &args.name,
            roles: args.roles.iter().map(|it| it.as_str()).collect(),
            expires: expires.map(|it| it.to_string()),
        };
        let body = serde_json::to_string(&wanted).map_err(|err| Error::Usage(err.to_string()))?;
        let created: Shown = args.place.ask(session, Method::POST, PATH, Some(body))?;
        created.token.ok_or_else(|| Error::Unavailable("the answer has no token".to_owned()))?
    } else {
        let tokens = args.place.open(session, true)?;
        let roles = Roles::from_iter(args.roles.iter().copied());
        tokens.create(&args.name, roles, expires, now).map_err(failed)?.1
    };
    session.note(&format!("observatory: created the token `{}`; it is shown only now", args.name));
    session.print(&secret)
}

fn list(args: &List, session: &mut Session) -> Result<(), Error> {
    let tokens = if args.place.is_remote(session) {
        let list: ShownList = args.place.ask(session, Method::GET, PATH, None)?;
        list.tokens
    } else {
        args.place.open(session, false)?.list().iter().map(Shown::from).collect()
    };
    if args.json {
        let list = serde_json::to_string(&ShownList { tokens });
        return session.print(&list.map_err(|err| Error::Output(err.into()))?);
    }
    session.print(&format!("{:<20} {:<28} {:<26} STATE", "NAME", "ROLES", "ID"))?;
    let now = session.now().to_string();
    for it in &tokens {
        let row = format!("{:<20} {:<28} {:<26} {}", it.name, it.granted(), it.id, it.state(&now));
        session.print(&row)?;
    }
    Ok(())
}

fn revoke(args: &Revoke, session: &mut Session) -> Result<(), Error> {
    let name = if args.place.is_remote(session) {
        let text =
            percent_encoding::utf8_percent_encode(&args.which, percent_encoding::NON_ALPHANUMERIC);
        args.place.send(session, Method::DELETE, &format!("{PATH}/{text}"), None)?;
        args.which.clone()
    } else {
        let tokens = args.place.open(session, false)?;
        tokens.revoke(&args.which, session.now()).map_err(failed)?.name
    };
    session.print(&format!("revoked the token `{name}`"))
}

impl Place {
    /// Whether a server was named.
    fn is_remote(&self, session: &Session) -> bool {
        let named = self.server.url.is_some() || session.variable("OBSERVATORY_URL").is_some();
        named && self.data_dir.is_none()
    }

    fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        session: &mut Session,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, Error> {
        client::answer(&self.send(session, method, path, body)?)
    }

    fn send(
        &self,
        session: &mut Session,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<String, Error> {
        let client = Client::new(&self.server, session)?;
        let body = body.map(|it| ("application/json", it));
        client::block_on(client.send(&Request { method, path, body }, session))
    }

    /// Opens the data directory. Only a new token is reason enough to create one.
    fn open(&self, session: &mut Session, create: bool) -> Result<Tokens, Error> {
        let settings = settings::Args::of_data_dir(self.data_dir.clone()).load(session)?.settings;
        let store = settings.store();
        if !create && !store.path.exists() {
            return Err(Error::Data(format!(
                "there is no data directory {}; name it with --data-dir, or a running server with --url",
                store.path.display()
            )));
        }
        let store = Store::open(&store).map_err(|err| opening(&err))?;
        Tokens::open(store, tokens::Config::default()).map_err(failed)
    }
}

fn opening(err: &OpenError) -> Error {
    match err {
        OpenError::Locked { path, holder } => Error::Data(format!(
            "the data directory {} is in use by process {holder}; ask that server instead, with --url (and --token if it wants one)",
            path.display()
        )),
        it => Error::Data(it.to_string()),
    }
}

fn failed(err: TokenError) -> Error {
    match err {
        TokenError::Store(_) | TokenError::Damaged(_) => Error::Data(err.to_string()),
        TokenError::Random(_) => Error::System(err.to_string()),
        it => Error::Refused(it.to_string()),
    }
}

impl From<&TokenInfo> for Shown {
    fn from(it: &TokenInfo) -> Self {
        let time = |it: Option<Time>| it.map(|it| it.to_string());
        Self {
            id: it.id.clone(),
            name: it.name.clone(),
            roles: it.roles.iter().map(|it| it.as_str().to_owned()).collect(),
            created_at: time(it.created),
            expires_at: time(it.expires),
            revoked_at: time(it.revoked),
            token: None,
        }
    }
}

impl Shown {
    /// The roles without those that another one includes.
    fn granted(&self) -> String {
        let roles = self.roles.iter().filter_map(|it| it.parse::<Role>().ok());
        let roles: Vec<_> = roles.collect();
        let included =
            |role: Role| roles.iter().any(|it| *it != role && Roles::from(*it).contains(role));
        let granted = roles.iter().filter(|it| !included(**it)).map(|it| it.as_str());
        granted.collect::<Vec<_>>().join(",")
    }

    fn state(&self, now: &str) -> String {
        let past = |it: &str| match (Time::parse(it), Time::parse(now)) {
            (Ok(it), Ok(now)) => it <= now,
            _ => false,
        };
        match (&self.revoked_at, &self.expires_at, &self.created_at) {
            (Some(it), _, _) => format!("revoked {it}"),
            (None, Some(it), _) if past(it) => format!("expired {it}"),
            (None, Some(it), _) => format!("valid until {it}"),
            (None, None, Some(_)) => "valid".to_owned(),
            (None, None, None) => "valid, from the configuration".to_owned(),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = config::parse_duration(text).filter(|it| *it > Duration::ZERO);
    parsed.ok_or_else(|| "expected a duration such as 24h or 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::{http, serve};
    use super::super::tests::observatory;
    use super::*;

    #[test]
    fn tokens_of_a_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let data = data.to_str().unwrap();
        let token = |arguments: &[&str]| {
            let arguments = [&["token"], arguments, &["--data-dir", data]].concat();
            observatory(&arguments, &[], "")
        };
        assert_eq!(token(&["list"]).0, 73);
        let (code, secret, err) = token(&["create", "ci", "--role", "ingest", "--expires", "30d"]);
        assert_eq!((code, secret.lines().count()), (0, 1), "{err}");
        assert!(secret.trim().len() > 20 && !err.contains(secret.trim()), "{secret}{err}");
        let (code, _, err) = token(&["create", "ci", "--role", "read"]);
        assert_eq!(code, 1, "{err}");
        let (code, out, _) = token(&["list"]);
        assert!(code == 0 && out.contains("ci") && out.contains("valid until"), "{out}");
        assert!(!out.contains(secret.trim()), "{out}");
        assert_eq!(token(&["revoke", "ci"]).1, "revoked the token `ci`\n");
        assert_eq!(token(&["revoke", "nobody"]).0, 1);
        let (_, out, _) = token(&["list", "--json"]);
        let list: ShownList = serde_json::from_str(&out).unwrap();
        assert!(list.tokens[0].revoked_at.is_some());
    }

    #[test]
    fn included_roles_are_not_listed() {
        for (roles, granted) in [
            (Role::Admin.into(), "admin"),
            (Role::Control.into(), "control"),
            (Roles::from_iter([Role::Ingest, Role::Read]), "ingest,read"),
        ] {
            let (created, expires, revoked) = (None, None, None);
            let (id, name) = (String::new(), String::new());
            let info = TokenInfo { id, name, roles, created, expires, revoked };
            assert_eq!(Shown::from(&info).granted(), granted);
        }
    }

    #[test]
    fn a_directory_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let _store = Store::open(&crate::store::Config::new(dir.path().to_owned())).unwrap();
        let data = dir.path().to_str().unwrap();
        let (code, _, err) =
            observatory(&["token", "create", "x", "--role", "read", "--data-dir", data], &[], "");
        assert!(code == 73 && err.contains("--url"), "{err}");
    }

    #[test]
    fn a_server_is_asked() {
        let answer = r#"{"id":"t1","name":"ci","roles":["ingest"],"token":"obs_secret"}"#;
        let (url, server) =
            serve(vec![http("201 Created", "", answer), http("204 No Content", "", "")]);
        let environment =
            [("OBSERVATORY_URL", url.as_str()), ("OBSERVATORY_TOKEN", "admin:root-1234")];
        let arguments = ["token", "create", "ci", "--role", "ingest,read"];
        let (code, out, _) = observatory(&arguments, &environment, "");
        assert_eq!((code, out.as_str()), (0, "obs_secret\n"));
        let (code, ..) = observatory(&["token", "revoke", "a b"], &environment, "");
        assert_eq!(code, 0);
        let requests = server.join().unwrap();
        assert!(
            requests[0].starts_with("POST /api/v1/tokens ")
                && requests[0].contains("Bearer root-1234")
        );
        assert!(
            requests[0].ends_with(r#"{"name":"ci","roles":["ingest","read"]}"#),
            "{}",
            requests[0]
        );
        assert!(requests[1].starts_with("DELETE /api/v1/tokens/a%20b "), "{}", requests[1]);
    }
}
