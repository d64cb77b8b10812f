//! Seeded fault plans: which time something at a named point goes wrong, and how.
//!
//! A plan only answers; the code under test asks it and misbehaves accordingly. Whether the n-th visit of a point
//! strikes depends on seed, point and n alone, never on how threads interleave, so a run can be repeated by its seed.
//! Production code holds no plan; an operator's drill orders single faults through
//! [`SupervisorHandle::strike`](super::SupervisorHandle::strike).

use super::seeded::mix;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Environment variable that overrides the seed of every plan.
pub const SEED_VARIABLE: &str = "STEWARD_FAULT_SEED";

/// How something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Panic on the spot.
    Panic,
    /// Panic in a spawned future.
    PanicSpawned,
    /// Declare failure.
    Fail,
    /// Never finish a future.
    Hang,
    /// Block the thread.
    Block,
}

/// A fault ordered from outside, for a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) fault: Fault,
    /// How long a thread is blocked.
    pub(crate) block: Duration,
}

/// Which faults strike where.
#[derive(Debug)]
pub struct FaultPlan {
    seed: u64,
    /// One visit in so many strikes, on average.
    every: u64,
    kinds: Vec<Fault>,
    visits: Mutex<HashMap<&'static str, u64>>,
    struck: AtomicU64,
}

impl FaultPlan {
    /// A plan in which about one visit in `every` (at least 1) meets one of `kinds`. The environment variable
    /// [`SEED_VARIABLE`] overrides `seed`.
    pub fn new(seed: u64, every: u64, kinds: &[Fault]) -> Arc<Self> {
        let given = std::env::var(SEED_VARIABLE).ok();
        Arc::new(Self {
            seed: given.and_then(|text| text.parse().ok()).unwrap_or(seed),
            every: every.max(1),
            kinds: kinds.to_vec(),
            visits: Mutex::default(),
            struck: AtomicU64::new(0),
        })
    }

    /// A plan in which nothing ever goes wrong.
    pub fn none() -> Arc<Self> {
        Self::new(0, 1, &[])
    }

    /// The seed in force.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What goes wrong at this visit of `point`, if anything.
    pub fn at(&self, point: &'static str) -> Option<Fault> {
        let visit = {
            let mut visits = self.visits.lock();
            let count = visits.entry(point).or_default();
            *count += 1;
            *count
        };
        let fault = self.verdict(point, visit)?;
        self.struck.fetch_add(1, Relaxed);
        Some(fault)
    }

    /// How often something went wrong so far.
    pub fn struck(&self) -> u64 {
        self.struck.load(Relaxed)
    }

    fn verdict(&self, point: &str, visit: u64) -> Option<Fault> {
        let place = point
            .bytes()
            .fold(self.seed, |hash, byte| mix(hash ^ u64::from(byte)));
        let chance = mix(place ^ mix(visit));
        if self.kinds.is_empty() || !chance.is_multiple_of(self.every) {
            return None;
        }
        let kind = mix(chance) % self.kinds.len() as u64;
        self.kinds.get(usize::try_from(kind).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(seed: u64) -> Vec<Option<Fault>> {
        let plan = FaultPlan {
            seed,
            every: 10,
            kinds: vec![Fault::Panic, Fault::Hang],
            visits: Mutex::default(),
            struck: AtomicU64::new(0),
        };
        (0..1_000).map(|_| plan.at("before commit")).collect()
    }

    #[test]
    fn a_seed_repeats_its_faults() {
        assert_eq!(strikes(3), strikes(3));
        assert_ne!(strikes(3), strikes(4));
        let count = strikes(3).iter().flatten().count();
        assert!((50..200).contains(&count), "{count}");
    }

    #[test]
    fn an_empty_plan_never_strikes() {
        let plan = FaultPlan::none();
        assert!((0..100).all(|_| plan.at("anywhere").is_none()));
        assert_eq!(plan.struck(), 0);
    }
}
