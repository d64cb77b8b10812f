//! What outlives an incarnation: queue, counters, state, last exit. One per child, for the life of the process.

use super::envelope::Queued;
use super::exit::{Exit, LastExit};
use super::histogram::Histogram;
use super::life::Life;
use super::mailbox::{InFlight, Mailbox, Next};
use super::snapshot::{DeadLetter, Snapshot, State, StateCell};
use actix::Actor;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, Semaphore};

/// How many dead letters are remembered by name and reason; all are counted.
const DEAD_LETTERS_KEPT: usize = 32;

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
