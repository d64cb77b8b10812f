//! Issuers of whom a token came that is signed with a key not known here: their key set may have changed since it was
//! fetched. Written by refusals alone, never by a call that is served; who fetches key sets reads it.

use std::collections::HashMap;

use parking_lot::Mutex;

/// A key set is not wanted again before so long: whoever makes up key ids makes nobody fetch.
const AGAIN_AFTER_US: i64 = 30_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct MissingKeys(Mutex<HashMap<String, Missed>>);

#[derive(Debug)]
struct Missed {
    at: i64,
    is_wanted: bool,
}

impl MissingKeys {
    /// A token of the issuer of this public id bears a key id that is not known.
    pub(super) fn miss(&self, issuer: &str, now_micros: i64) {
        let mut missed = self.0.lock();
        let known = missed.get(issuer);
        if known.is_none_or(|known| now_micros.saturating_sub(known.at) >= AGAIN_AFTER_US) {
            let wanted = Missed {
                at: now_micros,
                is_wanted: true,
            };
            missed.insert(issuer.to_owned(), wanted);
        }
    }

    /// Whether the issuer's key set is wanted; true once.
    pub fn take(&self, issuer: &str) -> bool {
        let mut missed = self.0.lock();
        let known = missed.get_mut(issuer);
        known.is_some_and(|known| std::mem::take(&mut known.is_wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_is_wanted_once_and_not_again_at_once() {
        let missing = MissingKeys::default();
        assert!(!missing.take("iss_a"));
        missing.miss("iss_a", 0);
        missing.miss("iss_a", 1);
        assert!(missing.take("iss_a") && !missing.take("iss_a") && !missing.take("iss_b"));
        missing.miss("iss_a", AGAIN_AFTER_US - 1);
        assert!(!missing.take("iss_a"));
        missing.miss("iss_a", AGAIN_AFTER_US);
        assert!(missing.take("iss_a"));
    }
}
