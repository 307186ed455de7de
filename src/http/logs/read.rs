//! What a client says about logs. What is wrong is answered as the older service does: 422, and where.

use super::LOG;
use crate::event::{Fields, Time, Value};
use crate::http::error::{ApiError, Detail};
use crate::http::{params, query};
use crate::journal::Query;
use crate::selector::Selector;
use axum::http::Uri;
use std::{collections::BTreeMap, time::Duration};

/// The most logs of one answer; who asks for more gets as many.
const MAX_LIMIT: usize = 10_000;

/// A log that was sent.
#[derive(Debug, PartialEq)]
pub(super) struct NewLog {
    pub(super) service_name: String,
    pub(super) status_code: i64,
    /// As it was written.
    pub(super) latency_ms: String,
    pub(super) event_type: Option<String>,
    pub(super) timestamp: Option<Time>,
}

/// Which logs are asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) limit: usize,
    pub(super) offset: u64,
    /// The filters as they were given.
    pub(super) given: BTreeMap<String, String>,
}

type Found<T> = Result<T, Detail>;

// === impl NewLog ===

impl NewLog {
    /// Reads the body of a request. Names are bounded to `name_bytes`.
    pub(super) fn read(body: &[u8], name_bytes: usize) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).map_err(|it| invalid_json(&it))?;
        if let Ok(other @ (serde_json::Value::Array(_) | serde_json::Value::String(_))) =
            serde_json::from_str(text)
        {
            let message = "Input should be a valid dictionary or object to extract fields from";
            let detail = Detail::new("body", None, "model_attributes_type", message, other);
            return Err(ApiError::unprocessable(vec![detail]));
        }
        let fields = Fields::parse(text).map_err(|it| invalid_json(&it))?;
        let body = Body { fields: &fields, name_bytes };
        let service_name =
            body.required("service_name", |it, value| it.name("service_name", value));
        let status_code = body.required("status_code", |_, value| integer("status_code", value));
        let latency_ms = body.required("latency_ms", |_, value| number("latency_ms", value));
        let event_type = body.optional("event_type", |it, value| it.name("event_type", value));
        let timestamp = body.optional("timestamp", |_, value| time(value));
        match (service_name, status_code, latency_ms, event_type, timestamp) {
            (Ok(service_name), Ok(status_code), Ok(latency_ms), Ok(event_type), Ok(timestamp)) => {
                Ok(Self { service_name, status_code, latency_ms, event_type, timestamp })
            }
            (a, b, c, d, e) => {
                let faults = [a.err(), b.err(), c.err(), d.err(), e.err()];
                Err(ApiError::unprocessable(faults.into_iter().flatten().collect()))
            }
        }
    }

    /// The data of its event.
    pub(super) fn data(&self) -> String {
        let Self { status_code, latency_ms, event_type, .. } = self;
        let mut data = format!("{{\"status_code\":{status_code},\"latency_ms\":{latency_ms}");
        if let Some(it) = event_type {
            // A text is always JSON.
            let text = serde_json::to_string(it).unwrap_or_default();
            data.push_str(&format!(",\"event_type\":{text}"));
        }
        data.push('}');
        data
    }
}

/// The members of a body.
struct Body<'b> {
    fields: &'b Fields<'b>,
    name_bytes: usize,
}

impl<'b> Body<'b> {
    fn required<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Self, &Value<'b>) -> Found<T>,
    ) -> Found<T> {
        match self.fields.get(name) {
            Some(value) => read(self, value),
            None => {
                let input = serde_json::Value::Null;
                Err(Detail::new("body", Some(name), "missing", "Field required", input))
            }
        }
    }

    fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Self, &Value<'b>) -> Found<T>,
    ) -> Found<Option<T>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(it)) if it.is_empty() => Ok(None),
            Some(value) => read(self, value).map(Some),
        }
    }

    fn name(&self, name: &str, value: &Value<'_>) -> Found<String> {
        match value {
            Value::String(it) if it.is_empty() => {
                let message = "String should have at least 1 character";
                Err(fault(name, "string_too_short", message, value))
            }
            Value::String(it) if it.len() > self.name_bytes => {
                let message = format!("String should have at most {} bytes", self.name_bytes);
                Err(fault(name, "string_too_long", &message, value))
            }
            Value::String(it) => Ok(it.clone().into_owned()),
            _ => Err(fault(name, "string_type", "Input should be a valid string", value)),
        }
    }
}

fn invalid_json(error: &dyn std::fmt::Display) -> ApiError {
    let message = format!("JSON decode error: {error}");
    let empty = serde_json::json!({});
    ApiError::unprocessable(vec![Detail::new("body", None, "json_invalid", &message, empty)])
}

