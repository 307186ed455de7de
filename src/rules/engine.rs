//! From an event to updates.

use super::RuleSet;
use super::model::{Change, Edge, FamilySpec, Op, RuleError, SpanOp, TextRange, Updates};
use super::program::{Action, Rule, SpanEdge, Update, Value, Values, Verb};
use super::template::{Part, Scope, Template, number, truncate};
use crate::event::{Event, Value as Json};
use crate::labels;
use crate::selector::View;
use std::{borrow::Cow, sync::Arc};

/// Bytes of a span's key; what is longer is cut. Keys are ids, and open spans are held in memory.
const MAX_KEY_BYTES: usize = 512;

/// One evaluation of one event.
struct Run<'r, 'o> {
    set: &'r RuleSet,
    out: &'o mut Updates,
    /// Where the event's trace stands in `out.exemplars`, once something needed it.
    exemplar: Option<u32>,
}

pub(super) fn evaluate(set: &RuleSet, event: &Event<'_>, out: &mut Updates) {
    let candidates = set.candidates(&event.event_type);
    if candidates.is_empty() {
        let start = out.text.len();
        out.text.push_str(&event.event_type);
        let range = range(out, start);
        out.unmatched.push(range);
        return;
    }
    let view = View::new(event);
    let scope = Scope { view: &view, aliases: &set.aliases, key: "", item: None };
    let mut run = Run { set, out, exemplar: None };
    for at in candidates.iter() {
        if let Some(rule) = set.rules.get(*at as usize).filter(|it| matches(it, scope)) {
            run.apply(rule, scope);
        }
    }
}

/// Does what `rule` says, as if it matched.
pub(super) fn apply(set: &RuleSet, rule: &Rule, scope: Scope<'_, '_>, out: &mut Updates) {
    Run { set, out, exemplar: None }.apply(rule, scope);
}

fn matches(rule: &Rule, scope: Scope<'_, '_>) -> bool {
    rule.selectors.iter().any(|it| it.matches(&scope))
}

fn range(out: &Updates, start: usize) -> TextRange {
    let at = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    TextRange { start: at(start), end: at(out.text.len()) }
}

impl Run<'_, '_> {
    /// Does what a rule that matches says.
    fn apply(&mut self, rule: &Rule, scope: Scope<'_, '_>) {
        match &rule.action {
            Action::Span(it) => self.span(it, scope),
            Action::Update(it) => match &it.each {
                None => self.update(it, scope),
                Some(path) => match scope.view.value(path).as_deref() {
                    Some(array @ Json::Array(_)) => {
                        for item in &array.elements() {
                            self.update(it, Scope { item: Some(item), ..scope });
                        }
                    }
                    _ => self.out.errors.push((it.family, RuleError::Missing)),
                },
            },
        }
    }

    fn update(&mut self, update: &Update, scope: Scope<'_, '_>) {
        match &update.values {
            Values::One(value) => self.op(update, value, scope),
            Values::Keyed(entries) => {
                for (key, value) in entries {
                    self.op(update, value, Scope { key, ..scope });
                }
            }
        }
    }

    fn op(&mut self, update: &Update, value: &Value, scope: Scope<'_, '_>) {
        let change = value.eval(scope).and_then(|it| change(update.verb, it));
        let change = match change {
            Ok(it) => it,
            Err(error) => return self.out.errors.push((update.family, error)),
        };
        let Some(family) = self.set.families.get(update.family as usize) else { return };
        let labels = self.block(&family.labels, &update.labels, scope);
        let exemplar = match change {
            Change::Count(_) | Change::Observe(_) => self.exemplar(scope),
            Change::Set(_) | Change::Add(_) => None,
        };
        self.out.ops.push(Op { family: update.family, labels, change, exemplar });
    }

    fn span(&mut self, span: &SpanEdge, scope: Scope<'_, '_>) {
        let Some(spec) = self.set.families.get(span.family as usize) else { return };
        let (names, end_names) =
            spec.labels.split_at_checked(span.labels.len()).unwrap_or_default();
        let key = self.key(&span.key, scope);
        let duration = match span.end.as_ref().and_then(|it| it.duration.as_ref()) {
            Some(it) => self.duration(span.family, it, scope),
            None => None,
        };
        let Some(key) = key else { return self.keyless(span, spec, duration, scope) };
        let labels = self.block(names, &span.labels, scope);
        let edge = match &span.end {
            None => Edge::Start,
            Some(end) => {
                Edge::End { end_labels: self.block(end_names, &end.labels, scope), duration }
            }
        };
        let exemplar = self.exemplar(scope);
        let time = scope.view.event().time;
        self.out.spans.push(SpanOp { span: span.span, key, labels, edge, time, exemplar });
    }

    /// An end that says how long it took counts even if nothing tells which start it belongs to.
    fn keyless(
        &mut self,
        span: &SpanEdge,
        spec: &FamilySpec,
        duration: Option<f64>,
        scope: Scope<'_, '_>,
    ) {
        let (Some(end), Some(duration)) = (&span.end, duration) else {
            return self.out.errors.push((span.family, RuleError::Missing));
        };
        let start = self.out.text.len();
        let templates = span.labels.iter().chain(&end.labels);
        self.labels(spec.labels.iter().zip(templates), start, scope);
        let labels = range(self.out, start);
        let exemplar = self.exemplar(scope);
        let change = Change::Observe(duration);
        self.out.ops.push(Op { family: span.family, labels, change, exemplar });
    }

