//! A text exposition as a map, independent of the order of labels.

use std::collections::BTreeMap;

/// The samples of one scrape: `name{a="x",b="y"}` with the labels sorted, to their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Samples(pub(crate) BTreeMap<String, f64>);

impl Samples {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|it| !it.is_empty() && !it.starts_with('#'));
        let samples = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            let value = value.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
            (canonical(series), value)
        });
        let mut all = BTreeMap::new();
        for (series, value) in samples {
            let before = all.insert(series.clone(), value);
            assert_eq!(before, None, "{series} stands twice");
        }
        Self(all)
    }

    /// The value of a series, its labels in any order.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.0.get(&canonical(series)).copied()
    }

    /// Asserts that `series` has `value`.
    #[track_caller]
    pub(crate) fn check(&self, series: &str, value: f64) {
        let name = series.split('{').next().unwrap();
        let shown = || self.of(name).map(|(it, v)| format!("\n  {it} {v}")).collect::<String>();
        assert_eq!(self.get(series), Some(value), "{series}; there are:{}", shown());
    }

    /// The samples with this name.
    pub(crate) fn of(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        let samples = self.0.iter().map(|(series, value)| (series.as_str(), *value));
        samples.filter(move |(series, _)| series.split('{').next() == Some(name))
    }

    /// The sum over all series with this name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.of(name).map(|(_, value)| value).sum()
    }

    /// All names, those of `_bucket`, `_sum` and `_count` included.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.keys().filter_map(|it| it.split('{').next()).collect();
        names.dedup();
        names
    }

    /// Without what the server says about itself.
    pub(crate) fn of_rules(mut self) -> Self {
        let own = |it: &str| it.starts_with("observatory_") || it.starts_with("process_");
        self.0.retain(|series, _| !own(series));
        self
    }
}

/// The series with its labels sorted.
fn canonical(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let mut labels = split_labels(labels.strip_suffix('}').unwrap_or(labels));
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

/// `a="x",b="y\",z"` at the commas between labels.
fn split_labels(text: &str) -> Vec<&str> {
    let mut labels = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                labels.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    labels.push(&text[start..]);
    labels.retain(|it| !it.is_empty());
    labels
}
