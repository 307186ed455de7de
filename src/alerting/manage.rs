//! What people do: rules, silences, acknowledgements; and what they look up.

use super::engine::{CHANGED, Engine, Origin, REMOVED, Ruled, SWITCHED_OFF, Silenced};
use super::shipped::id_of;
use super::table;
use super::table::{Entry, Instance, StoredRule};
use super::{Alerting, AlertingError};
use crate::alerts::{
    Acknowledgement, Alert, Change, Compiled, FieldError, Matcher, Phase, Rule, Silence,
    fingerprint,
};
use crate::event::Time;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// The most rules there may be.
const MAX_RULES: usize = 5000;
/// How long an expired silence stays listed. As Alertmanager's `--data.retention`.
const KEEP_SILENCE: Duration = Duration::from_hours(120);
/// Bytes of what somebody says, and of who it is: both are kept, and told to people.
const MAX_COMMENT_BYTES: usize = 4096;
const MAX_AUTHOR_BYTES: usize = 256;
/// History entries that are removed at once.
const SWEEP_AT_ONCE: usize = 1000;

/// A rule as it is listed.
#[derive(Clone, Debug)]
pub struct RuleView {
    /// The rule.
    pub rule: Rule,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was made; when the process began, if it comes from no person.
    pub created: Time,
    /// When it was last changed.
    pub updated: Time,
    /// Its alerts that are pending or fire.
    pub alerts: Vec<Alert>,
}

/// An alert that somebody else found.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalAlert {
    /// Its labels. Never empty.
    pub labels: BTreeMap<String, String>,
    /// What people read.
    pub annotations: BTreeMap<String, String>,
    /// When it began, if the sender knows.
    pub starts: Option<Time>,
    /// When it is over, or was. `None`: when it is not sent again for the resolve timeout.
    pub ends: Option<Time>,
    /// Where it comes from.
    pub generator: String,
}

