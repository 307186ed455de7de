//! Checking the stored tokens.

use super::record::Record;
use super::session;
use crate::store::verify::Verdict;

/// Checks the token that is stored under `key`.
pub fn check(key: &[u8], value: &[u8], verdict: &mut Verdict) {
    if key == session::KEY {
        if session::decode(value).is_none() {
            let place = format!("tokens: {}", session::key_name());
            let what = "the key of the sessions is damaged".to_owned();
            let lost = "the sessions of browsers: they log in again".to_owned();
            verdict.add(place, what, lost, vec![key.to_vec()]);
        }
        return;
    }
    if let Err(error) = Record::decode(key, value) {
        let place = format!("tokens: {}", key.escape_ascii());
        let lost = "the token: nobody is let in with it any more".to_owned();
        verdict.add(place, error.to_string(), lost, vec![key.to_vec()]);
    }
}
