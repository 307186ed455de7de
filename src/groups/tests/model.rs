//! Random pushes against a model that looks at everything every time.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Grouping, to family, to type and samples: label block without empty labels, and value.
type Families =
    BTreeMap<&'static str, (&'static str, Vec<(BTreeMap<&'static str, &'static str>, u8)>)>;

#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<usize, Families>);

const GROUPS: [(&str, &[(&str, &str)]); 5] = [
    ("job/j", &[("job", "j")]),
    ("job/j/x/1", &[("job", "j"), ("x", "1")]),
    ("job/j/x@base64/=", &[("job", "j")]),
    ("job/k", &[("job", "k")]),
    ("job/j/y/1", &[("job", "j"), ("y", "1")]),
];

const NAMES: [&str; 6] = ["m", "h", "h_count", "h_sum", "h_bucket", "m_count"];
const KINDS: [&str; 4] = ["gauge", "untyped", "histogram", "summary"];

#[derive(Clone, Debug)]
struct Step {
    op: Op,
    group: usize,
    /// Name, type, and per sample the values of x and y.
    families: BTreeMap<usize, Sent>,
}

/// Type, and per sample the values of x and y, and its own.
type Sent = (usize, Vec<(usize, usize, u8)>);

fn step() -> impl Strategy<Value = Step> {
    let sample = (0..3usize, 0..3usize, any::<u8>());
    let family = (0..KINDS.len(), prop::collection::vec(sample, 1..3));
    let families = prop::collection::btree_map(0..NAMES.len(), family, 0..3);
    let op = prop::sample::select(vec![Op::Put, Op::Put, Op::Post, Op::Post, Op::Delete]);
    (op, 0..GROUPS.len(), families).prop_map(|(op, group, families)| Step { op, group, families })
}

const VALUES: [&str; 3] = ["", "1", "2"];

/// As protobuf could send them: the text formats would fold some families into others.
fn families(step: &Step) -> Vec<Family> {
    let family = |(name, (kind, samples)): (&usize, &Sent)| {
        let kind = match KINDS[*kind] {
            "gauge" => Kind::Gauge,
            "untyped" => Kind::Untyped,
            "histogram" => Kind::Histogram,
            _ => Kind::Summary,
        };
        let metric = |(x, y, value): &(usize, usize, u8)| push::Metric {
            labels: vec![
                ("x".to_owned(), VALUES[*x].to_owned()),
                ("y".to_owned(), VALUES[*y].to_owned()),
            ],
            value: match kind {
                Kind::Histogram => push::Value::Histogram(Box::new(push::Histogram {
                    count: f64::from(*value),
                    ..push::Histogram::default()
                })),
                Kind::Summary => push::Value::Summary(push::Summary {
                    count: u64::from(*value),
                    ..push::Summary::default()
                }),
                _ => push::Value::Number(f64::from(*value)),
            },
            timestamp: None,
            created_ms: None,
            exemplar: None,
        };
        Family {
            name: NAMES[*name].to_owned(),
            help: String::new(),
            kind,
            unit: None,
            metrics: samples.iter().map(metric).collect(),
        }
    };
    step.families.iter().map(family).collect()
}

fn apply(world: &mut World, step: &Step) -> Result<(), String> {
    let path = format!("/metrics/{}", GROUPS[step.group].0);
    let grouping = push::grouping(&path, push::Options::default()).unwrap();
    world.apply(step.op, &grouping, families(step))
}

impl Model {
    /// The model after `step`; `None` if it is to be rejected.
    fn after(&self, step: &Step) -> Option<Self> {
        let mut res = self.clone();
        if step.op == Op::Delete {
            res.0.remove(&step.group);
            return Some(res);
        }
        let families = res.0.entry(step.group).or_default();
        if step.op == Op::Put {
            families.clear();
        }
        for (name, (kind, samples)) in &step.families {
            let samples = samples.iter().map(|(x, y, value)| {
                let own = [("x", VALUES[*x]), ("y", VALUES[*y])];
                let mut labels: BTreeMap<_, _> = own.into_iter().collect();
                labels.extend(GROUPS[step.group].1.iter().copied());
                if GROUPS[step.group].0.contains("x@base64") {
                    labels.insert("x", "");
                }
                labels.retain(|_, it| !it.is_empty());
                (labels, *value)
            });
            families.insert(NAMES[*name], (KINDS[*kind], samples.collect()));
        }
        res.is_consistent().then_some(res)
    }

