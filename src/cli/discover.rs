//! `observatory discover`.

mod tunnel;

use super::stack as verbs;
use super::{Error, Session};
use crate::stack;
use crate::stack::{Answer, Inventory, Ssh, inventory};
use serde_json::Value;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tunnel::Tunnel;

/// Write down what runs: containers or processes, and what they say of themselves.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks the container engine through its socket, the list of processes, and Prometheus, Alertmanager, Pushgateway and Grafana over their APIs, where containers and processes say that they listen. Writes DIR/inventory.json and DIR/SUMMARY.md; on a host that has not changed they are the same to the byte. Secrets are `***`. What cannot be found out is listed.

Another machine needs nothing but sshd and ps. The variables VONNEGUT_HOST and SSH_USER say which machine and who, unless flags do. Exit code 3 if nothing was found.

Examples:
  observatory discover
  observatory discover --host vonnegut --ssh-user ops
  observatory discover --output /tmp/inventory && less /tmp/inventory/SUMMARY.md
  observatory discover --engine-socket /run/user/1000/podman/podman.sock")]
pub(super) struct Args {
    /// Directory for what is found
    #[arg(long, short, value_name = "DIR", default_value = "docs/discovery")]
    output: PathBuf,
    /// Socket of the container engine
    #[arg(long, value_name = "PATH", default_value = "/var/run/docker.sock")]
    engine_socket: String,
    /// HOST:PORT of Prometheus there [default: as found, else 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    prometheus: Option<SocketAddr>,
    /// HOST:PORT of Alertmanager there [default: as found, else 127.0.0.1:9093]
    #[arg(long, value_name = "ADDRESS")]
    alertmanager: Option<SocketAddr>,
    /// HOST:PORT of the Pushgateway, or of observatory, there [default: as found, else 127.0.0.1:9091]
    #[arg(long, value_name = "ADDRESS")]
    pushgateway: Option<SocketAddr>,
    #[command(flatten)]
    stack: verbs::Args,
}

const PATIENCE: Duration = Duration::from_secs(10);
const SERVICES: &[(&str, u16)] =
    &[("prometheus", 9090), ("alertmanager", 9093), ("pushgateway", 9091), ("grafana", 3000)];
const FILES: &[(&str, &str)] = &[
    ("prometheus", "/etc/prometheus/prometheus.yml"),
    ("alertmanager", "/etc/alertmanager/alertmanager.yml"),
    ("grafana", "/etc/grafana/grafana.ini"),
];

/// Where something is asked.
enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let answer = match self {
            Self::Tcp(it) => stack::get_tcp(*it, path, PATIENCE),
            Self::Unix(it) => stack::get_unix(it, path, PATIENCE),
        };
        match answer {
            Ok(Answer { status: 200, body }) => Ok(body),
            Ok(it) => Err(format!("{path} is answered with {}", it.status)),
            Err(err) => Err(match err.kind() {
                // The last three are how a tunnel says it.
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => "nothing listens".to_owned(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer".to_owned(),
                _ => err.to_string(),
            }),
        }
    }

    fn json(&self, path: &str) -> Result<Value, String> {
        serde_json::from_slice(&self.get(path)?).map_err(|err| format!("{path} is no JSON: {err}"))
    }
}

/// Looks, and writes it down.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let mut which = args.stack.clone();
    if !which.here && which.environment.is_none() {
        which.host = which.host.or_else(|| session.variable("VONNEGUT_HOST").map(str::to_owned));
    }
    which.ssh_user = which.ssh_user.or_else(|| session.variable("SSH_USER").map(str::to_owned));
    let context = which.load(session)?;
    let ssh = Ssh::of(&context.loaded.profile);
    let mut found = Inventory::default();
    if let Some(ssh) = &ssh {
        verbs::remote::reach(ssh)?;
    }
    let sockets = Tunnel::directory()?;
    session.note("observatory: asking for processes and containers");
    processes(ssh.as_ref(), &mut found);
    engine(&args.engine_socket, ssh.as_ref(), &sockets, &mut found)?;
    session.note("observatory: asking the services");
    services(args, ssh.as_ref(), &sockets, &mut found)?;
    write(&args.output, &found).map_err(|err| {
        Error::Output(io::Error::new(err.kind(), format!("{}: {err}", args.output.display())))
    })?;
    for it in &found.missing {
        session.note(&format!("note: not found out: {it}"));
    }
    session.print(&format!(
        "{} containers, {} processes, {} services in {}",
        found.containers.len(),
        found.processes.len(),
        found.services.len(),
        args.output.display()
    ))?;
    if found.containers.is_empty() && found.processes.is_empty() && found.services.is_empty() {
        return Err(Error::NotRunning("nothing of a stack was found".to_owned()));
    }
    Ok(())
}

