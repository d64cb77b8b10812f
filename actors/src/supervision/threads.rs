//! The threads that actors run on: opened for a placement, retired with their actor, joined once they have ended.
//!
//! A thread is joined only after it has said that it is gone, so a blocked one never blocks the supervisor. What is
//! blocked for ever is left behind with its stop command queued; it ends when it wakes.

use super::panics;
use super::spec::Placement;
use actix_rt::{Arbiter, System};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Starts a supervised task on the present thread.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that spawns: what runs here is watched by its group"
)]
pub(crate) fn spawn_here(task: impl Future<Output = ()> + 'static) -> tokio::task::JoinHandle<()> {
    actix_rt::spawn(task)
}

thread_local! {
    static FAREWELL: RefCell<Option<Farewell>> = const { RefCell::new(None) };
}

/// Lives in the thread's own storage: dropped when the thread is about to end.
struct Farewell {
    gone: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.gone.store(true, Ordering::Release);
    }
}

struct Thread {
    arbiter: Arbiter,
    gone: Arc<AtomicBool>,
}

struct SharedThread {
    thread: Thread,
    generation: u64,
    seats: usize,
}

/// Where an incarnation runs; given back when it has ended or was abandoned.
pub(crate) enum Seat {
    /// The supervisor's own thread.
    Here,
    /// A thread of its own.
    Own(OwnThread),
    /// A thread shared under a name; the number tells its generations apart.
    Shared(&'static str, u64),
}

pub(crate) struct OwnThread(Thread);

#[derive(Default)]
pub(crate) struct Threads {
    shared: Mutex<SharedThreads>,
    /// Told to stop, not yet joined.
    retired: Mutex<Vec<Thread>>,
    open: Arc<AtomicUsize>,
}

#[derive(Default)]
struct SharedThreads {
    by_name: HashMap<&'static str, SharedThread>,
    /// Blocked by one of their actors; kept until the others have left.
    condemned: Vec<SharedThread>,
    generations: u64,
}

impl Threads {
    /// Runs `job` where `placement` says.
    pub(crate) fn seat(
        &self,
        placement: &Placement,
        job: impl FnOnce() + Send + 'static,
    ) -> io::Result<Seat> {
        self.reap();
        match placement {
            Placement::Current => {
                job();
                Ok(Seat::Here)
            }
            Placement::Dedicated => {
                let thread = self.open()?;
                thread.arbiter.spawn_fn(job);
                Ok(Seat::Own(OwnThread(thread)))
            }
            Placement::Shared(name) => self.share(name, job),
        }
    }

    fn share(&self, name: &'static str, job: impl FnOnce() + Send + 'static) -> io::Result<Seat> {
        let mut shared = self.shared.lock();
        if let Some(present) = shared.by_name.get_mut(name)
            && present.thread.arbiter.alive()
        {
            present.seats += 1;
            present.thread.arbiter.spawn_fn(job);
            return Ok(Seat::Shared(name, present.generation));
        }
        let thread = self.open()?;
        thread.arbiter.spawn_fn(job);
        shared.generations += 1;
        let generation = shared.generations;
        let fresh = SharedThread {
            thread,
            generation,
            seats: 1,
        };
        if let Some(dead) = shared.by_name.insert(name, fresh) {
            self.retire(dead.thread);
        }
        Ok(Seat::Shared(name, generation))
    }

    /// Gives a seat back. A shared thread goes on unless its actor was abandoned on it: then it is blocked, and the
    /// next one to ask for the name gets a fresh thread.
    pub(crate) fn leave(&self, seat: Seat, abandoned: bool) {
        match seat {
            Seat::Here => {}
            Seat::Own(OwnThread(thread)) => self.retire(thread),
            Seat::Shared(name, generation) => self.leave_shared(name, generation, abandoned),
        }
    }

    fn leave_shared(&self, name: &'static str, generation: u64, abandoned: bool) {
        let mut shared = self.shared.lock();
        if let Some(present) = shared.by_name.get_mut(name)
            && present.generation == generation
        {
            present.seats -= 1;
            if !abandoned {
                return;
            }
            if let Some(blocked) = shared.by_name.remove(name) {
                shared.condemned.push(blocked);
            }
        } else if let Some(condemned) = shared
            .condemned
            .iter_mut()
            .find(|thread| thread.generation == generation)
        {
            condemned.seats -= 1;
        }
        let (empty, used) = std::mem::take(&mut shared.condemned)
            .into_iter()
            .partition(|thread| thread.seats == 0);
        shared.condemned = used;
        let empty: Vec<SharedThread> = empty;
        for thread in empty {
            self.retire(thread.thread);
        }
    }

    /// Threads that have not ended.
    pub(crate) fn open_count(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Stops everything that is left and gives it `grace` to end.
    pub(crate) async fn close(&self, grace: Duration) {
        let shared = std::mem::take(&mut *self.shared.lock());
        for thread in shared.by_name.into_values().chain(shared.condemned) {
            self.retire(thread.thread);
        }
        // Real time: threads end in it, whatever a paused clock says.
        let until = std::time::Instant::now() + grace;
        while self.open_count() > 0 && std::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.reap();
    }

    fn open(&self) -> io::Result<Thread> {
        if System::try_current().is_none() {
            return Err(io::Error::other("no actix System on this thread"));
        }
        let gone = Arc::new(AtomicBool::new(false));
        let farewell = Farewell {
            gone: Arc::clone(&gone),
            open: Arc::clone(&self.open),
        };
        self.open.fetch_add(1, Ordering::AcqRel);
        let arbiter = Arbiter::try_with_tokio_rt(move || {
            FAREWELL.set(Some(farewell));
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
        })?;
        Ok(Thread { arbiter, gone })
    }

    fn retire(&self, thread: Thread) {
        thread.arbiter.stop();
        self.retired.lock().push(thread);
        self.reap();
    }

    /// Joins what has ended.
    fn reap(&self) {
        let gone: Vec<Thread> = {
            let mut retired = self.retired.lock();
            let (gone, waiting) = std::mem::take(&mut *retired)
                .into_iter()
                .partition(|thread| thread.gone.load(Ordering::Acquire));
            *retired = waiting;
            gone
        };
        for thread in gone {
            // Its last act was to say so: this returns at once.
            let _ = panics::contain(move || thread.arbiter.join());
        }
    }
}
