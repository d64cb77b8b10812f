//! Where one child stands in the eyes of its group.

use super::exit::Exit;
use super::handle::RestartError;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What happens to a child that is going down, once it is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It comes up again with its batch.
    Hold { due: Instant, batch: u64 },
    /// Its end counts as a failure of its own.
    Fail,
    /// It stays down.
    Finish,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Down; starts when due, after its elders of the same batch are up and once the whole batch is down.
    Held {
        due: Instant,
        batch: u64,
    },
    /// Its factory and `started` are running.
    Starting {
        until: Option<Instant>,
        batch: u64,
    },
    Up,
    /// To be stopped once its juniors of the same order are down.
    StopQueued {
        then: Then,
        order: u64,
    },
    /// Asked to stop.
    Stopping {
        until: Instant,
        then: Then,
        order: u64,
    },
    /// Killed; fenced and left behind after that moment. `why` is what its exit will be called.
    Killing {
        until: Instant,
        why: Exit,
        then: Then,
        order: u64,
    },
    /// Down for good.
    Finished,
}

/// Progress of the hang watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// Number of the latest question.
    pub(crate) asked: u64,
    pub(crate) asked_at: Instant,
    /// When to look for the answer.
    pub(crate) look_at: Instant,
}

impl Watch {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            asked: 0,
            asked_at: now,
            look_at: now,
        }
    }
}

pub(crate) struct Slot {
    pub(crate) phase: Phase,
    pub(crate) epoch: u64,
    /// Failures in a row, for the backoff.
    pub(crate) failures: u32,
    pub(crate) up_since: Option<Instant>,
    pub(crate) watch: Watch,
    /// Operators who wait for it to be up.
    pub(crate) waiters: Vec<oneshot::Sender<Result<(), RestartError>>>,
    /// Its last turn has come: it finishes its work until then.
    pub(crate) draining: Option<Instant>,
}

impl Slot {
    pub(crate) fn new(now: Instant, batch: u64) -> Self {
        Self {
            phase: Phase::Held { due: now, batch },
            epoch: 0,
            failures: 0,
            up_since: None,
            watch: Watch::new(now),
            waiters: Vec::new(),
            draining: None,
        }
    }

    /// The order under which it is going down.
    pub(crate) fn stop_order(&self) -> Option<u64> {
        match self.phase {
            Phase::StopQueued { order, .. }
            | Phase::Stopping { order, .. }
            | Phase::Killing { order, .. } => Some(order),
            _ => None,
        }
    }

    /// Whether a child that is to start with `batch` has to wait for this one, which may be its elder.
    pub(crate) fn holds_back(&self, wanted: u64, is_elder: bool) -> bool {
        match &self.phase {
            Phase::Held { batch, .. } | Phase::Starting { batch, .. } => {
                is_elder && *batch == wanted
            }
            // An elder that is about to fail may take its juniors along.
            Phase::Killing {
                then: Then::Fail, ..
            } => is_elder,
            // The whole batch has to be down before any of it comes up.
            Phase::StopQueued { then, .. }
            | Phase::Stopping { then, .. }
            | Phase::Killing { then, .. } => {
                matches!(then, Then::Hold { batch, .. } if *batch == wanted)
            }
            Phase::Up | Phase::Finished => false,
        }
    }

    /// Its restart, if one is coming, need not wait.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let Some((due, _)) = self.restart_mut() {
            *due = (*due).min(now);
        }
    }

    /// When and with which batch it is to start again.
    pub(crate) fn restart_mut(&mut self) -> Option<(&mut Instant, &mut u64)> {
        match &mut self.phase {
            Phase::Held { due, batch }
            | Phase::StopQueued {
                then: Then::Hold { due, batch },
                ..
            }
            | Phase::Stopping {
                then: Then::Hold { due, batch },
                ..
            }
            | Phase::Killing {
                then: Then::Hold { due, batch },
                ..
            } => Some((due, batch)),
            _ => None,
        }
    }

    /// Answers everybody who waits.
    pub(crate) fn answer(&mut self, outcome: &Result<(), RestartError>) {
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(outcome.clone());
        }
    }
}