fn processes(ssh: Option<&Ssh>, found: &mut Inventory) {
    let command = match ssh {
        Some(it) => it.command("ps -ww -eo args"),
        None => {
            let mut ps = Command::new("ps");
            ps.args(["-ww", "-eo", "args"]);
            ps
        }
    };
    let why = match verbs::relay::output(command) {
        Ok((0, out, _)) => return found.take_processes(&String::from_utf8_lossy(&out)),
        Ok((code, ..)) => format!("ps ended with exit code {code}"),
        Err(err) => err.to_string(),
    };
    found.missing.insert(format!("processes: {why}"));
}

fn engine(
    socket: &str,
    ssh: Option<&Ssh>,
    sockets: &tunnel::Directory,
    found: &mut Inventory,
) -> Result<(), Error> {
    let targets = [("engine".to_owned(), socket.to_owned())];
    let tunnel = ssh.map(|it| Tunnel::open(it, sockets, &targets)).transpose()?;
    let place = tunnel.as_ref().map_or_else(|| PathBuf::from(socket), |it| it.socket("engine"));
    let endpoint = Endpoint::Unix(place);
    if let Err(why) = containers(&endpoint, found) {
        found.missing.insert(format!("containers: {socket}: {why}"));
    }
    Ok(())
}

fn containers(engine: &Endpoint, found: &mut Inventory) -> Result<(), String> {
    let list = engine.json("/containers/json?all=true")?;
    let ids = list.as_array().into_iter().flatten().filter_map(|it| it.get("Id")?.as_str());
    for id in ids.filter(|it| it.bytes().all(|it| it.is_ascii_alphanumeric())) {
        let inspected = engine.json(&format!("/containers/{id}/json"))?;
        let container = inventory::Container::of(&inspected);
        for (_, path) in FILES.iter().filter(|it| container.image.contains(it.0)) {
            // A container that mounts another place has none there.
            let tar = engine.get(&format!("/containers/{id}/archive?path={path}")).ok();
            if let Some(text) = tar.and_then(|it| inventory::file_of_tar(&it)) {
                found
                    .files
                    .insert(format!("{}:{path}", container.name), stack::redact::config(&text));
            }
        }
        found.containers.push(container);
    }
    found.containers.sort_by(|a, b| a.name.cmp(&b.name));
    found.take_volumes(&engine.json("/volumes")?);
    found.take_networks(&engine.json("/networks")?);
    Ok(())
}

fn services(
    args: &Args,
    ssh: Option<&Ssh>,
    sockets: &tunnel::Directory,
    found: &mut Inventory,
) -> Result<(), Error> {
    let port = |(name, usual): &(&str, u16)| {
        let observatory =
            || if *name == "pushgateway" { found.port_of("observatory") } else { None };
        found.port_of(name).or_else(observatory).unwrap_or(*usual)
    };
    let given = |name: &str| match name {
        "prometheus" => args.prometheus,
        "alertmanager" => args.alertmanager,
        "pushgateway" => args.pushgateway,
        _ => None,
    };
    let address = |it: &(&str, u16)| {
        let found = || SocketAddr::from(([127, 0, 0, 1], port(it)));
        (it.0.to_owned(), given(it.0).unwrap_or_else(found).to_string())
    };
    let targets: Vec<(String, String)> = SERVICES.iter().map(address).collect();
    let tunnel = ssh.map(|it| Tunnel::open(it, sockets, &targets)).transpose()?;
    for (name, address) in &targets {
        let endpoint = match &tunnel {
            Some(it) => Endpoint::Unix(it.socket(name)),
            None => match address.parse() {
                Ok(it) => Endpoint::Tcp(it),
                Err(_) => continue,
            },
        };
        match service(name, &endpoint) {
            Ok(it) => {
                let address = address.clone();
                found.services.insert(name.clone(), inventory::Service { address, ..it });
            }
            Err(why) => {
                found.missing.insert(format!("{name} at {address}: {why}"));
            }
        }
    }
    Ok(())
}

fn service(name: &str, at: &Endpoint) -> Result<inventory::Service, String> {
    match name {
        "prometheus" => Ok(inventory::Service::prometheus(
            &at.json("/api/v1/status/buildinfo")?,
            &at.json("/api/v1/status/config")?,
            &at.json("/api/v1/status/flags")?,
            &at.json("/api/v1/targets?state=active")?,
        )),
        "alertmanager" => Ok(inventory::Service::alertmanager(
            &at.json("/api/v2/status")?,
            &at.json("/api/v2/receivers")?,
        )),
        "pushgateway" => Ok(inventory::Service::pushgateway(
            &at.json("/api/v1/status")?,
            &at.json("/api/v1/metrics")?,
        )),
        _ => Ok(inventory::Service::grafana(&at.json("/api/health")?)),
    }
}

fn write(dir: &Path, found: &Inventory) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut json = serde_json::to_string_pretty(found).map_err(io::Error::other)?;
    json.push('\n');
    for (name, text) in [("inventory.json", json), ("SUMMARY.md", found.summary())] {
        let part = dir.join(format!(".{name}.part"));
        fs::write(&part, text)?;
        fs::rename(part, dir.join(name))?;
    }
    Ok(())
}