fn fault(name: &str, kind: &'static str, message: &str, value: &Value<'_>) -> Detail {
    let input = match value {
        Value::String(it) => serde_json::Value::from(it.as_ref()),
        Value::Bool(it) => (*it).into(),
        Value::Number(it) | Value::Array(it) | Value::Object(it) => {
            serde_json::from_str(it).unwrap_or_default()
        }
        Value::Null => serde_json::Value::Null,
    };
    Detail::new("body", Some(name), kind, message, input)
}

/// A whole number, also as text or with a fraction of 0, as the older service takes it.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn integer(name: &str, value: &Value<'_>) -> Found<i64> {
    let (text, message) = match value {
        Value::Number(it) => (*it, "Input should be a valid integer"),
        Value::String(it) => {
            (it.trim(), "Input should be a valid integer, unable to parse string as an integer")
        }
        _ => return Err(fault(name, "int_type", "Input should be a valid integer", value)),
    };
    if let Ok(it) = text.parse() {
        return Ok(it);
    }
    match text.parse::<f64>() {
        Ok(it) if it.fract() == 0.0 && it.abs() < 1e15 => Ok(it as i64),
        Ok(it) if it.is_finite() => {
            let message = "Input should be a valid integer, got a number with a fractional part";
            Err(fault(name, "int_from_float", message, value))
        }
        _ => Err(fault(name, "int_parsing", message, value)),
    }
}

/// The text of a finite number.
fn number(name: &str, value: &Value<'_>) -> Found<String> {
    let finite = |it: &str| it.parse::<f64>().ok().filter(|it| it.is_finite());
    match value {
        Value::Number(it) if finite(it).is_some() => Ok((*it).to_owned()),
        Value::String(it) => match finite(it.trim()) {
            // What parses as a number need not be one in JSON: `1.` or `+1`.
            Some(number) => Ok(number.to_string()),
            None => {
                let message = "Input should be a valid number, unable to parse string as a number";
                Err(fault(name, "float_parsing", message, value))
            }
        },
        Value::Number(_) => {
            Err(fault(name, "finite_number", "Input should be a finite number", value))
        }
        _ => Err(fault(name, "float_type", "Input should be a valid number", value)),
    }
}

fn time(value: &Value<'_>) -> Found<Time> {
    let text = match value {
        Value::Number(it) => Some(*it),
        Value::String(it) => Some(it.as_ref()),
        _ => None,
    };
    text.and_then(|it| Time::parse(it).ok()).ok_or_else(|| {
        let message = "Input should be a valid datetime such as 2026-01-05T10:00:00Z";
        fault("timestamp", "datetime_parsing", message, value)
    })
}

// === impl Asked ===

impl Asked {
    /// Reads the filters of `uri`. An empty one is none, and what is no filter is ignored, as the older
    /// service has it.
    pub(super) fn read(uri: &Uri, now: Time, limit: usize) -> Result<Self, ApiError> {
        let types = vec![LOG.to_owned()];
        let query = Query { types, limit: usize::MAX, ..Query::default() };
        let mut res = Self { query, limit, offset: 0, given: BTreeMap::new() };
        let mut matchers = Vec::new();
        let mut faults = Vec::new();
        for (name, value) in params::params(uri) {
            if value.is_empty() {
                continue;
            }
            match res.set(&name, &value, now) {
                Ok(None) => continue,
                Ok(Some(matcher)) => matchers.extend(Some(matcher).filter(|it| !it.is_empty())),
                Err((kind, message)) => {
                    let input = value.as_ref().into();
                    faults.push(Detail::new("query", Some(&name), kind, &message, input));
                }
            }
            res.given.insert(name.into_owned(), value.into_owned());
        }
        if !faults.is_empty() {
            return Err(ApiError::unprocessable(faults));
        }
        if !matchers.is_empty() {
            let text = format!("{LOG}{{{}}}", matchers.join(","));
            let selector = Selector::parse(&text).map_err(|it| ApiError::parameter("query", it))?;
            res.query.matches.push(selector);
        }
        Ok(res)
    }

