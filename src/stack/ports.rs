//! Who holds a port.

use procfs::net::TcpState;
use procfs::process::{FDTarget, all_processes};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

/// A port that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who wants it.
    pub service: String,
    /// The address.
    pub address: SocketAddr,
    /// Why not; who holds it.
    pub why: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} of {} {}", self.address.port(), self.service, self.why)
    }
}

/// Which of `wanted`, services with their addresses, cannot be listened on now.
#[must_use]
pub fn conflicts(wanted: &[(String, SocketAddr)]) -> Vec<Conflict> {
    let conflict = |(service, address): &(String, SocketAddr)| {
        let err = TcpListener::bind(address).err()?;
        let why = match err.kind() {
            io::ErrorKind::AddrInUse => format!("is taken by {}", holder(address.port())),
            _ => format!("cannot be used: {err}"),
        };
        Some(Conflict { service: service.clone(), address: *address, why })
    };
    wanted.iter().filter_map(conflict).collect()
}

/// Whoever listens on `port`, as people would look for it.
fn holder(port: u16) -> String {
    let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let listens =
        sockets.filter(|it| it.state == TcpState::Listen && it.local_address.port() == port);
    let inodes: Vec<u64> = listens.map(|it| it.inode).collect();
    if inodes.is_empty() {
        return "something that is not seen from here, perhaps in another container".to_owned();
    }
    let all = all_processes().into_iter().flatten().flatten();
    let mut holders = all.filter(|process| {
        let files = process.fd().into_iter().flatten().flatten();
        files
            .filter_map(|it| match it.target {
                FDTarget::Socket(inode) => Some(inode),
                _ => None,
            })
            .any(|it| inodes.contains(&it))
    });
    match holders.next() {
        None => "a process of another user, which cannot be seen".to_owned(),
        Some(it) => {
            let name = it.stat().map_or_else(|_| "a process".to_owned(), |it| it.comm);
            format!("{name} (process {})", it.pid)
        }
    }
}

/// The address that a client on this machine reaches `address` by.
pub(super) fn reachable(address: IpAddr) -> IpAddr {
    match address {
        it if it.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        it => it,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wanted = [("prometheus".to_owned(), address)];
        let found = conflicts(&wanted);
        assert_eq!(found.len(), 1);
        let said = found[0].to_string();
        let start = format!("port {} of prometheus is taken by ", address.port());
        assert!(said.starts_with(&start), "{said}");
        assert!(said.ends_with(&format!("(process {})", std::process::id())), "{said}");
        drop(listener);
        assert_eq!(conflicts(&wanted), []);
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        let found = conflicts(&[("a".to_owned(), "192.0.2.1:80".parse().unwrap())]);
        assert!(found[0].why.starts_with("cannot be used: "), "{found:?}");
    }
}
