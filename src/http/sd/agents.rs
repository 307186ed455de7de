//! Who announced where it can be scraped: a fold over the events of agents that goes on where it stopped.

use crate::event::{Event, Time};
use crate::journal::{Journal, Query, QueryError};
use crate::labels;
use crate::notify::Guard;
use crate::rules::Phrase;
use crate::selector::{Selector, SyntaxError, View};
use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};
use tokio::sync::Mutex;

/// Whoever was not heard of for so long is forgotten. As long as the built-in metrics of agents live.
pub(super) const KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// Agents with an address that are known at once; the one that was silent for longest gives way.
const MAX_AGENTS: usize = 10_000;
/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 2048;
/// The longest name, type, version and source, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// Who announced an address. A handle: clones share it.
#[derive(Clone)]
pub(in crate::http) struct Agents {
    known: Arc<Mutex<Known>>,
}

/// An agent and where it is scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// The time of its newest event.
    pub(super) seen: Time,
    pub(super) endpoint: Endpoint,
    /// What kind of agent it is; may be empty, as the rest.
    pub(super) kind: String,
    pub(super) version: String,
    /// Who sent its registration.
    pub(super) source: String,
}

/// What a URL means to Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Host and port.
    pub(super) address: String,
    pub(super) scheme: String,
    pub(super) path: String,
    /// The parameters of the URL, as labels `__param_NAME`.
    pub(super) parameters: BTreeMap<String, String>,
}

struct Known {
    /// The first event that was not read yet.
    next: u64,
    agents: HashMap<String, Agent>,
    fields: Option<Fields>,
}

/// What senders call what is read, as the built-in rules have it.
struct Fields {
    events: Selector,
    agent: Phrase,
    url: Phrase,
    kind: Phrase,
    version: Phrase,
}

impl Agents {
    pub(in crate::http) fn new() -> Self {
        let known = Known { next: 0, agents: HashMap::new(), fields: Fields::new().ok() };
        Self { known: Arc::new(Mutex::new(known)) }
    }

    /// Reads what was committed since the last time, and returns everybody by name. The first time that is everything of a
    /// week; afterwards a question costs what is new. If the client hangs up, the reading goes on and serves the next.
    pub(super) async fn catch_up(
        &self,
        journal: Journal,
        now: Time,
    ) -> Result<BTreeMap<String, Agent>, QueryError> {
        let mut known = Arc::clone(&self.known).lock_owned().await;
        let work = tokio::task::spawn_blocking(move || {
            known.read(&journal, now)?;
            Ok(known.agents.iter().map(|(name, it)| (name.clone(), it.clone())).collect())
        });
        work.await.unwrap_or_else(|it| Err(QueryError::Store(std::io::Error::other(it).into())))
    }
}

impl Known {
    /// An error leaves the place where it is, so that the same is read again: reading twice comes to the same.
    fn read(&mut self, journal: &Journal, now: Time) -> Result<(), QueryError> {
        let Some(fields) = &self.fields else { return Ok(()) };
        let (since, end) = (now.saturating_sub(KEPT_FOR), journal.end());
        let query =
            Query { matches: vec![fields.events.clone()], since: Some(since), ..Query::default() };
        let agents = &mut self.agents;
        journal.in_order(&query, self.next..end, |_, event| {
            fields.note(agents, event);
            ControlFlow::Continue(())
        })?;
        self.next = end;
        self.agents.retain(|_, it| it.seen >= since);
        Ok(())
    }
}

impl Fields {
    fn new() -> Result<Self, SyntaxError> {
        Ok(Self {
            events: Selector::parse("agent_*")?,
            agent: Phrase::parse("${agent_id, agent}")?,
            url: Phrase::parse("${metrics_url, metrics_address}")?,
            kind: Phrase::parse("${agent_type, platform}")?,
            version: Phrase::parse("${version}")?,
        })
    }

    fn note(&self, agents: &mut HashMap<String, Agent>, event: &Event<'_>) {
        let view = View::new(event);
        let text = |it: &Phrase| {
            let mut text = it.fill(&view);
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
            text
        };
        let name = text(&self.agent);
        if name.is_empty() {
            return;
        }
        match event.event_type.as_ref() {
            "agent_terminated" | "agent_stopped" | "agent_deregistered" => {
                agents.remove(&name);
            }
            // Who registers without an address has none any more.
            "agent_registered" => match endpoint(&self.url.fill(&view)) {
                None => _ = agents.remove(&name),
                Some(endpoint) => {
                    if agents.len() >= MAX_AGENTS && !agents.contains_key(&name) {
                        forget_one(agents);
                    }
                    let (kind, version) = (text(&self.kind), text(&self.version));
                    let mut source = event.source.to_string();
                    source.truncate(source.floor_char_boundary(MAX_TEXT_BYTES));
                    let seen = event.time;
                    agents.insert(name, Agent { seen, endpoint, kind, version, source });
                }
            },
            _ => {
                if let Some(it) = agents.get_mut(&name) {
                    it.seen = it.seen.max(event.time);
                }
            }
        }
    }
}

