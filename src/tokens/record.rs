//! A token as it is stored.

use super::{Hash, Roles, Token, TokenError, TokenInfo};
use crate::codec;
use crate::event::Time;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;
/// The version of the envelope with the checksum.
const ENVELOPE: u8 = 1;

/// The stored form; its key is the token's id.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    name: String,
    roles: String,
    hash: String,
    /// Nanoseconds since the epoch, as the others.
    created: i64,
    expires: Option<i64>,
    revoked: Option<i64>,
}

impl Record {
    pub(super) fn encode(token: &Token) -> Result<Vec<u8>, TokenError> {
        let Token { info, hash, .. } = token;
        let record = Self {
            version: VERSION,
            name: info.name.clone(),
            roles: info.roles.to_string(),
            hash: hash.iter().map(|it| format!("{it:02x}")).collect(),
            created: info.created.unwrap_or_default().as_nanos(),
            expires: info.expires.map(Time::as_nanos),
            revoked: info.revoked.map(Time::as_nanos),
        };
        let json = serde_json::to_vec(&record);
        let json = json.map_err(|_| TokenError::Damaged(info.name.clone()))?;
        Ok(codec::seal(ENVELOPE, &json))
    }

    pub(super) fn decode(id: &[u8], value: &[u8]) -> Result<Token, TokenError> {
        let id = String::from_utf8_lossy(id).into_owned();
        decode(&id, value).ok_or(TokenError::Damaged(id))
    }
}

fn decode(id: &str, value: &[u8]) -> Option<Token> {
    // Earlier versions stored the bare JSON.
    let json = if value.starts_with(b"{") { value } else { codec::unseal(ENVELOPE, value).ok()? };
    let record: Record = serde_json::from_slice(json).ok()?;
    let roles: Roles = record.roles.parse().ok()?;
    let info = TokenInfo {
        id: id.to_owned(),
        name: record.name,
        roles,
        created: Some(Time::from_nanos(record.created)),
        expires: record.expires.map(Time::from_nanos),
        revoked: record.revoked.map(Time::from_nanos),
    };
    let hash = hex(&record.hash)?;
    (record.version == VERSION && id == super::id_of(&hash)).then(|| Token::new(info, hash))
}

fn hex(text: &str) -> Option<Hash> {
    let mut res = Hash::default();
    let digits = text.as_bytes().chunks_exact(2);
    if text.len() != 2 * res.len() {
        return None;
    }
    for (byte, digits) in res.iter_mut().zip(digits) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(res)
}
