//! Who may do what.
//!
//! A token is a random secret with a name and roles. Only the SHA-256 of a secret is kept; the secret is
//! 256 bits of randomness, so a slow hash would add nothing. Tokens come from the configuration, which
//! keeps them, or are created at run time and kept in the store.

mod record;
mod roles;
mod session;
pub mod verify;

pub use roles::{ParseRolesError, Role, Roles};
pub use session::Session;

use crate::event::Time;
use crate::store::{Batch, Store, StoreError, Table};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use record::Record;
use session::Signer;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use subtle::ConstantTimeEq;

const TABLE: &str = "tokens";
const SECRET_PREFIX: &str = "obs_";
/// The longest name of a token, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Which tokens there are, and what goes without one.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Tokens of the configuration. They can be revoked only there.
    pub tokens: Vec<StaticToken>,
    /// Who is let in without a token. Default: nobody.
    pub open: Open,
}

/// A token of the configuration.
#[derive(Clone)]
pub struct StaticToken {
    /// Its name, for people and logs.
    pub name: String,
    /// What it may do.
    pub roles: Roles,
    /// What the client sends. Never logged.
    pub secret: String,
}

/// Who is let in without a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Open {
    /// Nobody.
    #[default]
    Never,
    /// Everybody, with every role, as long as there has never been a token: for loopback addresses.
    WithoutTokens,
    /// Everybody, with every role: for `--no-auth`.
    Always,
}

/// The tokens. A handle: clones share them.
#[derive(Clone)]
pub struct Tokens {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    table: Table,
    open: Open,
    known: ArcSwap<Known>,
    sessions: Signer,
    /// Serialises changes: read, write to the store, swap.
    changing: Mutex<()>,
}

/// All tokens, by the hash of their secret.
#[derive(Clone, Default)]
struct Known(HashMap<Hash, Token>);

type Hash = [u8; 32];

#[derive(Clone)]
struct Token {
    info: TokenInfo,
    identity: Identity,
    hash: Hash,
}

/// What may be shown of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Names it for good; derived from the hash of the secret.
    pub id: String,
    /// Its name, for people and logs.
    pub name: String,
    /// What it may do.
    pub roles: Roles,
    /// When it was created; `None` for a token of the configuration.
    pub created: Option<Time>,
    /// When it ceases to be valid.
    pub expires: Option<Time>,
    /// When it was revoked.
    pub revoked: Option<Time>,
}

/// Who a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The token's name; `None` if no token was needed.
    pub name: Option<Arc<str>>,
    /// The token's id; `None` if no token was needed.
    pub token: Option<Arc<str>>,
    /// What it may do.
    pub roles: Roles,
    /// When the token, or the session that stands for it, ceases to be valid.
    pub until: Option<Time>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no token.
    #[error("a token is required: send it as Bearer, X-API-Key or the password of Basic")]
    Missing,
    /// No token has this secret.
    #[error("the token is not known")]
    Unknown,
    /// The token is too old.
    #[error("the token has expired")]
    Expired,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The session is over, or was not begun here.
    #[error("the session has ended: log in again with POST /api/v1/session")]
    Session,
    /// The ticket is of no use any more.
    #[error(
        "the ticket is unknown, used or too old: each is good for one connection within 30 s; get another with POST /api/v1/stream/ticket"
    )]
    Ticket,
}

