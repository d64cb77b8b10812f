//! One rule and one set of labels, from reading to reading.
//!
//! inactive → pending (the breach began) → firing (it lasted `for`) → inactive again (it was clear for
//! `keep_firing_for`). One clear reading drops pending; a breach while firing starts the keep-firing time anew;
//! a reading that failed moves nothing and is remembered as an error of its own. The instance is plain data:
//! stored after every step and read back, it goes on where it stood, whatever happened to the process between.

use std::time::Duration;

use super::condition::Verdict;
use super::rule::{NoData, Rule};

/// Changes within [`FLAPPING_WINDOW`] from which a series flaps.
pub const FLAPPING_FROM: usize = 6;
/// How far back changes count.
pub const FLAPPING_WINDOW: Duration = Duration::from_secs(3_600);

/// Where a series stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum State {
    #[default]
    Inactive,
    Pending,
    Firing,
}

impl State {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }

    /// As stored.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "inactive" => Self::Inactive,
            "pending" => Self::Pending,
            "firing" => Self::Firing,
            _ => return None,
        })
    }
}

/// A series of a rule. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Instance {
    pub state: State,
    /// When the breach began that is pending or firing.
    pub active_at: Option<i64>,
    /// Since when a firing series is clear.
    pub clear_since: Option<i64>,
    /// Since when its readings fail.
    pub error_since: Option<i64>,
    /// When it last began or ceased to fire, within [`FLAPPING_WINDOW`].
    pub changes: Vec<i64>,
}

/// What a step did that others have to hear of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transition {
    /// An incident began.
    Fired,
    /// The incident is over.
    Resolved,
}

impl Instance {
    /// Takes one reading's verdict at `now`.
    pub fn step(&mut self, rule: &Rule, verdict: Verdict, now: i64) -> Option<Transition> {
        let verdict = match (verdict, rule.no_data) {
            (Verdict::Missing, NoData::Ok) => Verdict::Clear,
            (Verdict::Missing, NoData::Alert) => Verdict::Breach,
            (verdict, _) => verdict,
        };
        if verdict == Verdict::Failed {
            self.error_since.get_or_insert(now);
            return None;
        }
        self.error_since = None;
        self.changes
            .retain(|at| now.saturating_sub(*at) < micros(FLAPPING_WINDOW));
        match verdict {
            Verdict::Breach => self.breached(rule, now),
            Verdict::Clear => self.cleared(rule, now),
            Verdict::Missing | Verdict::Failed => None,
        }
    }

    /// Whether it changes so often that each change is no news.
    pub fn is_flapping(&self) -> bool {
        self.changes.len() >= FLAPPING_FROM
    }

    /// Ends the incident by hand. A breach that goes on is a new one.
    pub fn resolve(&mut self, now: i64) -> Option<Transition> {
        (self.state == State::Firing).then(|| self.ended(now))
    }

    fn breached(&mut self, rule: &Rule, now: i64) -> Option<Transition> {
        self.clear_since = None;
        if self.state == State::Firing {
            return None;
        }
        self.state = State::Pending;
        let since = *self.active_at.get_or_insert(now);
        if now.saturating_sub(since) < micros(rule.hold_for) {
            return None;
        }
        self.state = State::Firing;
        self.changes.push(now);
        Some(Transition::Fired)
    }

    fn cleared(&mut self, rule: &Rule, now: i64) -> Option<Transition> {
        match self.state {
            State::Inactive => None,
            State::Pending => {
                self.state = State::Inactive;
                self.active_at = None;
                None
            }
            State::Firing => {
                let since = *self.clear_since.get_or_insert(now);
                (now.saturating_sub(since) >= micros(rule.keep_firing_for)).then(|| self.ended(now))
            }
        }
    }

    fn ended(&mut self, now: i64) -> Transition {
        self.state = State::Inactive;
        self.active_at = None;
        self.clear_since = None;
        self.changes.push(now);
        Transition::Resolved
    }
}

/// A duration in microseconds; what does not fit is for ever.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
