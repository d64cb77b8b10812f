//! What a group needs of a child, whether it is an actor or another group.

use super::exit::Exit;
use super::faults::Strike;
use super::life::{Protection, StopRequest};
use super::seeded::Seeded;
use super::snapshot::State;
use super::spec::{Placement, SpecError};
use super::threads::Threads;
use super::tree::Node;
use crate::domain::clock::SharedClock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// What every group of one tree shares.
pub(crate) struct Surroundings {
    pub(crate) threads: Threads,
    pub(crate) clock: SharedClock,
    /// Source of jitter.
    pub(crate) chance: Mutex<Seeded>,
    /// Paths of what did not finish in time at shutdown.
    pub(crate) unclean: Mutex<Vec<String>>,
    /// Overrides every spec's placement.
    pub(crate) placement: Option<Placement>,
    /// No actor may be silent for longer, whatever its spec says.
    pub(crate) silence_max: Option<Duration>,
}

/// Something a child tells its group.
pub(crate) struct Event {
    pub(crate) child: usize,
    pub(crate) epoch: u64,
    pub(crate) kind: EventKind,
}

pub(crate) enum EventKind {
    Started,
    Exited(Exit),
}

/// Everything a child needs in order to start.
pub(crate) struct Launch {
    pub(crate) child: usize,
    /// Only to finish what is left, until then.
    pub(crate) draining: Option<Instant>,
    pub(crate) placement: Placement,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) surroundings: Arc<Surroundings>,
}

/// An order to the loop of a group.
pub(crate) enum Command {
    /// Restart what `path` (below the group; empty: all its children) names.
    Restart {
        path: Vec<String>,
        reply: oneshot::Sender<Result<(), super::handle::RestartError>>,
    },
    /// Stop all children; their queues stay open.
    Halt,
    /// Finish the work for good, at most until then.
    Drain(Instant),
    /// Finish the work for good within this time from now.
    DrainWithin(Duration),
    /// End everything at once.
    Kill,
}

/// A child as its group sees it. None of these waits.
pub(crate) trait Managed: Send + Sync {
    /// Takes its place in the tree; once.
    fn attach(&self, path: &str) -> Result<(), SpecError>;

    /// Starts an incarnation and returns its epoch. `Started` and `Exited` follow as events, `Exited` always.
    fn start(self: Arc<Self>, launch: Launch) -> u64;

    fn stop(&self, how: StopRequest, until: Instant);

    fn kill(&self);

    /// Fences the incarnation, takes its work back and notes why it ended. The epoch of the next one.
    fn bury(&self, surroundings: &Surroundings, exit: &Exit, abandoned: bool) -> u64;

    fn set_state(&self, state: State);

    /// Ended for good: refuses messages and gives up those that are left.
    fn close(&self, state: State, reason: &str);

    /// Whether work is left, queued or behind the drain gate.
    fn has_work(&self) -> bool;

    /// Wakes the pump, which then looks at the drain gate again.
    fn nudge(&self);

    /// Asks for a sign of life.
    fn ask(&self, number: u64);

    fn has_answered(&self, number: u64) -> bool;

    /// Has the actor at `path` below this node (empty: this one) go wrong; false when no actor is there.
    fn strike(&self, path: &[&str], strike: Strike) -> bool;

    fn protection(&self, now: Instant) -> Protection;

    fn set_gate(&self, gate: Box<dyn Fn() -> bool + Send + Sync>);

    /// The longest an orderly stop may take, if the child knows better than its spec.
    fn stop_budget(&self) -> Option<Duration> {
        None
    }

    /// What it is given to end in order when no time is left.
    fn courtesy(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// How long a kill may take, likewise.
    fn kill_budget(&self) -> Option<Duration> {
        None
    }

    /// Hands an order down; gives it back when this is not a running group.
    fn order(&self, command: Command) -> Result<(), Command> {
        Err(command)
    }

    fn is_group(&self) -> bool {
        false
    }

    fn node(&self) -> Node;
}
