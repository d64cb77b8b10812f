//! What anybody may know of a child without asking it: its state, its counters, its dead letters.

use super::exit::LastExit;
use serde::Serialize;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Not started yet; messages are accepted and wait.
    Idle,
    /// Its factory and `started` are running.
    Starting,
    /// Takes messages.
    Running,
    /// Asked to stop for a restart.
    Stopping,
    /// Finishing its work for good.
    Draining,
    /// Down, waiting for its restart.
    BackingOff,
    /// Ended for good.
    Stopped,
    /// Given up on.
    Failed,
}

impl State {
    fn from_u8(value: u8) -> Self {
        const ALL: [State; 8] = [
            State::Idle,
            State::Starting,
            State::Running,
            State::Stopping,
            State::Draining,
            State::BackingOff,
            State::Stopped,
            State::Failed,
        ];
        ALL.get(usize::from(value)).copied().unwrap_or(State::Idle)
    }
}

/// A state that any thread may read.
pub(crate) struct StateCell(AtomicU8);

impl StateCell {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(State::Idle as u8))
    }

    pub(crate) fn set(&self, state: State) {
        self.0.store(state as u8, Ordering::Release);
    }

    pub(crate) fn get(&self) -> State {
        State::from_u8(self.0.load(Ordering::Acquire))
    }
}

/// A message that was accepted and will not be handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Type name of the message.
    pub message: &'static str,
    /// Why it was given up.
    pub reason: String,
}

/// One child at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Slash path in the tree.
    pub id: String,
    /// What it is doing.
    pub state: State,
    /// Number of the present incarnation, from 1.
    pub epoch: u64,
    /// Messages waiting.
    pub depth: usize,
    /// Messages that may wait or be in hand at once.
    pub capacity: usize,
    /// Messages handled.
    pub processed: u64,
    /// Messages refused because the queue was full.
    pub rejected: u64,
    /// Starts after the first.
    pub restarts: u64,
    /// Accepted messages that were given up.
    pub dead_letters: u64,
    /// Abandoned incarnations whose thread is still blocked.
    pub zombies: u64,
    /// Why the previous incarnation ended.
    pub last_exit: Option<LastExit>,
    /// Median handling time in microseconds, `ctx.wait` included.
    pub p50_us: u64,
    /// 99th percentile of the same.
    pub p99_us: u64,
}
