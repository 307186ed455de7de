//! What the boards of `grafana/dashboards` ask of Prometheus.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

/// Where a question stands: `overview: Builds (A)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The file without its extension.
    pub(crate) board: String,
    /// The title of a panel, `variable NAME` or `annotation NAME`.
    pub(crate) panel: String,
    /// The letter of the target; empty for what is no panel.
    pub(crate) target: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.board, self.panel)?;
        if self.target.is_empty() { Ok(()) } else { write!(f, " ({})", self.target) }
    }
}

/// How a question is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// At the end of the time that is shown.
    Instant,
    /// At each step of it.
    Range,
    /// The values of a label of what the expression selects.
    LabelValues(String),
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    /// With its template variables.
    pub(crate) expr: String,
    /// The description of its panel.
    pub(crate) description: String,
}

/// All questions of all boards, in the order of their files.
#[track_caller]
pub(crate) fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for file in files() {
        let board = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let json: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        all.extend(of_board(&board, &json));
    }
    let boards: BTreeSet<_> = all.iter().map(|it| it.place.board.clone()).collect();
    assert_eq!(boards.len(), 8, "{boards:?}");
    all
}

/// The boards, sorted.
fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards");
    let entries = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|it| it.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    files
}

fn of_board(board: &str, json: &Value) -> Vec<Question> {
    let place = |panel: &str, target: &str| Place {
        board: board.to_owned(),
        panel: panel.to_owned(),
        target: target.to_owned(),
    };
    let mut all = Vec::new();
    for it in list(&json["templating"]["list"]).iter().filter(|it| it["type"] == "query") {
        let query = text(&it["query"]);
        let inner = query.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
        let (expr, label) = inner.unwrap().rsplit_once(", ").unwrap();
        all.push(Question {
            place: place(&format!("variable {}", text(&it["name"])), ""),
            kind: Kind::LabelValues(label.to_owned()),
            expr: expr.to_owned(),
            description: text(&it["description"]).to_owned(),
        });
    }
    for it in list(&json["annotations"]["list"]) {
        all.push(Question {
            place: place(&format!("annotation {}", text(&it["name"])), ""),
            kind: Kind::Range,
            expr: text(&it["expr"]).to_owned(),
            description: String::new(),
        });
    }
    for panel in list(&json["panels"]).iter().filter(|it| it["type"] != "row") {
        for target in list(&panel["targets"]) {
            all.push(Question {
                place: place(text(&panel["title"]), text(&target["refId"])),
                kind: if target["instant"] == true { Kind::Instant } else { Kind::Range },
                expr: text(&target["expr"]).to_owned(),
                description: text(&panel["description"]).to_owned(),
            });
        }
    }
    all
}

#[track_caller]
fn list(it: &Value) -> &[Value] {
    it.as_array().map_or(&[], Vec::as_slice)
}

#[track_caller]
fn text(it: &Value) -> &str {
    it.as_str().unwrap_or_else(|| panic!("not a text: {it}"))
}
