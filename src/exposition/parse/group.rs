//! From lines to families.

use super::{Dialect, Limits, line};
use crate::exposition::{Kind, MetricFamily, Sample};
use line::Line;
use std::collections::HashMap;

/// The families so far.
#[derive(Debug)]
pub(super) struct Groups {
    dialect: Dialect,
    limits: Limits,
    n_samples: usize,
    families: Vec<Building>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct Building {
    family: MetricFamily,
    help: bool,
    kind: bool,
}

// === impl Groups ===

impl Groups {
    pub(super) fn new(dialect: Dialect, limits: Limits) -> Self {
        Self { dialect, limits, n_samples: 0, families: Vec::new(), by_name: HashMap::new() }
    }

    /// Takes one line without its line feed.
    pub(super) fn line(&mut self, text: &str) -> Result<(), String> {
        match line::parse(text, self.dialect, self.limits)? {
            Line::Blank => Ok(()),
            Line::Sample(sample) => self.sample(sample),
            Line::Help(name, help) => {
                let strict = self.dialect == Dialect::OpenMetrics;
                let building = self.described(&name)?;
                if std::mem::replace(&mut building.help, true) {
                    return Err(format!("second HELP line for metric name {name:?}"));
                }
                if strict && !building.family.samples.is_empty() {
                    return Err(format!("HELP reported after samples of {name:?}"));
                }
                building.family.help = help;
                Ok(())
            }
            Line::Type(name, kind) => {
                let kind = kind_of(kind, self.dialect)?;
                let building = self.described(&name)?;
                let late = !building.family.samples.is_empty();
                if std::mem::replace(&mut building.kind, true) || late {
                    return Err(format!(
                        "second TYPE line for metric name {name:?}, or TYPE reported after samples"
                    ));
                }
                building.family.kind = kind;
                Ok(())
            }
            Line::Unit(name, unit) => {
                let building = self.described(&name)?;
                let late = !building.family.samples.is_empty();
                if late || building.family.unit.is_some() {
                    return Err(format!(
                        "second UNIT line for metric name {name:?}, or UNIT reported after samples"
                    ));
                }
                let suffix = name.strip_suffix(unit).is_some_and(|it| it.ends_with('_'));
                if !unit.is_empty() && !suffix {
                    return Err(format!("unit {unit:?} is not the end of the name {name:?}"));
                }
                building.family.unit = Some(unit.to_owned());
                Ok(())
            }
        }
    }

    /// The family that a metadata line speaks of.
    fn described(&mut self, name: &str) -> Result<&mut Building, String> {
        let at = match self.by_name.get(name) {
            Some(at) => *at,
            None => self.begin(name),
        };
        self.at(at)
    }

    /// The family at `at`, which OpenMetrics wants to be the one in progress.
    fn at(&mut self, at: usize) -> Result<&mut Building, String> {
        let strict = self.dialect == Dialect::OpenMetrics;
        let last = at + 1 == self.families.len();
        match self.families.get_mut(at) {
            Some(building) if last || !strict => Ok(building),
            Some(it) => Err(format!("the lines of {:?} are not together", it.family.name)),
            None => Err("no such family".to_owned()),
        }
    }

    fn begin(&mut self, name: &str) -> usize {
        let at = self.families.len();
        self.by_name.insert(name.to_owned(), at);
        let family = MetricFamily {
            name: name.to_owned(),
            help: String::new(),
            kind: Kind::Untyped,
            unit: None,
            samples: Vec::new(),
        };
        self.families.push(Building { family, help: false, kind: false });
        at
    }

    fn sample(&mut self, sample: Sample) -> Result<(), String> {
        self.n_samples += 1;
        if self.n_samples > self.limits.samples {
            return Err(format!("more than {} samples", self.limits.samples));
        }
        let at = match self.find(&sample.name) {
            Some(at) => at,
            None => self.begin(&sample.name),
        };
        let dialect = self.dialect;
        let family = &mut self.at(at)?.family;
        if dialect == Dialect::OpenMetrics {
            check(family, &sample)?;
        }
        family.samples.push(sample);
        Ok(())
    }

