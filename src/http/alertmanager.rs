//! What clients of Alertmanager (API v2) and of Prometheus know, and Alertmanager's web hooks.
//!
//! As far as amtool, Prometheus, karma and Grafana's built-in data source use it (Alertmanager 0.25 to 0.34, `api/v2/openapi.yaml`).

mod prometheus;
mod silences;
mod webhook;

pub(super) use prometheus::{Groups, alerts as prometheus_alerts, groups_of};
pub(super) use silences::{
    create as create_silence, expire as expire_silence, get as silence, list as silences,
};
pub(super) use webhook::receive;

use super::alerts::blocking;
use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::reply;
use crate::alerting::{Alerting, ExternalAlert};
use crate::alerts::{Alert, Status};
use crate::event::Time;
use crate::labels;
use crate::selector::LabelSelector;
use crate::telemetry;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// The most alerts of one request; Prometheus sends 256.
const MAX_ALERTS: usize = 10_000;
/// Labels of one alert, and bytes of its labels and annotations.
const MAX_LABELS: usize = 128;
const MAX_ALERT_BYTES: usize = 64 << 10;
/// What everybody who is told is called.
const RECEIVER: &str = "observatory";
/// What Alertmanager's clients read as the configuration.
const CONFIG: &str = "route:\n  receiver: observatory\nreceivers:\n- name: observatory\n";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerStatus {
    cluster: Cluster,
    version_info: Version,
    config: Config,
    uptime: String,
}

#[derive(Serialize)]
struct Cluster {
    status: &'static str,
    peers: [(); 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

#[derive(Serialize)]
struct Config {
    original: &'static str,
}

#[derive(Clone, Serialize)]
struct Receiver {
    name: &'static str,
}

/// `gettableAlert`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Gettable {
    annotations: BTreeMap<String, String>,
    ends_at: Time,
    fingerprint: String,
    receivers: [Receiver; 1],
    starts_at: Time,
    status: GettableStatus,
    updated_at: Time,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableStatus {
    inhibited_by: [String; 0],
    silenced_by: Vec<String>,
    state: &'static str,
}

#[derive(Serialize)]
struct Group {
    alerts: Vec<Gettable>,
    labels: BTreeMap<String, String>,
    receiver: Receiver,
}

/// `postableAlert`. What else is sent is of no use here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Postable {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
}

/// `GET /api/v2/status`.
pub(super) async fn status(call: Call) -> Result<Response<Body>, ApiError> {
    let up = Duration::from_secs(call.state.pipeline.health().uptime_seconds);
    let started = call.state.pipeline.now().saturating_sub(up);
    let build = telemetry::BUILD;
    let version_info = Version {
        version: build.version,
        revision: build.revision,
        branch: "",
        build_user: "",
        build_date: "",
        go_version: "",
    };
    let status = ServerStatus {
        cluster: Cluster { status: "disabled", peers: [] },
        version_info,
        config: Config { original: CONFIG },
        uptime: started.to_string(),
    };
    Ok(reply::json(StatusCode::OK, &status))
}

/// `GET /api/v2/receivers`.
pub(super) async fn receivers(_call: Call) -> Result<Response<Body>, ApiError> {
    Ok(reply::json(StatusCode::OK, &[Receiver { name: RECEIVER }]))
}

/// Which alerts are asked for.
struct Asked {
    active: bool,
    silenced: bool,
    filters: Vec<LabelSelector>,
    absent: Vec<LabelSelector>,
}

impl Asked {
    fn read(call: &Call) -> Result<Self, ApiError> {
        let mut res =
            Self { active: true, silenced: true, filters: Vec::new(), absent: Vec::new() };
        for (name, value) in params::params(&call.uri) {
            match name.as_ref() {
                "active" => res.active = params::flag(&name, &value)?,
                "silenced" => res.silenced = params::flag(&name, &value)?,
                "filter" => res.filters.push(filter(&value)?),
                // Nothing is inhibited here, nothing waits to be processed, and there is one receiver.
                "inhibited" | "unprocessed" | "receiver" => {}
                _ => {
                    return Err(ApiError::parameter(
                        &name,
                        "is not a parameter here: there are active, silenced, inhibited, unprocessed, filter and receiver",
                    ));
                }
            }
        }
        Ok(res)
    }