/// Why the tokens could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name is empty or too long, or has characters that a log line should not have.
    #[error(
        "a token's name has 1 to {MAX_NAME_BYTES} characters of letters, digits, `-`, `_`, `.` and `@`"
    )]
    Name,
    /// There is a token of that name that is not revoked.
    #[error("there is a token named {0:?} already")]
    Exists(String),
    /// It has no role.
    #[error("a token needs at least one role of ingest, read, control and admin")]
    NoRole,
    /// There is no such token.
    #[error("there is no token with the id or name {0:?}")]
    NotFound(String),
    /// It can be revoked only in the configuration.
    #[error("the token {0:?} comes from the configuration: remove it there")]
    Configured(String),
    /// A token of the configuration has no usable secret.
    #[error("the token {0:?} of the configuration needs a secret of at least 8 bytes")]
    WeakSecret(String),
    /// Two tokens have the same secret.
    #[error("the tokens {0:?} and {1:?} have the same secret")]
    SameSecret(String, String),
    /// A stored token cannot be read.
    #[error("the stored token {0:?} is damaged; nothing was changed")]
    Damaged(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl Tokens ===

impl Tokens {
    /// The tokens of `config` and of `store`.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the configuration's tokens are unusable.
    pub fn open(store: Store, config: Config) -> Result<Self, TokenError> {
        let table = store.table(TABLE)?;
        let mut known = Known::default();
        for entry in table.prefix(b"") {
            let (id, value) = entry?;
            if id == session::KEY {
                continue;
            }
            known.insert(Record::decode(&id, &value)?)?;
        }
        for StaticToken { name, roles, secret } in config.tokens {
            check_name(&name)?;
            if secret.len() < 8 {
                return Err(TokenError::WeakSecret(name));
            }
            if roles.is_empty() {
                return Err(TokenError::NoRole);
            }
            let hash = hash(&secret);
            let (created, expires, revoked) = (None, None, None);
            let info = TokenInfo { id: id_of(&hash), name, roles, created, expires, revoked };
            known.insert(Token::new(info, hash))?;
        }
        let known = ArcSwap::from_pointee(known);
        let (open, sessions) = (config.open, Signer::open(&store, &table)?);
        let shared = Shared { store, table, open, known, sessions, changing: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Creates a token. It is durable when this returns. The second value is its secret, which is
    /// nowhere else and cannot be had again. Blocking.
    ///
    /// # Errors
    ///
    /// The name is unusable or taken, there is no role, or the store cannot be written.
    pub fn create(
        &self,
        name: &str,
        roles: Roles,
        expires: Option<Time>,
        now: Time,
    ) -> Result<(TokenInfo, String), TokenError> {
        check_name(name)?;
        if roles.is_empty() {
            return Err(TokenError::NoRole);
        }
        let _changing = self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let live = |it: &TokenInfo| it.revoked.is_none() && it.name == name;
        if self.shared.known.load().0.values().any(|it| live(&it.info)) {
            return Err(TokenError::Exists(name.to_owned()));
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        let secret = format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let hash = hash(&secret);
        let (name, created) = (name.to_owned(), Some(now));
        let info = TokenInfo { id: id_of(&hash), name, roles, created, expires, revoked: None };
        self.put(Token::new(info.clone(), hash))?;
        Ok((info, secret))
    }

    /// All tokens, in the order of their names; revoked ones too, until they are removed with the store.
    #[must_use]
    pub fn list(&self) -> Vec<TokenInfo> {
        let mut res: Vec<_> =
            self.shared.known.load().0.values().map(|it| it.info.clone()).collect();
        res.sort_by(|a, b| (&a.name, a.created, &a.id).cmp(&(&b.name, b.created, &b.id)));
        res
    }

    /// Revokes the token with this id or, if it is not revoked yet, this name. Durable when this
    /// returns, and in force for the next request. Blocking.
    ///
    /// # Errors
    ///
    /// There is no such token, it comes from the configuration, or the store cannot be written.
    pub fn revoke(&self, id_or_name: &str, now: Time) -> Result<TokenInfo, TokenError> {
        let _changing = self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.shared.known.load_full();
        let by_id = known.0.values().find(|it| it.info.id == id_or_name);
        let by_name =
            || known.0.values().find(|it| it.info.name == id_or_name && it.info.revoked.is_none());
        let token =
            by_id.or_else(by_name).ok_or_else(|| TokenError::NotFound(id_or_name.to_owned()))?;
        if token.info.created.is_none() {
            return Err(TokenError::Configured(token.info.name.clone()));
        }
        let mut info = token.info.clone();
        info.revoked.get_or_insert(now);
        self.put(Token::new(info.clone(), token.hash))?;
        Ok(info)
    }

    /// Who sends `secret`, at `now`.
    ///
    /// # Errors
    ///
    /// The secret is absent, unknown, expired or revoked, and a token is needed.
    pub fn verify(&self, secret: Option<&str>, now: Time) -> Result<Identity, AuthError> {
        let known = self.shared.known.load();
        if self.is_open_for(&known) {
            return Ok(Identity { roles: Roles::ALL, ..Identity::default() });
        }
        let secret = secret.ok_or(AuthError::Missing)?;
        known.token(secret).ok_or(AuthError::Unknown)?.identity_at(now)
    }

    /// Whether everybody is let in without a token.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open_for(&self.shared.known.load())
    }

    fn is_open_for(&self, known: &Known) -> bool {
        match self.shared.open {
            Open::Never => false,
            Open::Always => true,
            // Revoked and expired ones count: that a token ends must not let everybody in.
            Open::WithoutTokens => known.0.is_empty(),
        }
    }

    fn put(&self, token: Token) -> Result<(), TokenError> {
        let mut batch = Batch::default();
        batch.put(token.info.id.as_bytes(), &Record::encode(&token)?);
        self.shared.table.apply(batch)?;
        self.shared.store.flush()?;
        let mut known = Known::clone(&self.shared.known.load());
        known.0.insert(token.hash, token);
        self.shared.known.store(Arc::new(known));
        Ok(())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("open", &self.shared.open).finish_non_exhaustive()
    }
}

impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, roles, secret: _ } = self;
        f.debug_struct("StaticToken").field("name", name).field("roles", roles).finish()
    }
}

impl TokenInfo {
    /// Whether it would be accepted at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Time) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|it| now < it)
    }
}

impl Token {
    fn new(info: TokenInfo, hash: Hash) -> Self {
        let identity = Identity {
            name: Some(info.name.as_str().into()),
            token: Some(info.id.as_str().into()),
            roles: info.roles,
            until: info.expires,
        };
        Self { info, identity, hash }
    }

    fn identity_at(&self, now: Time) -> Result<Identity, AuthError> {
        match &self.info {
            it if it.revoked.is_some() => Err(AuthError::Revoked),
            it if it.expires.is_some_and(|it| it <= now) => Err(AuthError::Expired),
            _ => Ok(self.identity.clone()),
        }
    }
}

impl Known {
    fn token(&self, secret: &str) -> Option<&Token> {
        let hash = hash(secret);
        self.0.get(&hash).filter(|it| bool::from(it.hash.ct_eq(&hash)))
    }

    fn insert(&mut self, token: Token) -> Result<(), TokenError> {
        let name = token.info.name.clone();
        match self.0.insert(token.hash, token) {
            Some(other) => Err(TokenError::SameSecret(other.info.name, name)),
            None => Ok(()),
        }
    }
}

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Eight bytes of the hash: enough to be unique, and no help to guess the secret.
fn id_of(hash: &Hash) -> String {
    hash.iter().take(8).fold(String::from("tok_"), |acc, it| acc + &format!("{it:02x}"))
}

fn check_name(name: &str) -> Result<(), TokenError> {
    let ok = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len());
    if fits && name.chars().all(ok) { Ok(()) } else { Err(TokenError::Name) }
}

#[cfg(test)]
mod tests;