    fn is_consistent(&self) -> bool {
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        let mut series = BTreeSet::new();
        let mut groups = BTreeSet::new();
        for (group, families) in &self.0 {
            if !groups.insert(GROUPS[*group].1) {
                return false;
            }
            for (name, (kind, samples)) in families {
                if *kinds.entry(name).or_insert(kind) != *kind {
                    return false;
                }
                if !samples.iter().all(|(labels, _)| series.insert((name, labels))) {
                    return false;
                }
            }
        }
        let collides = |name: &str| {
            let of = |suffix, of: &[&str]| {
                let base = name.strip_suffix(suffix).and_then(|it| kinds.get(it));
                base.is_some_and(|it| of.contains(it))
            };
            of("_count", &["histogram", "summary"])
                || of("_sum", &["histogram", "summary"])
                || of("_bucket", &["histogram"])
        };
        !kinds.keys().any(|it| collides(it))
    }

    fn samples(&self) -> BTreeSet<(String, BTreeMap<String, String>, u8)> {
        let all = self.0.values().flatten();
        let all = all.flat_map(|(name, (_, samples))| samples.iter().map(move |it| (name, it)));
        let owned = |(a, b): (&&str, &&str)| ((*a).to_owned(), (*b).to_owned());
        all.map(|(name, (labels, value))| {
            ((*name).to_owned(), labels.iter().map(owned).collect(), *value)
        })
        .collect()
    }
}

/// The families of the page, as the model has them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "values are bytes")]
fn shown(view: &View) -> BTreeSet<(String, BTreeMap<String, String>, u8)> {
    let page = page(view, &[], Format::TEXT);
    let families = parse::text(page.as_bytes(), parse::Limits::default()).unwrap();
    let mut res = BTreeSet::new();
    for family in families.iter().filter(|it| !it.name.starts_with("push_")) {
        let distribution = matches!(family.kind, Kind::Histogram | Kind::Summary);
        let suffix = if distribution { "_count" } else { "" };
        for it in &family.samples {
            if it.name == format!("{}{suffix}", family.name) {
                let labels = it.labels.iter().filter(|it| !it.1.is_empty()).cloned().collect();
                assert!(res.insert((family.name.clone(), labels, it.value as u8)));
            }
        }
    }
    res
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The index decides as a look at everything does, and the page is what the model has.
    #[test]
    fn the_index_agrees_with_a_full_recomputation(
        steps in prop::collection::vec(step(), 1..40),
        restart in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        let mut model = Model::default();
        for (at, step) in steps.iter().enumerate() {
            // A group that only failed stands there with its times, and its labels.
            let existed: BTreeSet<String> =
                world.groups.view().groups().iter().map(|it| it.label_block().to_owned()).collect();
            let result = apply(&mut world, step);
            for it in world.groups.view().groups() {
                let group = GROUPS.iter().position(|(path, _)| {
                    let path = push::grouping(&format!("/metrics/{path}"), push::Options::default());
                    path.unwrap().iter().eq(it.labels())
                });
                model.0.entry(group.unwrap()).or_default();
            }
            match model.after(step) {
                Some(after) => {
                    prop_assert!(result.is_ok(), "{step:?} rejected: {result:?}");
                    model = after;
                }
                None => {
                    prop_assert!(result.is_err(), "{step:?} accepted after {existed:?}");
                }
            }
            if at == restart.index(steps.len()) {
                world.reload();
            }
            prop_assert_eq!(shown(&world.groups.view()), model.samples());
            assert_valid(&world.groups.view());
        }
    }

    /// Without a check too the page is valid, and two readers see the same.
    #[test]
    fn without_a_check_the_page_is_valid(steps in prop::collection::vec(step(), 1..30)) {
        let mut world = World::with(Config { check: false, ..Config::default() });
        for step in &steps {
            let _ = apply(&mut world, step);
            assert_valid(&world.groups.view());
        }
        // The marks that make a page look closer are gone after a restart, and with them an order.
        let sorted = |world: &World| {
            let mut samples = world.samples();
            samples.sort();
            samples
        };
        let before = sorted(&world);
        world.reload();
        prop_assert_eq!(sorted(&world), before);
    }
}
