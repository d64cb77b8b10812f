//! The door to supervision: build a tree, run it, hand out its handle.

use super::exit::GroupExit;
use super::group::Group;
use super::group_loop::GroupLoop;
use super::handle::SupervisorHandle;
use super::managed::{Command, Managed, Surroundings};
use super::panics;
use super::seeded::Seeded;
use super::snapshot::State;
use super::spec::{Placement, SpecError};
use super::subgroup::Subgroup;
use super::threads::{Threads, spawn_here};
use crate::domain::clock::{SharedClock, SystemClock};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long threads get to end once all actors are down.
const THREADS_GRACE: Duration = Duration::from_secs(1);

/// A tree that has not been started yet.
///
/// ```no_run
/// # use steward_actors::supervision::*;
/// # use actix::prelude::*;
/// # struct Writer { me: Incarnation<Writer> }
/// # impl Actor for Writer { type Context = Context<Self>; }
/// # async fn example() -> Result<(), SpecError> {
/// let writer = ActorRef::<Writer>::new(1024);
/// let root = Group::new("root").child(
///     Group::new("ledger").child(ChildSpec::new("writer", &writer, |me| Writer { me })),
/// );
/// let handle = Supervisor::new(root)?.start();
/// handle.restart("root/ledger/writer").await.ok();
/// # Ok(())
/// # }
/// ```
pub struct Supervisor {
    root: Arc<Subgroup>,
    clock: SharedClock,
    seed: u64,
    placement: Option<Placement>,
    silence_max: Option<Duration>,
    commands: mpsc::UnboundedSender<Command>,
    orders: mpsc::UnboundedReceiver<Command>,
    exit: watch::Sender<Option<GroupExit>>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Supervisor")
            .field(&self.root.path())
            .finish()
    }
}

impl Supervisor {
    /// A tree under `root`. Its name is the first part of every path.
    ///
    /// # Errors
    /// Bad or repeated names, and an address used by two specs.
    pub fn new(root: Group) -> Result<Self, SpecError> {
        panics::install();
        let name = root.name.clone();
        if name.is_empty() || name.contains('/') {
            return Err(SpecError::BadName(name));
        }
        let root = Arc::new(Subgroup::new(root));
        root.attach(&name)?;
        let (commands, orders) = mpsc::unbounded_channel();
        Ok(Self {
            root,
            clock: Arc::new(SystemClock),
            seed: rand::random(),
            placement: None,
            silence_max: None,
            commands,
            orders,
            exit: watch::Sender::new(None),
        })
    }

    /// The clock that dates exits.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Seed of the backoff's jitter.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Ignores the specs' placements and runs every actor on the supervisor's thread: for tests in virtual time.
    pub fn on_one_thread(mut self) -> Self {
        self.placement = Some(Placement::Current);
        self
    }

    /// An actor that leaves a sign of life unanswered for so long counts as hung, even if its spec gives it longer.
    pub fn silence_max(mut self, limit: Duration) -> Self {
        self.silence_max = Some(limit);
        self
    }

    /// May be taken before the tree runs; orders wait.
    pub fn handle(&self) -> SupervisorHandle {
        SupervisorHandle {
            root: Arc::clone(&self.root),
            commands: self.commands.clone(),
            exit: self.exit.subscribe(),
        }
    }

    /// Runs the tree as a task of the present thread, which must be inside an actix `System`.
    pub fn start(self) -> SupervisorHandle {
        let handle = self.handle();
        spawn_here(async move {
            self.run().await;
        });
        handle
    }

    /// Runs the tree on a thread of its own, inside the present actix `System`. For production: nothing else that
    /// runs in the process can then hold up supervision.
    ///
    /// # Errors
    /// No thread could be started, or there is no `System`.
    pub fn start_on_own_thread(self) -> std::io::Result<SupervisorHandle> {
        let handle = self.handle();
        let threads = Threads::default();
        let seat = threads.seat(&Placement::Dedicated, move || {
            spawn_here(async move {
                self.run().await;
                if let Some(own) = actix_rt::Arbiter::try_current() {
                    own.stop();
                }
            });
        })?;
        // It ends by itself, right after the tree.
        drop(seat);
        Ok(handle)
    }

    /// Runs the tree until it has been shut down or the root gives up.
    pub async fn run(self) -> GroupExit {
        let surroundings = Arc::new(Surroundings {
            threads: Threads::default(),
            clock: self.clock,
            chance: Mutex::new(Seeded::new(self.seed)),
            unclean: Mutex::default(),
            placement: self.placement,
            silence_max: self.silence_max,
        });
        self.root.set_state(State::Starting);
        let root = Arc::clone(&self.root);
        let announce = move || root.set_state(State::Running);
        let group_loop = GroupLoop::new(
            Arc::clone(&self.root),
            Arc::clone(&surroundings),
            self.orders,
            announce,
        );
        let exit = match group_loop.run(None).await {
            GroupExit::Shutdown { .. } => {
                self.root.set_state(State::Stopped);
                GroupExit::Shutdown {
                    unclean: std::mem::take(&mut *surroundings.unclean.lock()),
                }
            }
            GroupExit::Escalated(chain) => {
                self.root.set_state(State::Failed);
                GroupExit::Escalated(chain)
            }
        };
        surroundings.threads.close(THREADS_GRACE).await;
        self.exit.send_replace(Some(exit.clone()));
        exit
    }
}