    /// Sets one parameter; the matcher that it stands for, or none; nothing if it is no filter.
    fn set(
        &mut self,
        name: &str,
        value: &str,
        now: Time,
    ) -> Result<Option<String>, (&'static str, String)> {
        let integer = || {
            let message = "Input should be a valid integer, unable to parse string as an integer";
            value.trim().parse::<i64>().map_err(|_| ("int_parsing", message.to_owned()))
        };
        let time = || {
            params::time(name, value, now).map_err(|_| {
                let message = "Input should be a valid datetime such as 2026-01-05T10:00:00Z";
                ("datetime_parsing", message.to_owned())
            })
        };
        match name {
            "service_name" => self.query.sources = vec![value.to_owned()],
            "status_code" => return integer().map(|it| Some(format!("data.status_code={it}"))),
            "event_type" => {
                return Ok(Some(format!("data.event_type={}", query::quoted(value))));
            }
            "start_time" => self.query.since = Some(time()?),
            // Up to and with it.
            "end_time" => {
                self.query.until = Some(time()?.saturating_add(Duration::from_nanos(1)));
            }
            "limit" => match usize::try_from(integer()?) {
                Ok(it) if it > 0 => self.limit = it.min(MAX_LIMIT),
                _ => return Err(("greater_than", "Input should be greater than 0".to_owned())),
            },
            "offset" => {
                self.offset = u64::try_from(integer()?).map_err(|_| {
                    let message = "Input should be greater than or equal to 0";
                    ("greater_than_equal", message.to_owned())
                })?;
            }
            _ => return Ok(None),
        }
        Ok(Some(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<NewLog, String> {
        NewLog::read(body.as_bytes(), 10).map_err(|it| format!("{it:?}"))
    }

    #[test]
    fn logs() {
        let log = read(r#"{"service_name":"a","status_code":200,"latency_ms":12.50,"event_type":"x\"y","more":1}"#)
            .unwrap();
        assert_eq!(log.data(), r#"{"status_code":200,"latency_ms":12.50,"event_type":"x\"y"}"#);
        let log = read(r#"{"service_name":"a","status_code":"200","latency_ms":"1.","event_type":null,"timestamp":"2026-01-05T10:00:00"}"#)
            .unwrap();
        assert_eq!(log.data(), r#"{"status_code":200,"latency_ms":1}"#);
        assert_eq!(log.timestamp, Time::parse("2026-01-05T10:00:00Z").ok());
        let log = read(r#"{"service_name":"a","status_code":404.0,"latency_ms":1e3}"#).unwrap();
        assert_eq!(log.data(), r#"{"status_code":404,"latency_ms":1e3}"#);
    }

    #[test]
    fn what_is_no_log() {
        let check = |body: &str, expected: &[&str]| {
            let error = read(body).unwrap_err();
            for it in expected {
                assert!(error.contains(it), "{body}: {error}");
            }
        };
        check("{", &["json_invalid"]);
        check("[1]", &["model_attributes_type"]);
        check("{}", &["service_name", "status_code", "latency_ms", "missing"]);
        let with = |service: &str, status: &str, latency: &str| {
            format!(
                "{{\"service_name\":{service},\"status_code\":{status},\"latency_ms\":{latency}}}"
            )
        };
        check(&with("1", "200", "1"), &["string_type"]);
        check(&with("\"\"", "200", "1"), &["string_too_short"]);
        check(&with("\"12345678901\"", "200", "1"), &["string_too_long"]);
        check(&with("\"a\"", "\"x\"", "1"), &["int_parsing"]);
        check(&with("\"a\"", "200.5", "1"), &["int_from_float"]);
        check(&with("\"a\"", "true", "1"), &["int_type"]);
        check(&with("\"a\"", "200", "\"NaN\""), &["float_parsing"]);
        check(&with("\"a\"", "200", "1e999"), &["finite_number"]);
        check(&with("\"a\"", "200", "[]"), &["float_type"]);
    }

    #[test]
    fn what_is_asked() {
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let ask = |text: &str| {
            let uri: Uri = format!("/?{text}").parse().unwrap();
            Asked::read(&uri, now, 20).map_err(|it| format!("{it:?}"))
        };
        let it = ask(
            "service_name=web&status_code=503&event_type=Push%22Event&limit=99999&offset=3&_=1",
        )
        .unwrap();
        assert_eq!((it.limit, it.offset), (MAX_LIMIT, 3));
        assert_eq!(it.query.sources, ["web"]);
        assert_eq!(
            it.query.matches[0].to_string(),
            r#"log{data.status_code=503,data.event_type="Push\"Event"}"#
        );
        assert_eq!(it.given.len(), 5);
        let it = ask("start_time=2026-01-01&end_time=2026-01-02&service_name=").unwrap();
        assert_eq!(it.query.until.unwrap().to_string(), "2026-01-02T00:00:00.000000001Z");
        assert!(it.query.sources.is_empty() && it.limit == 20);
        for (text, expected) in [
            ("limit=0", "greater_than"),
            ("limit=x", "int_parsing"),
            ("offset=-1", "greater_than_equal"),
            ("status_code=ok", "int_parsing"),
            ("start_time=soon", "datetime_parsing"),
            ("end_time=x&limit=0", "greater_than"),
        ] {
            let error = ask(text).unwrap_err();
            assert!(error.contains(expected) && error.contains("422"), "{text}: {error}");
        }
    }
}
