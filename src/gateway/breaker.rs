//! Keeps calls away from an account that is failing, and finds out when it has recovered.
//!
//! Closed → open after some failures in a row, or too many among the recent calls → after a cool-down one
//! probe is let through (half-open) → closed again, or open for twice as long. Faults of the client do not
//! count, nor does what one caller alone may be refused (403); a refused credential (401) opens at once, and is
//! told apart: where no other account serves, calls may still be tried on it ([`Breaker::enter_refused`]). An
//! answer that breaks off after a good start counts as a failure then. Time is passed in as milliseconds of a
//! clock that never jumps; the state lives as long as the process, whatever snapshot is in force.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use steward_actors::domain::health::Traffic;

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BreakerConfig {
    /// Failures in a row that open it.
    pub consecutive_failures: u32,
    /// Calls within the window below which the ratio says nothing.
    pub ratio_min_calls: u32,
    /// Percentage of failures within the window that opens it.
    pub ratio_percent: u32,
    /// Length of the window, in milliseconds.
    pub window_ms: u64,
    /// First cool-down, in milliseconds; doubles with each failed probe.
    pub cool_down_ms: u64,
    /// Longest cool-down, in milliseconds.
    pub cool_down_max_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            ratio_min_calls: 20,
            ratio_percent: 50,
            window_ms: 30_000,
            cool_down_ms: 5_000,
            cool_down_max_ms: 120_000,
        }
    }
}

/// How a call on the account went, as far as the account is to blame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It answered.
    Success,
    /// It failed: no connection, time-out, 5xx, 408, 429. `retry_after_ms` is what it asked for.
    Failure { retry_after_ms: Option<u64> },
    /// It refused the account's credential (401): nobody else will fare better.
    Credential,
    /// Nothing learnt: the client's own fault, or the client left.
    Neutral,
}

/// Judges an upstream status.
pub fn outcome_of(status: u16, retry_after_ms: Option<u64>) -> Outcome {
    match status {
        401 => Outcome::Credential,
        408 | 429 | 500..=599 => Outcome::Failure { retry_after_ms },
        400..=499 => Outcome::Neutral,
        _ => Outcome::Success,
    }
}

/// What a breaker says to a new call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Closed,
    /// One probe may go.
    HalfOpen,
    /// A probe is under way.
    Probing,
    /// Closed to all for this long.
    Open {
        retry_after_ms: u64,
    },
}

/// What a settled call may do to its breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Weight {
    /// Let through a closed breaker: it counts.
    Counted,
    /// The probe of a half-open one: it decides.
    Probe,
    /// Let through although the credential was refused: only a success says anything new.
    Trial,
}

/// What the outside sees of a breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BreakerView {
    pub standing: Standing,
    pub consecutive_failures: u32,
    /// How often it has opened.
    pub opened: u64,
    /// The last thing that opened it was a refused credential.
    pub bad_credential: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Set while open or half-open: when the cool-down ends.
    open_until_ms: Option<u64>,
    probing: bool,
    /// Grows whenever the breaker opens or closes: calls begun before do not count any more.
    generation: u64,
    consecutive: u32,
    window_start_ms: u64,
    window_calls: u32,
    window_failures: u32,
    /// Openings in a row without a success between.
    openings: u32,
    opened: u64,
    bad_credential: bool,
}

/// One account's breaker.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: Mutex<State>,
    /// Answers in a row that broke off after a good start; no lock for the many that end well.
    broken: AtomicU32,
    /// Calls of its life, for who judges the account's health by them; so is the next.
    answered: AtomicU64,
    failed: AtomicU64,
}

/// An answer that began well and is under way. Dropped, it says nothing about the account.
#[derive(Debug)]
pub struct Begun {
    breaker: Arc<Breaker>,
    generation: u64,
}

impl Begun {
    /// It came to its end.
    pub fn ended(self) {
        if self.breaker.broken.load(Ordering::Relaxed) > 0 {
            self.breaker.broken.store(0, Ordering::Relaxed);
        }
    }

