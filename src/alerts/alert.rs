//! An alert as it is shown, kept in the history and told to people.

use crate::event::Time;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// One label set for which a rule's condition holds, or held.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Alert {
    /// Names this episode for good: from its first pending moment until it is resolved.
    pub id: String,
    /// The rule that found it.
    pub rule_id: String,
    /// The rule's name, which is also the label `alertname`.
    pub rule_name: String,
    /// Sixteen hexadecimal digits of the labels: the same for every episode of the same label set.
    pub fingerprint: String,
    /// The rule's labels and those of the series or event.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What people read: `summary`, `description`, `runbook_url`, ...
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// Where it stands.
    #[serde(default)]
    pub status: Status,
    /// The value that was last compared; `None` if there was none, or it was no number.
    #[serde(default)]
    pub value: Option<f64>,
    /// What it was compared with.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// When the condition became true.
    pub starts_at: Time,
    /// When it was resolved.
    #[serde(default)]
    pub ends_at: Option<Time>,
    /// Who has taken it on.
    #[serde(default)]
    pub acknowledged: Option<Acknowledgement>,
    /// The ids of the silences that keep it quiet.
    #[serde(default)]
    pub silenced_by: Vec<String>,
}

/// That somebody has seen an alert: it is not repeated any more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Time,
    /// What they said.
    #[serde(default)]
    pub comment: String,
}

/// How bad an alert is, the least bad first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Low,
    /// Should be seen to. What other tools call `warning`.
    #[default]
    #[serde(alias = "warning")]
    Medium,
    /// Must be seen to soon.
    High,
    /// Must be seen to at once.
    Critical,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The condition holds, but not for long enough yet.
    #[default]
    Pending,
    /// The condition has held for long enough.
    Firing,
    /// It is over.
    Resolved,
}

/// Sixteen hexadecimal digits of `labels`, as Prometheus and Alertmanager compute them (FNV-1a over names and values,
/// each ended by 0xff; prometheus/common `LabelSet.Fingerprint`), so that an alert has the same name there.
#[must_use]
pub fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        text.bytes().for_each(&mut add);
        add(0xff);
    }
    format!("{hash:016x}")
}

// === impl Severity ===

impl Severity {
    /// All of them, the least bad first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// What Prometheus rules and Alertmanager routes usually call it: the value of the label `severity` of an
    /// alert that is forwarded.
    #[must_use]
    pub const fn as_alertmanager(self) -> &'static str {
        match self {
            Self::Low => "info",
            Self::Medium => "warning",
            Self::High => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Status ===

impl Status {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Alertmanager` 0.25 said of the same labels.
    #[test]
    fn fingerprints_are_those_of_alertmanager() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        assert_eq!(fingerprint(&BTreeMap::new()), "cbf29ce484222325");
        let watchdog = labels(&[("alertname", "Watchdog"), ("severity", "none")]);
        assert_eq!(fingerprint(&watchdog), "448881ef475b9b26");
    }

    #[test]
    fn an_alert_reads_back_and_may_lack_what_is_not_known() {
        let alert = Alert {
            id: "alert-1".to_owned(),
            value: Some(81.5),
            starts_at: Time::parse("2026-01-05T10:00:00.25Z").unwrap(),
            ends_at: Some(Time::parse("2026-01-05T10:05:00Z").unwrap()),
            status: Status::Resolved,
            severity: Severity::Critical,
            ..Alert::default()
        };
        let json = serde_json::to_string(&alert).unwrap();
        assert!(json.contains(r#""starts_at":"2026-01-05T10:00:00.25Z""#), "{json}");
        assert_eq!(serde_json::from_str::<Alert>(&json).unwrap(), alert);
        let least = r#"{"id":"a","rule_id":"r","rule_name":"n","fingerprint":"f","starts_at":"2026-01-05T10:00:00Z","severity":"warning"}"#;
        let least: Alert = serde_json::from_str(least).unwrap();
        assert_eq!((least.severity, least.status), (Severity::Medium, Status::Pending));
    }
}
