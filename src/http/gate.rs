//! Who is let in: tokens, roles, and how many at once.

use super::Config;
use super::error::ApiError;
use super::instruments::Metrics;
use super::params;
use super::session;
use super::stream::tickets::Tickets;
use crate::event::Time;
use crate::tokens::{AuthError, Identity, Role, Tokens};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody: health checks, the home page, the description of the API.
    Public,
    /// Everybody, or readers if the configuration says so.
    Scrape,
    /// Who has this role.
    Role(Role),
    /// Who may read, or has a ticket: streams, which browsers open without headers of ours.
    Stream,
}

/// Lets requests in, or not.
#[derive(Debug)]
pub(super) struct Gate {
    tokens: Tokens,
    tickets: Tickets,
    metrics: Metrics,
    metrics_auth: bool,
    /// Pages of other sites that may do what ours may, such as `https://wall.example`.
    allowed_origins: Vec<String>,
    max: usize,
    current: Arc<AtomicUsize>,
}

/// A request that was let in. Its place is free when this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) identity: Identity,
    _place: Option<Place>,
}

#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(super) fn new(tokens: Tokens, metrics: Metrics, config: &Config) -> Self {
        let Config { metrics_auth, concurrent_requests: max, .. } = *config;
        let (tickets, current) = (Tickets::default(), Arc::default());
        let allowed_origins = config.allowed_origins.clone();
        Self { tokens, tickets, metrics, metrics_auth, allowed_origins, max, current }
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(super) fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// Lets a request in, at `now`. Health checks and scrapes always find a place, so that a server with
    /// too much to do is not taken for a dead one.
    pub(super) fn admit(
        &self,
        access: Access,
        (method, uri): (&Method, &Uri),
        headers: &HeaderMap,
        now: Time,
    ) -> Result<Admitted, ApiError> {
        let identity = self.identify(access, (method, uri), headers, now)?;
        let limited = matches!(access, Access::Role(_) | Access::Stream);
        let _place = if limited { Some(self.place()?) } else { None };
        Ok(Admitted { identity, _place })
    }

    fn place(&self) -> Result<Place, ApiError> {
        let place = Place(self.current.clone());
        if self.current.fetch_add(1, Ordering::Relaxed) < self.max {
            return Ok(place);
        }
        self.metrics.reject("busy");
        Err(ApiError::unavailable("busy", "too many requests at once: try again in a moment"))
    }

    fn identify(
        &self,
        access: Access,
        (method, uri): (&Method, &Uri),
        headers: &HeaderMap,
        now: Time,
    ) -> Result<Identity, ApiError> {
        let role = match access {
            Access::Scrape if self.metrics_auth => Role::Read,
            Access::Stream => Role::Read,
            Access::Role(role) => role,
            Access::Public | Access::Scrape => {
                return Ok(Identity::default());
            }
        };
        let ticket = if access == Access::Stream { ticket(uri) } else { None };
        let whose = match ticket {
            Some(it) => self.whose_ticket(&it, now).map(|it| (it, Carrier::Client)),
            None => self.whose(headers, now),
        };
        let (identity, carrier) = whose.inspect_err(|_| self.metrics.reject("unauthorized"))?;
        if carrier == Carrier::Browser && !method.is_safe() {
            self.check_origin(headers)?;
        }
        if !identity.roles.contains(role) {
            self.metrics.reject("forbidden");
            let (role, has) = (role.as_str(), identity.roles);
            let message = format!("this needs a token with the role {role}; this one has {has}");
            return Err(forbidden(&message));
        }
        Ok(identity)
    }

    /// Who sends these headers: whose token it is, or whose session; without any, everybody, if that is enough.
    pub(super) fn whose(
        &self,
        headers: &HeaderMap,
        now: Time,
    ) -> Result<(Identity, Carrier), AuthError> {
        if let Some(secret) = secret(headers) {
            let identity = self.tokens.verify(Some(&secret), now)?;
            // Where no token is needed, any will do, so that it tells nothing.
            let open = identity.name.is_none();
            return Ok((identity, if open { Carrier::Browser } else { Carrier::Client }));
        }
        let identity = match session::cookie(headers).filter(|_| !self.tokens.is_open()) {
            Some(it) => self.tokens.verify_session(it, now)?,
            None => self.tokens.verify(None, now)?,
        };
        Ok((identity, Carrier::Browser))
    }

    fn whose_ticket(&self, ticket: &str, now: Time) -> Result<Identity, AuthError> {
        let identity = self.tickets.redeem(ticket, now).ok_or(AuthError::Ticket)?;
        let valid = self.tokens.is_still_valid(&identity, now);
        if valid { Ok(identity) } else { Err(AuthError::Ticket) }
    }

    /// Refuses what a page of another site makes a browser do: the browser adds what lets its user in.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let origin = headers.get(header::ORIGIN).and_then(|it| it.to_str().ok());
        let allowed =
            origin.is_some_and(|it| self.allowed_origins.iter().any(|allowed| allowed == it));
        if allowed || !is_cross_site(headers) {
            return Ok(());
        }
        self.metrics.reject("forbidden");
        Err(forbidden(
            "a web page of another site may not do this without a token; web.allowed_origins names those that may",
        ))
    }
}

/// What carries the proof of who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// The client itself: nobody else can make it do that.
    Client,
    /// A browser, which does it for every page that asks; also whoever needs no proof.
    Browser,
}

fn ticket(uri: &Uri) -> Option<String> {
    params::params(uri).find(|(name, _)| name == "ticket").map(|(_, it)| it.into_owned())
}

fn forbidden(message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)
}

/// The secret that a request carries: Bearer, `X-API-Key`, or the password of Basic.
fn secret(headers: &HeaderMap) -> Option<String> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok().map(|it| it.trim().to_owned());
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

/// Whether a browser sent this on behalf of a page that is not ours. Where no token is needed, any page
/// that a person visits could otherwise post to their loopback address.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|it| it.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != text("host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn every_carrier_of_a_secret() {
        let check = |pairs: &[(&'static str, &str)], expected: Option<&str>| {
            assert_eq!(secret(&headers(pairs)).as_deref(), expected, "{pairs:?}");
        };
        check(&[], None);
        check(&[("authorization", "Bearer abc")], Some("abc"));
        check(&[("authorization", "bearer   abc ")], Some("abc"));
        check(&[("x-api-key", "abc")], Some("abc"));
        check(&[("authorization", "Basic dXNlcjphYmM6ZA==")], Some("abc:d"));
        check(&[("authorization", "Basic ?")], None);
        check(&[("authorization", "Digest abc")], None);
        check(&[("authorization", "abc")], None);
    }

    #[test]
    fn pages_of_other_sites() {
        let check = |pairs: &[(&'static str, &str)], expected: bool| {
            assert_eq!(is_cross_site(&headers(pairs)), expected, "{pairs:?}");
        };
        check(&[("host", "localhost:9091")], false);
        check(&[("host", "localhost:9091"), ("origin", "http://localhost:9091")], false);
        check(&[("host", "localhost:9091"), ("origin", "http://evil.example")], true);
        check(&[("host", "localhost:9091"), ("origin", "null")], true);
        check(&[("sec-fetch-site", "cross-site")], true);
        check(&[("sec-fetch-site", "same-site")], true);
        check(&[("sec-fetch-site", "same-origin")], false);
    }
}
