//! Checks passwords, and makes whoever fails too often wait.
//!
//! Hashing takes memory and time on purpose, so few are checked at once and never on a worker of the HTTP
//! front. Failures are counted per user name and per address, in memory; nothing is stored.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::web;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use parking_lot::Mutex;
use steward_actors::domain::clock::SharedClock;
use tokio::sync::Semaphore;

use crate::config;
use crate::error::{ApiError, ErrorCode};

/// Passwords checked at the same time: each takes 19 MiB.
const AT_ONCE: usize = 2;
/// Above this many names and addresses, those whose window has passed are forgotten.
const COUNTED_MAX: usize = 20_000;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Who {
    Name(String),
    Address(IpAddr),
}

struct Failures {
    count: u32,
    since: i64,
}

/// One per process.
pub struct Doorman {
    clock: SharedClock,
    attempts: u32,
    window_us: i64,
    failures: Mutex<HashMap<Who, Failures>>,
    hashing: Arc<Semaphore>,
    /// Checked instead of a hash that is not there, so that an unknown name takes as long as a wrong password.
    decoy: String,
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
            hashing: Arc::new(Semaphore::new(AT_ONCE)),
            decoy: hash_now(&hex(&rand::random::<[u8; 16]>())).unwrap_or_default(),
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
        let keys = [Who::Name(fold(username)), Who::Address(address)];
        for who in &keys {
            let Some(failed) = failures.get_mut(who) else {
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

    /// Takes the attempt back: the password was right. The name starts afresh, the address only loses
    /// this attempt, or one good account would clear it for guessing at others.
    pub fn welcome(&self, username: &str, address: IpAddr) {
        let mut failures = self.failures.lock();
        failures.remove(&Who::Name(fold(username)));
        if let Some(failed) = failures.get_mut(&Who::Address(address)) {
            failed.count = failed.count.saturating_sub(1);
        }
    }

    /// Whether `password` is the one that `hash` was made of; without a hash it takes as long and is false.
    ///
    /// # Errors
    /// When the check itself fails.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, ApiError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        let password = password.to_owned();
        let matches = self
            .off_worker(move || verify_now(&password, &hash))
            .await?;
        Ok(matches && known)
    }

    /// The PHC string (argon2id) to store for `password`.
    ///
    /// # Errors
    /// When hashing fails.
    pub async fn hash(&self, password: &str) -> Result<String, ApiError> {
        let password = password.to_owned();
        self.off_worker(move || hash_now(&password))
            .await?
            .ok_or_else(|| ApiError::internal("a password could not be hashed"))
    }

    async fn off_worker<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _permit = self.hashing.acquire().await.map_err(ApiError::internal)?;
        web::block(work).await.map_err(ApiError::internal)
    }
}

/// The PHC string (argon2id) to store for `password`; blocks for tens of milliseconds.
pub(crate) fn hash_now(password: &str) -> Option<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .ok()
        .map(|hash| hash.to_string())
}

fn verify_now(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|parsed| {
        Argon2::default()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok()
    })
}

fn fold(username: &str) -> String {
    let mut name = username.to_lowercase();
    name.truncate(name.floor_char_boundary(128));
    name
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
