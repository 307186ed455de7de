//! `observatory import pushgateway`: the groups of a running Pushgateway, as they are.
//!
//! Its JSON says which metric belongs to which group and when that was pushed; its protobuf page has the
//! metrics without loss. The bytes of every metric are handed on as they came, one push per group.

use super::super::client::{self, Client};
use super::super::push;
use super::super::{Error, Session};
use crate::event::Time;
use crate::push::{RawFamily, raw_families};
use reqwest::{Method, header};
use serde::Deserialize;
use std::{collections::BTreeMap, collections::HashMap};

/// Take over the groups of a running Pushgateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads all groups of the Pushgateway at URL and pushes each to the server under --url, with the time at which it was last pushed. A group that was pushed to the server more recently stays as it is there, so that an import can be repeated. Nothing is changed at the Pushgateway. A URL may have a user and a password: http://user:password@host:9091.

The token needs the role control. Prints how many groups were taken over, and exits with 1 if one was refused.

Examples:
  observatory import pushgateway http://pushgateway:9091
  observatory import pushgateway http://pushgateway:9091 --url http://127.0.0.1:9092")]
pub(in super::super) struct Args {
    /// The Pushgateway, with its route prefix if it has one
    #[arg(value_name = "URL")]
    source: String,
    #[command(flatten)]
    server: client::Args,
}

const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
/// Its groups may change between the two questions; then both are asked again.
const ATTEMPTS: usize = 5;

/// Names and values, sorted by name.
type Labels = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
struct Answer {
    data: Vec<Group>,
}

/// A group, with its families below their names.
#[derive(Debug, Deserialize)]
struct Group {
    labels: Labels,
    #[serde(flatten)]
    families: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Family {
    metrics: Vec<Metric>,
}

#[derive(Debug, Deserialize)]
struct Metric {
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    value: String,
}

/// A group as it is pushed again.
#[derive(Debug)]
struct Taken {
    labels: Labels,
    pushed: f64,
    body: Vec<u8>,
    metrics: usize,
}

#[derive(Debug, Default)]
struct Tally {
    groups: usize,
    metrics: usize,
    newer: usize,
    refused: usize,
}

/// Seconds by which a time may differ that went through a number of seconds.
const ROUNDING: f64 = 0.001;

const PUSHED: &str = "push_time_seconds";
const FAILED: &str = "push_failure_time_seconds";

/// Imports what `args` say.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let target = Client::new(&args.server, session)?;
    // The token is for our server, not for theirs.
    let source =
        client::Args { url: Some(args.source.clone()), token: None, timeout: args.server.timeout };
    let source = Client::new(&source, session)?.without_token();
    client::block_on(import(&source, &target, session))
}

async fn import(source: &Client, target: &Client, session: &mut Session) -> Result<(), Error> {
    let groups = read(source).await?;
    let here = list(target).await?;
    let here: HashMap<&Labels, f64> = here.iter().map(|it| (&it.labels, it.pushed())).collect();
    let mut tally = Tally::default();
    for group in &groups {
        if here.get(&group.labels).is_some_and(|it| *it >= group.pushed - ROUNDING) {
            tally.newer += 1;
            continue;
        }
        match put(target, group).await {
            Ok(()) => {
                tally.groups += 1;
                tally.metrics += group.metrics;
            }
            Err(Error::Refused(why)) => {
                session.note(&format!("{:?}: {why}", group.labels));
                tally.refused += 1;
            }
            Err(err) => return Err(err),
        }
    }
    let Tally { groups, metrics, newer, refused } = tally;
    session.print(&format!(
        "took over {groups} groups with {metrics} metrics, newer here {newer}, refused {refused}"
    ))?;
    if refused > 0 { Err(Error::Refused(String::new())) } else { Ok(()) }
}

async fn list(client: &Client) -> Result<Vec<Group>, Error> {
    let body = client.bytes(client.request(Method::GET, "/api/v1/metrics")).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|err| {
        Error::Unavailable(format!("{} does not answer as a Pushgateway: {err}", client.base()))
    })?;
    Ok(answer.data)
}

/// All groups of the Pushgateway that have ever been pushed with success.
async fn read(source: &Client) -> Result<Vec<Taken>, Error> {
    let mut last = Vec::new();
    for _ in 0..ATTEMPTS {
        let groups = list(source).await?;
        let request = source.request(Method::GET, "/metrics").header(header::ACCEPT, PROTOBUF);
        let request = request.header(header::ACCEPT, format!("{PROTOBUF};escaping=allow-utf-8"));
        let page = source.bytes(request).await?;
        let families = raw_families(&page).map_err(|err| {
            Error::Unavailable(format!("{} shows no readable metrics: {err}", source.base()))
        })?;
        match assign(groups, &families) {
            Ok(it) => return Ok(it),
            Err(missing) => last = missing,
        }
    }
    let missing = last.join(", ");
    Err(Error::Unavailable(format!(
        "{} lists metrics that its page lacks: {missing}; push no more there, and try again",
        source.base()
    )))
}

