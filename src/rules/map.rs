//! Value maps: many spellings in, few words out.

use crate::selector::Glob;
use hashbrown::HashMap;

/// Texts up to this many bytes are looked up without an allocation.
const STACK_BYTES: usize = 128;

/// A compiled map. Case does not matter (ASCII). An exact spelling wins over a glob, then the first glob
/// in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueMap {
    outputs: Vec<String>,
    default: Option<String>,
    exact: HashMap<String, usize>,
    globs: Vec<(Glob, usize)>,
    canonical: String,
}

impl ValueMap {
    /// Lets `pattern` stand for `output`.
    pub(super) fn add(&mut self, output: &str, pattern: &str) -> Result<(), (usize, &'static str)> {
        let glob = Glob::parse(&pattern.to_ascii_lowercase())?;
        let at = self.outputs.iter().position(|it| it == output).unwrap_or_else(|| {
            self.outputs.push(output.to_owned());
            self.outputs.len() - 1
        });
        match glob.exact() {
            Some(text) => drop(self.exact.entry_ref(text).or_insert(at)),
            None => self.globs.push((glob, at)),
        }
        self.canonical.push_str(&format!("{output:?}={pattern:?};"));
        Ok(())
    }

    /// Sets what everything else becomes.
    pub(super) fn set_default(&mut self, output: &str) {
        self.canonical.push_str(&format!("_={output:?};"));
        self.default = Some(output.to_owned());
    }

    /// What `text` stands for; `None` if nothing matches and there is no default.
    pub(super) fn get(&self, text: &str) -> Option<&str> {
        let found = if text.bytes().any(|it| it.is_ascii_uppercase()) {
            self.find_lowered(text)
        } else {
            self.find(text)
        };
        found.and_then(|it| self.outputs.get(it)).or(self.default.as_ref()).map(String::as_str)
    }

    fn find_lowered(&self, text: &str) -> Option<usize> {
        let mut buffer = [0; STACK_BYTES];
        match buffer.get_mut(..text.len()) {
            Some(lower) => {
                lower.copy_from_slice(text.as_bytes());
                lower.make_ascii_lowercase();
                std::str::from_utf8(lower).ok().and_then(|it| self.find(it))
            }
            None => self.find(&text.to_ascii_lowercase()),
        }
    }

    fn find(&self, lower: &str) -> Option<usize> {
        let glob = || self.globs.iter().find(|(glob, _)| glob.matches(lower)).map(|(_, at)| *at);
        self.exact.get(lower).copied().or_else(glob)
    }

    /// The words that are listed; the default is not among them.
    pub(super) fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Everything that decides what comes out, as text.
    pub(super) fn canonical(&self) -> &str {
        &self.canonical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_before_globs_before_the_default() {
        let mut map = ValueMap::default();
        map.add("failure", "fail*").unwrap();
        map.add("flaky", "failed_once").unwrap();
        map.add("other_failure", "failed*").unwrap();
        assert_eq!(map.get("x"), None);
        map.set_default("other");
        for (text, expected) in [
            ("FAILED", "failure"),
            ("failed_once", "flaky"),
            ("Failed_Once", "flaky"),
            ("", "other"),
            ("ok", "other"),
        ] {
            assert_eq!(map.get(text), Some(expected), "{text}");
        }
        assert_eq!(map.get(&"FAIL".repeat(100)), Some("failure"));
        assert_eq!(map.outputs(), ["failure", "flaky", "other_failure"]);
    }
}
