//! What an alert rule waits for, in `PromQL`.
//!
//! Histograms are asked for as classic and as native ones, since a Prometheus has either: what it does not have yields nothing.

use crate::alerts::{
    Absence, BurnRate, Compiled, Condition, Expected, Function, Judge, NoData, Query, Ratio,
    Schedule, Span,
};
use crate::selector::LabelSelector;
use std::time::Duration;

/// An expression that fires, and what of the rule it does not say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) text: String,
    pub(super) notes: Vec<String>,
}

/// The expression of `rule`.
///
/// # Errors
///
/// Why `PromQL` cannot say it.
pub(super) fn expression(rule: &Compiled) -> Result<Expression, String> {
    let mut notes = Vec::new();
    let text = match &rule.condition {
        Condition::Threshold(query, judge) => {
            utf8(&[query])?;
            let held = judged(rule, &value(query), *judge);
            or_nothing(rule, held, &mut notes, || {
                let absent = alternatives(&query.metric).map(|it| absent(&it, query));
                absent.collect::<Vec<_>>().join(" and ")
            })
        }
        Condition::Ratio(ratio, judge) => {
            utf8(&[&ratio.numerator, &ratio.denominator])?;
            let window = ratio.denominator.window;
            let held = judged(rule, &quotient(ratio, window), *judge);
            or_nothing(rule, held, &mut notes, || no_denominator(ratio, window))
        }
        Condition::BurnRate(burn) => {
            utf8(&[&burn.ratio.numerator, &burn.ratio.denominator])?;
            let longest = burn.windows.first().map_or(Duration::ZERO, |it| it.long.0);
            or_nothing(rule, burning(rule, burn), &mut notes, || {
                no_denominator(&burn.ratio, longest)
            })
        }
        Condition::Event { .. } => {
            return Err("an event is no series: it fires the moment the event is committed, and Prometheus sees only what is there at a scrape. A rule over a counter of such events (increase(...) > 0) comes near".to_owned());
        }
        Condition::Absence(absence) => absent_pushes(absence)?,
    };
    Ok(Expression { text, notes })
}

/// Prometheus before 3.0 has no names of labels but plain ones.
fn utf8(queries: &[&Query]) -> Result<(), String> {
    queries.iter().filter_map(|it| it.selector.as_ref()).try_for_each(plain_names)
}

fn plain_names(selector: &LabelSelector) -> Result<(), String> {
    let plain = |it: &str| crate::labels::is_label_name(it);
    selector.names().find(|it| !plain(it)).map_or(Ok(()), |it| {
        Err(format!("{it:?} is no name of a label that every Prometheus understands"))
    })
}

/// The metric under its name, and, if it is the count or the sum of a histogram, what a native one has in its place.
fn alternatives(metric: &str) -> impl Iterator<Item = (String, Option<&'static str>)> {
    let native = |suffix: &str, function: &'static str| {
        metric.strip_suffix(suffix).map(|it| (it.to_owned(), Some(function)))
    };
    let native = native("_count", "histogram_count").or_else(|| native("_sum", "histogram_sum"));
    std::iter::once((metric.to_owned(), None)).chain(native)
}

fn selected(metric: &str, query: &Query) -> String {
    query.selector.as_ref().map_or_else(|| metric.to_owned(), |it| format!("{metric}{it}"))
}

