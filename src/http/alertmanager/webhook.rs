//! `POST /api/v1/alertmanager`: web hooks of Alertmanager (payload version 4) become events.

use super::super::body;
use super::super::endpoint::Call;
use super::super::error::ApiError;
use super::super::params;
use super::super::reply;
use crate::event::{NewEvent, Time};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The payload. Further members are of no use here: later versions add some.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    receiver: String,
    #[serde(default, rename = "externalURL")]
    external_url: String,
    alerts: Vec<Sent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(default)]
    ends_at: String,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
    #[serde(default)]
    fingerprint: String,
}

/// The data of the event.
#[derive(Serialize)]
struct Data<'a> {
    alertname: &'a str,
    status: &'a str,
    severity: &'a str,
    fingerprint: &'a str,
    starts_at: &'a str,
    ends_at: Option<&'a str>,
    receiver: &'a str,
    generator_url: &'a str,
    external_url: &'a str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Taken {
    accepted: usize,
    duplicates: usize,
}

/// Each alert is an event `alert_firing` or `alert_resolved`. Its id follows from the fingerprint, the start and the status, so
/// that what Alertmanager sends again counts once. A queue that is full is answered 503, which Alertmanager tries again.
/// With `heartbeat` what fires is an event `alert_heartbeat` each time it is sent: an absence rule can miss it.
pub(in crate::http) async fn receive(mut call: Call) -> Result<Response<Body>, ApiError> {
    let mut heartbeat = false;
    for (name, value) in params::params(&call.uri) {
        if name != "heartbeat" {
            return Err(ApiError::parameter(&name, "is not a parameter here: there is heartbeat"));
        }
        heartbeat = params::flag(&name, &value)?;
    }
    let mut incoming = body::read(&mut call).await?;
    incoming.decompress()?;
    let payload: Payload = serde_json::from_slice(&incoming.bytes).map_err(|it| {
        let message =
            format!("{it}; what is expected is the body of an Alertmanager web hook, version 4");
        ApiError::bad_request("invalid_json", message)
    })?;
    let events: Vec<_> = payload.alerts.iter().map(|it| event(it, &payload, heartbeat)).collect();
    let n = events.len();
    let ack = call.state.pipeline.submit(events).await?;
    let duplicates = ack.events.iter().filter(|it| it.duplicate).count();
    Ok(reply::json(StatusCode::OK, &Taken { accepted: n - duplicates, duplicates }))
}

fn event<'a>(it: &'a Sent, payload: &'a Payload, heartbeat: bool) -> NewEvent<'a> {
    let label = |name: &str| it.labels.get(name).map_or("", String::as_str);
    let ended = it.status == "resolved";
    let fingerprint = if it.fingerprint.is_empty() {
        crate::alerts::fingerprint(&it.labels)
    } else {
        it.fingerprint.clone()
    };
    let data = Data {
        alertname: label("alertname"),
        status: &it.status,
        severity: label("severity"),
        fingerprint: &fingerprint,
        starts_at: &it.starts_at,
        ends_at: Some(it.ends_at.as_str()).filter(|_| ended),
        receiver: &payload.receiver,
        generator_url: &it.generator_url,
        external_url: &payload.external_url,
        labels: &it.labels,
        annotations: &it.annotations,
    };
    let beats = heartbeat && !ended;
    let time = Time::parse(if ended { &it.ends_at } else { &it.starts_at }).ok();
    NewEvent {
        id: (!beats).then(|| format!("{fingerprint}:{}:{}", it.starts_at, it.status).into()),
        event_type: match (ended, beats) {
            (true, _) => "alert_resolved",
            (false, true) => "alert_heartbeat",
            (false, false) => "alert_firing",
        }
        .into(),
        source: "alertmanager".into(),
        // A heartbeat is of now.
        time: time.filter(|_| !beats),
        subject: None,
        trace: None,
        // Maps of texts are always JSON.
        data: serde_json::to_string(&data).unwrap_or_default().into(),
    }
}
