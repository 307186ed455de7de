//! Sessions of browsers: a signed statement that somebody showed a token, good for some hours.
//!
//! A session is a JWT (RFC 7519), signed with HMAC-SHA-256 and a key that is made once and kept in the store. It
//! names the token and nothing else: what the token may do, and whether it still may, is looked up each time, so
//! that a revoked token ends its sessions at once.

use super::{AuthError, Identity, TokenError, Tokens};
use crate::codec;
use crate::event::Time;
use crate::store::{Batch, Store, Table};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, time::Duration};

/// Where the key is, among the tokens: no id of a token looks like this.
pub(super) const KEY: &[u8] = b"session-key";
const VERSION: u8 = 1;
/// RFC 7518 section 3.2: at least as long as the hash.
const KEY_BYTES: usize = 32;

/// Signs and checks.
pub(super) struct Signer {
    sign: EncodingKey,
    check: DecodingKey,
    rules: Validation,
}

/// A session that has begun.
#[derive(Clone, Debug)]
pub struct Session {
    /// What the browser sends back. Never logged.
    pub secret: String,
    /// Who it is; valid until the session ends.
    pub identity: Identity,
    /// When it ends.
    pub ends: Time,
}

/// What is signed. Times are seconds since the epoch.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// The id of the token.
    sub: String,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Begins a session for whoever has the token with this `secret`; it ends after `length`, or with the token.
    ///
    /// # Errors
    ///
    /// The token is unknown, expired or revoked.
    pub fn begin_session(
        &self,
        secret: &str,
        length: Duration,
        now: Time,
    ) -> Result<Session, AuthError> {
        let known = self.shared.known.load();
        let identity = known.token(secret).ok_or(AuthError::Unknown)?.identity_at(now)?;
        let ends = now.saturating_add(length);
        let ends = identity.until.map_or(ends, |it| it.min(ends));
        let sub = identity.token.as_deref().unwrap_or_default().to_owned();
        let claims = Claims { sub, iat: now.as_millis() / 1000, exp: ends.as_millis() / 1000 };
        let secret = self.shared.sessions.sign(&claims).ok_or(AuthError::Session)?;
        Ok(Session { secret, identity: Identity { until: Some(ends), ..identity }, ends })
    }

    /// Whose session this is, at `now`.
    ///
    /// # Errors
    ///
    /// It is not signed by this server, has ended, or its token is not valid any more.
    pub fn verify_session(&self, secret: &str, now: Time) -> Result<Identity, AuthError> {
        let claims = self.shared.sessions.check(secret).ok_or(AuthError::Session)?;
        let ends = Time::from_millis(claims.exp.saturating_mul(1000));
        if ends <= now {
            return Err(AuthError::Session);
        }
        let known = self.shared.known.load();
        let token = known.0.values().find(|it| it.info.id == claims.sub);
        let token = token.ok_or(AuthError::Session)?;
        let identity = token.identity_at(now)?;
        let until = Some(identity.until.map_or(ends, |it| it.min(ends)));
        Ok(Identity { until, ..identity })
    }

    /// Whether whoever was let in as `identity` would be let in at `now` as well.
    #[must_use]
    pub fn is_still_valid(&self, identity: &Identity, now: Time) -> bool {
        let known = self.shared.known.load();
        match &identity.token {
            None => self.is_open_for(&known),
            Some(id) => {
                let token = known.0.values().find(|it| *it.info.id == **id);
                identity.until.is_none_or(|it| now < it)
                    && token.is_some_and(|it| it.info.is_valid(now))
            }
        }
    }
}

