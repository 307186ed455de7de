//! How many streams there may be: in all, and for one client.

use crate::http::error::ApiError;
use crate::tokens::Identity;
use axum::http::{HeaderValue, StatusCode, header};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Seconds after which a client may find a place.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The places of streams. A handle: clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    max: usize,
    max_per_client: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<Client, usize>,
}

/// Whom streams are counted for: a token, or without one an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    Token(Arc<str>),
    Address(Option<IpAddr>),
}

/// A place, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    client: Client,
}

impl Client {
    pub(super) fn new(identity: &Identity, peer: Option<IpAddr>) -> Self {
        match &identity.token {
            Some(it) => Self::Token(it.clone()),
            None => Self::Address(peer),
        }
    }
}

impl Places {
    pub(super) fn new(max: usize, max_per_client: usize) -> Self {
        Self { taken: Arc::default(), max, max_per_client }
    }

    /// A place for `client`: 503 if all are taken, 429 if the client has its share.
    pub(super) fn take(&self, client: Client) -> Result<Place, ApiError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.max {
            let message =
                format!("{} streams are open, and no more may be: try again later", self.max);
            return Err(ApiError::unavailable("busy", message)
                .with_header(header::RETRY_AFTER, RETRY_AFTER));
        }
        let of_client = taken.by_client.get(&client).copied().unwrap_or_default();
        if of_client >= self.max_per_client {
            let message = format!(
                "this client has {of_client} streams open, and may have no more (stream.max_per_client)"
            );
            let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", message);
            return Err(error.with_header(header::RETRY_AFTER, RETRY_AFTER));
        }
        taken.all += 1;
        taken.by_client.insert(client.clone(), of_client + 1);
        Ok(Place { taken: self.taken.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str) -> Client {
        Client::Token(id.into())
    }

    #[test]
    fn a_client_has_its_share_and_all_have_theirs() {
        let places = Places::new(3, 2);
        let status = |client| places.take(client).map_err(|it| it.status().as_u16());
        let first = status(token("a")).unwrap();
        let _second = status(token("a")).unwrap();
        assert_eq!(status(token("a")).unwrap_err(), 429);
        let _third = status(Client::Address(None)).unwrap();
        assert_eq!(status(token("b")).unwrap_err(), 503);
        drop(first);
        let _again = status(token("a")).unwrap();
        assert_eq!(places.taken.lock().unwrap().by_client.len(), 2);
    }
}
