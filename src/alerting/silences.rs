//! Making, changing and ending silences.

use super::engine::{Engine, Silenced};
use super::manage::{bounded, invalid};
use super::table;
use super::{Alerting, AlertingError};
use crate::alerts::Silence;
use crate::event::Time;

/// The most silences that are kept.
const MAX_SILENCES: usize = 10_000;

impl Alerting {
    /// Makes a silence, or changes the one with its id. As in Alertmanager, one whose matchers or beginning change, or that is
    /// over, is replaced by a new one. On disk when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// Its matchers are wrong, it ends before it begins, there is none with that id, or the store cannot be written.
    pub fn put_silence(&self, silence: Silence, now: Time) -> Result<Silence, AlertingError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        bounded(&silence.created_by, &silence.comment)?;
        let selector = silence.compile().map_err(|it| invalid("matchers", it))?;
        if silence.ends_at <= silence.starts_at || silence.ends_at <= now {
            return Err(invalid("endsAt", "must be after startsAt and after now"));
        }
        self.change(now, |engine| {
            let mut silence = Silence { updated_at: now, ..silence };
            if !silence.id.is_empty() {
                let old =
                    engine.silences.get(&silence.id).ok_or_else(|| no_silence(&silence.id))?;
                let old = old.silence.clone();
                let same = old.matchers == silence.matchers && now < old.ends_at;
                if same && old.starts_at <= now {
                    silence.starts_at = old.starts_at;
                } else if !same {
                    if now < old.ends_at {
                        put(engine, Silence { ends_at: now, updated_at: now, ..old })?;
                    }
                    silence.id.clear();
                }
            }
            if silence.id.is_empty() {
                if engine.silences.len() >= MAX_SILENCES {
                    return Err(invalid(
                        "matchers",
                        format!("there are {MAX_SILENCES} silences, which is as many as are kept"),
                    ));
                }
                silence.starts_at = silence.starts_at.max(now);
                silence.id = uuid(random);
            }
            let stored = table::encode(&silence);
            engine.round.others.insert(table::key(table::SILENCE, &silence.id), Some(stored));
            engine
                .silences
                .insert(silence.id.clone(), Silenced { silence: silence.clone(), selector });
            engine.look_at_silences(now);
            Ok(silence)
        })
    }

    /// Ends a silence. It stays listed for five days. Blocking.
    ///
    /// # Errors
    ///
    /// There is none with that id, or the store cannot be written.
    pub fn expire_silence(&self, id: &str, now: Time) -> Result<Silence, AlertingError> {
        self.change(now, |engine| {
            let old = engine.silences.get(id).ok_or_else(|| no_silence(id))?.silence.clone();
            if now >= old.ends_at {
                return Ok(old);
            }
            let starts_at = old.starts_at.min(now);
            let ended = put(engine, Silence { starts_at, ends_at: now, updated_at: now, ..old })?;
            engine.look_at_silences(now);
            Ok(ended)
        })
    }

    /// All silences, those that ended within five days too.
    #[must_use]
    pub fn silences(&self) -> Vec<Silence> {
        self.lock().silences.values().map(|it| it.silence.clone()).collect()
    }
}

fn put(engine: &mut Engine, silence: Silence) -> Result<Silence, AlertingError> {
    let selector = silence.compile().map_err(|it| invalid("matchers", it))?;
    engine
        .round
        .others
        .insert(table::key(table::SILENCE, &silence.id), Some(table::encode(&silence)));
    engine.silences.insert(silence.id.clone(), Silenced { silence: silence.clone(), selector });
    Ok(silence)
}

fn no_silence(id: &str) -> AlertingError {
    AlertingError::NotFound { what: "silence", id: id.to_owned() }
}

/// A random id as Alertmanager makes them (RFC 9562 version 4).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hyphen = |at: usize| if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
    bytes.iter().enumerate().map(|(at, it)| format!("{}{it:02x}", hyphen(at))).collect()
}
