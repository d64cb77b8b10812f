//! Makes whoever fails to sign in too often wait: failures are counted per user name and per address.
//!
//! In memory, one per process; nothing is stored, and no password is seen here.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use steward_actors::domain::clock::SharedClock;

use crate::config;
use crate::error::{ApiError, ErrorCode};

/// Above this many names and addresses, those whose window has passed are forgotten.
const COUNTED_MAX: usize = 20_000;
const NAME_MAX_BYTES: usize = 128;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Who {
    Name(String),
    Address(IpAddr),
}

struct Failures {
    count: u32,
    since: i64,
}

/// Counts failures to sign in.
pub struct Doorman {
    clock: SharedClock,
    attempts: u32,
    window_us: i64,
    failures: Mutex<HashMap<Who, Failures>>,
}

impl Doorman {
    /// Allows `login_attempts` failures per name and per address within `login_window_s`.
    pub fn new(config: &config::Auth, clock: SharedClock) -> Self {
        Self {
            clock,
            attempts: config.login_attempts,
            window_us: i64::try_from(config.login_window_s)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000),
            failures: Mutex::new(HashMap::new()),
        }
    }

    /// Counts an attempt to sign in before the password is looked at, so that many at once cannot slip
    /// through together.
    ///
    /// # Errors
    /// `login_throttled` when it is one too many.
    pub fn admit(&self, username: &str, address: IpAddr) -> Result<(), ApiError> {
        let now = self.clock.now_micros();
        let mut failures = self.failures.lock();
        if failures.len() >= COUNTED_MAX {
            let window = self.window_us;
            failures.retain(|_, failed| (0..window).contains(&(now - failed.since)));
        }
        let keys = [name(username), Who::Address(address)];
        for who in &keys {
            let Some(failed) = failures.get(who) else {
                continue;
            };
            let passed = now - failed.since;
            if !(0..self.window_us).contains(&passed) {
                failures.remove(who);
            } else if failed.count >= self.attempts {
                let left_us = self.window_us - passed;
                let seconds = (left_us as u64).div_ceil(1_000_000);
                return Err(ApiError::new(ErrorCode::LoginThrottled).retry_after_s(seconds));
            }
        }
        for who in keys {
            let failed = failures.entry(who).or_insert(Failures {
                count: 0,
                since: now,
            });
            failed.count += 1;
        }
        Ok(())
    }

    /// The password was right. The name starts afresh; the address only gets this attempt back, or one
    /// good account would clear it for guessing at others.
    pub fn welcome(&self, username: &str, address: IpAddr) {
        let mut failures = self.failures.lock();
        failures.remove(&name(username));
        if let Some(failed) = failures.get_mut(&Who::Address(address)) {
            failed.count = failed.count.saturating_sub(1);
        }
    }
}

fn name(username: &str) -> Who {
    let mut name = username.to_lowercase();
    name.truncate(name.floor_char_boundary(NAME_MAX_BYTES));
    Who::Name(name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steward_actors::domain::clock::ManualClock;

    use super::*;

    fn doorman() -> (Doorman, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at_micros(1_000_000_000));
        let auth = config::Config::load(None, []).unwrap().auth;
        (Doorman::new(&auth, clock.clone()), clock)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_name_is_closed_from_every_address_until_the_window_has_passed() {
        let (doorman, clock) = doorman();
        for last in 0..5 {
            doorman.admit("Ada", address(last)).unwrap();
        }
        assert!(doorman.admit("ada", address(99)).is_err());
        doorman.admit("bob", address(99)).unwrap();
        clock.advance_micros(300_000_000);
        doorman.admit("ada", address(99)).unwrap();
    }

    #[test]
    fn an_address_is_closed_for_every_name_and_one_success_does_not_open_it() {
        let (doorman, _) = doorman();
        for name in ["a", "b", "c", "d"] {
            doorman.admit(name, address(1)).unwrap();
        }
        doorman.admit("mine", address(1)).unwrap();
        doorman.welcome("mine", address(1));
        doorman.admit("e", address(1)).unwrap();
        assert!(doorman.admit("mine", address(1)).is_err());
    }
}
