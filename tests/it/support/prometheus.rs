//! A real Prometheus that scrapes the server under test.

use super::{Client, eventually, tools};
use serde_json::Value;
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Which Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The one of the system: 2.42 on Debian 12.
    System,
    /// The one that `scripts/peers.sh` unpacked: 3.5 or later.
    Current,
}

impl Peer {
    pub(crate) const ALL: [Self; 2] = [Self::System, Self::Current];
}

/// A running Prometheus with one job, `observatory`, scraped every second.
#[derive(Debug)]
pub(crate) struct Prometheus {
    addr: SocketAddr,
    child: Child,
    dir: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts `peer` with `features` (`native-histograms`, ...) on `target`. `None`: there is no such
    /// program here, and that was said.
    #[track_caller]
    pub(crate) fn start(peer: Peer, target: SocketAddr, features: &[&str]) -> Option<Self> {
        Self::start_job(peer, target, features, "")
    }

    /// As [`Prometheus::start`], with the labels of what is scraped left as they are.
    #[track_caller]
    pub(crate) fn start_honouring_labels(peer: Peer, target: SocketAddr) -> Option<Self> {
        Self::start_job(peer, target, &[], "  honor_labels: true\n")
    }

    /// Scrapes as the shipped configuration does: labels stay as they are, histograms come as `features` say.
    #[track_caller]
    pub(crate) fn start_as_shipped(
        peer: Peer,
        target: SocketAddr,
        features: &[&str],
    ) -> Option<Self> {
        Self::start_job(peer, target, features, "  honor_labels: true\n")
    }

    /// Where its API is: `http://127.0.0.1:9090`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    #[track_caller]
    fn start_job(peer: Peer, target: SocketAddr, features: &[&str], more: &str) -> Option<Self> {
        let program = tools::prometheus(peer)?;
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("prometheus.yml");
        let job = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n- job_name: observatory\n{more}  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, job).unwrap();
        let blocks = dir.path().join("tsdb");
        Some(Self::launch(&program, dir, (&config, &blocks), (features, free_address())))
    }

    /// Starts `peer` with the configuration `prometheus.yml` that `prepare` writes into a directory; it is told which
    /// address is going to be Prometheus' own. `None`: there is no such program here, and that was said.
    #[track_caller]
    pub(crate) fn start_prepared(
        peer: Peer,
        features: &[&str],
        prepare: impl FnOnce(&Path, SocketAddr),
    ) -> Option<Self> {
        let program = tools::prometheus(peer)?;
        let dir = tempfile::tempdir().unwrap();
        let addr = free_address();
        prepare(dir.path(), addr);
        let (config, blocks) = (dir.path().join("prometheus.yml"), dir.path().join("tsdb"));
        Some(Self::launch(&program, dir, (&config, &blocks), (features, addr)))
    }

    /// Starts `peer` on the blocks in `tsdb`, scraping nothing. `None`: there is no such program here.
    #[track_caller]
    pub(crate) fn on_blocks(peer: Peer, tsdb: &Path) -> Option<Self> {
        let program = tools::prometheus(peer)?;
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("prometheus.yml");
        fs::write(&config, "global: {}\n").unwrap();
        Some(Self::launch(&program, dir, (&config, tsdb), (&[], free_address())))
    }

    #[track_caller]
    fn launch(
        program: &Path,
        dir: TempDir,
        (config, tsdb): (&Path, &Path),
        (features, addr): (&[&str], SocketAddr),
    ) -> Self {
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", tsdb.display()))
            .arg(format!("--web.listen-address={addr}"))
            // What fires before Alertmanagers are known is sent again, and not in a minute.
            .arg("--rules.alert.resend-delay=1s")
            .arg("--log.level=warn");
        if !features.is_empty() {
            command.arg(format!("--enable-feature={}", features.join(",")));
        }
        let log = File::create(dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let prometheus = Self { addr, child: command.spawn().unwrap(), dir };
        eventually(Duration::from_secs(30), || {
            let ready = Client::new(addr).try_request("GET", "/-/ready", &[], b"");
            match ready {
                Ok(it) if it.status == 200 => Ok(()),
                other => Err(format!("{other:?}\n{}", prometheus.log())),
            }
        });
        prometheus
    }

    /// A client of its API.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.addr)
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The values of an instant query, with the labels of each.
    #[track_caller]
    pub(crate) fn query(&self, promql: &str) -> Vec<(Value, f64)> {
        self.ask(promql, "")
    }

    /// The same as of `seconds` since 1970.
    #[track_caller]
    pub(crate) fn query_at(&self, promql: &str, seconds: i64) -> Vec<(Value, f64)> {
        self.ask(promql, &format!("&time={seconds}"))
    }

    #[track_caller]
    fn ask(&self, promql: &str, more: &str) -> Vec<(Value, f64)> {
        let encoded =
            percent_encoding::utf8_percent_encode(promql, percent_encoding::NON_ALPHANUMERIC);
        let answer = Client::new(self.addr).get(&format!("/api/v1/query?query={encoded}{more}"));
        let answer = answer.expect(200).json();
        let result = answer["data"]["result"].as_array().unwrap();
        let value = |it: &Value| it["value"][1].as_str().unwrap_or("NaN").parse().unwrap();
        result.iter().map(|it| (it["metric"].clone(), value(it))).collect()
    }

    /// Asks until `promql` has exactly one value and `good` accepts it.
    #[track_caller]
    pub(crate) fn eventually(&self, promql: &str, good: impl Fn(f64) -> bool) -> f64 {
        eventually(Duration::from_secs(20), || match self.query(promql).as_slice() {
            [(_, value)] if good(*value) => Ok(*value),
            other => Err(format!("{promql}: {other:?}; {}", self.target())),
        })
    }

    /// The state of the one target: its health and the last error.
    #[track_caller]
    pub(crate) fn target(&self) -> Value {
        let answer = Client::new(self.addr).get("/api/v1/targets").expect(200).json();
        answer["data"]["activeTargets"][0].clone()
    }

    /// Waits for `scrapes` more scrapes, all of them good.
    #[track_caller]
    pub(crate) fn scrapes(&self, scrapes: usize) {
        let mut last = String::new();
        for _ in 0..=scrapes {
            let (at, target) = eventually(Duration::from_secs(20), || {
                let target = self.target();
                let at = target["lastScrape"].as_str().unwrap_or_default().to_owned();
                let fresh = at != last && !at.is_empty() && !at.starts_with("0001");
                if fresh { Ok((at, target)) } else { Err(target) }
            });
            assert_eq!(target["health"], "up", "{target}");
            last = at;
        }
    }
}

/// A free port: bound, read and released. Another process could take it in between; nothing here does.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
