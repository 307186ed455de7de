//! `observatory serve`.

use super::{Error, Session, settings};
use crate::app;
use crate::app::App;
use crate::config::{Listen, Settings};
use crate::shutdown;
use crate::telemetry;
use tokio::net::TcpListener;

/// Run the server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every setting is also a key of observatory.yml and an OBSERVATORY_* variable; see `observatory config show --origin`.

Examples:
  observatory serve
  observatory serve --listen 127.0.0.1:9091 --listen 127.0.0.1:8000 --data-dir ./data
  OBSERVATORY_TOKEN=... observatory serve --listen :9091 --log-format json")]
pub(super) struct Args {
    #[command(flatten)]
    settings: settings::Args,
}

/// Runs the server until a signal ends it.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let loaded = args.settings.load(session)?;
    let settings = loaded.settings;
    telemetry::init(&settings.telemetry(), session.allows_colour())
        .map_err(|err| Error::System(err.to_string()))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|err| Error::System(format!("cannot start the runtime: {err}")))?;
    runtime.block_on(serve(&settings, session))
}

async fn serve(settings: &Settings, session: &mut Session) -> Result<(), Error> {
    let app = App::open(app::Config::from(settings)).map_err(|err| opening(&err))?;
    // Only now: a long replay can be ended the plain way, which the store survives.
    let stop = shutdown::signal()
        .map_err(|err| Error::System(format!("cannot listen for signals: {err}")))?;
    settings.check_exposure(app.has_tokens())?;
    let mut listeners = Vec::new();
    let mut urls = Vec::new();
    for listen in &settings.listen {
        let listener = bind(listen).await?;
        urls.push(url(listen, &listener)?);
        listeners.push(listener);
    }
    // A server whose output nobody reads serves all the same.
    let asks_token =
        !settings.auth.disabled && (app.has_tokens() || !settings.auth.tokens.is_empty());
    let _ = session.print(&banner(settings, &urls, asks_token));
    let stopped = async {
        let name = stop.await;
        tracing::info!(signal = name, "{name}: stopping");
    };
    app.run(listeners, stopped).await.map_err(|err| Error::System(err.to_string()))
}

fn opening(err: &app::OpenError) -> Error {
    match err {
        app::OpenError::Pipeline(crate::pipeline::OpenError::Rules(it)) => {
            Error::Config(crate::config::Invalid { problems: vec![it.to_string()] })
        }
        it => Error::Data(it.to_string()),
    }
}

async fn bind(listen: &Listen) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind((listen.host.as_str(), listen.port)).await;
    bound.map_err(|err| {
        let hint = match err.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; is a server running there already? choose another with --listen"
            }
            _ => "",
        };
        Error::System(format!("cannot listen on {listen}: {err}{hint}"))
    })
}

/// Where a client on this machine finds the listener.
fn url(listen: &Listen, listener: &TcpListener) -> Result<String, Error> {
    let bound = listener.local_addr().map_err(|err| Error::System(err.to_string()))?;
    let host = match listen.host.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.is_ipv6() => format!("[{ip}]"),
        _ => listen.host.clone(),
    };
    Ok(format!("http://{host}:{}", bound.port()))
}

fn banner(settings: &Settings, urls: &[String], asks_token: bool) -> String {
    let rules = match &settings.rules.file {
        Some(path) => path.display().to_string(),
        None => "built in".to_owned(),
    };
    let first = urls.first().map_or("", String::as_str).replace("//0.0.0.0:", "//127.0.0.1:");
    let first = first.replace("//[::]:", "//[::1]:");
    let access = match (settings.auth.disabled, asks_token) {
        (true, _) => "everyone who can connect (--no-auth)",
        (false, true) => "with a token",
        (false, false) => "everyone on this machine; no token is set",
    };
    let token = if asks_token { " -H \"Authorization: Bearer $OBSERVATORY_TOKEN\"" } else { "" };
    format!(
        "observatory {version}
listening on {urls}
data in      {data}
rules        {rules}
access       {access}

try it:
  curl {first}/api/events{token} -H 'Content-Type: application/json' -d '{EXAMPLE}'
  curl {first}/metrics
",
        version = telemetry::BUILD.version,
        urls = urls.join(", "),
        data = settings.data_dir.display(),
    )
}

const EXAMPLE: &str =
    r#"{"event_type":"test_event","source":"manual_test","data":{"message":"Hello Observatory!"}}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, Token};
    use crate::tokens::Roles;

    #[test]
    fn the_banner_says_what_to_type() {
        let settings = Settings::default();
        let text = banner(&settings, &["http://127.0.0.1:9091".to_owned()], false);
        for words in [
            "listening on http://127.0.0.1:9091\n",
            "./observatory-data",
            "built in",
            "on this machine",
            EXAMPLE,
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("Authorization"), "{text}");
    }

    #[test]
    fn the_banner_never_shows_a_token() {
        let mut settings = Settings::default();
        settings.auth.tokens.push(Token {
            name: "ci".to_owned(),
            roles: Roles::ALL,
            secret: Secret::new("hunter2".to_owned()),
        });
        let text = banner(&settings, &["http://0.0.0.0:80".to_owned()], true);
        assert!(text.contains("$OBSERVATORY_TOKEN") && !text.contains("hunter2"), "{text}");
        assert!(text.contains("curl http://127.0.0.1:80/metrics"), "{text}");
    }
}
