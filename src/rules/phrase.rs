//! A text with placeholders for whoever is no metric rule: the template language without maps and aliases.

use super::template;
use super::template::{Names, Scope, Template};
use crate::selector::{SyntaxError, View};
use hashbrown::HashMap;

/// A text with placeholders, such as `${project} failed on $branch`, to be filled from an event.
#[derive(Clone, Debug, Default)]
pub struct Phrase(Template);

impl Phrase {
    /// Compiles a text.
    ///
    /// # Errors
    ///
    /// A placeholder or a filter cannot be read.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let names = Names { maps: &HashMap::new(), aliases: &[], key: false, item: false };
        template::parse(text, names).map(Self)
    }

    /// The text with what `view` has for its placeholders; what is absent leaves nothing behind.
    #[must_use]
    pub fn fill(&self, view: &View<'_>) -> String {
        let mut res = String::new();
        self.0.write(Scope { view, aliases: &[], key: "", item: None }, &mut res);
        res
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, NewEvent, Time};

    #[test]
    fn phrases_are_filled_from_an_event() {
        let new = NewEvent {
            event_type: "build".into(),
            source: "ci".into(),
            data: r#"{"repo":"web","n":3}"#.into(),
            id: None,
            time: None,
            subject: None,
            trace: None,
        };
        let event = new.accept(Time::from_millis(0), || EventId::Generated(1));
        let check = |text: &str, expected: &str| {
            assert_eq!(Phrase::parse(text).unwrap().fill(&View::new(&event)), expected, "{text}");
        };
        check("${project, repo} failed $n times", "web failed 3 times");
        check("$gone${gone:-nobody}", "nobody");
        check("plain", "plain");
        check("$source: $type", "ci: build");
        assert!(Phrase::parse("${repo").unwrap_err().to_string().contains("not closed"));
    }
}