impl Signer {
    /// The key of `store`, made if there is none.
    pub(super) fn open(store: &Store, table: &Table) -> Result<Self, TokenError> {
        if let Some(value) = table.get(KEY)? {
            let key = decode(&value).ok_or_else(|| TokenError::Damaged(key_name()))?;
            return Ok(Self::new(key));
        }
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key)?;
        let mut batch = Batch::default();
        batch.put(KEY, &codec::seal(VERSION, &key));
        table.apply(batch)?;
        store.flush()?;
        Ok(Self::new(&key))
    }

    fn new(key: &[u8]) -> Self {
        // Only this algorithm: neither `none` nor one that would take the key for something else.
        let mut rules = Validation::new(Algorithm::HS256);
        // The time is checked against the clock that everything here goes by.
        rules.validate_exp = false;
        rules.required_spec_claims = HashSet::new();
        let (sign, check) = (EncodingKey::from_secret(key), DecodingKey::from_secret(key));
        Self { sign, check, rules }
    }

    /// `None` only if the claims could not be written as JSON.
    fn sign(&self, claims: &Claims) -> Option<String> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.sign).ok()
    }

    fn check(&self, secret: &str) -> Option<Claims> {
        jsonwebtoken::decode(secret, &self.check, &self.rules).map(|it| it.claims).ok()
    }
}

/// The key in its stored form; `None` if it is damaged.
pub(super) fn decode(value: &[u8]) -> Option<&[u8]> {
    codec::unseal(VERSION, value).ok().filter(|it| it.len() == KEY_BYTES)
}

pub(super) fn key_name() -> String {
    String::from_utf8_lossy(KEY).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;
    use crate::tokens::{Config, Open, Role, StaticToken};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    const NOW: Time = Time::from_nanos(1_767_607_200_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);
    const SECRET: &str = "a-secret-of-the-configuration";

    fn open(dir: &tempfile::TempDir) -> Tokens {
        let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
        let token = StaticToken {
            name: "page".to_owned(),
            roles: Role::Read.into(),
            secret: SECRET.to_owned(),
        };
        Tokens::open(store, Config { tokens: vec![token], open: Open::Never }).unwrap()
    }

    #[test]
    fn a_session_lasts_over_a_restart_and_then_ends() {
        let dir = tempfile::tempdir().unwrap();
        let session = open(&dir).begin_session(SECRET, HOUR, NOW).unwrap();
        let tokens = open(&dir);
        let identity = tokens.verify_session(&session.secret, NOW).unwrap();
        assert_eq!((identity.name.as_deref(), identity.until), (Some("page"), Some(session.ends)));
        assert!(identity.roles.contains(Role::Read) && !identity.roles.contains(Role::Ingest));
        assert!(tokens.is_still_valid(&identity, NOW));
        assert!(!tokens.is_still_valid(&identity, session.ends));
        let ended = tokens.verify_session(&session.secret, session.ends);
        assert_eq!(ended, Err(AuthError::Session));
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = open(&dir);
        let expires = Some(NOW.saturating_add(HOUR / 2));
        let (_, secret) = tokens.create("b", Role::Admin.into(), expires, NOW).unwrap();
        let session = tokens.begin_session(&secret, HOUR, NOW).unwrap();
        assert_eq!(Some(session.ends), expires);
        let identity = tokens.verify_session(&session.secret, NOW).unwrap();
        tokens.revoke("b", NOW).unwrap();
        assert!(!tokens.is_still_valid(&identity, NOW));
        assert_eq!(tokens.verify_session(&session.secret, NOW), Err(AuthError::Revoked));
        assert!(tokens.begin_session(&secret, HOUR, NOW).is_err());
        assert!(tokens.begin_session("another", HOUR, NOW).is_err());
    }

    #[test]
    fn what_this_server_did_not_sign_is_refused() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tokens = open(&dir);
        let session = tokens.begin_session(SECRET, HOUR, NOW).unwrap().secret;
        let mut parts = session.split('.');
        let (header, claims, signature) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let rs = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        let later = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let later = String::from_utf8(later).unwrap().replace("\"exp\":17", "\"exp\":27");
        let later = URL_SAFE_NO_PAD.encode(later);
        let forged = [
            format!("{none}.{claims}."),
            format!("{none}.{claims}.{signature}"),
            format!("{rs}.{claims}.{signature}"),
            format!("{header}.{later}.{signature}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}"),
            open(&other).begin_session(SECRET, HOUR, NOW).unwrap().secret,
            SECRET.to_owned(),
            String::new(),
        ];
        for it in forged {
            assert_eq!(tokens.verify_session(&it, NOW), Err(AuthError::Session), "{it}");
        }
        assert!(tokens.verify_session(&session, NOW).is_ok());
    }
}
