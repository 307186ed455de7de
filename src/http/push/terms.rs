//! On which terms a push is taken: what its query says, then its headers, then the policy of its job. A Pushgateway
//! reads neither, so that a client that sends them can push there as well.

use super::super::Compat;
use super::super::endpoint::Call;
use super::super::error::ApiError;
use super::super::params;
use crate::groups::{Blend, CLEAR_MODE, ClearMode, Mode, Op, Retry, Terms};
use crate::push::Grouping;
use axum::http::Method;
use std::time::Duration;

/// The header of draft-ietf-httpapi-idempotency-key-header-07.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

const MAX_KEY_BYTES: usize = 255;

/// What is asked for, before the body is read.
#[derive(Debug)]
pub(super) struct Asked {
    mode: Mode,
    ttl: Option<Duration>,
    key: Option<String>,
}

/// The terms of a push to `grouping`, of which a label that says something about them is taken off.
pub(super) fn of(call: &Call, grouping: &mut Grouping) -> Result<Asked, ApiError> {
    let compat = call.state.config.push.compat;
    let labelled = compat == Compat::Gravel && call.method == Method::POST;
    let clear_mode = labelled.then(|| grouping.take(CLEAR_MODE)).flatten();
    let clear_mode = clear_mode.map(|it| it.parse::<ClearMode>()).transpose();
    let clear_mode = clear_mode.map_err(|it| ApiError::bad_request("invalid_path", it))?;
    let default = match compat {
        Compat::Gravel if labelled => Mode::Labelled(clear_mode),
        Compat::PromAggregationGateway => Mode::Sum(Blend::Sum),
        Compat::Pushgateway | Compat::Gravel => Mode::Replace,
    };
    let (jobs, job) = (&call.state.pipeline.groups().config().jobs, grouping.job());
    let (mode, gauges) = (word(call, "mode"), word(call, "gauges"));
    let gauges = gauges.map(|it| self::gauges(&it)).transpose()?;
    let mode = match mode.as_deref() {
        None => jobs.mode(job).filter(|_| clear_mode.is_none()).unwrap_or(default),
        Some("replace") => Mode::Replace,
        Some("sum") => Mode::Sum(jobs.gauges(job)),
        Some(it) => {
            let reason = format!("must be replace or sum, not {it:?}");
            return Err(ApiError::parameter("mode", reason));
        }
    };
    let mode = match (mode, gauges) {
        (Mode::Sum(_), Some(it)) => Mode::Sum(it),
        (Mode::Replace | Mode::Labelled(_), Some(_)) => {
            return Err(ApiError::parameter(
                "gauges",
                "goes with mode=sum, which this push is not",
            ));
        }
        (it, None) => it,
    };
    let key = call.headers.get(IDEMPOTENCY_KEY).map(|it| key(it.as_bytes())).transpose()?;
    let ttl = match word(call, "ttl") {
        None => jobs.ttl(job),
        Some(it) => self::ttl(&it)?,
    };
    Ok(Asked { mode, ttl, key })
}

/// The parameter `name`, or the header `X-Observatory-Name`.
fn word(call: &Call, name: &str) -> Option<String> {
    let parameter = params::params(&call.uri).find(|it| it.0 == name).map(|it| it.1.into_owned());
    parameter
        .or_else(|| call.header(format!("x-observatory-{name}")).map(|it| it.trim().to_owned()))
}

fn gauges(text: &str) -> Result<Blend, ApiError> {
    text.parse().map_err(|()| {
        ApiError::parameter("gauges", format!("must be last, sum, min or max, not {text:?}"))
    })
}

fn ttl(text: &str) -> Result<Option<Duration>, ApiError> {
    if matches!(text, "off" | "0") {
        return Ok(None);
    }
    let ttl = params::duration(text).filter(|it| !it.is_zero());
    let reason = || format!("must be a duration such as 30m, 1h or 7d, or off, not {text:?}");
    ttl.map(Some).ok_or_else(|| ApiError::parameter("ttl", reason()))
}

/// The key: a string of structured fields (RFC 8941), in quotes; many clients send it without.
fn key(value: &[u8]) -> Result<String, ApiError> {
    let wrong = || {
        let reason = format!(
            "must be 1 to {MAX_KEY_BYTES} visible ASCII characters such as \"8e03978e-40d5\""
        );
        ApiError::parameter("Idempotency-Key", reason)
    };
    let text = str::from_utf8(value).map_err(|_| wrong())?.trim();
    let key = match text.strip_prefix('"') {
        Some(it) => unquoted(it.strip_suffix('"').ok_or_else(wrong)?).ok_or_else(wrong)?,
        None => text.to_owned(),
    };
    let sound = (1..=MAX_KEY_BYTES).contains(&key.len())
        && key.bytes().all(|it| it.is_ascii_graphic() || it == b' ');
    if sound { Ok(key) } else { Err(wrong()) }
}

/// What stands between the quotes of a string, without its escapes.
fn unquoted(text: &str) -> Option<String> {
    let mut res = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => res.push(chars.next().filter(|it| matches!(it, '"' | '\\'))?),
            '"' => return None,
            _ => res.push(c),
        }
    }
    Some(res)
}

// === impl Asked ===

impl Asked {
    /// The terms of a push of `body`.
    pub(super) fn into_terms(self, method: &Method, body: &[u8]) -> Terms {
        let Self { mode, ttl, key } = self;
        let op = if *method == Method::PUT { Op::Put } else { Op::Post };
        let retry = key
            .map(|it| Retry::new(&it, &[method.as_str().as_bytes(), mode.name().as_bytes(), body]));
        Terms { op, mode, ttl, retry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(key(text.as_bytes()).ok().as_deref(), expected, "{text}");
        };
        check("\"8e03978e-40d5-43e8\"", Some("8e03978e-40d5-43e8"));
        check("8e03978e-40d5-43e8", Some("8e03978e-40d5-43e8"));
        check(r#""a \"b\" \\ c""#, Some(r#"a "b" \ c"#));
        check(&"k".repeat(255), Some(&"k".repeat(255)));
        for bad in
            ["", "\"\"", "\"", "\"a", "\"a\"b\"", r#""a\b""#, r#""a\""#, "\u{e9}", &"k".repeat(256)]
        {
            check(bad, None);
        }
    }
}
