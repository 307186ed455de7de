//! From the text of a template to its parts.

use super::{Alias, Filter, Part, Placeholder, Source, Template};
use crate::rules::{map::ValueMap, report::did_you_mean};
use crate::selector::{Cursor, DataPath, Path, SyntaxError};
use hashbrown::HashMap;
use std::sync::Arc;

/// The names that mean something in a template, at the place where it stands.
#[derive(Clone, Copy)]
pub(in crate::rules) struct Names<'n> {
    pub(in crate::rules) maps: &'n HashMap<String, Arc<ValueMap>>,
    pub(in crate::rules) aliases: &'n [Alias],
    /// Whether `$key` is bound.
    pub(in crate::rules) key: bool,
    /// Whether `$item` is bound.
    pub(in crate::rules) item: bool,
}

/// Compiles a template.
pub(in crate::rules) fn parse(text: &str, names: Names<'_>) -> Result<Template, SyntaxError> {
    let mut cursor = Cursor::new(text);
    let mut parts = Vec::new();
    let mut literal = String::new();
    loop {
        literal.push_str(cursor.take_while(|it| it != '$'));
        if cursor.is_done() {
            break;
        }
        let start = cursor.at();
        cursor.bump();
        if cursor.eat("$") {
            literal.push('$');
            continue;
        }
        let field = if cursor.eat("{") {
            braces(&mut cursor, start, names)?
        } else {
            let path = cursor.path(false).map_err(|it| {
                cursor.error_at(it.offset, "expected a name after `$`; write `$$` for a dollar")
            })?;
            Placeholder { sources: vec![source(path, names)], default: None, filters: Vec::new() }
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Field(field));
    }
    if !literal.is_empty() || parts.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(Template { parts })
}

fn braces(
    cursor: &mut Cursor<'_>,
    start: usize,
    names: Names<'_>,
) -> Result<Placeholder, SyntaxError> {
    let mut sources = Vec::new();
    loop {
        cursor.skip_space();
        sources.push(source(cursor.path(true)?, names));
        cursor.skip_space();
        if !cursor.eat(",") {
            break;
        }
    }
    let default = if cursor.eat(":-") { Some(default(cursor)?) } else { None };
    let mut filters = Vec::new();
    loop {
        cursor.skip_space();
        if cursor.eat("}") {
            return Ok(Placeholder { sources, default, filters });
        }
        if cursor.is_done() {
            return Err(cursor.error_at(start, "the `${` is not closed"));
        }
        if !cursor.eat("|") {
            return Err(cursor.error("expected `,`, `:-`, `|` or `}`"));
        }
        cursor.skip_space();
        filters.push(filter(cursor, names)?);
    }
}

fn default(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    cursor.skip_space();
    match cursor.peek() {
        Some('"' | '\'') => cursor.quoted(),
        _ => Ok(cursor.take_while(|it| it != '|' && it != '}').trim_end().to_owned()),
    }
}

fn source(path: Path, names: Names<'_>) -> Source {
    if let Some(name) = path.plain_name() {
        if names.key && name == "key" {
            return Source::Key;
        }
        if let Some(at) = names.aliases.iter().position(|it| it.name == name) {
            return Source::Alias(at);
        }
    }
    match path {
        Path::Data(DataPath { explicit: false, head, steps }) if names.item && head == "item" => {
            Source::Item(steps)
        }
        path => Source::Path(path),
    }
}

fn filter(cursor: &mut Cursor<'_>, names: Names<'_>) -> Result<Filter, SyntaxError> {
    let at = cursor.at();
    let name = cursor.take_while(|it| it.is_alphanumeric() || it == '_' || it == '-');
    if let Some(map) = names.maps.get(name) {
        return Ok(Filter::Map(name.to_owned(), Arc::clone(map)));
    }
    if let Some(filter) = Filter::plain(name) {
        return Ok(filter);
    }
    if Filter::with_number(name, 1).is_none() {
        let mut known: Vec<&str> = Filter::names().collect();
        known.extend(names.maps.keys().map(String::as_str));
        let hint = did_you_mean(name, known.into_iter());
        let message = format!("no filter and no map is called `{name}`{hint}");
        return Err(cursor.error_at(at, message));
    }
    let digits = if cursor.eat("(") { cursor.take_while(|it| it.is_ascii_digit()) } else { "" };
    let number = digits.parse().ok().filter(|it| *it > 0);
    let message = format!("`{name}` takes a number: `{name}(20)`");
    let number = number.filter(|_| cursor.eat(")")).ok_or_else(|| cursor.error_at(at, message))?;
    Filter::with_number(name, number).ok_or_else(|| cursor.error_at(at, "unknown filter"))
}
