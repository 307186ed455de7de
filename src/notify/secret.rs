//! Secrets: masked when they are shown, sealed when they are stored.

use crate::store::{StoreError, Table};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands for a secret when it is shown. Sent back it means: as it was.
pub const MASK: &str = "***";
/// Where the key is, in the table of alerts.
pub(super) const KEY: &[u8] = b"k";
const NONCE_BYTES: usize = 24;

/// Text that is not shown: its `Debug` is `***`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Secret(String);

/// Seals what is stored. The key is in the same store: whoever has only some of its pages, or a look at
/// its strings, finds no secret; whoever has all of it has the key.
pub(super) struct Seal(XChaCha20Poly1305);

/// Why secrets cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key in it is not one.
    #[error(
        "the key of the notification channels is damaged; nothing was changed: restore a backup"
    )]
    Key,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// What was sealed cannot be opened.
    #[error("it was not sealed with the key of this store")]
    Sealed,
}

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Call it only to send or sign with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Seal {
    /// The key of `table`, which is made if there is none. Flush before it is used.
    pub(super) fn open(table: &Table) -> Result<Self, SealError> {
        let key = match table.get(KEY)? {
            Some(value) => crate::codec::unseal(super::VERSION, &value)
                .ok()
                .and_then(|it| <[u8; 32]>::try_from(it).ok())
                .ok_or(SealError::Key)?,
            None => {
                let mut key = [0; 32];
                getrandom::fill(&mut key)?;
                table.put(KEY, &crate::codec::seal(super::VERSION, &key))?;
                key
            }
        };
        Ok(Self(XChaCha20Poly1305::new(&key.into())))
    }

    /// `text` sealed for the channel `id`: moved to another channel, it does not open.
    pub(super) fn seal(&self, id: &str, text: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let payload = Payload { msg: text, aad: id.as_bytes() };
        let sealed = self.0.encrypt(&nonce.into(), payload).map_err(|_| SealError::Sealed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub(super) fn open_sealed(&self, id: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Sealed)?;
        let payload = Payload { msg: sealed, aad: id.as_bytes() };
        self.0.decrypt(&(*nonce).into(), payload).map_err(|_| SealError::Sealed)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(***)")
    }
}
