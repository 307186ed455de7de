//! Buckets.

use super::Compiler;
use crate::rules::duration;
use crate::rules::model::{HistogramSpec, NativeSpec};
use crate::rules::table::{self, Table};
use crate::yaml::{Kind, Node, Place};

/// For durations in seconds: what is measured by events lasts from a second to hours.
const SECONDS: [f64; 12] =
    [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 4800.0, 9600.0];
/// Buckets that grow by 9 %, at most 160 of them.
const NATIVE: NativeSpec =
    NativeSpec { schema: 3, zero_threshold: 2.938_735_877_055_719e-39, max_buckets: 160 };
/// Buckets that a classic histogram may have: each is a series.
const MAX_BOUNDS: usize = 100;
pub(super) const NATIVE_KEYS: &[&str] = &["schema", "zero_threshold", "max_buckets"];

impl Compiler<'_> {
    /// The buckets of the histogram `name`, from the keys `buckets` and `native`.
    pub(super) fn histogram(&mut self, name: &str, at: Place, table: Table<'_>) -> HistogramSpec {
        let seconds = name.ends_with("_seconds");
        let native = match table.get("native") {
            Some(it) => self.native(it),
            None => seconds.then_some(NATIVE),
        };
        let bounds = match table.get("buckets") {
            Some(it) => self.bounds(it, seconds),
            None if seconds => SECONDS.to_vec(),
            None => Vec::new(),
        };
        if bounds.is_empty() && native.is_none() {
            let message =
                "give `buckets`, or `native: true`: there is a default for `_seconds` only";
            self.report.error(at, message);
        }
        HistogramSpec { bounds: bounds.into(), native }
    }

    fn native(&mut self, node: &Node) -> Option<NativeSpec> {
        match node.kind {
            Kind::Bool(it) => return it.then_some(NATIVE),
            Kind::Map(_) => {}
            _ => {
                let message = "expected `true`, `false` or a map with `schema`, `max_buckets`";
                self.report.error(node.at, message);
                return None;
            }
        }
        let report = &mut self.report;
        let table = Table::new(node, node.at, NATIVE_KEYS, report)?;
        let schema = match table.get("schema").map(|it| (it.scalar().map(str::parse::<i8>), it.at))
        {
            None => NATIVE.schema,
            Some((Some(Ok(it @ -4..=8)), _)) => it,
            Some((_, at)) => {
                report.error(at, "the schema is a whole number from -4 to 8");
                NATIVE.schema
            }
        };
        let zero = table.number("zero_threshold", report).unwrap_or(NATIVE.zero_threshold);
        if zero < 0.0 {
            report.error(node.at, "the zero threshold is not negative");
        }
        let max_buckets = table.count("max_buckets", report).unwrap_or(NATIVE.max_buckets);
        Some(NativeSpec { schema, zero_threshold: zero, max_buckets })
    }

    fn bounds(&mut self, node: &Node, seconds: bool) -> Vec<f64> {
        let mut res: Vec<f64> = Vec::new();
        for item in table::items(node, &mut self.report) {
            let Some(bound) = self.bound(item, seconds) else { continue };
            if res.last().is_some_and(|it| *it >= bound) {
                self.report.error(item.at, "the buckets are not in ascending order");
            }
            res.push(bound);
        }
        if res.len() > MAX_BOUNDS {
            self.report.error(node.at, format!("a histogram has at most {MAX_BOUNDS} buckets"));
        }
        res
    }

    fn bound(&mut self, node: &Node, seconds: bool) -> Option<f64> {
        let found = match &node.kind {
            Kind::Number(it) => it.parse().ok().filter(|it: &f64| it.is_finite()),
            Kind::Text(it) if seconds => duration::parse(it).map(|it| it.as_secs_f64()),
            _ => None,
        };
        if found.is_none() {
            let message = match seconds {
                true => "expected a number or a duration such as `30s` or `1h20m`",
                false => "expected a number; `+Inf` is there by itself",
            };
            self.report.error(node.at, message);
        }
        found
    }
}
