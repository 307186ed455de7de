//! Checking and testing alert rules.

use super::{Error, Session, read};
use crate::alerting::{self, RuleFile};
use crate::config::{KEYS, Key};
use crate::rules::RuleSet;
use crate::yaml::{self, Duplicates, Kind};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Reads the alert rules of a file and their tests, or tells what is wrong with them.
pub(super) fn load(text: &str, name: &str, session: &mut Session) -> Result<RuleFile, Error> {
    let findings = match alerting::parse_file(text) {
        Ok(it) => return Ok(it),
        Err(it) => it,
    };
    for (at, message) in &findings {
        let place = at.map(|it| it.position(text));
        let place = place.map(|it| format!("{}:{}: ", it.line, it.column));
        session.print(&format!("{name}:{}error: {message}", place.unwrap_or_default()))?;
    }
    let (errors, plural) = (findings.len(), if findings.len() == 1 { "" } else { "s" });
    Err(Error::Refused(format!("{name} has {errors} error{plural}")))
}

/// Checks `alerts.rules` and `alerts.tests` of a configuration file.
pub(super) fn check(text: &str, name: &str, session: &mut Session) -> Result<(), Error> {
    let RuleFile { rules, tests, .. } = load(text, name, session)?;
    session.print(&format!("{name}: {} alert rules, {} tests: ok", rules.len(), tests.len()))
}

/// Runs the tests of `file`; returns how many passed, and how many failed. `metrics` is the file of the metric rules, if
/// one was asked for.
pub(super) fn test(
    (file, path): (&RuleFile, Option<&Path>),
    metrics: Option<&Path>,
    session: &mut Session,
) -> Result<(usize, usize), Error> {
    // What the file itself names stands beside it.
    let beside = |it: &String| path.and_then(Path::parent).unwrap_or(Path::new("")).join(it);
    let named: Option<PathBuf> =
        metrics.map(Path::to_owned).or_else(|| file.metric_rules.as_ref().map(beside));
    let rules: RuleSet = super::load(named.as_deref(), session)?;
    let outcomes = alerting::run(file, &Arc::new(rules));
    let mut failed = 0;
    for it in &outcomes {
        failed += usize::from(!it.failures.is_empty());
        super::print_outcome(&it.name, &it.failures, session)?;
    }
    Ok((outcomes.len() - failed, failed))
}

/// Whether `text` is a configuration file, be there alert rules in it or not. Files of metric rules have a section
/// `metrics` as well.
pub(super) fn is_configuration(text: &str) -> bool {
    let section = |name: &str| {
        let has = |it: &Key| it.name.split('.').next() == Some(name);
        name != "metrics" && KEYS.iter().any(has)
    };
    let top = yaml::parse(text, Duplicates::Refused).ok().map(|it| it.kind);
    alerting::has_rules(text)
        || matches!(top, Some(Kind::Map(entries)) if entries.iter().any(|(key, _)| section(&key.name)))
}

/// The alert rules of the file at `path`; nothing if it is a file of metric rules.
pub(super) fn of_file(path: &Path, session: &mut Session) -> Result<Option<RuleFile>, Error> {
    let text = read(path)?;
    if !is_configuration(&text) {
        return Ok(None);
    }
    load(&text, &path.display().to_string(), session).map(Some)
}