/// Gives every group its metrics of the page; the names of those that the page lacks otherwise.
fn assign(groups: Vec<Group>, families: &[RawFamily<'_>]) -> Result<Vec<Taken>, Vec<String>> {
    let mut page: HashMap<(&str, &Labels), (usize, &[u8])> = HashMap::new();
    for (at, family) in families.iter().enumerate() {
        for metric in &family.metrics {
            page.insert((&family.name, &metric.labels), (at, metric.bytes));
        }
    }
    let (mut res, mut missing) = (Vec::new(), Vec::new());
    for group in groups {
        let pushed = group.pushed();
        // A group that only ever failed has nothing but the time of that.
        if pushed <= 0.0 {
            continue;
        }
        let mut found: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
        let mut metrics = 0;
        for (name, family) in &group.families {
            let own = name == PUSHED || name == FAILED;
            let Ok(family) = Family::deserialize(family) else { continue };
            for metric in family.metrics.iter().filter(|_| !own) {
                match page.get(&(name.as_str(), &metric.labels)) {
                    Some((at, bytes)) => found.entry(*at).or_default().push(bytes),
                    None => missing.push(name.clone()),
                }
                metrics += 1;
            }
        }
        let mut body = Vec::new();
        for (at, metrics) in found {
            if let Some(family) = families.get(at) {
                family.write(&mut body, &metrics);
            }
        }
        res.push(Taken { labels: group.labels, pushed, body, metrics });
    }
    if missing.is_empty() { Ok(res) } else { Err(missing) }
}

async fn put(target: &Client, group: &Taken) -> Result<(), Error> {
    let job = group.labels.get("job").map_or("", String::as_str);
    let others: Vec<_> = group
        .labels
        .iter()
        .filter(|(name, _)| *name != "job")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let time = time(group.pushed)?;
    let request = target
        .request(Method::PUT, &push::path(job, &others))
        .header(header::CONTENT_TYPE, kind)
        .header("x-observatory-push-time", time.to_string())
        // An import that is repeated must not add up, whatever the jobs' settings are.
        .header("x-observatory-mode", "replace")
        .body(group.body.clone());
    target.bytes(request).await.map(|_| ())
}

/// Seconds since the epoch as a time.
fn time(seconds: f64) -> Result<Time, Error> {
    Time::parse(&format!("{seconds:.6}"))
        .map_err(|err| Error::Input(format!("a push at {seconds}: {err}")))
}

impl Group {
    /// When it was last pushed with success, in seconds since the epoch; 0 if never.
    fn pushed(&self) -> f64 {
        let family = self.families.get(PUSHED).and_then(|it| Family::deserialize(it).ok());
        let value = family.and_then(|it| it.metrics.first()?.value.parse().ok());
        value.unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(json: &str) -> Group {
        serde_json::from_str(json).unwrap()
    }

    const GROUP: &str = r#"{"labels":{"job":"j"},"last_push_successful":true,
        "push_time_seconds":{"metrics":[{"labels":{"job":"j"},"value":"1.7e+09"}]},
        "m":{"metrics":[{"labels":{"instance":"","job":"j"},"value":"1"}]}}"#;

    /// A page with the gauge `m` and the label `job` of value `job`.
    fn page(job: &str) -> Vec<u8> {
        let len = |it: usize| u8::try_from(it).unwrap();
        let label = |name: &str, value: &str| {
            let pair = [
                &[0x0a, len(name.len())],
                name.as_bytes(),
                &[0x12, len(value.len())],
                value.as_bytes(),
            ]
            .concat();
            [&[0x0a, len(pair.len())][..], &pair].concat()
        };
        let gauge = [&[0x12, 9, 9][..], &1.0_f64.to_le_bytes()].concat();
        let metric = [label("instance", ""), label("job", job), gauge].concat();
        let family = [&[0x0a, 1, b'm', 0x18, 1, 0x22, len(metric.len())][..], &metric].concat();
        [&[len(family.len())][..], &family].concat()
    }

    #[test]
    fn a_group_gets_its_metrics_byte_for_byte() {
        let page = page("j");
        let families = raw_families(&page).unwrap();
        let taken = assign(vec![group(GROUP)], &families).unwrap();
        assert_eq!((taken.len(), taken[0].metrics, taken[0].pushed), (1, 1, 1.7e9));
        assert_eq!(taken[0].body, page);
        assert_eq!(time(taken[0].pushed).unwrap().to_string(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn what_the_page_lacks_is_told() {
        let page = page("other");
        let families = raw_families(&page).unwrap();
        assert_eq!(assign(vec![group(GROUP)], &families).unwrap_err(), ["m"]);
        let failed = GROUP.replace("1.7e+09", "0");
        assert!(assign(vec![group(&failed)], &families).unwrap().is_empty());
    }
}
