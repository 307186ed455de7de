//! What the compiler asks of a node of the rule file.

use crate::yaml::{Kind, Node, Place};

impl Node {
    /// The words for a message.
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// A scalar's text, as it was written.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Bool(it) => Some(if *it { "true" } else { "false" }),
            Kind::Number(it) | Kind::Text(it) => Some(it),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Where byte `offset` of the node's text stands in the file, as far as that can be told: in a plain
    /// or quoted text on one line without escapes. Elsewhere the node itself.
    pub(super) fn place_of(&self, offset: usize, file: &str) -> Place {
        let Kind::Text(value) = &self.kind else { return self.at };
        let Some(written) = file.get(self.at.start..self.at.end) else { return self.at };
        let Some(skip) = written.find(value.as_str()) else { return self.at };
        let start = self.at.start + skip + offset.min(value.len());
        let len = value.get(offset..).and_then(|it| it.chars().next()).map_or(1, char::len_utf8);
        Place { start, end: start + len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;
    use crate::yaml::Duplicates;

    #[test]
    fn a_place_inside_a_text() {
        let text = "a: 'xy${z'";
        let root = yaml::parse(text, Duplicates::Kept).unwrap();
        let Kind::Map(entries) = root.kind else { panic!("no map") };
        assert_eq!(entries[0].1.place_of(2, text), Place { start: 6, end: 7 });
    }
}
