//! The documentation says what is, and all of it.

use super::*;

const DOCS: &str = include_str!("../../../docs/rules.md");

/// The YAML examples; those that are a part of a file get the version.
fn examples() -> impl Iterator<Item = String> {
    let blocks = DOCS.split("```yaml\n").skip(1).map(|it| it.split("```").next().unwrap());
    blocks.map(
        |it| if it.starts_with("version:") { it.to_owned() } else { format!("version: 1\n{it}") },
    )
}

#[test]
fn every_example_compiles_and_passes_its_tests() {
    assert!(examples().count() > 15);
    for text in examples() {
        let set = RuleSet::parse(&text).unwrap_or_else(|it| panic!("{it}\n{text}"));
        fold::run_tests(&set);
    }
}

#[test]
fn every_key_and_filter_is_documented() {
    for name in compile::keys().chain(template::filter_names()) {
        let (quoted, default) = (format!("`{name}"), format!("\n  {name}: "));
        let found = DOCS.contains(&quoted) || DOCS.contains(&default);
        assert!(found, "`{name}` is not in docs/rules.md");
    }
}

#[test]
fn every_builtin_metric_is_documented() {
    let set = RuleSet::builtin();
    let spans = set.spans().iter().map(|it| format!("| `{}` |", it.name));
    let metrics = set.families().iter().take(set.spans()[0].duration).map(|it| {
        let labels: Vec<_> = it.labels.iter().map(|it| format!("`{it}`")).collect();
        format!("| `{}` | {} |", it.name, labels.join(" "))
    });
    for row in metrics.chain(spans) {
        assert!(DOCS.contains(&row), "{row} is not in docs/rules.md");
    }
}
