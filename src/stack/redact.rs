//! Takes secrets out of what is written down about a stack.

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Parts of names whose values are secrets.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "credential",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "bearer",
    "authorization",
    "cookie",
    "dsn",
    "slack_api_url",
    "webhook_url",
    "service_key",
    "routing_key",
];

/// Whether a setting of this name holds a secret, and not the place of one.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '.', ' '], "_");
    let place =
        ["_file", "_path", "_ttl", "_expiry", "_enabled"].iter().any(|it| name.ends_with(it));
    !place && NAMES.iter().any(|it| name.contains(it))
}

/// The value of a variable, hidden if its name or the value says that it is secret.
#[must_use]
pub fn value(name: &str, value: &str) -> String {
    if is_secret(name) && !value.is_empty() { HIDDEN.to_owned() } else { urls(value) }
}

/// `NAME=VALUE`, as environments have it.
#[must_use]
pub fn variable(text: &str) -> String {
    match text.split_once('=') {
        Some((name, it)) => format!("{name}={}", value(name, it)),
        None => text.to_owned(),
    }
}

/// A word of a command line.
#[must_use]
pub fn words(text: &str) -> String {
    let mut hide = false;
    let word = |it: &str| {
        if std::mem::take(&mut hide) {
            return HIDDEN.to_owned();
        }
        let name = it.trim_start_matches('-');
        hide = it.starts_with('-') && !it.contains('=') && is_secret(name);
        variable(it)
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A configuration in YAML, INI or the like, line by line. A value of several lines below such a name is hidden
/// whole.
#[must_use]
pub fn config(text: &str) -> String {
    // The depth of a name whose value is hidden, and whether items of a list at the same depth are part of it.
    let mut hidden: Option<(usize, bool)> = None;
    let mut res = String::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let depth = line.len() - bare.len();
        let is_part = |(below, list): (usize, bool)| {
            depth > below || bare.is_empty() || list && depth == below && bare.starts_with("- ")
        };
        if hidden.is_some_and(is_part) {
            continue;
        }
        hidden = None;
        let shown = if let Some(at) = secret_at(line) {
            hidden = Some((depth, false));
            format!("{}{HIDDEN}", line.get(..at).unwrap_or_default())
        } else {
            let name = line.trim_end().strip_suffix(':').map(last_word).unwrap_or_default();
            if is_secret(name) && name != "authorization" {
                hidden = Some((depth, true));
            }
            urls(line)
        };
        res.push_str(shown.trim_end());
        res.push('\n');
    }
    res
}

/// Where the first secret of a line begins, behind any of its names: `{user: u, token: SECRET}`.
fn secret_at(line: &str) -> Option<usize> {
    let ends = line.match_indices(": ").map(|(at, it)| (at, at + it.len()));
    let mut ends: Vec<_> =
        ends.chain(line.match_indices('=').map(|(at, _)| (at, at + 1))).collect();
    ends.sort_unstable();
    let found = ends.into_iter().find(|(at, end)| {
        let value = line.get(*end..).unwrap_or_default().trim();
        is_secret(last_word(line.get(..*at).unwrap_or_default()))
            && !value.is_empty()
            && value != "{"
    });
    found.map(|it| it.1)
}

/// The name itself: of `- {a: 1, password` the last word.
fn last_word(text: &str) -> &str {
    let text = text.trim();
    text.rsplit([' ', '{', ',', '"', '\'']).find(|it| !it.is_empty()).unwrap_or(text)
}

/// `text` without the passwords of its URLs, and without the paths of hooks, which are secrets themselves.
fn urls(text: &str) -> String {
    let mut res = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        res.push_str(before);
        res.push_str("://");
        let end = after
            .find(|it: char| it.is_whitespace() || "\"',)}]".contains(it))
            .unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        let (authority, path) = url.split_at(authority);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => {
                (Some(user.split(':').next().unwrap_or_default()), host)
            }
            _ => (None, authority),
        };
        if let Some(user) = user {
            res.push_str(&format!("{user}:{HIDDEN}@"));
        }
        res.push_str(host);
        let hook = host.starts_with("hooks.") || path.contains("/webhook");
        res.push_str(if hook && path.len() > 1 { "/***" } else { path });
        rest = behind;
    }
    res + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_hidden_by_name() {
        let check = |text: &str, expected: &str| assert_eq!(variable(text), expected);
        check("GF_SECURITY_ADMIN_PASSWORD=hunter2", "GF_SECURITY_ADMIN_PASSWORD=***");
        check("OBSERVATORY_TOKEN=a:b", "OBSERVATORY_TOKEN=***");
        check("PATH=/bin", "PATH=/bin");
        check("DB=postgres://u:p@h:5/d?x=1", "DB=postgres://u:***@h:5/d?x=1");
        check("SMTP_PASSWORD_FILE=/run/x", "SMTP_PASSWORD_FILE=/run/x");
        check("EMPTY_SECRET=", "EMPTY_SECRET=");
        check("HOOK=https://hooks.slack.com/services/T/B/x", "HOOK=https://hooks.slack.com/***");
    }

    #[test]
    fn command_lines_are_hidden_by_flag() {
        assert_eq!(
            words("a --web.token=x --password y -p z"),
            "a --web.token=*** --password *** -p z"
        );
    }

    #[test]
    fn configurations_are_hidden_line_by_line() {
        let text = "a: 1\n  basic_auth:\n    username: u\n    password: p\n  bearer_token: t\n  password_file: /f\nadmin_password = x\n;secret_key = y\nurl: http://u:p@h/\ntokens:\n  - one\n  - two\nb: {api_key: z}\nprivate_key: |\n  line\n\n  line\nlist_of_tokens:\n- one\n- two\nc: {user: u, token: t, e: f}\nurl: http://h/?token=q\nd: 2\n";
        let expected = "a: 1\n  basic_auth:\n    username: u\n    password: ***\n  bearer_token: ***\n  password_file: /f\nadmin_password =***\n;secret_key =***\nurl: http://u:***@h/\ntokens:\nb: {api_key: ***\nprivate_key: ***\nlist_of_tokens:\nc: {user: u, token: ***\nurl: http://h/?token=***\nd: 2\n";
        assert_eq!(config(text), expected);
    }
}
