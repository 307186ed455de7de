//! The flags of the Pushgateway: each is a setting of ours, or is explained.

use super::Error;
use std::path::Path;

/// Flags with which a Pushgateway is started.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Flags of the Pushgateway")]
#[group(skip)]
pub(super) struct Args {
    /// As --listen
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen_address: Vec<String>,
    /// Path of scrapes; pushes stay below /metrics/job [default: /metrics]
    #[arg(long = "web.telemetry-path", value_name = "PATH")]
    telemetry_path: Option<String>,
    /// What stands before every path [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    route_prefix: Option<String>,
    /// Where others find this server; only its path is used, as the prefix
    #[arg(long = "web.external-url", value_name = "URL")]
    external_url: Option<String>,
    #[command(flatten)]
    enable_lifecycle: EnableLifecycle,
    #[command(flatten)]
    enable_admin_api: EnableAdminApi,
    #[command(flatten)]
    disable_check: DisableCheck,
    #[command(flatten)]
    enable_utf8: EnableUtf8,
    /// Everything is stored anyway; without --data-dir the data goes to the directory of FILE
    #[arg(long = "persistence.file", value_name = "FILE")]
    persistence_file: Option<String>,
    /// Accepted and not needed: a push is on disk before it is answered
    #[arg(long = "persistence.interval", value_name = "DURATION")]
    persistence_interval: Option<String>,
    /// Refused: the users and certificates in it are not read
    #[arg(long = "web.config.file", value_name = "FILE")]
    config_file: Option<String>,
    /// Refused: sockets are opened by this program
    #[arg(long = "web.systemd-socket")]
    systemd_socket: bool,
    /// The opposite
    #[arg(long = "no-web.systemd-socket", hide = true)]
    no_systemd_socket: bool,
    #[arg(long = "log.level", value_name = "LEVEL", help = "As --log-level")]
    level: Option<String>,
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        help = "logfmt (as --log-format text) or json"
    )]
    format: Option<String>,
}

/// A switch of the Pushgateway: it can be switched off as well, and the last one counts.
macro_rules! switch {
    ($name:ident, $flag:literal, $no:literal, $help:literal) => {
        #[derive(Clone, Copy, Debug, Default, clap::Args)]
        #[group(skip)]
        struct $name {
            #[arg(id = $flag, long = $flag, help = $help, overrides_with = $no)]
            on: bool,
            #[arg(id = $no, long = $no, hide = true, help = "The opposite", overrides_with = $flag)]
            off: bool,
        }

        impl $name {
            fn value(self) -> Option<String> {
                (self.on || self.off).then(|| self.on.to_string())
            }
        }
    };
}

switch!(
    EnableLifecycle,
    "web.enable-lifecycle",
    "no-web.enable-lifecycle",
    "Let PUT /-/quit stop the server"
);
switch!(
    EnableAdminApi,
    "web.enable-admin-api",
    "no-web.enable-admin-api",
    "Let PUT /api/v1/admin/wipe remove all pushed groups"
);
switch!(
    DisableCheck,
    "push.disable-consistency-check",
    "no-push.disable-consistency-check",
    "Do not compare pushes with what is there: what disagrees is left out of the page"
);
switch!(
    EnableUtf8,
    "push.enable-utf8-names",
    "no-push.enable-utf8-names",
    "Let the paths and text bodies of pushes have names of any UTF-8"
);

/// What the flags come to.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// Flags of ours, or of the same name, with their values.
    pub(super) flags: Vec<(&'static str, String)>,
    /// Addresses to listen on.
    pub(super) listen: Vec<String>,
    /// What the flags do not do.
    pub(super) warnings: Vec<String>,
    /// Where the data goes if nothing says so.
    pub(super) data_dir: Option<String>,
}