impl Alerting {
    /// All rules, by id.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleView> {
        let engine = self.lock();
        let shown =
            engine.rules.values().filter(|it| it.origin != Origin::External && !it.stored.removed);
        shown.map(view).collect()
    }

    /// The rule with this id or name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn rule(&self, id: &str) -> Result<RuleView, AlertingError> {
        let engine = self.lock();
        let id = rule_id(&engine, id)?;
        engine.rules.get(&id).map(view).ok_or_else(|| no_rule(&id))
    }

    /// Makes a rule. It is on disk and evaluated when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// It is wrong, there is one of that name, there are too many, or the store cannot be written.
    pub fn create_rule(&self, rule: Rule, now: Time) -> Result<RuleView, AlertingError> {
        let mut random = [0; 6];
        getrandom::fill(&mut random)?;
        let id = random.iter().fold(String::from("rule-"), |acc, it| acc + &format!("{it:02x}"));
        let rule = Rule { id: id.clone(), ..rule };
        self.change(now, |engine| {
            if engine.rules.len() >= MAX_RULES {
                return Err(invalid(
                    "name",
                    format!("there are {MAX_RULES} rules, which is as many as there may be"),
                ));
            }
            put_rule(engine, rule, now, now)?;
            engine.rules.get(&id).map(view).ok_or_else(|| no_rule(&id))
        })
    }

    /// Changes the fields of a rule that `changes` has. Alerts stay, unless the rule then means something else. Blocking.
    ///
    /// # Errors
    ///
    /// There is no such rule, it would be wrong, its name is taken, or the store cannot be written.
    pub fn update_rule(
        &self,
        id: &str,
        changes: &Value,
        now: Time,
    ) -> Result<RuleView, AlertingError> {
        self.change(now, |engine| {
            let id = rule_id(engine, id)?;
            let ruled = engine.rules.get(&id).ok_or_else(|| no_rule(&id))?;
            let rule = ruled.compiled.rule.with_changes(changes).map_err(AlertingError::Invalid)?;
            let created = ruled.stored.created;
            put_rule(engine, rule, created, now)?;
            engine.rules.get(&id).map(view).ok_or_else(|| no_rule(&id))
        })
    }

    /// Removes a rule; its alerts are over. One that is shipped or of the configuration stays away until somebody makes it
    /// again by changing it. Blocking.
    ///
    /// # Errors
    ///
    /// There is no such rule, or the store cannot be written.
    pub fn remove_rule(&self, id: &str, now: Time) -> Result<RuleView, AlertingError> {
        self.change(now, |engine| {
            let id = rule_id(engine, id)?;
            let removed = engine.rules.get(&id).map(view).ok_or_else(|| no_rule(&id))?;
            engine.end(&id, REMOVED, now);
            let key = table::key(table::RULE, &id);
            let given = id_is_given(&id, &self.shared.config.rules, self.shared.config.shipped);
            if given && let Some(ruled) = engine.rules.get_mut(&id) {
                ruled.stored.removed = true;
                ruled.stored.updated = now;
                engine.round.others.insert(key, Some(table::encode(&ruled.stored)));
            } else {
                engine.rules.remove(&id);
                engine.round.others.insert(key, None);
            }
            Ok(removed)
        })
    }

    /// All alerts that are pending or fire, the newest first.
    #[must_use]
    pub fn alerts(&self, now: Time) -> Vec<Alert> {
        let mut res = self.lock().alerts(now);
        res.sort_by(|a, b| (b.starts_at, &a.id).cmp(&(a.starts_at, &b.id)));
        res
    }

    /// Entries of the history from before `before`, the newest first, that `wanted` says yes to; at most `limit`. With the key
    /// to go on from, if there may be more. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn history(
        &self,
        before: Option<&[u8]>,
        limit: usize,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> Result<(Vec<Entry>, Option<Vec<u8>>), AlertingError> {
        let mut res = Vec::new();
        for entry in self.shared.table.prefix(&[table::HISTORY]).rev() {
            let (key, value) = entry?;
            if before.is_some_and(|it| key.as_slice() >= it) {
                continue;
            }
            let entry: Entry = table::decode(&key, &value)?;
            if wanted(&entry) {
                res.push(entry);
            }
            if res.len() >= limit {
                return Ok((res, Some(key)));
            }
        }
        Ok((res, None))
    }

    /// How many entries of the history `wanted` says yes to, of the newest `most`; and whether those are all. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn count(
        &self,
        most: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<(usize, bool), AlertingError> {
        let (mut n, mut looked_at) = (0, 0);
        for entry in self.shared.table.prefix(&[table::HISTORY]).rev() {
            if looked_at == most {
                return Ok((n, false));
            }
            let (key, value) = entry?;
            n += usize::from(wanted(&table::decode(&key, &value)?));
            looked_at += 1;
        }
        Ok((n, true))
    }

    /// Takes an alert on: nobody is told of it again. On disk when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// No such alert is pending or fires, or the store cannot be written.
    pub fn acknowledge(
        &self,
        id: &str,
        (by, comment): (&str, &str),
        now: Time,
    ) -> Result<Alert, AlertingError> {
        let acknowledgement =
            Acknowledgement { by: by.to_owned(), at: now, comment: comment.to_owned() };
        self.by_hand((id, "acknowledged"), (by, comment), now, |_, it| {
            it.state.acknowledged = Some(acknowledgement);
            None
        })
    }

    /// Says that an alert is over. It fires again when its condition has ceased to hold and holds anew. On disk when this
    /// returns. Blocking. One that was resolved before stays as it is, and is returned.
    ///
    /// # Errors
    ///
    /// There is no such alert, or the store cannot be written.
    pub fn resolve(&self, id: &str, said: (&str, &str), now: Time) -> Result<Alert, AlertingError> {
        let resolved = self.by_hand((id, "resolved"), said, now, |compiled, it| {
            it.latched = false;
            it.until = it.until.map(|_| now);
            let change = it.state.resolve(&compiled.timing, now);
            if matches!(compiled.condition, crate::alerts::Condition::Event { .. }) {
                it.state.release();
            }
            change
        });
        match resolved {
            Err(AlertingError::NotFound { .. }) => {
                let (mut past, _) = self.history(None, 1, |it| it.alert.id == id)?;
                past.pop().map(|it| it.alert).ok_or_else(|| no_alert(id))
            }
            other => other,
        }
    }

    fn by_hand(
        &self,
        (id, action): (&str, &str),
        (by, comment): (&str, &str),
        now: Time,
        change: impl FnOnce(&Compiled, &mut Instance) -> Option<Change>,
    ) -> Result<Alert, AlertingError> {
        bounded(by, comment)?;
        self.change(now, |engine| {
            let (rule, block) = engine.find(id).ok_or_else(|| no_alert(id))?;
            let entry = |alert| Entry {
                at: now,
                change: None,
                action: Some(action.to_owned()),
                by: Some(by.to_owned()),
                comment: comment.to_owned(),
                reason: None,
                alert,
            };
            engine.by_hand((&rule, &block), now, change, entry).ok_or_else(|| no_alert(id))
        })
    }

    /// Keeps people from being told of one alert for so long: a silence of all its labels. On disk when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// No such alert is pending or fires, or the store cannot be written.
    pub fn silence_alert(
        &self,
        id: &str,
        duration: Duration,
        (by, comment): (&str, &str),
        now: Time,
    ) -> Result<(Alert, Silence), AlertingError> {
        let alert = self
            .lock()
            .alerts(now)
            .into_iter()
            .find(|it| it.id == id)
            .ok_or_else(|| no_alert(id))?;
        let matchers = alert
            .labels
            .iter()
            .filter(|it| !it.1.is_empty())
            .map(|(name, it)| Matcher::equal(name, it));
        let silence = self.put_silence(
            Silence {
                id: String::new(),
                matchers: matchers.collect(),
                starts_at: now,
                ends_at: now.saturating_add(duration),
                created_by: by.to_owned(),
                comment: comment.to_owned(),
                updated_at: now,
            },
            now,
        )?;
        let alert = self.lock().alerts(now).into_iter().find(|it| it.id == id).unwrap_or(alert);
        Ok((alert, silence))
    }

    /// Takes alerts that somebody else found. They are on disk, if anything changed, when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn take(&self, alerts: Vec<ExternalAlert>, now: Time) -> Result<(), AlertingError> {
        let timeout = self.shared.config.resolve_timeout;
        self.change(now, |engine| {
            for it in alerts {
                let ends = it.ends.unwrap_or_else(|| now.saturating_add(timeout));
                let instance = Instance {
                    labels: it.labels,
                    annotations: it.annotations,
                    latched: ends > now,
                    starts: it.starts,
                    until: Some(ends),
                    generator: it.generator,
                    ..Instance::default()
                };
                engine.external(instance, now);
            }
            Ok(())
        })
    }

    /// Where the alert that somebody else sent comes from, and when it was last sent to be over; for the API of Alertmanager.
    #[must_use]
    pub fn origin_of(&self, alert: &Alert) -> (String, Option<Time>) {
        let engine = self.lock();
        let instances =
            engine.rules.get(&alert.rule_id).into_iter().flat_map(|it| it.instances.values());
        let found = instances.into_iter().find(|it| fingerprint(&it.labels) == alert.fingerprint);
        found.map(|it| (it.generator.clone(), it.until)).unwrap_or_default()
    }

    /// Removes what is too old: history, and silences that ended.
    pub(super) fn sweep(&self, now: Time) -> Result<(), AlertingError> {
        let mut engine = self.lock();
        let old = |it: &Silenced| now >= it.silence.ends_at.saturating_add(KEEP_SILENCE);
        let gone: Vec<_> =
            engine.silences.iter().filter(|it| old(it.1)).map(|it| it.0.clone()).collect();
        for id in gone {
            engine.silences.remove(&id);
            engine.round.others.insert(table::key(table::SILENCE, &id), None);
        }
        if let Some(retention) = self.shared.config.retention {
            let until = now.saturating_sub(retention);
            for entry in self.shared.table.prefix(&[table::HISTORY]).take(SWEEP_AT_ONCE) {
                let (key, _) = entry?;
                if table::history_time(&key).is_none_or(|it| it >= until) {
                    break;
                }
                engine.round.others.insert(key, None);
            }
        }
        Ok(())
    }
}

