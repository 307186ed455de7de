//! The settings as a file.

use super::keys::KEYS;
use super::load::Loaded;
use std::fmt::Write;

/// Writes the settings in force as YAML that could be the file, secrets replaced by `***`. With `origins`,
/// each line ends in a comment that says where the value came from.
#[must_use]
pub fn show(loaded: &Loaded, origins: bool) -> String {
    let mut res = String::new();
    let mut section = "";
    for key in KEYS {
        let (prefix, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if prefix != section && !prefix.is_empty() {
            let _ = writeln!(res, "{prefix}:");
        }
        section = prefix;
        let indent = if prefix.is_empty() { "" } else { "  " };
        let line = format!("{indent}{name}: {}", key.show(&loaded.settings));
        if origins {
            let from: Vec<_> = loaded.origins(key).iter().map(ToString::to_string).collect();
            let _ = writeln!(res, "{line:40} # {}", from.join(", "));
        } else {
            let _ = writeln!(res, "{line}");
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, Sources, load};
    use std::path::PathBuf;

    #[test]
    fn what_is_shown_can_be_read() {
        let file = "listen: ['[::1]:80', ':9091']\ndata_dir: 'a b'\nlog: {level: 'info,x=debug'}\n";
        let sources =
            Sources { file: Some((PathBuf::from("o.yml"), file.to_owned())), ..Sources::default() };
        let loaded = load(&sources).unwrap();
        let text = show(&loaded, true);
        let again =
            Sources { file: Some((PathBuf::from("o.yml"), text.clone())), ..Sources::default() };
        assert_eq!(
            load(&again).unwrap_or_else(|it| panic!("{text}\n{it}")).settings,
            loaded.settings
        );
        assert!(text.contains("# o.yml:1") && text.contains("# default"), "{text}");
    }

    /// The reference file with every setting switched on: a `#` right before a key is what holds it back.
    fn uncommented(text: &str) -> String {
        let line = |it: &str| match it.trim_start().strip_prefix('#') {
            Some(rest) if !rest.starts_with([' ', '#']) && !rest.is_empty() => {
                format!("{}{rest}\n", " ".repeat(it.len() - it.trim_start().len()))
            }
            _ => format!("{it}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn the_reference_file_is_the_defaults() {
        let text = uncommented(include_str!("../../observatory.yml"));
        let sources = Sources { file: Some((PathBuf::from("o.yml"), text)), ..Sources::default() };
        let loaded = load(&sources).unwrap_or_else(|it| panic!("{it}"));
        assert_eq!(loaded.settings, Settings::default());
        for key in KEYS.iter().filter(|it| it.name != "rules.file") {
            let origins = loaded.origins(key);
            assert!(
                matches!(origins, [crate::config::Origin::File(..)]),
                "{} is missing",
                key.name
            );
        }
        assert!(include_str!("../../observatory.yml").contains("\n  #file: null\n"));
    }

    #[test]
    fn keys_are_named_once() {
        let names: std::collections::BTreeSet<_> = KEYS.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), KEYS.len());
    }

    #[test]
    fn the_documentation_has_every_setting() {
        let docs = include_str!("../../docs/configuration.md");
        for key in KEYS {
            let default = key.show(&Settings::default());
            let flag = key.flag.map_or_else(|| "-".to_owned(), |it| format!("`{it}`"));
            let row = format!(
                "| `{}` | `{}` | {flag} | `{default}` | {} |",
                key.name,
                key.variable(),
                key.doc
            );
            assert!(docs.contains(&row), "docs/configuration.md lacks\n{row}");
        }
        for (name, doc) in crate::config::OTHER_VARIABLES {
            let row = format!("| `{name}` | {doc} |");
            assert!(docs.contains(&row), "docs/configuration.md lacks\n{row}");
        }
        let rows = docs.lines().filter(|it| it.starts_with("| `") && it.matches('|').count() == 6);
        assert_eq!(rows.count(), KEYS.len(), "docs/configuration.md has rows for unknown settings");
    }
}
