use super::*;
use crate::event::EventId;

const NOW: Time = Time::from_millis(1_767_607_200_000);

fn event(kind: &'static str, data: &'static str, age: Duration) -> Event<'static> {
    let time = NOW.saturating_sub(age);
    Event {
        id: EventId::Given("e".into()),
        event_type: kind.into(),
        source: "s".into(),
        time,
        received: time,
        time_clamped: false,
        subject: None,
        trace: None,
        data: data.into(),
    }
}

fn fold(events: &[(&'static str, &'static str, u64)]) -> (Agents, Vec<Vec<Measure>>) {
    let mut agents = Agents::default();
    let take = |(kind, data, age): &(&'static str, &'static str, u64)| {
        agents.take(&event(kind, data, Duration::from_secs(*age)))
    };
    let measures = events.iter().filter_map(take).collect();
    (agents, measures)
}

#[test]
fn figures_of_all() {
    let (agents, _) = fold(&[
        ("agent_registered", r#"{"agent_id":"a","agent_type":"coder"}"#, 10),
        ("agent_request_completed", r#"{"agent_id":"a","status":"success","duration_ms":500}"#, 9),
        (
            "agent_request_completed",
            r#"{"agent":"b","status":"failed","duration_seconds":"1.5"}"#,
            8,
        ),
        ("agent_request_completed", r#"{"agent_id":"b","status":"ok"}"#, 7),
        ("agent_heartbeat", r#"{"agent_id":"old"}"#, 301),
        ("agent_error", r#"{"agent_id":"c","fatal":true}"#, 5),
        ("ci_build_completed", r#"{"agent_id":"nobody"}"#, 4),
        ("agent_heartbeat", r#"{"nobody":1}"#, 4),
    ]);
    let totals = agents.totals(NOW);
    assert_eq!((totals.agents, totals.active, totals.failed, totals.requests), (4, 2, 1, 3));
    assert!((totals.success_rate - 66.666).abs() < 0.01, "{totals:?}");
    assert!((totals.response_seconds - 1.0).abs() < 1e-9, "{totals:?}");
    let later = agents.totals(NOW.saturating_add(SILENT));
    assert_eq!((later.active, later.failed), (0, 1));
    let none = Agents::default().totals(NOW);
    assert_eq!((none.agents, none.success_rate, none.response_seconds), (0, 100.0, 0.0));
}

#[test]
fn who_works_with_whom() {
    let (agents, _) = fold(&[
        ("agent_registered", r#"{"agent_id":"a","agent_type":"coder"}"#, 3),
        ("agent_collaboration", r#"{"from_agent":"a","to_agent":"b"}"#, 2),
        ("agent_collaboration", r#"{"from_agent":"a","to_agent":"b"}"#, 1),
        ("agent_collaboration", r#"{"from_agent":"b"}"#, 1),
        ("agent_error", r#"{"agent_id":"b","fatal":true}"#, 1),
    ]);
    let it = agents.topology(NOW);
    let nodes: Vec<_> = it.nodes.iter().map(|it| (it.id.as_str(), it.status)).collect();
    assert_eq!(nodes, [("a", "active"), ("b", "error")]);
    assert_eq!(it.edges.len(), 1);
    assert_eq!((it.edges[0].source.as_str(), it.edges[0].metrics.message_count), ("a", 2));
    let clusters: Vec<_> = it.clusters.iter().map(|it| (it.id.as_str(), it.status)).collect();
    assert_eq!(clusters, [("agent", "down"), ("coder", "healthy")]);
    assert_eq!((it.metrics.total_nodes, it.metrics.cluster_health), (2, 50.0));
}

#[test]
fn numbers_of_an_event() {
    let (_, measures) = fold(&[(
        "agent_request_completed",
        r#"{"agent_id":"a","request_id":7,"duration_ms":250,"tokens":12,"cost":"0.1","status":"success","deep":{"x":1}}"#,
        0,
    )]);
    let found: Vec<_> = measures[0].iter().map(|it| (it.metric_name.as_str(), it.value)).collect();
    assert_eq!(found, [("response_time_seconds", 0.25), ("tokens", 12.0)]);
    assert_eq!(measures[0][0].labels["status"], "success");
}

#[test]
fn who_was_first_gives_way() {
    let mut agents = Agents::default();
    for n in 0..MAX_AGENTS + 10 {
        let data = format!(r#"{{"from_agent":"a{n}","to_agent":"b{n}"}}"#);
        let it = Event { data: data.into(), ..event("agent_collaboration", "", Duration::ZERO) };
        agents.take(&it);
    }
    let it = agents.topology(NOW);
    assert_eq!(it.nodes.len(), MAX_AGENTS);
    let known = |id: &String| it.nodes.iter().any(|node| node.id == *id);
    assert!(it.edges.iter().all(|it| known(&it.source) && known(&it.target)));
}
