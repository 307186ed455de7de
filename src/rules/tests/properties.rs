//! Nothing that comes from outside makes it panic.

use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

static BUILTIN_RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::builtin);

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), "a: ".repeat(50_000), "{a: ".repeat(10_000)] {
        assert!(RuleSet::parse(&text).is_err());
    }
    for depth in [100, 1000, 1900, 5000] {
        let nested = format!("version: 1\ntests: {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(RuleSet::parse(&nested).is_err());
        let data = format!("{}1{}", "{a: ".repeat(depth), "}".repeat(depth));
        let test = format!(
            "version: 1\ntests: [{{name: n, events: [{{type: t, data: {data}}}], expect: 'a 1'}}]"
        );
        _ = RuleSet::parse(&test);
    }
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    assert!(RuleSet::parse(bomb).is_err());
}

proptest! {
    // Each case compiles a file.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_compiles_or_fails_politely(text in any::<String>()) {
        if let Err(it) = RuleSet::parse(&text) {
            prop_assert!(!it.is_empty());
            _ = it.to_string();
        }
    }

    #[test]
    fn any_edit_of_a_file_compiles_or_fails_politely(
        at in 0..4000usize, len in 0..40usize, insert in "[ -~\n\tä]{0,12}",
    ) {
        let text = include_str!("../testdata/example.yaml");
        let start = (at..).find(|it| text.is_char_boundary(*it)).unwrap();
        let end = (start + len..).find(|it| text.is_char_boundary(*it)).unwrap();
        let edited = format!("{}{insert}{}", &text[..start], &text[end..]);
        if let Err(it) = RuleSet::parse(&edited) {
            prop_assert!(it.error_count() > 0);
            _ = it.to_string();
        }
    }

    #[test]
    fn any_template_compiles_or_fails_politely(text in "[$a-z{}|:,.\\[\\]0-9()\"'\\\\ ä-]{0,30}") {
        let json = serde_json::to_string(&text).unwrap();
        let rules = format!(
            "version: 1\nmetrics: {{g: {{help: G., match: t, set: 1, labels: {{l: {json}}}}}}}\n"
        );
        if let Ok(set) = RuleSet::parse(&rules) {
            let mut out = Updates::default();
            set.evaluate(&event("t", r#"{"a":"x","b":[1,{"c":2}]}"#), &mut out);
            prop_assert_eq!(out.ops.len(), 1);
        }
    }

    #[test]
    fn any_event_is_evaluated(
        value in any::<String>(), number in any::<f64>(), event_type in "(ci|agent|quality|deployment)_[a-z_]{0,20}|.*",
    ) {
        let data = serde_json::json!({
            "project": value, "status": value, "agent_id": value, "duration_seconds": number, "score": value,
            "build_id": value, "request_id": value, "service": value, "environment": value, "passed": number,
        });
        let set = &*BUILTIN_RULES;
        let types = lint::KNOWN_TYPES.iter().map(|it| (*it).to_owned()).chain([event_type]);
        let mut out = Updates::default();
        for it in types {
            set.evaluate(&event(&it, &data.to_string()), &mut out);
        }
        for op in &out.ops {
            let (Change::Count(it) | Change::Set(it) | Change::Add(it) | Change::Observe(it)) = op.change;
            prop_assert!(it.is_finite());
            prop_assert!(!matches!(op.change, Change::Count(it) if it < 0.0));
            let labels = &set.families()[op.family as usize].labels;
            let names: Vec<_> = crate::labels::pairs(out.text(op.labels)).map(|it| it.0.to_owned()).collect();
            prop_assert_eq!(&names, labels);
        }
    }
}