    /// The sender's figure. None is no error, but one that makes no sense is.
    fn duration(&mut self, family: u32, value: &Value, scope: Scope<'_, '_>) -> Option<f64> {
        let error = match value.eval(scope) {
            Ok(it) if it < 0.0 => RuleError::Negative,
            Ok(it) => return Some(it),
            Err(RuleError::Missing) => return None,
            Err(it) => it,
        };
        self.out.errors.push((family, error));
        None
    }

    fn key(&mut self, template: &Template, scope: Scope<'_, '_>) -> Option<TextRange> {
        let start = self.out.text.len();
        let found = template.write(scope, &mut self.out.text);
        let key = self.out.text.get(start..).unwrap_or_default();
        let len = if found { truncate(key, MAX_KEY_BYTES).len() } else { 0 };
        self.out.text.truncate(start + len);
        if len == 0 { None } else { Some(range(self.out, start)) }
    }

    fn block(
        &mut self,
        names: &[String],
        templates: &[Template],
        scope: Scope<'_, '_>,
    ) -> TextRange {
        let start = self.out.text.len();
        self.labels(names.iter().zip(templates), start, scope);
        range(self.out, start)
    }

    fn labels<'t>(
        &mut self,
        pairs: impl Iterator<Item = (&'t String, &'t Template)>,
        start: usize,
        scope: Scope<'_, '_>,
    ) {
        for (name, template) in pairs {
            self.label(name, template, start, scope);
        }
        labels::close(&mut self.out.text, start);
    }

    /// A placeholder that yields nothing becomes the text that stands for missing.
    fn label(&mut self, name: &str, template: &Template, start: usize, scope: Scope<'_, '_>) {
        let missing = self.set.defaults.missing.as_str();
        let mut room = self.set.defaults.max_label_bytes;
        let out = &mut self.out.text;
        if let [only] = template.parts.as_slice() {
            return labels::push(out, start, name, truncate(&part(only, scope, missing), room));
        }
        // Piece by piece what `labels::push` does at once: nothing is put together elsewhere first.
        out.push(if out.len() == start { '{' } else { ',' });
        out.push_str(name);
        out.push_str("=\"");
        for it in &template.parts {
            let text = part(it, scope, missing);
            let piece = truncate(&text, room);
            labels::escape_value(out, piece);
            room -= piece.len();
            if piece.len() < text.len() {
                break;
            }
        }
        out.push('"');
    }

    fn exemplar(&mut self, scope: Scope<'_, '_>) -> Option<u32> {
        let trace = scope.view.event().trace?;
        if self.exemplar.is_none() {
            self.exemplar = u32::try_from(self.out.exemplars.len()).ok();
            self.out.exemplars.push(trace);
        }
        self.exemplar
    }
}

fn part<'s>(part: &'s Part, scope: Scope<'s, '_>, missing: &'s str) -> Cow<'s, str> {
    match part {
        Part::Literal(it) => Cow::Borrowed(it),
        Part::Field(it) => it.label(scope, missing),
    }
}

fn change(verb: Verb, value: f64) -> Result<Change, RuleError> {
    Ok(match verb {
        Verb::Count if value < 0.0 => return Err(RuleError::Negative),
        Verb::Count => Change::Count(value),
        Verb::Set => Change::Set(value),
        Verb::Add => Change::Add(value),
        Verb::Sub => Change::Add(-value),
        Verb::Observe => Change::Observe(value),
    })
}

impl Value {
    /// The number. If no template yields one, the reason of the first that is not missing.
    fn eval(&self, scope: Scope<'_, '_>) -> Result<f64, RuleError> {
        let templates = match self {
            Self::Number(it) => return Ok(*it),
            Self::First(it) => it,
        };
        let mut res = Err(RuleError::Missing);
        for template in templates {
            match number(&template.text(scope)) {
                Ok(it) => return Ok(it),
                Err(RuleError::Missing) => {}
                Err(it) => res = Err(it),
            }
        }
        res
    }
}

impl RuleSet {
    /// The rules that an event of this type may match.
    fn candidates(&self, event_type: &str) -> Arc<[u32]> {
        self.types.get(event_type, || {
            let could = |it: &Rule| it.selectors.iter().any(|it| it.could_match_type(event_type));
            let found = (0..).zip(&self.rules).filter(|(_, rule)| could(rule));
            found.map(|(at, _)| at).collect()
        })
    }

    /// Seeds the cache with the types that the rules name, so that made-up types cannot keep them out.
    pub(super) fn seed(&self) {
        let globs = self.rules.iter().flat_map(|it| &it.selectors).map(|it| it.type_glob());
        for event_type in globs.filter_map(|it| it.exact()) {
            self.candidates(event_type);
        }
    }
}