    /// It broke off, or fell silent.
    pub fn broke(self, now_ms: u64) {
        self.breaker.broke(self.generation, now_ms);
    }
}

/// The right to make one call. Settle it; dropped unsettled it counts as [`Outcome::Neutral`].
#[derive(Debug)]
pub struct Pass {
    breaker: Arc<Breaker>,
    generation: u64,
    weight: Weight,
    settled: bool,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: Mutex::new(State::default()),
            broken: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// What a call arriving now would be told. Changes nothing.
    pub fn standing(&self, now_ms: u64) -> Standing {
        standing(&self.state.lock(), now_ms)
    }

    /// Asks to make a call; `None` while open, or while another call probes.
    pub fn enter(self: &Arc<Self>, now_ms: u64) -> Option<Pass> {
        let mut state = self.state.lock();
        let weight = match standing(&state, now_ms) {
            Standing::Closed => Weight::Counted,
            Standing::HalfOpen => {
                state.probing = true;
                Weight::Probe
            }
            Standing::Probing | Standing::Open { .. } => return None,
        };
        Some(self.pass(&state, weight))
    }

    /// Asks to make a call that has no other account to go to: also let through while open for a refused
    /// credential, since the provider's own answer serves the caller better than none.
    pub fn enter_refused(self: &Arc<Self>, now_ms: u64) -> Option<Pass> {
        if let Some(pass) = self.enter(now_ms) {
            return Some(pass);
        }
        let state = self.state.lock();
        state
            .bad_credential
            .then(|| self.pass(&state, Weight::Trial))
    }

    /// Open, or being probed, because the credential was refused.
    pub fn is_refused(&self, now_ms: u64) -> bool {
        let state = self.state.lock();
        state.bad_credential
            && matches!(
                standing(&state, now_ms),
                Standing::Open { .. } | Standing::Probing
            )
    }

    fn pass(self: &Arc<Self>, state: &State, weight: Weight) -> Pass {
        Pass {
            breaker: Arc::clone(self),
            generation: state.generation,
            weight,
            settled: false,
        }
    }

    /// Calls that the account answered or failed to, since the process began.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// For the supervision page.
    pub fn view(&self, now_ms: u64) -> BreakerView {
        let state = self.state.lock();
        BreakerView {
            standing: standing(&state, now_ms),
            consecutive_failures: state.consecutive,
            opened: state.opened,
            bad_credential: state.bad_credential,
        }
    }

    /// Closes it, as if nothing had happened: its account was changed by an operator.
    pub fn reset(&self) {
        let mut state = self.state.lock();
        self.broken.store(0, Ordering::Relaxed);
        *state = State {
            generation: state.generation + 1,
            opened: state.opened,
            ..State::default()
        };
    }

    /// A call whose beginning was counted as a success has failed after all.
    fn broke(&self, generation: u64, now_ms: u64) {
        let mut state = self.state.lock();
        if state.generation != generation {
            return;
        }
        self.count(&mut state, 0, 1, now_ms);
        let broken = self.broken.fetch_add(1, Ordering::Relaxed) + 1;
        if broken >= self.config.consecutive_failures || self.is_bad_ratio(&state) {
            self.open(&mut state, now_ms, 0, false);
        }
    }

    fn is_bad_ratio(&self, state: &State) -> bool {
        state.window_calls >= self.config.ratio_min_calls
            && u64::from(state.window_failures) * 100
                >= u64::from(state.window_calls) * u64::from(self.config.ratio_percent)
    }

