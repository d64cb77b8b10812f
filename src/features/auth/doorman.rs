//! Makes whoever fails to sign in too often wait: failures are counted per user name and per address.
//!
//! In memory, one per process; nothing is stored, and no password is seen here.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use steward_actors::domain::clock::SharedClock;

use crate::config;
use crate::error::{ApiError, ErrorCode};
use crate::http::middleware::client_address;

/// So many names and addresses are counted at most. Beyond it those whose window has passed are forgotten, and when that is
/// not enough the half that failed least: a closed one stays closed.
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
            self.forget_some(&mut failures, now);
        }
        let keys = [name(username), at(address)];
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

    fn forget_some(&self, failures: &mut HashMap<Who, Failures>, now: i64) {
        failures.retain(|_, failed| (0..self.window_us).contains(&(now - failed.since)));
        if failures.len() >= COUNTED_MAX {
            let mut kept: Vec<(Who, Failures)> = failures.drain().collect();
            kept.sort_unstable_by_key(|(_, failed)| (Reverse(failed.count), Reverse(failed.since)));
            kept.truncate(COUNTED_MAX / 2);
            failures.extend(kept);
        }
    }

    /// The password was right. The name starts afresh; the address only gets this attempt back, or one
    /// good account would clear it for guessing at others.
    pub fn welcome(&self, username: &str, address: IpAddr) {
        let mut failures = self.failures.lock();
        failures.remove(&name(username));
        if let Some(failed) = failures.get_mut(&at(address)) {
            failed.count = failed.count.saturating_sub(1);
        }
    }
}

/// Whoever has an IPv6 address has all of its network's.
fn at(address: IpAddr) -> Who {
    Who::Address(client_address(&Some(address)))
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

    #[test]
    fn an_ipv6_network_is_one_address() {
        let (doorman, _) = doorman();
        let inside = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, 0, 0, 0, last]);
        for last in 0..5 {
            doorman
                .admit(&format!("name {last}"), inside(last))
                .unwrap();
        }
        assert!(doorman.admit("another", inside(99)).is_err());
        let outside = IpAddr::from([0x2001, 0xdb8, 1, 3, 0, 0, 0, 1]);
        doorman.admit("another", outside).unwrap();
    }

    #[test]
    fn a_crowd_of_names_is_forgotten_before_one_that_is_closed() {
        let (doorman, _) = doorman();
        for last in 0..5 {
            doorman.admit("ada", address(last)).unwrap();
        }
        for number in 0..u32::try_from(COUNTED_MAX).unwrap() {
            let from = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            doorman.admit(&format!("guess {number}"), from).unwrap();
            assert!(doorman.failures.lock().len() <= COUNTED_MAX + 1);
        }
        assert!(doorman.admit("ada", address(200)).is_err());
    }
}