fn view(ruled: &Ruled) -> RuleView {
    let active = ruled.instances.values().filter(|it| it.state.phase != Phase::Inactive);
    RuleView {
        rule: ruled.compiled.rule.clone(),
        origin: ruled.origin,
        created: ruled.stored.created,
        updated: ruled.stored.updated,
        alerts: active.map(|it| super::engine::alert(&ruled.compiled, it)).collect(),
    }
}

/// Puts a compiled rule in force, and into the round.
fn put_rule(
    engine: &mut Engine,
    rule: Rule,
    created: Time,
    now: Time,
) -> Result<(), AlertingError> {
    let taken = |it: &Ruled| {
        !it.stored.removed && it.compiled.rule.name == rule.name && it.compiled.rule.id != rule.id
    };
    if engine.rules.values().any(taken) {
        return Err(AlertingError::Exists(rule.name));
    }
    let compiled = Compiled::new(rule.clone()).map_err(AlertingError::Invalid)?;
    let id = rule.id.clone();
    let stored = StoredRule { rule, created, updated: now, removed: false };
    let old = engine.rules.get(&id);
    let same =
        old.is_some_and(|it| it.compiled.meaning == compiled.meaning) && compiled.rule.enabled;
    if !same {
        let reason = if compiled.rule.enabled { CHANGED } else { SWITCHED_OFF };
        engine.end(&id, reason, now);
    }
    engine.round.others.insert(table::key(table::RULE, &id), Some(table::encode(&stored)));
    let mut ruled = Ruled::new(compiled, Origin::Api, stored);
    if let Some(old) = engine.rules.remove(&id) {
        ruled.instances = old.instances;
    }
    engine.rules.insert(id, ruled);
    Ok(())
}