fn absent((metric, _): &(String, Option<&'static str>), query: &Query) -> String {
    format!("absent({})", selected(metric, query))
}

/// `inner`, put together by the labels of `group_by`.
fn aggregated(operator: &str, group_by: Option<&[String]>, also: &str, inner: &str) -> String {
    let Some(labels) = group_by else { return inner.to_owned() };
    let mut labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    labels.extend(Some(also).filter(|it| !it.is_empty()));
    if labels.is_empty() {
        format!("{operator}({inner})")
    } else {
        format!("{operator} by ({}) ({inner})", labels.join(", "))
    }
}

/// The value that is compared.
fn value(query: &Query) -> String {
    let group_by = query.group_by.as_deref();
    if query.function == Function::Quantile {
        return quantile(query);
    }
    let (operator, over) = match query.function {
        Function::Value | Function::Quantile => ("sum", None),
        Function::Count => ("count", None),
        Function::Rate => ("sum", Some("rate")),
        Function::Increase => ("sum", Some("increase")),
        Function::Avg => ("avg", Some("avg_over_time")),
        Function::Min => ("min", Some("min_over_time")),
        Function::Max => ("max", Some("max_over_time")),
    };
    // The range of a histogram has no smallest or largest count.
    let ranged = matches!(query.function, Function::Min | Function::Max | Function::Avg);
    let of = |(metric, native): (String, Option<&'static str>)| {
        let series = selected(&metric, query);
        let inner = over
            .map_or_else(|| series.clone(), |it| format!("{it}({series}[{}])", Span(query.window)));
        let inner = native.map_or_else(|| inner.clone(), |it| format!("{it}({inner})"));
        aggregated(operator, group_by, "", &inner)
    };
    let all: Vec<_> =
        alternatives(&query.metric).filter(|it| !ranged || it.1.is_none()).map(of).collect();
    any_of(&all)
}

fn quantile(query: &Query) -> String {
    let (metric, q) = (&query.metric, query.quantile);
    let rate = |name: &str| format!("rate({}[{}])", selected(name, query), Span(query.window));
    let group_by = query.group_by.as_deref();
    let classic = aggregated("sum", group_by, "le", &rate(&format!("{metric}_bucket")));
    let native = aggregated("sum", group_by, "", &rate(metric));
    any_of(&[
        format!("histogram_quantile({q}, {classic})"),
        format!("histogram_quantile({q}, {native})"),
    ])
}

fn any_of(all: &[String]) -> String {
    if let [one] = all { one.clone() } else { format!("({})", all.join(" or ")) }
}

/// The comparison, and while it fires the one with the recovery threshold.
fn judged(rule: &Compiled, value: &str, judge: Judge) -> String {
    let sign = judge.operator.sign();
    let begins = format!("{value} {sign} {}", judge.threshold);
    if (judge.recovery - judge.threshold).abs() < f64::EPSILON {
        return begins;
    }
    let mut ignored = vec!["alertname", "alertstate", "severity"];
    ignored.extend(rule.rule.labels.keys().map(String::as_str).filter(|it| *it != "severity"));
    let name = serde_json::Value::from(rule.rule.name.as_str());
    format!(
        "{begins} or ({value} {sign} {} and ignoring ({}) ALERTS{{alertname={name}, alertstate=\"firing\"}})",
        judge.recovery,
        ignored.join(", "),
    )
}

fn increase(query: &Query, window: Duration) -> String {
    value(&Query { window, function: Function::Increase, ..query.clone() })
}

fn enough(ratio: &Ratio, window: Duration) -> String {
    let denominator = increase(&ratio.denominator, window);
    // The default is the smallest number above 0.
    let least = ratio.min_denominator;
    if least <= f64::MIN_POSITIVE {
        format!("({denominator} > 0)")
    } else {
        format!("({denominator} >= {least})")
    }
}

/// A numerator that is not there is 0; without enough of a denominator there is no quotient.
fn quotient(ratio: &Ratio, window: Duration) -> String {
    let enough = enough(ratio, window);
    format!("(({} or 0 * {enough}) / {enough})", increase(&ratio.numerator, window))
}

fn no_denominator(ratio: &Ratio, window: Duration) -> String {
    format!("absent{}", enough(ratio, window))
}

fn burning(rule: &Compiled, burn: &BurnRate) -> String {
    // As it was written: 1 - 0.999 is not 0.001, and Prometheus makes the same of it as we do.
    let objective = rule.rule.objective.unwrap_or(1.0 - burn.budget);
    let pair = |it: &crate::alerts::BurnWindow| {
        let limit = format!("{} * (1 - {objective})", it.factor);
        let (long, short) = (quotient(&burn.ratio, it.long.0), quotient(&burn.ratio, it.short.0));
        format!("({long} > {limit} and {short} > {limit})")
    };
    burn.windows.iter().map(pair).collect::<Vec<_>>().join(" or ")
}

/// What the absence of values means.
fn or_nothing(
    rule: &Compiled,
    held: String,
    notes: &mut Vec<String>,
    nothing: impl FnOnce() -> String,
) -> String {
    match rule.rule.no_data {
        NoData::Ok => held,
        NoData::Alert => {
            notes.push("no_data: alert is said of all label sets together: that one of several is gone is not seen".to_owned());
            format!("{held} or {}", nothing())
        }
        NoData::Keep => {
            notes.push("no_data: keep cannot be said: the alert is over when its series are gone (keep_firing_for helps)".to_owned());
            held
        }
    }
}

fn absent_pushes(absence: &Absence) -> Result<String, String> {
    let Expected::Pushes(selector) = &absence.expected else {
        return Err("events are no series, so that none can be missed. A metric rule with the same `match` and `set: $time` makes one: time() - it > every".to_owned());
    };
    plain_names(selector)?;
    let Schedule::Every(every) = absence.schedule else {
        return Err("PromQL knows no cron lines: say `every` in place of `cron`".to_owned());
    };
    let late = every.saturating_add(absence.grace);
    let seconds = late.as_secs_f64();
    let series = format!("push_time_seconds{selector}");
    Ok(format!("time() - {series} > {seconds} or absent_over_time({series}[{}])", Span(late)))
}
