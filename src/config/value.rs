//! How each type of setting is read and shown.

use super::node::{Kind, Node};
use super::settings::{Durability, Listen, Secret, Size, Token};
use super::suggest::suggest;
use super::units;
use crate::telemetry;
use crate::tokens::{MAX_NAME_BYTES, Role, Roles};
use crate::yaml::{Key, Place};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// What a value may depend on.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// Where relative paths begin.
    pub(super) base: &'a Path,
}

/// Something wrong with a value.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) at: Option<Place>,
    pub(super) message: String,
}

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// Reads it. All that is wrong is reported.
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>>;

    /// Writes it as YAML on one line.
    fn show(&self) -> String;
}

impl Node {
    pub(super) fn fault(&self, message: impl Into<String>) -> Vec<Fault> {
        vec![Fault { at: self.at, message: message.into() }]
    }

    pub(super) fn scalar(&self, expected: &str) -> Result<&str, Vec<Fault>> {
        match &self.kind {
            Kind::Scalar(text) => Ok(text),
            Kind::Null => Err(self.fault(format!("expected {expected}, found nothing"))),
            Kind::List(_) => Err(self.fault(format!("expected {expected}, found a list"))),
            Kind::Map(_) => Err(self.fault(format!("expected {expected}, found a map"))),
        }
    }

    /// Reads a scalar with `parse`; the fault shows the value.
    pub(super) fn parse_as<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Vec<Fault>> {
        let text = self.scalar(expected)?;
        parse(text).ok_or_else(|| self.fault(format!("expected {expected}, found `{text}`")))
    }
}

impl Value for bool {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("true or false", |it| it.parse().ok())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for usize {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a whole number above 0", |it| it.parse().ok().filter(|it| *it > 0))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Size {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a size above 0 such as 10MiB, 10MB or a number of bytes", |it| {
            units::size(it).filter(|it| *it > 0).map(Size)
        })
    }

    fn show(&self) -> String {
        units::show_size(self.0)
    }
}

impl Value for Duration {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a duration such as 500ms, 5m, 24h or 7d", units::duration)
    }

    fn show(&self) -> String {
        units::show_duration(*self)
    }
}

impl Value for Durability {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("`sync` or `relaxed`", |it| match it {
            "sync" => Some(Self::Sync),
            "relaxed" => Some(Self::Relaxed),
            _ => None,
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Sync => "sync".to_owned(),
            Self::Relaxed => "relaxed".to_owned(),
        }
    }
}

impl Value for telemetry::Format {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("`auto`, `text` or `json`", |it| match it {
            "auto" => Some(Self::Auto),
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Json => "json".to_owned(),
        }
    }
}

