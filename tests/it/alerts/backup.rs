//! A backup that is taken while alerts change.

use super::{ALERTS, build};
use crate::notify::sink::Sink;
use crate::support::{Client, Server, Settings, cli, eventually};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const PROJECTS: usize = 25;

fn settings(sink: &Sink) -> Settings {
    let url = sink.url();
    Settings::new()
        .env("OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS", "true")
        .env("OBSERVATORY_NOTIFY_GROUP_WAIT", "0s")
        .env("WEBHOOK_URL", &url)
}

fn all(client: &mut Client, path: &str, list: &str) -> Vec<Value> {
    let (mut res, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}limit=1000{cursor}")).expect(200).json();
        res.extend(page[list].as_array().unwrap().iter().cloned());
        // Lists of events call it otherwise.
        match page["next_cursor"].as_str().or(page["next"].as_str()) {
            Some(it) => cursor = format!("&cursor={it}"),
            None => return res,
        }
    }
}

/// What the events of the journal make of alerts: per project, how often it fires, how often it is over.
fn expected(client: &mut Client) -> HashMap<String, (usize, usize)> {
    let mut firing = HashMap::new();
    let mut res: HashMap<String, (usize, usize)> = HashMap::new();
    for event in all(client, "/api/v1/events?type=ci_build_completed&order=asc&", "events") {
        let data = &event["data"];
        let project = data["project"].as_str().unwrap().to_owned();
        let failed = data["status"] == "failed";
        let before = firing.insert(project.clone(), failed).unwrap_or(false);
        let counts = res.entry(project).or_default();
        counts.0 += usize::from(failed && !before);
        counts.1 += usize::from(!failed && before);
    }
    res
}

/// The history, each entry of which was told, or it was noted why not.
fn found(client: &mut Client) -> HashMap<String, (usize, usize)> {
    let mut res: HashMap<String, (usize, usize)> = HashMap::new();
    let mut logged = HashMap::<String, usize>::new();
    // First what happened, then who was told of it: more may happen in between.
    let history = all(client, &format!("{ALERTS}/history?"), "history");
    for it in all(client, "/api/v1/monitoring/notifications?", "notifications") {
        *logged.entry(it["alert_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    for it in history {
        let alert = &it["alert"];
        let counts =
            res.entry(alert["labels"]["project"].as_str().unwrap().to_owned()).or_default();
        if it["change"] == "firing" {
            counts.0 += 1;
            let id = alert["id"].as_str().unwrap();
            assert!(logged.contains_key(id), "nothing is known of who was told of {id}");
        } else {
            counts.1 += 1;
        }
    }
    res
}

#[test]
fn a_backup_under_changes_is_as_of_one_moment() {
    let sink = Sink::start(|_| (200, ""));
    let server = Server::start_with(settings(&sink));
    let url = format!("http://{}", server.addr);
    let dir = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, mut client) = (Arc::clone(&stop), server.client());
        thread::spawn(move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let status = if (n / PROJECTS).is_multiple_of(2) { "failed" } else { "success" };
                build(&mut client, &format!("p{}", n % PROJECTS), status);
                n += 1;
            }
            n
        })
    };
    let mut files = Vec::new();
    for n in 0..4 {
        thread::sleep(Duration::from_millis(400));
        let file = dir.path().join(format!("b{n}"));
        let settings = Settings::new().env("OBSERVATORY_URL", &url);
        let output = cli(&["backup", "--output", file.to_str().unwrap()], &settings, "");
        assert!(output.status.success(), "{output:?}");
        files.push(file);
    }
    stop.store(true, Ordering::Relaxed);
    let sent = writer.join().unwrap();
    assert!(sent > 4 * PROJECTS, "{sent} events are too few");
    for file in &files {
        let data = dir.path().join(format!("{}-data", file.display()));
        let data: &Path = &data;
        let arguments = ["restore", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        let output = cli(&arguments, &Settings::new(), "");
        assert!(output.status.success(), "{output:?}");
        let restored = Server::start_at(data, "version: 1\nmetrics: {}\n", settings(&sink));
        let mut client = restored.client();
        let expected = expected(&mut client);
        assert!(!expected.is_empty());
        // What was not evaluated when the backup was taken is evaluated now.
        eventually(Duration::from_secs(10), || {
            let found = found(&mut client);
            if found == expected { Ok(()) } else { Err((found, expected.clone())) }
        });
        let firing = expected.values().filter(|it| it.0 > it.1).count();
        let list = client.get(ALERTS).expect(200).json();
        assert_eq!(list["total"], json!(firing));
    }
}