fn forget_one(agents: &mut HashMap<String, Agent>) {
    let silent = agents.iter().min_by_key(|it| it.1.seen).map(|it| it.0.clone());
    if let Some(name) = silent {
        agents.remove(&name);
    }
}

/// `http://10.0.0.5:9200/metrics`, or just `10.0.0.5:9200`. `None` for what nobody should connect to: link-local
/// addresses, the metadata services of clouds, URLs with passwords, other schemes.
fn endpoint(text: &str) -> Option<Endpoint> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_URL_BYTES {
        return None;
    }
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    // Agents stand in private networks.
    let url = Guard { allow_private: true }.check_url(&text).ok()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let path = if url.path() == "/" { "/metrics" } else { url.path() };
    let parameters = url.query_pairs().map(|(name, it)| (format!("__param_{name}"), it));
    let parameters = parameters.filter(|it| labels::is_label_name(&it.0));
    Some(Endpoint {
        address: format!("{host}:{port}"),
        scheme: url.scheme().to_owned(),
        path: path.to_owned(),
        parameters: parameters.map(|(name, it)| (name, it.into_owned())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, NewEvent};

    #[test]
    fn urls_become_what_prometheus_asks_for() {
        let check = |url: &str, expected: Option<(&str, &str, &str)>| {
            let found = endpoint(url);
            let found = found.as_ref();
            let found = found.map(|it| (it.scheme.as_str(), it.address.as_str(), it.path.as_str()));
            assert_eq!(found, expected, "{url}");
        };
        check("http://10.0.0.5:9200/metrics", Some(("http", "10.0.0.5:9200", "/metrics")));
        check("10.0.0.5:9200", Some(("http", "10.0.0.5:9200", "/metrics")));
        check("agent-7", Some(("http", "agent-7:80", "/metrics")));
        check("https://a.example.org/own/page", Some(("https", "a.example.org:443", "/own/page")));
        check("http://[fd00::7]:9200", Some(("http", "[fd00::7]:9200", "/metrics")));
        check("http://localhost:1", Some(("http", "localhost:1", "/metrics")));
        for wrong in [
            "",
            " ",
            "ftp://a/",
            "http://u:p@a/",
            "http://169.254.169.254/latest",
            "http://metadata.google.internal/",
            "http://[::ffff:169.254.169.254]/",
            "http://224.0.0.1/",
            "http://a b/",
            "javascript:alert(1)",
        ] {
            check(wrong, None);
        }
        check(&format!("http://a/{}", "x".repeat(MAX_URL_BYTES)), None);
        let with = endpoint("http://a:1/probe?target=b%20c&x-y=1").unwrap();
        assert_eq!(with.parameters, BTreeMap::from([("__param_target".into(), "b c".into())]));
    }

    #[test]
    fn agents_come_and_go() {
        let fields = Fields::new().unwrap();
        let mut agents = HashMap::new();
        let mut note = |kind: &str, seconds: i64, data: &str| {
            let event = NewEvent {
                event_type: kind.into(),
                source: "s".into(),
                data: data.to_owned().into(),
                id: None,
                time: Some(Time::from_millis(1000 * seconds)),
                subject: None,
                trace: None,
            };
            let event = event.accept(Time::from_millis(1000 * seconds), || EventId::Generated(1));
            fields.note(&mut agents, &event);
            let mut seen: Vec<_> = agents
                .iter()
                .map(|it| format!("{} {}", it.0, it.1.seen.as_millis() / 1000))
                .collect();
            seen.sort();
            seen.join(", ")
        };
        assert_eq!(note("agent_heartbeat", 1, r#"{"agent_id":"a"}"#), "");
        let url = r#"{"agent_id":"a","metrics_url":"http://x:1/m","agent_type":"coder"}"#;
        assert_eq!(note("agent_registered", 2, url), "a 2");
        assert_eq!(
            note("agent_registered", 3, r#"{"agent":"b","metrics_address":"y:2"}"#),
            "a 2, b 3"
        );
        assert_eq!(note("agent_request_completed", 9, r#"{"agent":"a"}"#), "a 9, b 3");
        // What is late does not take time back.
        assert_eq!(note("agent_error", 5, r#"{"agent":"a"}"#), "a 9, b 3");
        assert_eq!(note("agent_registered", 10, r#"{"agent_id":"a"}"#), "b 3");
        assert_eq!(note("agent_terminated", 11, r#"{"agent_id":"b"}"#), "");
    }

    #[test]
    fn the_most_silent_one_gives_way() {
        let endpoint = endpoint("x:1").unwrap();
        let agent = |n: i64| Agent {
            seen: Time::from_millis(n),
            endpoint: endpoint.clone(),
            kind: String::new(),
            version: String::new(),
            source: String::new(),
        };
        let mut agents: HashMap<_, _> =
            [5, 3, 4].into_iter().map(|n| (n.to_string(), agent(n))).collect();
        forget_one(&mut agents);
        assert!(!agents.contains_key("3") && agents.len() == 2);
    }
}
