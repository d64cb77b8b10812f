//! The switches of one incarnation: stop, kill, fail, ping, protected zones.
//!
//! Each incarnation has its own, so that a fenced one that wakes up late can neither take the wake-ups of its
//! successor nor answer for it.

use super::faults::Strike;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How an incarnation is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopRequest {
    /// After the current message; the queue is kept for the next incarnation. Interrupts `ctx.wait`.
    Halt,
    /// When nothing is left to do.
    Drain,
}

const RUNNING: u8 = 0;
const HALT: u8 = 1;
const DRAIN: u8 = 2;

const ALIVE: u8 = 0;
const ENDED: u8 = 1;
const ABANDONED: u8 = 2;

/// One incarnation as seen from outside its thread.
pub(crate) struct Life {
    pub(crate) epoch: u64,
    /// Wakes the reader of the queue.
    pub(crate) pump: AtomicWaker,
    /// Wakes the future that drives the whole context.
    run: AtomicWaker,
    stop: AtomicU8,
    /// How often the context has been polled.
    polls: AtomicU64,
    killed: AtomicBool,
    fenced: AtomicBool,
    failure: Mutex<Option<String>>,
    asked: AtomicU64,
    answered: AtomicU64,
    /// Says that `strike` holds something: the pump looks here for every message.
    is_struck: AtomicBool,
    strike: Mutex<Option<Strike>>,
    zones: Mutex<Zones>,
    end: AtomicU8,
}

#[derive(Default)]
struct Zones {
    next: u64,
    open: Vec<Zone>,
    left_at: Option<Instant>,
}

struct Zone {
    id: u64,
    until: Instant,
    bound: Duration,
}

/// What the watchdog learns about protected zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// None open; the last one was left at this moment.
    None(Option<Instant>),
    /// The hang deadline is suspended until then.
    Until(Instant),
    /// A zone is still open past its bound.
    Overrun(Duration),
}

impl Life {
    pub(crate) fn new(epoch: u64, draining: bool) -> Arc<Self> {
        Arc::new(Self {
            epoch,
            pump: AtomicWaker::new(),
            run: AtomicWaker::new(),
            stop: AtomicU8::new(if draining { DRAIN } else { RUNNING }),
            polls: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            fenced: AtomicBool::new(false),
            failure: Mutex::new(None),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            is_struck: AtomicBool::new(false),
            strike: Mutex::new(None),
            zones: Mutex::default(),
            end: AtomicU8::new(ALIVE),
        })
    }

    pub(crate) fn wake(&self) {
        self.pump.wake();
        self.run.wake();
    }

    pub(crate) fn begin_poll(&self, waker: &std::task::Waker) {
        self.run.register(waker);
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    pub(crate) fn request_stop(&self, how: StopRequest) {
        let value = match how {
            StopRequest::Halt => HALT,
            StopRequest::Drain => DRAIN,
        };
        self.stop.store(value, Ordering::Release);
        self.wake();
    }

    pub(crate) fn stop_requested(&self) -> Option<StopRequest> {
        match self.stop.load(Ordering::Acquire) {
            HALT => Some(StopRequest::Halt),
            DRAIN => Some(StopRequest::Drain),
            _ => None,
        }
    }

    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    pub(crate) fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    /// The first reason stands.
    pub(crate) fn fail(&self, reason: String) {
        self.failure.lock().get_or_insert(reason);
        self.wake();
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Whether the incarnation must do no more work, whatever the reason.
    pub(crate) fn is_over(&self) -> bool {
        self.is_fenced() || self.is_killed() || self.failure.lock().is_some()
    }

    pub(crate) fn ask(&self, number: u64) {
        self.asked.store(number, Ordering::Release);
        self.pump.wake();
    }

    /// Called by the pump: it is alive and its context is not waiting.
    pub(crate) fn answer(&self) {
        let asked = self.asked.load(Ordering::Acquire);
        self.answered.store(asked, Ordering::Release);
    }

    pub(crate) fn has_answered(&self, number: u64) -> bool {
        self.answered.load(Ordering::Acquire) >= number
    }

    /// Has the incarnation go wrong as soon as it looks.
    pub(crate) fn order_strike(&self, strike: Strike) {
        *self.strike.lock() = Some(strike);
        self.is_struck.store(true, Ordering::Release);
        self.pump.wake();
    }

    pub(crate) fn take_strike(&self) -> Option<Strike> {
        if !self.is_struck.load(Ordering::Acquire) {
            return None;
        }
        self.is_struck.store(false, Ordering::Release);
        self.strike.lock().take()
    }

    pub(crate) fn protect(self: &Arc<Self>, bound: Duration) -> Protected {
        let mut zones = self.zones.lock();
        zones.next += 1;
        let id = zones.next;
        zones.open.push(Zone {
            id,
            until: Instant::now() + bound,
            bound,
        });
        Protected {
            life: Arc::clone(self),
            id,
        }
    }

    pub(crate) fn protection(&self, now: Instant) -> Protection {
        let zones = self.zones.lock();
        match zones.open.iter().max_by_key(|zone| zone.until) {
            None => Protection::None(zones.left_at),
            Some(zone) if zone.until > now => Protection::Until(zone.until),
            Some(zone) => Protection::Overrun(zone.bound),
        }
    }

    /// Marks the incarnation as given up. False if it has ended meanwhile.
    pub(crate) fn abandon(&self) -> bool {
        self.end
            .compare_exchange(ALIVE, ABANDONED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Marks the incarnation as ended. True if it had been given up before.
    pub(crate) fn ended(&self) -> bool {
        self.end.swap(ENDED, Ordering::AcqRel) == ABANDONED
    }
}

/// While this guard lives the hang deadline of its actor is suspended, at most for the bound it was taken with.
///
/// For legitimate long work: hold it across the work and drop it right after.
#[must_use = "the zone ends when the guard is dropped"]
pub struct Protected {
    life: Arc<Life>,
    id: u64,
}

impl Drop for Protected {
    fn drop(&mut self) {
        let mut zones = self.life.zones.lock();
        zones.open.retain(|zone| zone.id != self.id);
        zones.left_at = Some(Instant::now());
    }
}

impl std::fmt::Debug for Protected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protected").finish_non_exhaustive()
    }
}
