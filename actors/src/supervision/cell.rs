//! What outlives an incarnation: queue, counters, state, last exit. One per child, for the life of the process.

use super::envelope::Queued;
use super::exit::{Exit, LastExit};
use super::histogram::Histogram;
use super::life::Life;
use super::mailbox::{InFlight, Mailbox, Next};
use actix::Actor;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, Semaphore};

/// How many dead letters are remembered by name and reason; all are counted.
const DEAD_LETTERS_KEPT: usize = 32;

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

type Gate = Box<dyn Fn() -> bool + Send + Sync>;

pub(crate) struct ActorCell<A: Actor> {
    path: OnceLock<String>,
    mailbox: Mutex<Mailbox<A>>,
    /// One permit per message accepted and not yet handled or given up.
    pub(crate) slots: Semaphore,
    capacity: usize,
    /// Copy of the mailbox's flag, readable without its lock.
    closed: AtomicBool,
    pub(crate) closing: Notify,
    life: ArcSwap<Life>,
    started_before: AtomicBool,
    pub(crate) state: StateCell,
    gate: OnceLock<Gate>,
    processed: AtomicU64,
    pub(crate) rejected: AtomicU64,
    restarts: AtomicU64,
    dead_letters: AtomicU64,
    zombies: AtomicU64,
    dead_ring: Mutex<VecDeque<DeadLetter>>,
    last_exit: Mutex<Option<LastExit>>,
    handling: Histogram,
}

impl<A: Actor> ActorCell<A> {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            path: OnceLock::new(),
            mailbox: Mutex::new(Mailbox::new(capacity)),
            slots: Semaphore::new(capacity),
            capacity,
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            life: ArcSwap::new(Life::new(0, false)),
            started_before: AtomicBool::new(false),
            state: StateCell::new(),
            gate: OnceLock::new(),
            processed: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            zombies: AtomicU64::new(0),
            dead_ring: Mutex::default(),
            last_exit: Mutex::default(),
            handling: Histogram::new(),
        }
    }

    /// False if it had a path already.
    pub(crate) fn name(&self, path: &str) -> bool {
        self.path.set(path.to_owned()).is_ok()
    }

    pub(crate) fn path(&self) -> &str {
        self.path.get().map_or("(not in a tree)", String::as_str)
    }

    pub(crate) fn set_gate(&self, gate: Gate) {
        let _ = self.gate.set(gate);
    }

    pub(crate) fn life(&self) -> Arc<Life> {
        self.life.load_full()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.mailbox.lock().epoch
    }

    /// A new incarnation. A draining one finishes what is queued and accepts nothing new.
    pub(crate) fn begin(&self, draining: bool) -> Arc<Life> {
        let mut mailbox = self.mailbox.lock();
        if !draining {
            mailbox.closed = false;
            self.closed.store(false, Ordering::Release);
        }
        let life = Life::new(mailbox.epoch, draining);
        self.life.store(Arc::clone(&life));
        drop(mailbox);
        if self.started_before.swap(true, Relaxed) {
            self.restarts.fetch_add(1, Relaxed);
        }
        self.state.set(State::Starting);
        life
    }

    /// Accepts a message for which a slot was taken; gives it back if the cell has been closed.
    pub(crate) fn accept<M>(&self, message: M, wrap: impl FnOnce(M) -> Queued<A>) -> Result<(), M> {
        let mut mailbox = self.mailbox.lock();
        if mailbox.closed {
            drop(mailbox);
            self.slots.add_permits(1);
            return Err(message);
        }
        mailbox.queue.push_back(wrap(message));
        drop(mailbox);
        self.life.load().pump.wake();
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self, life: &Life) -> Next<A> {
        self.mailbox.lock().take(life.epoch)
    }

    /// The message in flight was handled. Without effect for a fenced incarnation.
    pub(crate) fn finish(&self, life: &Life) {
        let Some((done, since)) = self.mailbox.lock().finish(life.epoch) else {
            return;
        };
        drop(done);
        self.slots.add_permits(1);
        self.processed.fetch_add(1, Relaxed);
        self.handling.record(since.elapsed());
    }

    /// Ends the present incarnation's rights and takes its message back. The epoch of the next one.
    pub(crate) fn fence(&self, exit: &Exit, at_micros: i64) -> u64 {
        let (lost, epoch) = {
            let mut mailbox = self.mailbox.lock();
            (mailbox.fence(), mailbox.epoch)
        };
        self.life.load().fence();
        if let Some(InFlight { message, loss, .. }) = lost {
            self.bury(message, format!("{loss}: {exit}"));
        }
        *self.last_exit.lock() = Some(LastExit::new(exit, at_micros));
        epoch
    }

    /// Accepts nothing more; those who wait for a slot learn it.
    pub(crate) fn close(&self) {
        self.mailbox.lock().closed = true;
        self.closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
    }

    /// Gives up everything queued.
    pub(crate) fn bury_queue(&self, reason: &str) {
        let queue = std::mem::take(&mut self.mailbox.lock().queue);
        for envelope in queue {
            self.bury(envelope.message(), reason.to_owned());
        }
    }

    fn bury(&self, message: &'static str, reason: String) {
        self.slots.add_permits(1);
        self.dead_letters.fetch_add(1, Relaxed);
        let mut ring = self.dead_ring.lock();
        if ring.len() == DEAD_LETTERS_KEPT {
            ring.pop_front();
        }
        ring.push_back(DeadLetter { message, reason });
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.dead_ring.lock().iter().cloned().collect()
    }

    pub(crate) fn zombie_born(&self) {
        self.zombies.fetch_add(1, Relaxed);
    }

    pub(crate) fn zombie_gone(&self) {
        self.zombies.fetch_sub(1, Relaxed);
    }

    /// Whether the drain gate says that work is left outside the queue.
    pub(crate) fn has_outside_work(&self) -> bool {
        self.gate.get().is_some_and(|gate| gate())
    }

    /// Whether anything is left to do: queued, in hand, or outside.
    pub(crate) fn has_work(&self) -> bool {
        !self.mailbox.lock().is_empty() || self.has_outside_work()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let (depth, epoch) = {
            let mailbox = self.mailbox.lock();
            (mailbox.queue.len(), mailbox.epoch)
        };
        let [p50_us, p99_us] = self.handling.percentiles_us([0.5, 0.99]);
        Snapshot {
            id: self.path().to_owned(),
            state: self.state.get(),
            epoch,
            depth,
            capacity: self.capacity,
            processed: self.processed.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            dead_letters: self.dead_letters.load(Relaxed),
            zombies: self.zombies.load(Relaxed),
            last_exit: self.last_exit.lock().clone(),
            p50_us,
            p99_us,
        }
    }
}
