//! What is known of each account at run time: its circuit breaker and the calls it is serving.
//!
//! One table per process, keyed by the account's id, so that it outlives every snapshot swap. Which account
//! gets a call is decided in [`route`](super::route); here is only what that decision needs to know, and the
//! two things a call holds while it uses an account.

use std::time::Instant;

use steward_actors::domain::health::Traffic;
use steward_actors::domain::snapshot::AccountView;

use super::breaker::{BreakerConfig, BreakerView, Breakers, Pass, Standing};
use super::limits::{Place, Places};
use super::route::Availability;

/// When to come back while another call probes the account.
const PROBING_RETRY_MS: u64 = 1_000;

/// See the module.
pub struct AccountStates {
    breakers: Breakers,
    places: Places,
    epoch: Instant,
}

impl AccountStates {
    /// Nothing known yet.
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self {
            breakers: Breakers::new(config),
            places: Places::new(),
            epoch: Instant::now(),
        }
    }

    /// Milliseconds of a clock that never jumps; breakers and limits live by it.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the account could take a call now; `is_down` is what its health checks say.
    pub(super) fn availability(
        &self,
        account: &AccountView,
        is_down: bool,
        now_ms: u64,
    ) -> Availability {
        let breaker = self.breakers.of(account.id);
        match breaker.standing(now_ms) {
            Standing::Open { .. } | Standing::Probing if breaker.is_refused(now_ms) => {
                Availability::Refused
            }
            Standing::Open { retry_after_ms } => Availability::Down { retry_after_ms },
            Standing::Probing => Availability::Down {
                retry_after_ms: PROBING_RETRY_MS,
            },
            Standing::Closed | Standing::HalfOpen
                if self.places.is_full(account.id, account.concurrency) =>
            {
                Availability::Full
            }
            Standing::Closed | Standing::HalfOpen if is_down => Availability::Unwell,
            Standing::Closed | Standing::HalfOpen => Availability::Ready,
        }
    }

    /// Takes a place and the breaker's leave; `None` when either was lost since [`Self::availability`].
    /// `last_resort` enters where only the credential is held against the account.
    pub(super) fn enter(
        &self,
        account: &AccountView,
        last_resort: bool,
        now_ms: u64,
    ) -> Option<(Place, Pass)> {
        let place = self.places.take(account.id, account.concurrency)?;
        let breaker = self.breakers.of(account.id);
        let pass = match last_resort {
            true => breaker.enter_refused(now_ms)?,
            false => breaker.enter(now_ms)?,
        };
        Some((place, pass))
    }

    /// For the supervision page and `/metrics`: the breaker, and the calls in flight.
    pub fn view(&self, account_id: i64) -> (BreakerView, u32) {
        (
            self.breakers.of(account_id).view(self.now_ms()),
            self.places.taken(account_id),
        )
    }

    /// Calls that used the account since the process began.
    pub fn traffic(&self, account_id: i64) -> Traffic {
        self.breakers.of(account_id).traffic()
    }

    /// An operator changed the account: whatever was held against it is forgotten.
    pub fn reset(&self, account_id: i64) {
        self.breakers.of(account_id).reset();
    }

    /// The account was removed: nothing is known of it any more.
    pub fn forget(&self, account_id: i64) {
        self.breakers.forget(account_id);
        self.places.forget(account_id);
    }
}