/// The only text among the settings is the log level.
impl Value for String {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let text = node.scalar("a level")?;
        match telemetry::check_level(text) {
            Ok(()) => Ok(text.to_owned()),
            Err(err) => Err(node.fault(format!("{err}, found `{text}`"))),
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Value for PathBuf {
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a path", |it| if it.is_empty() { None } else { Some(context.base.join(it)) })
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Value for Option<PathBuf> {
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>> {
        PathBuf::read(node, context).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "null".to_owned(), Value::show)
    }
}

impl Value for Listen {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("HOST:PORT such as 127.0.0.1:9091 or :9091", |it| {
            let (host, port) = it.trim().rsplit_once(':')?;
            let port = port.parse().ok()?;
            let host = match host {
                "" | "*" => "0.0.0.0",
                it => match it.strip_prefix('[') {
                    Some(it) => it.strip_suffix(']')?,
                    // An IPv6 address without brackets leaves it open where the port begins.
                    None if it.contains(':') => return None,
                    None => it,
                },
            };
            let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:%".contains(c));
            if plain { Some(Self { host: host.to_owned(), port }) } else { None }
        })
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for Vec<Listen> {
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let listen: Self = read_list(node, context, Listen::read)?;
        if listen.is_empty() {
            Err(node.fault("expected at least one address"))
        } else {
            Ok(listen)
        }
    }

    fn show(&self) -> String {
        show_list(self.iter().map(Value::show))
    }
}

impl Value for Vec<Token> {
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>> {
        match (&node.kind, node.at) {
            (Kind::Scalar(text), None) => environment_tokens(text).map_err(|it| node.fault(it)),
            (Kind::List(_), _) => read_list(node, context, token),
            _ => {
                Err(node.fault("expected a list of tokens, each with `name`, `roles` and `token`"))
            }
        }
    }

    fn show(&self) -> String {
        show_list(self.iter().map(|it| {
            let roles = show_list(it.roles.iter().map(|it| it.as_str().to_owned()));
            format!("{{name: {}, roles: {roles}, token: \"***\"}}", quoted(&it.name))
        }))
    }
}

/// Reads a list, or a scalar whose items are separated by commas. Every bad item is reported.
pub(super) fn read_list<T>(
    node: &Node,
    context: &Context<'_>,
    item: impl Fn(&Node, &Context<'_>) -> Result<T, Vec<Fault>>,
) -> Result<Vec<T>, Vec<Fault>> {
    let split: Vec<Node>;
    let nodes = match &node.kind {
        Kind::List(nodes) => nodes,
        Kind::Scalar(text) => {
            let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
            split =
                parts.map(|it| Node { at: node.at, kind: Kind::Scalar(it.to_owned()) }).collect();
            &split
        }
        Kind::Null | Kind::Map(_) => return Err(node.fault("expected a list")),
    };
    let mut values = Vec::new();
    let mut faults = Vec::new();
    for node in nodes {
        match item(node, context) {
            Ok(it) => values.push(it),
            Err(it) => faults.extend(it),
        }
    }
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}

pub(super) fn show_list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

// --- tokens ---

const TOKEN_KEYS: [&str; 4] = ["name", "roles", "token", "token_file"];

/// One entry of `auth.tokens`.
fn token(node: &Node, context: &Context<'_>) -> Result<Token, Vec<Fault>> {
    let Kind::Map(entries) = &node.kind else {
        return Err(node.fault("expected a map with `name`, `roles` and `token` or `token_file`"));
    };
    let mut faults = unknown_token_keys(entries);
    let entry = |key: &str| {
        let found = entries.iter().find(|(it, _)| it.name == key).map(|(_, it)| it);
        found.filter(|it| !matches!(it.kind, Kind::Null))
    };
    let mut keep = |result: Result<String, Vec<Fault>>| result.map_err(|it| faults.extend(it)).ok();
    let name = keep(match entry("name") {
        Some(it) => it.parse_as(NAME, |it| Some(it.to_owned()).filter(|it| is_name(it))),
        None => Err(node.fault("`name` is missing")),
    });
    let secret = keep(match (entry("token"), entry("token_file")) {
        (Some(it), None) => it.scalar("a token").and_then(|text| checked(it, text)),
        (None, Some(it)) => token_file(it, context),
        (None, None) => Err(node.fault("`token` or `token_file` is missing")),
        (Some(_), Some(_)) => Err(node.fault("`token` and `token_file` exclude each other")),
    });
    let roles = match entry("roles").map(|it| (it, read_list(it, context, role))) {
        Some((_, Ok(roles))) if !roles.is_empty() => Some(roles),
        Some((it, Ok(_))) => {
            faults.extend(it.fault("expected at least one role"));
            None
        }
        Some((_, Err(it))) => {
            faults.extend(it);
            None
        }
        None => {
            faults.extend(node.fault("`roles` is missing"));
            None
        }
    };
    match (name, roles, secret) {
        (Some(name), Some(roles), Some(secret)) if faults.is_empty() => {
            let roles = roles.into_iter().collect();
            Ok(Token { name, roles, secret: Secret::new(secret) })
        }
        _ => Err(faults),
    }
}

fn unknown_token_keys(entries: &[(Key, Node)]) -> Vec<Fault> {
    let unknown = entries.iter().filter(|(key, _)| !TOKEN_KEYS.contains(&key.name.as_str()));
    unknown
        .map(|(key, _)| {
            let hint = suggest(&key.name, TOKEN_KEYS);
            Fault { at: Some(key.at), message: format!("unknown key `{}`{hint}", key.name) }
        })
        .collect()
}

fn role(node: &Node, _: &Context<'_>) -> Result<Role, Vec<Fault>> {
    node.parse_as("a role: `ingest`, `read`, `control` or `admin`", |it| it.parse().ok())
}

fn token_file(node: &Node, context: &Context<'_>) -> Result<String, Vec<Fault>> {
    let path = PathBuf::read(node, context)?;
    let text = fs::read_to_string(&path)
        .map_err(|err| node.fault(format!("cannot read {}: {err}", path.display())))?;
    checked(node, text.trim_end_matches(['\r', '\n']))
}

/// A secret that can travel in a header. The fault does not show it.
fn checked(node: &Node, secret: &str) -> Result<String, Vec<Fault>> {
    if is_secret(secret) { Ok(secret.to_owned()) } else { Err(node.fault(SECRET)) }
}

const SECRET: &str =
    "a token must have at least 8 characters, visible ASCII without spaces and commas";
const NAME: &str = "a name of at most 64 letters, digits, `-`, `_`, `.` and `@`";

fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.@".contains(&c);
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

fn is_secret(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|it| it.is_ascii_graphic() && it != b',')
}

/// Reads `OBSERVATORY_TOKEN`: tokens separated by commas. A plain one may ingest and read; one that begins
/// with the name of a role and a colon has that role.
fn environment_tokens(text: &str) -> Result<Vec<Token>, String> {
    let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    let tokens = parts.enumerate().map(|(index, text)| {
        let (role, secret) = split_role(text);
        if !is_secret(secret) {
            return Err(format!("token {}: {SECRET}", index + 1));
        }
        let name = format!("environment-{}", index + 1);
        let secret = Secret::new(secret.to_owned());
        let roles = role.map_or_else(|| Roles::from_iter([Role::Ingest, Role::Read]), Roles::from);
        Ok(Token { name, roles, secret })
    });
    tokens.collect()
}

/// Splits `admin:xyz` into its role and the secret. Only the four names of roles are a prefix: a token may
/// contain colons of its own.
#[must_use]
pub fn split_role(text: &str) -> (Option<Role>, &str) {
    match text.split_once(':').and_then(|(role, rest)| Some((role.parse().ok()?, rest))) {
        Some((role, secret)) => (Some(role), secret),
        None => (None, text),
    }
}

/// `text` as a YAML scalar.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:-".contains(c);
    let starts_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_./".contains(c));
    let word = matches!(text, "null" | "true" | "false" | "." | "..");
    if starts_plain && !word && text.chars().all(plain) && !text.ends_with(':') {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn read<T: Value>(text: &str) -> Result<String, String> {
        let node = Node::parse(text).unwrap();
        let context = Context { base: Path::new("") };
        let value = T::read(&node, &context);
        value
            .map(|it| it.show())
            .map_err(|it| it.into_iter().map(|it| it.message).collect::<Vec<_>>().join("; "))
    }

    #[track_caller]
    pub(in crate::config) fn check<T: Value>(text: &str, expected: &str) {
        assert_eq!(read::<T>(text).unwrap_or_else(|it| it), expected);
    }

    #[test]
    fn addresses() {
        check::<Listen>("127.0.0.1:9091", "127.0.0.1:9091");
        check::<Listen>("localhost:80", "localhost:80");
        check::<Listen>(":9091", "0.0.0.0:9091");
        check::<Listen>("'[::1]:80'", "\"[::1]:80\"");
        let expected = "expected HOST:PORT such as 127.0.0.1:9091 or :9091, found";
        for bad in ["localhost", "127.0.0.1:99999", "::1:80", "http://x:80", "x y:80", "a:-1"] {
            check::<Listen>(bad, &format!("{expected} `{bad}`"));
        }
        check::<Vec<Listen>>("'a:1, b:2'", "[a:1, b:2]");
        check::<Vec<Listen>>("[a:1, b:2]", "[a:1, b:2]");
        check::<Vec<Listen>>("[]", "expected at least one address");
        check::<Vec<Listen>>("[a, b:2, c]", &format!("{expected} `a`; {expected} `c`"));
    }

    #[test]
    fn numbers_and_words() {
        check::<usize>("0", "expected a whole number above 0, found `0`");
        check::<usize>("1e3", "expected a whole number above 0, found `1e3`");
        check::<usize>("[1]", "expected a whole number above 0, found a list");
        check::<bool>("yes", "expected true or false, found `yes`");
        check::<Duration>("5", "expected a duration such as 500ms, 5m, 24h or 7d, found `5`");
        check::<Durability>("none", "expected `sync` or `relaxed`, found `none`");
    }

    #[test]
    fn tokens_of_the_file() {
        check::<Vec<Token>>(
            "[{name: ci, roles: [ingest, read], token: abc-1234}]",
            "[{name: ci, roles: [ingest, read], token: \"***\"}]",
        );
        check::<Vec<Token>>(
            "[{name: ci, role: [ingest], token: abc-1234}]",
            "unknown key `role`, did you mean `roles`?; `roles` is missing",
        );
        check::<Vec<Token>>(
            "[{roles: [boss], token: a b}]",
            "`name` is missing; a token must have at least 8 characters, visible ASCII without spaces \
             and commas; expected a role: `ingest`, `read`, `control` or `admin`, found `boss`",
        );
        check::<Vec<Token>>(
            "[{name: a, roles: [read], token: x, token_file: y}]",
            "`token` and `token_file` exclude each other",
        );
    }

    #[test]
    fn a_token_is_read_from_its_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "01234567\n").unwrap();
        let node = Node::parse("[{name: a, roles: read, token_file: secret}]").unwrap();
        let tokens = Vec::<Token>::read(&node, &Context { base: dir.path() }).unwrap();
        assert_eq!(tokens[0].secret.expose(), "01234567");
    }

    #[test]
    fn tokens_of_the_environment() {
        let tokens = environment_tokens("plain-1234, admin:root:1234 ,other:1234").unwrap();
        let all: Vec<_> =
            tokens.iter().map(|it| (it.name.as_str(), it.roles, it.secret.expose())).collect();
        let plain = Roles::from_iter([Role::Ingest, Role::Read]);
        assert_eq!(
            all,
            [
                ("environment-1", plain, "plain-1234"),
                ("environment-2", Role::Admin.into(), "root:1234"),
                ("environment-3", plain, "other:1234"),
            ]
        );
        assert!(!environment_tokens("hunter2hunter2\u{e9}").unwrap_err().contains("hunter2"));
        assert!(environment_tokens("admin:short").is_err());
    }
}
