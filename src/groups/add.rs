//! What two values of one series come to. Pure.
//!
//! Counters, and the counts and sums of histograms and summaries, add up. A quantile of two parts says nothing
//! about the whole, so that a summary that adds up has none. Gauges and untyped metrics do what the push says.

mod histogram;
mod native;

use super::terms::Gauges;
use crate::exposition::Kind;
use crate::push::{Metric, Summary, Value};

/// Brings a metric into the form in which it adds up.
///
/// # Errors
///
/// It cannot: what is wrong with it, to follow "cannot be added up: ".
pub(super) fn prepare(kind: Kind, gauges: Gauges, metric: &mut Metric) -> Result<(), String> {
    match &mut metric.value {
        Value::Summary(it) => it.quantiles.clear(),
        Value::Histogram(it) => histogram::sort(it),
        Value::Number(_) | Value::Mismatch => {}
    }
    check(kind, gauges, &metric.value)
}

/// Whether `value` can be added to others.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check(kind: Kind, gauges: Gauges, value: &Value) -> Result<(), String> {
    let how = how(kind, gauges);
    match value {
        Value::Number(it) => number(kind, how, *it),
        Value::Summary(it) => finite("its sum", it.sum).map(|_| ()),
        Value::Histogram(_) if matches!(how, Gauges::Min | Gauges::Max) => {
            Err(format!("a gauge histogram has no {}", how.as_str()))
        }
        Value::Histogram(_) if how == Gauges::Last => Ok(()),
        Value::Histogram(it) => histogram::check(it),
        Value::Mismatch => Err("it has no value".to_owned()),
    }
}

/// What `old` and `new`, both checked, come to.
///
/// # Errors
///
/// They do not fit together, or the result is not finite.
pub(super) fn values(kind: Kind, gauges: Gauges, old: Value, new: Value) -> Result<Value, String> {
    let how = how(kind, gauges);
    if how == Gauges::Last {
        return Ok(new);
    }
    match (old, new) {
        (Value::Number(a), Value::Number(b)) => match how {
            Gauges::Min => Ok(Value::Number(a.min(b))),
            Gauges::Max => Ok(Value::Number(a.max(b))),
            Gauges::Last | Gauges::Sum => sum("the sum", a, b).map(Value::Number),
        },
        (Value::Summary(a), Value::Summary(b)) => {
            let count = a.count.checked_add(b.count).ok_or("its count would be too large")?;
            let sum = sum("its sum", a.sum, b.sum)?;
            Ok(Value::Summary(Summary { count, sum, quantiles: Vec::new() }))
        }
        (Value::Histogram(a), Value::Histogram(b)) => {
            histogram::sum(*a, *b).map(|it| Value::Histogram(Box::new(it)))
        }
        _ => Err("what is stored has a value of another type".to_owned()),
    }
}

fn how(kind: Kind, gauges: Gauges) -> Gauges {
    match kind {
        Kind::Counter | Kind::Summary | Kind::Histogram => Gauges::Sum,
        Kind::Gauge | Kind::Untyped | Kind::GaugeHistogram | Kind::Info | Kind::StateSet => gauges,
    }
}

fn number(kind: Kind, how: Gauges, value: f64) -> Result<(), String> {
    match how {
        Gauges::Last => Ok(()),
        Gauges::Min | Gauges::Max if value.is_nan() => Err("it is NaN".to_owned()),
        Gauges::Min | Gauges::Max => Ok(()),
        Gauges::Sum if kind == Kind::Counter && value < 0.0 => {
            Err(format!("a counter cannot go down by {}", -value))
        }
        Gauges::Sum => finite("it", value).map(|_| ()),
    }
}

/// `value`, which must be finite.
fn finite(what: &str, value: f64) -> Result<f64, String> {
    if value.is_finite() {
        return Ok(value);
    }
    let shown = if value.is_nan() { "NaN" } else { "infinite" };
    Err(format!("{what} is {shown}"))
}

fn sum(what: &str, a: f64, b: f64) -> Result<f64, String> {
    finite(what, a + b)
}

#[cfg(test)]
mod tests;
