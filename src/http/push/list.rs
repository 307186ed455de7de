//! `/api/v1/metrics`: all groups as JSON, exactly as the Pushgateway has it. The programs that clean up
//! behind the Pushgateway live on this answer.

use super::super::endpoint::Call;
use super::super::error::ApiError;
use super::super::reply;
use super::plain;
use crate::event::Time;
use crate::exposition;
use crate::exposition::Kind;
use crate::groups::{FamilyView, Group, Sample};
use crate::labels;
use crate::push::{Histogram, Native, Value};
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::{convert::Infallible, sync::Arc};

/// Groups up to this many are written at once; more are written while they are sent.
const AT_ONCE: usize = 64;

/// Members of a group that are no families. A family of such a name is shown in a map of its own.
const RESERVED: [&str; 3] = ["labels", "last_push_successful", "metrics"];

const HELP_PUSHED: &str = "Last Unix time when changing this group in the Pushgateway succeeded.";
const HELP_FAILED: &str = "Last Unix time when changing this group in the Pushgateway failed.";

/// `GET /api/v1/metrics`.
pub(in super::super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let groups = call.state.pipeline.groups().groups();
    let mut response = if groups.len() <= AT_ONCE {
        let mut out = String::from(HEAD);
        write_groups(&mut out, &groups, true);
        out.push_str(TAIL);
        reply::json_bytes(StatusCode::OK, out.into())
    } else {
        let mut response = Response::new(stream(groups));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    };
    plain::allow_other_sites(response.headers_mut());
    Ok(response)
}

const HEAD: &str = "{\"status\":\"success\",\"data\":[";
const TAIL: &str = "]}";

/// The list in pieces, each written when the one before was sent.
fn stream(groups: Vec<Arc<Group>>) -> Body {
    let n_pieces = groups.len().div_ceil(AT_ONCE);
    let pieces = (0..n_pieces).map(move |piece| {
        let mut out = String::new();
        if piece == 0 {
            out.push_str(HEAD);
        }
        let (start, end) = (piece * AT_ONCE, groups.len().min((piece + 1) * AT_ONCE));
        write_groups(&mut out, groups.get(start..end).unwrap_or_default(), piece == 0);
        if piece + 1 == n_pieces {
            out.push_str(TAIL);
        }
        Ok::<Frame<Bytes>, Infallible>(Frame::data(out.into()))
    });
    Body::new(StreamBody::new(futures_util::stream::iter(pieces)))
}

fn write_groups(out: &mut String, groups: &[Arc<Group>], first: bool) {
    for (at, group) in groups.iter().enumerate() {
        if at > 0 || !first {
            out.push(',');
        }
        write_group(out, group);
    }
}

fn write_group(out: &mut String, group: &Group) {
    out.push_str("{\"labels\":");
    object(out, group.labels());
    out.push_str(",\"last_push_successful\":");
    out.push_str(if group.last_push_successful() { "true" } else { "false" });
    let own = [
        ("push_failure_time_seconds", HELP_FAILED, group.failed()),
        ("push_time_seconds", HELP_PUSHED, group.pushed()),
    ];
    // Both times appear when the group does.
    let stamp = group.pushed().max(group.failed()).unwrap_or_default();
    for (name, help, time) in own {
        let mut value = String::new();
        number(&mut value, time.map_or(0.0, seconds));
        let at = time.unwrap_or(stamp);
        member(out, name);
        head(out, at, Kind::Gauge, help);
        out.push_str("{\"labels\":");
        block(out, group.label_block());
        out.push_str(&format!(",\"value\":\"{value}\"}}]}}"));
    }
    let reserved = |it: &FamilyView<'_>| RESERVED.contains(&it.name());
    for family in group.families().filter(|it| !reserved(it)) {
        member(out, family.name());
        write_family(out, &family);
    }
    if group.families().any(|it| reserved(&it)) {
        member(out, "metrics");
        out.push('{');
        for (at, family) in group.families().filter(reserved).enumerate() {
            if at > 0 {
                out.push(',');
            }
            string(out, family.name());
            out.push(':');
            write_family(out, &family);
        }
        out.push('}');
    }
    out.push('}');
}

fn write_family(out: &mut String, family: &FamilyView<'_>) {
    head(out, family.received(), family.kind(), family.help());
    for (at, sample) in family.samples().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_sample(out, &sample);
    }
    out.push_str("]}");
}

