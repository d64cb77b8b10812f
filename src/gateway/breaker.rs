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

    /// Forgets the breakers of accounts that are gone.
    pub fn retain(&self, mut keep: impl FnMut(i64) -> bool) {
        self.by_account.write().retain(|account, _| keep(*account));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAILED: Outcome = Outcome::Failure {
        retry_after_ms: None,
    };

    fn breaker() -> Arc<Breaker> {
        Arc::new(Breaker::new(BreakerConfig::default()))
    }

    fn call(breaker: &Arc<Breaker>, outcome: Outcome, now_ms: u64) {
        breaker.enter(now_ms).unwrap().settle(outcome, now_ms);
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_good_probe_closes_it() {
        let breaker = breaker();
        for _ in 0..5 {
            assert_eq!(breaker.standing(0), Standing::Closed);
            call(&breaker, FAILED, 0);
        }
        assert_eq!(
            breaker.standing(1_000),
            Standing::Open {
                retry_after_ms: 4_000
            }
        );
        assert!(breaker.enter(4_999).is_none());
        let probe = breaker.enter(5_000).unwrap();
        assert!(probe.is_probe());
        assert_eq!(breaker.standing(5_000), Standing::Probing);
        assert!(breaker.enter(5_000).is_none());
        probe.settle(Outcome::Success, 5_100);
        assert_eq!(breaker.standing(5_100), Standing::Closed);
        assert_eq!(breaker.view(5_100).opened, 1);
        let traffic = breaker.traffic();
        assert_eq!((traffic.answered, traffic.failed), (1, 5));
    }

    #[test]
    fn failed_probes_double_the_cool_down_up_to_its_bound() {
        let breaker = breaker();
        let mut now = 0;
        for _ in 0..5 {
            call(&breaker, FAILED, now);
        }
        for expected in [5_000, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000] {
            assert_eq!(
                breaker.standing(now),
                Standing::Open {
                    retry_after_ms: expected
                }
            );
            now += expected;
            call(&breaker, FAILED, now);
        }
    }

    #[test]
    fn the_providers_wish_to_be_left_alone_is_honoured_within_bounds() {
        let breaker = breaker();
        for _ in 0..5 {
            call(&breaker, outcome_of(429, Some(30_000)), 0);
        }
        assert_eq!(
            breaker.standing(0),
            Standing::Open {
                retry_after_ms: 30_000
            }
        );
    }

    #[test]
    fn faults_of_clients_never_open_it_and_a_refused_credential_does_at_once() {
        let breaker = breaker();
        for _ in 0..100 {
            for status in [400, 404, 409, 413, 422] {
                call(&breaker, outcome_of(status, None), 0);
            }
        }
        assert_eq!(breaker.standing(0), Standing::Closed);
        call(&breaker, outcome_of(401, None), 0);
        assert!(matches!(breaker.standing(0), Standing::Open { .. }));
        assert!(breaker.view(0).bad_credential);
        breaker.reset();
        assert_eq!(breaker.standing(0), Standing::Closed);
    }

    #[test]
    fn a_refused_credential_is_tried_where_nothing_else_is_and_only_a_success_changes_that() {
        let breaker = breaker();
        call(&breaker, outcome_of(401, None), 0);
        assert!(breaker.enter(1).is_none() && breaker.is_refused(1));
        for status in [401, 500, 429, 400] {
            let trial = breaker.enter_refused(1).unwrap();
            assert!(!trial.is_probe());
            trial.settle(outcome_of(status, None), 1);
        }
        drop(breaker.enter_refused(1));
        assert_eq!(breaker.view(1).opened, 1, "a trial opens nothing anew");
        assert_eq!(
            breaker.standing(1),
            Standing::Open {
                retry_after_ms: 4_999
            }
        );
        breaker
            .enter_refused(2)
            .unwrap()
            .settle(Outcome::Success, 3);
        assert_eq!(breaker.standing(3), Standing::Closed);
        assert!(!breaker.view(3).bad_credential);

        // While it is probed too; and a probe that fails otherwise makes it an account that is down.
        call(&breaker, outcome_of(401, None), 10);
        let probe = breaker.enter(5_010).unwrap();
        assert!(probe.is_probe() && breaker.is_refused(5_010));
        assert!(breaker.enter_refused(5_010).is_some());
        probe.settle(FAILED, 5_020);
        assert!(!breaker.is_refused(5_020) && breaker.enter_refused(5_020).is_none());
    }

    #[test]
    fn what_one_caller_is_refused_does_not_close_the_account_to_the_others() {
        let breaker = breaker();
        for _ in 0..100 {
            call(&breaker, outcome_of(403, None), 0);
        }
        assert_eq!(breaker.standing(0), Standing::Closed);
        call(&breaker, outcome_of(500, None), 0);
        assert_eq!(breaker.view(0).consecutive_failures, 1);
    }

    #[test]
    fn answers_that_break_off_open_it_unless_others_end_well_between() {
        let begun = |breaker: &Arc<Breaker>| {
            let pass = breaker.enter(0).unwrap();
            pass.settle(Outcome::Success, 0).unwrap()
        };
        let breaker = breaker();
        for _ in 0..4 {
            begun(&breaker).broke(0);
        }
        begun(&breaker).ended();
        for _ in 0..4 {
            begun(&breaker).broke(0);
        }
        // A client that left says nothing.
        drop(begun(&breaker));
        assert_eq!(breaker.standing(0), Standing::Closed);
        let late = begun(&breaker);
        begun(&breaker).broke(0);
        assert!(matches!(breaker.standing(0), Standing::Open { .. }));
        // Begun before it opened: known already.
        let opened = breaker.view(0).opened;
        late.broke(0);
        assert_eq!(breaker.view(0).opened, opened);
    }

    #[test]
    fn a_bad_ratio_opens_it_though_successes_lie_between() {
        let breaker = breaker();
        let mut calls = 0;
        while breaker.standing(0) == Standing::Closed && calls < 100 {
            call(
                &breaker,
                if calls % 2 == 0 {
                    Outcome::Success
                } else {
                    FAILED
                },
                0,
            );
            calls += 1;
        }
        assert_eq!(calls, 20);
    }

    #[test]
    fn calls_begun_before_it_opened_do_not_count_afterwards() {
        let breaker = breaker();
        let late = breaker.enter(0).unwrap();
        for _ in 0..5 {
            call(&breaker, FAILED, 0);
        }
        late.settle(Outcome::Success, 10);
        assert!(matches!(breaker.standing(10), Standing::Open { .. }));
    }

    #[test]
    fn a_dropped_probe_makes_room_for_another() {
        let breaker = breaker();
        call(&breaker, Outcome::Credential, 0);
        drop(breaker.enter(5_000).unwrap());
        assert_eq!(breaker.standing(5_000), Standing::HalfOpen);
    }

    #[test]
    fn every_account_has_one_breaker() {
        let all = Breakers::new(BreakerConfig::default());
        assert!(Arc::ptr_eq(&all.of(1), &all.of(1)));
        assert!(!Arc::ptr_eq(&all.of(1), &all.of(2)));
        let before = all.of(1);
        all.retain(|account| account != 1);
        assert!(!Arc::ptr_eq(&before, &all.of(1)));
    }

    proptest! {
        #[test]
        fn at_most_one_call_passes_while_not_closed_and_it_always_recovers(steps in prop::collection::vec((0u8..6, 0u64..4_000), 1..200)) {
            let breaker = breaker();
            let mut now = 0;
            let mut flying: Vec<Pass> = Vec::new();
            for (what, wait) in steps {
                now += wait;
                let before = breaker.standing(now);
                match what {
                    0..=2 => {
                        let pass = breaker.enter(now);
                        prop_assert_eq!(pass.is_some(), matches!(before, Standing::Closed | Standing::HalfOpen));
                        flying.extend(pass);
                    }
                    3 => if let Some(pass) = flying.pop() { pass.settle(Outcome::Success, now); },
                    4 => if !flying.is_empty() { flying.remove(0).settle(FAILED, now); },
                    _ => drop(flying.pop()),
                }
                if let Standing::Open { retry_after_ms } = breaker.standing(now) {
                    prop_assert!(retry_after_ms <= 120_000);
                }
                let probes = flying.iter().filter(|pass| pass.is_probe() && pass.generation == breaker.state.lock().generation).count();
                prop_assert!(probes <= 1);
            }
            flying.clear();
            now += 120_000;
            if let Some(pass) = breaker.enter(now) {
                pass.settle(Outcome::Success, now);
            }
            prop_assert_eq!(breaker.standing(now), Standing::Closed);
        }
    }
}
