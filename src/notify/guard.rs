//! What outgoing requests may connect to.
//!
//! Whoever may make a channel may name any host; without a guard that is a way into the network that the server
//! stands in. So a name is resolved once, every address of it is classified, and the connection goes to an address
//! that was found good: a name that means something else a moment later leads nowhere. Addresses of IPv4 inside
//! those of IPv6 (mapped, NAT64, 6to4, Teredo) count as what they lead to.

use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whether private addresses may be connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Whether loopback, private and unique local addresses are good. Default no.
    pub allow_private: bool,
}

/// Why a target is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no URL.
    #[error("is no URL such as https://example.org/hook: {0}")]
    NotAUrl(String),
    /// It is not a URL of the web.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// It carries a name or a password.
    #[error(
        "must not hold a user name or a password: use `headers`, `bearer_token` or `basic_auth`"
    )]
    Credentials,
    /// An address is not for connections of this kind, whatever the settings are.
    #[error("{0} is {1}, which is never connected to")]
    Never(IpAddr, &'static str),
    /// An address is private.
    #[error(
        "{0} is {1}, which is connected to only with notify.allow_private_targets (OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS=true)"
    )]
    Private(IpAddr, &'static str),
    /// The name means a private address wherever it is used.
    #[error(
        "`{0}` is a name inside a private network, which is connected to only with notify.allow_private_targets (OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS=true)"
    )]
    PrivateName(String),
    /// The name of a service that hands out credentials of the machine.
    #[error("`{0}` is a metadata service, which is never connected to")]
    Metadata(String),
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Public,
    /// Good with `allow_private`.
    Private(&'static str),
    Never(&'static str),
}

/// Names that lead into private networks.
const PRIVATE_SUFFIXES: [&str; 7] =
    ["localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain"];
const METADATA_NAMES: [&str; 4] =
    ["metadata.google.internal", "metadata", "instance-data", "metadata.azure.internal"];

impl Guard {
    /// Reads a URL and judges what can be judged without resolving its name.
    ///
    /// # Errors
    ///
    /// It is no URL of the web, holds credentials, or its host is an address or a name that is not good.
    pub fn check_url(self, text: &str) -> Result<Url, Refused> {
        let url = Url::parse(text).map_err(|it| Refused::NotAUrl(it.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        // The parser has read decimal, octal and hexadecimal forms of addresses as the system would.
        let host = url.host_str().unwrap_or_default();
        self.check_host(host)?;
        Ok(url)
    }

    /// Judges a host name, or an address in brackets or without.
    ///
    /// # Errors
    ///
    /// It is an address or a name that is not good.
    pub fn check_host(self, host: &str) -> Result<(), Refused> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return self.check(ip);
        }
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        if METADATA_NAMES.contains(&name.as_str()) {
            return Err(Refused::Metadata(name));
        }
        let below = |suffix: &str| {
            name.strip_suffix(suffix).is_some_and(|it| it.is_empty() || it.ends_with('.'))
        };
        if !self.allow_private && PRIVATE_SUFFIXES.iter().any(|it| below(it)) {
            return Err(Refused::PrivateName(name));
        }
        Ok(())
    }

    /// Judges one address.
    ///
    /// # Errors
    ///
    /// It is not good.
    pub fn check(self, ip: IpAddr) -> Result<(), Refused> {
        match classify(ip) {
            Class::Public => Ok(()),
            Class::Private(_) if self.allow_private => Ok(()),
            Class::Private(what) => Err(Refused::Private(ip, what)),
            Class::Never(what) => Err(Refused::Never(ip, what)),
        }
    }

    /// Judges all addresses that a name has: one that is not good spoils the name, for which of them is
    /// connected to is chance.
    ///
    /// # Errors
    ///
    /// An address is not good.
    pub fn check_all(self, addresses: &[SocketAddr]) -> Result<(), Refused> {
        addresses.iter().try_for_each(|it| self.check(it.ip()))
    }
}

fn classify(ip: IpAddr) -> Class {
    match ip {
        IpAddr::V4(it) => classify_v4(it),
        IpAddr::V6(it) => match embedded(it) {
            Some(v4) => match classify_v4(v4) {
                // What is reached through a translator is never this machine's own network by intent.
                Class::Private(what) if it.to_ipv4_mapped().is_none() => Class::Never(what),
                other => other,
            },
            None => classify_v6(it),
        },
    }
}

/// The blocks of the IANA registry of special addresses (RFC 6890 and what came after).
fn classify_v4(ip: Ipv4Addr) -> Class {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (0, ..) => Class::Never("an address of \"this network\""),
        (127, ..) => Class::Private("a loopback address"),
        (10, ..) | (192, 168, _) => Class::Private("a private address"),
        (172, 16..=31, _) => Class::Private("a private address"),
        (100, 64..=127, _) => Class::Private("an address of a carrier's network"),
        (169, 254, _) => Class::Never("a link-local address, where clouds have their metadata"),
        (192, 0, 0) => Class::Never("an address of a protocol"),
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => {
            Class::Never("an address for documentation")
        }
        (192, 88, 99) => Class::Never("an address of a relay"),
        (198, 18..=19, _) => Class::Never("an address for benchmarks"),
        (168, 63, 129) if ip.octets() == [168, 63, 129, 16] => {
            Class::Never("the address where Azure has its metadata")
        }
        (224..=239, ..) => Class::Never("a multicast address"),
        (240..=255, ..) => Class::Never("a reserved address"),
        _ => Class::Public,
    }
}

fn classify_v6(ip: Ipv6Addr) -> Class {
    let [first, second, ..] = ip.segments();
    if ip.is_unspecified() {
        return Class::Never("the unspecified address");
    }
    if ip.is_loopback() {
        return Class::Private("a loopback address");
    }
    if ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] {
        return Class::Never("the address where AWS has its metadata");
    }
    match first {
        0xfc00..=0xfdff => Class::Private("a unique local address"),
        0xfe80..=0xfebf => Class::Never("a link-local address"),
        0xfec0..=0xfeff => Class::Never("a site-local address"),
        0xff00..=0xffff => Class::Never("a multicast address"),
        0x2001 if second == 0xdb8 => Class::Never("an address for documentation"),
        0x3fff if second < 0x1000 => Class::Never("an address for documentation"),
        // ORCHID, benchmarks and other protocols; Teredo was taken apart before.
        0x2001 if second < 0x200 => Class::Never("an address of a protocol"),
        0x2000..=0x3ffe => Class::Public,
        // All that is given out for general use is in 2000::/3.
        _ => Class::Never("a reserved address"),
    }
}

/// The address of IPv4 that one of IPv6 leads to.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) => Some(of(g, h)),
        // The unspecified and the loopback address look like deprecated compatible ones.
        (0, 0, 0, 0, 0, 0) if g != 0 => Some(of(g, h)),
        (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, ..) => Some(of(g, h)),
        (0x2002, ..) => Some(of(b, c)),
        // Teredo: the client's address with its bits turned round.
        (0x2001, 0, ..) => Some(of(!g, !h)),
        // ISATAP.
        (_, _, _, _, 0 | 0x200, 0x5efe) => Some(of(g, h)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