    /// The family that a sample of this name belongs to: its own, or one whose type knows the suffix.
    fn find(&self, name: &str) -> Option<usize> {
        if let Some(at) = self.by_name.get(name) {
            return Some(*at);
        }
        SUFFIXES.iter().find_map(|suffix| {
            let at = *self.by_name.get(name.strip_suffix(suffix)?)?;
            let kind = self.families.get(at)?.family.kind;
            suffixes(kind, self.dialect).contains(suffix).then_some(at)
        })
    }

    pub(super) fn finish(self) -> Vec<MetricFamily> {
        let families = self.families.into_iter().map(|it| it.family);
        families.filter(|it| !it.samples.is_empty()).collect()
    }
}

const SUFFIXES: [&str; 8] =
    ["_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount"];

/// What may follow the family's name in the names of its samples.
fn suffixes(kind: Kind, dialect: Dialect) -> &'static [&'static str] {
    match (kind, dialect) {
        (Kind::Summary, Dialect::Text) => &["_sum", "_count"],
        (Kind::Histogram | Kind::GaugeHistogram, Dialect::Text) => &["_bucket", "_sum", "_count"],
        (Kind::Counter, Dialect::OpenMetrics) => &["_total", "_created"],
        (Kind::Summary, Dialect::OpenMetrics) => &["_sum", "_count", "_created"],
        (Kind::Histogram, Dialect::OpenMetrics) => &["_bucket", "_sum", "_count", "_created"],
        (Kind::GaugeHistogram, Dialect::OpenMetrics) => &["_bucket", "_gsum", "_gcount"],
        (Kind::Info, Dialect::OpenMetrics) => &["_info"],
        _ => &[],
    }
}

/// What OpenMetrics demands of a sample within its family.
fn check(family: &MetricFamily, sample: &Sample) -> Result<(), String> {
    let name = &sample.name;
    let bare = sample.name == family.name;
    let has = |label: &str| sample.labels.iter().any(|(name, _)| name == label);
    let wrong = match family.kind {
        Kind::Counter | Kind::Histogram | Kind::GaugeHistogram | Kind::Info => bare,
        Kind::Summary => bare && !has("quantile"),
        Kind::StateSet => !has(&family.name),
        Kind::Gauge | Kind::Untyped => false,
    };
    if wrong {
        return Err(format!("sample {name:?} does not fit the type of its family"));
    }
    if name.ends_with("_bucket") && !bare && !has("le") {
        return Err(format!("bucket {name:?} without le"));
    }
    let counts = family.kind == Kind::Counter && name.ends_with("_total");
    if counts && (sample.value.is_nan() || sample.value < 0.0) {
        return Err(format!("counter {name:?} is negative or no number"));
    }
    let takes_exemplar = counts || name.ends_with("_bucket") && !bare;
    if sample.exemplar.is_some() && !takes_exemplar {
        return Err(format!("sample {name:?} cannot have an exemplar"));
    }
    Ok(())
}

fn kind_of(text: &str, dialect: Dialect) -> Result<Kind, String> {
    let strict = dialect == Dialect::OpenMetrics;
    let lower = text.to_ascii_lowercase();
    match if strict { text } else { lower.as_str() } {
        "counter" => Ok(Kind::Counter),
        "gauge" => Ok(Kind::Gauge),
        "histogram" => Ok(Kind::Histogram),
        "gaugehistogram" => Ok(Kind::GaugeHistogram),
        "summary" => Ok(Kind::Summary),
        "untyped" if !strict => Ok(Kind::Untyped),
        "unknown" if strict => Ok(Kind::Untyped),
        "info" if strict => Ok(Kind::Info),
        "stateset" if strict => Ok(Kind::StateSet),
        _ => Err(format!("unknown metric type {text:?}")),
    }
}