    /// The generation in force afterwards.
    fn settle(&self, generation: u64, weight: Weight, outcome: Outcome, now_ms: u64) -> u64 {
        match outcome {
            Outcome::Success => self.answered.fetch_add(1, Ordering::Relaxed),
            Outcome::Failure { .. } => self.failed.fetch_add(1, Ordering::Relaxed),
            Outcome::Credential | Outcome::Neutral => 0,
        };
        let mut state = self.state.lock();
        if state.generation != generation
            || (weight == Weight::Trial && outcome != Outcome::Success)
        {
            return state.generation;
        }
        match outcome {
            Outcome::Neutral => {
                if weight == Weight::Probe {
                    state.probing = false;
                }
            }
            Outcome::Success => {
                if weight != Weight::Counted {
                    *state = State {
                        generation: state.generation + 1,
                        opened: state.opened,
                        ..State::default()
                    };
                } else {
                    self.count(&mut state, 1, 0, now_ms);
                    state.consecutive = 0;
                    state.openings = 0;
                }
            }
            Outcome::Failure { retry_after_ms } => {
                self.count(&mut state, 1, 1, now_ms);
                state.consecutive = state.consecutive.saturating_add(1);
                if weight == Weight::Probe
                    || state.consecutive >= self.config.consecutive_failures
                    || self.is_bad_ratio(&state)
                {
                    self.open(&mut state, now_ms, retry_after_ms.unwrap_or(0), false);
                }
            }
            Outcome::Credential => {
                state.consecutive = state.consecutive.saturating_add(1);
                self.open(&mut state, now_ms, 0, true);
            }
        }
        state.generation
    }

    fn count(&self, state: &mut State, calls: u32, failures: u32, now_ms: u64) {
        if now_ms.saturating_sub(state.window_start_ms) >= self.config.window_ms {
            state.window_start_ms = now_ms;
            state.window_calls = 0;
            state.window_failures = 0;
        }
        state.window_calls += calls;
        state.window_failures += failures;
    }

    fn open(&self, state: &mut State, now_ms: u64, asked_ms: u64, bad_credential: bool) {
        let doubled = self
            .config
            .cool_down_ms
            .saturating_mul(1 << state.openings.min(20));
        let cool_down_ms = doubled
            .max(asked_ms)
            .min(self.config.cool_down_max_ms)
            .max(1);
        self.broken.store(0, Ordering::Relaxed);
        *state = State {
            open_until_ms: Some(now_ms.saturating_add(cool_down_ms)),
            generation: state.generation + 1,
            consecutive: state.consecutive,
            openings: state.openings.saturating_add(1),
            opened: state.opened + 1,
            bad_credential,
            ..State::default()
        };
    }
}

fn standing(state: &State, now_ms: u64) -> Standing {
    match state.open_until_ms {
        None => Standing::Closed,
        Some(until) if now_ms < until => Standing::Open {
            retry_after_ms: until - now_ms,
        },
        Some(_) if state.probing => Standing::Probing,
        Some(_) => Standing::HalfOpen,
    }
}

impl Pass {
    /// Tells how the call went: as soon as the answer's head is there, or it failed before. After a success
    /// there is an answer under way, whose end may be told too.
    pub fn settle(mut self, outcome: Outcome, now_ms: u64) -> Option<Begun> {
        self.settled = true;
        let generation = self
            .breaker
            .settle(self.generation, self.weight, outcome, now_ms);
        (outcome == Outcome::Success).then(|| Begun {
            breaker: Arc::clone(&self.breaker),
            generation,
        })
    }

    /// Whether this call is the probe of a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.weight == Weight::Probe
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.settled {
            // Neutral outcomes do not look at the time.
            self.breaker
                .settle(self.generation, self.weight, Outcome::Neutral, 0);
        }
    }
}

/// The breakers of all accounts, made as they are asked for.
#[derive(Debug)]
pub struct Breakers {
    config: BreakerConfig,
    by_account: RwLock<HashMap<i64, Arc<Breaker>>>,
}

impl Breakers {
    /// No breaker yet.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            by_account: RwLock::new(HashMap::new()),
        }
    }

    /// The breaker of an account.
    pub fn of(&self, account_id: i64) -> Arc<Breaker> {
        if let Some(breaker) = self.by_account.read().get(&account_id) {
            return Arc::clone(breaker);
        }
        Arc::clone(
            self.by_account
                .write()
                .entry(account_id)
                .or_insert_with(|| Arc::new(Breaker::new(self.config))),
        )
    }

    /// Forgets the breaker of an account that is gone.
    pub fn forget(&self, account_id: i64) {
        self.by_account.write().remove(&account_id);
    }
}

#[cfg(test)]
mod tests;
