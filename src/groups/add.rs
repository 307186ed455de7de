//! What two values of one series come to. Pure.
//!
//! Counters, and the counts and sums of histograms and summaries, add up. A quantile of two parts says nothing
//! about the whole, so that a summary that adds up has none. Gauges and untyped metrics do what the push says.

mod histogram;
mod native;

use super::terms::Blend;
use crate::exposition::Kind;
use crate::push::{Metric, Summary, Value};

/// Brings a metric into the form in which it adds up.
///
/// # Errors
///
/// It cannot: what is wrong with it, to follow "cannot be added up: ".
pub(super) fn prepare(kind: Kind, how: Blend, metric: &mut Metric) -> Result<(), String> {
    match &mut metric.value {
        Value::Summary(it) if how != Blend::Last => it.quantiles.clear(),
        Value::Histogram(it) if how != Blend::Last => histogram::sort(it),
        _ => {}
    }
    check(kind, how, &metric.value)
}

/// Whether `value` can be added to others.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check(kind: Kind, how: Blend, value: &Value) -> Result<(), String> {
    match value {
        _ if how == Blend::Last => Ok(()),
        Value::Number(it) => number(kind, how, *it),
        Value::Summary(it) => finite("its sum", it.sum).map(|_| ()),
        Value::Histogram(_) if how != Blend::Sum => {
            Err(format!("a gauge histogram has no {}", how.as_str()))
        }
        Value::Histogram(it) => histogram::check(it),
        Value::Mismatch => Err("it has no value".to_owned()),
    }
}

/// What `old` and `new`, both checked, come to.
///
/// # Errors
///
/// They do not fit together, or the result is not finite.
pub(super) fn values(how: Blend, old: Value, new: Value) -> Result<Value, String> {
    if how == Blend::Last {
        return Ok(new);
    }
    match (old, new) {
        (Value::Number(a), Value::Number(b)) => match how {
            Blend::Min => Ok(Value::Number(a.min(b))),
            Blend::Max => Ok(Value::Number(a.max(b))),
            Blend::Last | Blend::Sum => sum("the sum", a, b).map(Value::Number),
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

/// What becomes of two values of this type, where `gauges` is said of gauges.
pub(super) fn how(kind: Kind, gauges: Blend) -> Blend {
    match kind {
        Kind::Counter | Kind::Summary | Kind::Histogram => Blend::Sum,
        Kind::Gauge | Kind::Untyped | Kind::GaugeHistogram | Kind::Info | Kind::StateSet => gauges,
    }
}

fn number(kind: Kind, how: Blend, value: f64) -> Result<(), String> {
    if how == Blend::Sum && kind == Kind::Counter && value < 0.0 {
        return Err(format!("a counter cannot go down by {}", -value));
    }
    if how != Blend::Sum && !value.is_nan() {
        return Ok(());
    }
    finite("it", value).map(|_| ())
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
