//! A rule as people write it: the keys of the API and of the configuration file.

mod operator;
mod read;
mod span;

pub use operator::Operator;
pub use read::FieldError;
pub use span::Span;

use super::lenient::{number, required_number, switch, texts};
use super::{MuteTime, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rule. Which fields count depends on its [`kind`](Rule::kind); `docs/alerts.md` describes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Names it for good.
    pub id: String,
    /// Its name, which is also the label `alertname`. Unique.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What its condition is about.
    pub kind: Kind,
    /// Whether it is evaluated.
    #[serde(deserialize_with = "switch")]
    pub enabled: bool,
    /// How bad its alerts are.
    pub severity: Severity,
    /// `threshold`: the metric, and perhaps matchers: `cpu_usage{host="a"}`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric_name: String,
    /// `threshold`: what is made of the metric. Default its value.
    pub function: Function,
    /// `threshold` with `quantile`: which one, 0 to 1.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// Over how long functions look back. Default 5 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// How the value is compared. Default `gt`.
    pub operator: Operator,
    /// With what the value is compared.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// While it fires, what the value must get back to before it is over. Default the threshold.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub recovery_threshold: Option<f64>,
    /// `ratio`, `burn_rate`: the metric whose increase is divided.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub numerator: String,
    /// `ratio`, `burn_rate`: the metric by whose increase it is divided.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub denominator: String,
    /// `ratio`, `burn_rate`: with a smaller denominator there is no data. Default: with none.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub min_denominator: Option<f64>,
    /// `burn_rate`: which part of all must be good, such as 0.999.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
    /// `burn_rate`: pairs of windows; one pair in which both burn too fast is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<BurnWindow>,
    /// `event`: which events it fires on. `absence`: which events are expected.
    #[serde(rename = "match", skip_serializing_if = "String::is_empty")]
    pub matches: String,
    /// `event`: which events end it. `absence`: which events say that nothing is expected any more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolve: String,
    /// `event`: after how long without a further event it is over. Default never, or an hour
    /// without `resolve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_after: Option<Span>,
    /// `absence`: which push groups are expected to be pushed, by their labels: `{job="backup"}`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub push: String,
    /// `absence`: how often it is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// `absence`: when it is expected, as five fields of a cron line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cron: String,
    /// `absence` with `cron`: the time zone, such as `Europe/Berlin`. Default UTC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub timezone: String,
    /// `absence`: how late it may be. Default a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
    /// Metrics: one alert per combination of these labels, whose series are added up. Events: the fields that make the
    /// key, each `field` or `label=field,other_field`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// How long the condition must hold before it fires. Default not at all.
    #[serde(rename = "for", alias = "duration", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// How long it goes on firing after the condition has ceased to hold. Default not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<Span>,
    /// What it means that there is no value. Default that all is well.
    pub no_data: NoData,
    /// How often a firing alert is told again as long as nobody acknowledged it. Default 4 hours; `0s` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_interval: Option<Span>,
    /// An alert that fires twice within this time is told once as flapping, and then when it has been calm for so long.
    /// Default 10 minutes; `0s` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flap_window: Option<Span>,
    /// Labels of its alerts.
    #[serde(deserialize_with = "texts")]
    pub labels: BTreeMap<String, String>,
    /// What people read, with placeholders.
    #[serde(deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Names or ids of the channels that are told. Default those that are told of everything.
    pub notification_channels: Vec<String>,
    /// Who is told as well when nobody has acknowledged it for so long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalation: Vec<Escalation>,
    /// When nobody is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mute_times: Vec<MuteTime>,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A metric is compared with a number.
    #[default]
    Threshold,
    /// A metric divided by another is compared with a number.
    Ratio,
    /// An event happened.
    Event,
    /// Something that was expected did not happen.
    Absence,
    /// An error budget is used up too fast.
    BurnRate,
}

/// What is made of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Its value now.
    #[default]
    Value,
    /// How much it grew per second within the window.
    Rate,
    /// How much it grew within the window.
    Increase,
    /// The mean of its values within the window.
    Avg,
    /// The smallest of them.
    Min,
    /// The largest of them.
    Max,
    /// How many series there are.
    Count,
    /// A quantile of what a histogram observed within the window.
    Quantile,
}

/// What it means that there is no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// That all is well.
    #[default]
    Ok,
    /// That something is wrong: it counts as the condition.
    Alert,
    /// Nothing: what was, stays.
    Keep,
}

/// A pair of windows of a burn rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurnWindow {
    /// The longer window, which says that it matters.
    pub long: Span,
    /// The shorter window, which says that it goes on.
    pub short: Span,
    /// How many times faster than allowed.
    #[serde(deserialize_with = "required_number")]
    pub factor: f64,
}

/// Who is told as well, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// How long after it fired.
    pub after: Span,
    /// Names or ids of channels.
    pub notification_channels: Vec<String>,
}

// === impl Rule ===

impl Rule {
    /// The channels that it names: those that are told, and those that are escalated to.
    pub fn channels(&self) -> impl Iterator<Item = &String> {
        let further = self.escalation.iter().flat_map(|it| &it.notification_channels);
        self.notification_channels.iter().chain(further)
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            description: String::new(),
            kind: Kind::default(),
            enabled: true,
            severity: Severity::default(),
            metric_name: String::new(),
            function: Function::default(),
            quantile: None,
            window: None,
            operator: Operator::default(),
            threshold: None,
            recovery_threshold: None,
            numerator: String::new(),
            denominator: String::new(),
            min_denominator: None,
            objective: None,
            windows: Vec::new(),
            matches: String::new(),
            resolve: String::new(),
            resolve_after: None,
            push: String::new(),
            every: None,
            cron: String::new(),
            timezone: String::new(),
            grace: None,
            group_by: Vec::new(),
            hold: None,
            keep_firing_for: None,
            no_data: NoData::default(),
            repeat_interval: None,
            flap_window: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            notification_channels: Vec::new(),
            escalation: Vec::new(),
            mute_times: Vec::new(),
        }
    }
}