    fn wants(&self, it: &Alert) -> bool {
        let shown = if it.silenced_by.is_empty() { self.active } else { self.silenced };
        let label = |name: &str| it.labels.get(name).map(String::as_str);
        shown
            && it.status == Status::Firing
            && self.filters.iter().chain(&self.absent).all(|it| it.matches(label))
    }
}

/// A matcher such as `alertname="x"`; the text may stand without quotes, as amtool sends it.
fn filter(text: &str) -> Result<LabelSelector, ApiError> {
    let sign = ["=~", "!~", "!=", "="].into_iter().filter_map(|it| Some((text.find(it)?, it)));
    let first = sign.min_by_key(|(at, it)| (*at, std::cmp::Reverse(it.len())));
    let (at, sign) = first
        .ok_or_else(|| ApiError::parameter("filter", "is no matcher such as alertname=\"x\""))?;
    let (name, value) = (text[..at].trim(), text[at + sign.len()..].trim());
    let value = value
        .strip_prefix('"')
        .and_then(|it| it.strip_suffix('"'))
        .map_or_else(|| value.to_owned(), |it| labels::unescape_value(it).into_owned());
    let mut quoted = String::new();
    labels::escape_value(&mut quoted, &value);
    // A matcher of its own may match the empty text: another that always holds stands beside it.
    let selector = format!("{{alertname=~\".+\",{name}{sign}\"{quoted}\"}}");
    LabelSelector::parse(&selector).map_err(|it| {
        ApiError::parameter(
            "filter",
            format!("{text:?} is no matcher such as alertname=\"x\": {it}"),
        )
    })
}

fn gettable(alerting: &Alerting, alert: Alert, now: Time) -> Gettable {
    let (generator_url, until) = alerting.origin_of(&alert);
    let state = if alert.silenced_by.is_empty() { "active" } else { "suppressed" };
    let forever = now.saturating_add(Duration::from_secs(300));
    Gettable {
        annotations: alert.annotations,
        ends_at: alert.ends_at.or(until).unwrap_or(forever),
        fingerprint: alert.fingerprint,
        receivers: [Receiver { name: RECEIVER }],
        starts_at: alert.starts_at,
        status: GettableStatus { inhibited_by: [], silenced_by: alert.silenced_by, state },
        updated_at: now,
        generator_url,
        labels: alert.labels,
    }
}

async fn wanted(call: Call) -> Result<Vec<Gettable>, ApiError> {
    let asked = Asked::read(&call)?;
    let (alerting, now) = (call.state.alerting.clone(), call.state.pipeline.now());
    blocking(move || {
        let alerts = alerting.alerts(now).into_iter().filter(|it| asked.wants(it));
        Ok(alerts.map(|it| gettable(&alerting, it, now)).collect())
    })
    .await
}

/// `GET /api/v2/alerts`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    Ok(reply::json(StatusCode::OK, &wanted(call).await?))
}

/// `GET /api/v2/alerts/groups`: one group per rule.
pub(super) async fn groups(call: Call) -> Result<Response<Body>, ApiError> {
    let mut groups: BTreeMap<String, Vec<Gettable>> = BTreeMap::new();
    for it in wanted(call).await? {
        let name = it.labels.get("alertname").cloned().unwrap_or_default();
        groups.entry(name).or_default().push(it);
    }
    let group = |(name, alerts)| Group {
        alerts,
        labels: BTreeMap::from([("alertname".to_owned(), name)]),
        receiver: Receiver { name: RECEIVER },
    };
    Ok(reply::json(StatusCode::OK, &groups.into_iter().map(group).collect::<Vec<_>>()))
}

/// `POST /api/v2/alerts`: alerts that a Prometheus, or a person with amtool, has found. Unlike in Alertmanager, a request with
/// one that is wrong changes nothing.
pub(super) async fn post(mut call: Call) -> Result<Response<Body>, ApiError> {
    let mut incoming = body::read(&mut call).await?;
    incoming.decompress()?;
    let posted: Vec<Postable> = serde_json::from_slice(&incoming.bytes).map_err(|it| {
        let message = format!("{it}; a right body is [{{\"labels\": {{\"alertname\": \"x\"}}}}]");
        ApiError::bad_request("invalid_json", message)
    })?;
    if posted.len() > MAX_ALERTS {
        let message = format!(
            "there are {} alerts, and at most {MAX_ALERTS} may be sent at once",
            posted.len()
        );
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_alerts", message));
    }
    let alerts = posted
        .into_iter()
        .enumerate()
        .map(|(at, it)| external(at, it))
        .collect::<Result<Vec<_>, _>>()?;
    let (alerting, now) = (call.state.alerting.clone(), call.state.pipeline.now());
    blocking(move || Ok(alerting.take(alerts, now)?)).await?;
    Ok(reply::text(StatusCode::OK, ""))
}

fn external(at: usize, it: Postable) -> Result<ExternalAlert, ApiError> {
    let wrong = |reason: String| ApiError::parameter(&format!("[{at}]"), reason);
    let labels: BTreeMap<_, _> = it.labels.into_iter().filter(|it| !it.1.is_empty()).collect();
    if labels.is_empty() {
        return Err(wrong("has no label that is not empty; give at least alertname".to_owned()));
    }
    let texts = labels.iter().chain(&it.annotations);
    let bytes: usize = texts.map(|(name, it)| name.len() + it.len()).sum();
    if labels.len() > MAX_LABELS || bytes + it.generator_url.len() > MAX_ALERT_BYTES {
        let reason = format!(
            "has {} labels and {bytes} bytes, and may have {MAX_LABELS} and {MAX_ALERT_BYTES}",
            labels.len()
        );
        return Err(wrong(reason));
    }
    if let Some(name) = labels.keys().find(|it| !labels::is_label_name(it)) {
        return Err(wrong(format!("has a label {name:?}, which is no name of a label")));
    }
    let time = |name: &str, text: Option<String>| match text {
        // The zero time of Go means that there is none.
        Some(it) if it.is_empty() || it.starts_with("0001-01-01T00:00:00") => Ok(None),
        Some(it) => {
            Time::parse(&it).map(Some).map_err(|error| wrong(format!("has a {name} that {error}")))
        }
        None => Ok(None),
    };
    let (starts, ends) = (time("startsAt", it.starts_at)?, time("endsAt", it.ends_at)?);
    if starts.zip(ends).is_some_and(|(starts, ends)| starts > ends) {
        return Err(wrong("starts after it ends".to_owned()));
    }
    Ok(ExternalAlert {
        labels,
        annotations: it.annotations,
        starts,
        ends,
        generator: it.generator_url,
    })
}