/// Whether the rule would come back at the next start by itself.
fn id_is_given(id: &str, configured: &[Rule], shipped: bool) -> bool {
    configured.iter().any(|it| it.id == id)
        || (shipped && super::shipped().iter().any(|it| it.id == id))
}

fn rule_id(engine: &Engine, id: &str) -> Result<String, AlertingError> {
    let there = |it: &&Ruled| it.origin != Origin::External && !it.stored.removed;
    if engine.rules.get(id).filter(there).is_some() {
        return Ok(id.to_owned());
    }
    let named = engine
        .rules
        .values()
        .filter(there)
        .find(|it| it.compiled.rule.name == id || id_of(&it.compiled.rule.name) == id);
    named.map(|it| it.compiled.rule.id.clone()).ok_or_else(|| no_rule(id))
}

/// Whether somebody says no more than is kept.
pub(super) fn bounded(by: &str, comment: &str) -> Result<(), AlertingError> {
    let texts = [("author", by, MAX_AUTHOR_BYTES), ("comment", comment, MAX_COMMENT_BYTES)];
    match texts.into_iter().find(|it| it.1.len() > it.2) {
        Some((field, text, max)) => {
            Err(invalid(field, format!("has {} bytes, and may have {max}", text.len())))
        }
        None => Ok(()),
    }
}

pub(super) fn invalid(field: &str, reason: impl Into<String>) -> AlertingError {
    AlertingError::Invalid(vec![FieldError { field: field.to_owned(), reason: reason.into() }])
}

fn no_rule(id: &str) -> AlertingError {
    AlertingError::NotFound { what: "alert rule", id: id.to_owned() }
}

fn no_alert(id: &str) -> AlertingError {
    AlertingError::NotFound { what: "alert", id: id.to_owned() }
}