/// The members of a family before its metrics, and the start of those.
fn head(out: &mut String, time: Time, kind: Kind, help: &str) {
    let kind = match kind {
        Kind::Counter => "COUNTER",
        Kind::Gauge | Kind::Info | Kind::StateSet => "GAUGE",
        Kind::Untyped => "UNTYPED",
        Kind::Summary => "SUMMARY",
        Kind::Histogram => "HISTOGRAM",
        Kind::GaugeHistogram => "GAUGE_HISTOGRAM",
    };
    out.push_str(&format!("{{\"time_stamp\":\"{time}\",\"type\":\"{kind}\""));
    if !help.is_empty() {
        member(out, "help");
        string(out, help);
    }
    out.push_str(",\"metrics\":[");
}

fn write_sample(out: &mut String, sample: &Sample<'_>) {
    out.push_str("{\"labels\":");
    block(out, sample.labels);
    match &sample.value {
        Value::Number(it) => {
            out.push_str(",\"value\":\"");
            number(out, *it);
            out.push('"');
        }
        Value::Summary(it) => {
            out.push_str(",\"quantiles\":");
            points(out, it.quantiles.iter().copied());
            out.push_str(&format!(",\"count\":\"{}\",\"sum\":\"", it.count));
            number(out, it.sum);
            out.push('"');
        }
        Value::Histogram(it) => histogram(out, it),
        Value::Mismatch => {}
    }
    out.push('}');
}

fn histogram(out: &mut String, histogram: &Histogram) {
    out.push_str(",\"buckets\":");
    match &histogram.native {
        Some(it) => native(out, it),
        None => points(out, histogram.buckets.iter().map(|it| (it.bound, it.cumulative))),
    }
    out.push_str(",\"count\":\"");
    number(out, histogram.count);
    out.push_str("\",\"sum\":\"");
    number(out, histogram.sum);
    out.push('"');
}

/// Which ends of a native bucket belong to it, as Prometheus numbers it.
const OPEN_LEFT: u8 = 0;
const OPEN_RIGHT: u8 = 1;
const CLOSED: u8 = 3;

/// The buckets that hold something, from the lowest up: boundaries, ends, count.
fn native(out: &mut String, native: &Native) {
    let bound = |index: i32| (f64::from(index) * f64::from(-native.schema).exp2()).exp2();
    let mut buckets = Vec::new();
    for (index, count) in native.negative.iter().rev() {
        buckets.push((OPEN_RIGHT, -bound(*index), -bound(index.saturating_sub(1)), *count));
    }
    if native.zero_count > 0.0 {
        let ends = native.zero_threshold;
        buckets.push((CLOSED, -ends, ends, native.zero_count));
    }
    for (index, count) in &native.positive {
        buckets.push((OPEN_LEFT, bound(index.saturating_sub(1)), bound(*index), *count));
    }
    out.push('[');
    let filled = buckets.into_iter().filter(|it| it.3 > 0.0);
    for (at, (boundaries, lower, upper, count)) in filled.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&format!("[{boundaries}"));
        for value in [lower, upper, count] {
            out.push_str(",\"");
            number(out, value);
            out.push('"');
        }
        out.push(']');
    }
    out.push(']');
}

/// An object of numbers by numbers.
fn points(out: &mut String, points: impl Iterator<Item = (f64, f64)>) {
    out.push('{');
    for (at, (key, value)) in points.enumerate() {
        out.push_str(if at > 0 { ",\"" } else { "\"" });
        number(out, key);
        out.push_str("\":\"");
        number(out, value);
        out.push('"');
    }
    out.push('}');
}

/// The labels of a block as an object.
fn block(out: &mut String, block: &str) {
    out.push('{');
    for (at, (name, value)) in exposition::label_pairs(block).enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(out, &name);
        out.push(':');
        string(out, &labels::unescape_value(value));
    }
    out.push('}');
}

fn object<'a>(out: &mut String, members: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push('{');
    for (at, (name, value)) in members.enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        string(out, value);
    }
    out.push('}');
}

/// A comma and the name of the member that follows.
fn member(out: &mut String, name: &str) {
    out.push(',');
    string(out, name);
    out.push(':');
}

/// A string as Go writes it: also what HTML would read is escaped.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// A number as Go's `%v` writes it.
fn number(out: &mut String, value: f64) {
    let mut text = Vec::new();
    exposition::write_number(&mut text, value, false);
    out.push_str(&String::from_utf8_lossy(&text));
}

#[expect(clippy::cast_precision_loss, reason = "as the page shows it")]
fn seconds(time: Time) -> f64 {
    time.as_nanos() as f64 / 1e9
}