impl Args {
    /// The settings that the flags stand for.
    ///
    /// # Errors
    ///
    /// A flag asks for protection that would be missing.
    pub(super) fn map(&self) -> Result<Mapped, Error> {
        if self.config_file.as_deref().is_some_and(|it| !it.is_empty()) {
            return Err(Error::Usage(
                "--web.config.file is not read, and without it the server would be less protected than you expect: create tokens with `observatory token create` (clients send one as the password of basic auth), and put a proxy in front for TLS".to_owned(),
            ));
        }
        if self.systemd_socket && !self.no_systemd_socket {
            return Err(Error::Usage(
                "--web.systemd-socket: sockets of systemd are not taken over; say --listen"
                    .to_owned(),
            ));
        }
        let mut res = Mapped { listen: self.listen_address.clone(), ..Mapped::default() };
        let url_path = self.external_url.as_deref().map(path_of_url);
        let format = self.format.as_deref().map(|it| if it == "logfmt" { "text" } else { it });
        let values = [
            ("--web.telemetry-path", self.telemetry_path.clone()),
            ("--web.route-prefix", self.route_prefix.clone().or(url_path)),
            ("--web.enable-lifecycle", self.enable_lifecycle.value()),
            ("--web.enable-admin-api", self.enable_admin_api.value()),
            ("--push.disable-consistency-check", self.disable_check.value()),
            ("--push.enable-utf8-names", self.enable_utf8.value()),
            ("--log-level", self.level.clone()),
            ("--log-format", format.map(str::to_owned)),
        ];
        res.flags = values.into_iter().filter_map(|(flag, it)| Some((flag, it?))).collect();
        if let Some(file) = self.persistence_file.as_deref().filter(|it| !it.is_empty()) {
            let parent = Path::new(file).parent().unwrap_or(Path::new(""));
            let dir = parent.join("observatory-data").to_string_lossy().into_owned();
            if Path::new(file).exists() {
                res.warnings.push(format!(
                    "--persistence.file: {file} is not read: while the Pushgateway still runs, `observatory import pushgateway URL` takes its groups over"
                ));
            }
            res.data_dir = Some(dir);
        }
        Ok(res)
    }
}

/// The path of a URL, or the text if it is only a path.
fn path_of_url(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| rest.get(at..).unwrap_or_default()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn map(flags: &[&str]) -> Result<Mapped, Error> {
        let line = ["x"].into_iter().chain(flags.iter().copied());
        Line::try_parse_from(line).unwrap().args.map()
    }

    #[test]
    fn flags_become_settings() {
        let check = |flags: &[&str], expected: &[(&str, &str)]| {
            let found = map(flags).unwrap().flags;
            let found: Vec<_> = found.iter().map(|(flag, it)| (*flag, it.as_str())).collect();
            assert_eq!(found, expected, "{flags:?}");
        };
        check(&[], &[]);
        check(&["--web.telemetry-path=/tele"], &[("--web.telemetry-path", "/tele")]);
        check(&["--web.enable-lifecycle"], &[("--web.enable-lifecycle", "true")]);
        check(
            &["--web.enable-admin-api", "--no-web.enable-admin-api"],
            &[("--web.enable-admin-api", "false")],
        );
        check(&["--log.format=logfmt"], &[("--log-format", "text")]);
        let prefix = |it| [("--web.route-prefix", it)];
        check(&["--web.external-url=http://x.example/push/"], &prefix("/push/"));
        check(&["--web.external-url=http://x.example"], &prefix(""));
        check(&["--web.external-url=/a", "--web.route-prefix=/b"], &prefix("/b"));
    }

    #[test]
    fn persistence_says_where_the_data_goes() {
        let mapped = map(&["--persistence.file=/data/gw.db", "--persistence.interval=1m"]).unwrap();
        assert_eq!(mapped.data_dir.as_deref(), Some("/data/observatory-data"));
        assert!(mapped.warnings.is_empty());
        assert_eq!(map(&["--persistence.file="]).unwrap().data_dir, None);
        let here = tempfile::NamedTempFile::new().unwrap();
        let flag = format!("--persistence.file={}", here.path().display());
        assert!(map(&[&flag]).unwrap().warnings[0].contains("observatory import pushgateway"));
    }

    #[test]
    fn protection_is_not_left_out_in_silence() {
        for flag in ["--web.config.file=web.yml", "--web.systemd-socket"] {
            assert!(matches!(map(&[flag]), Err(Error::Usage(_))), "{flag}");
        }
        assert!(map(&["--web.config.file=", "--no-web.systemd-socket"]).is_ok());
    }
}
