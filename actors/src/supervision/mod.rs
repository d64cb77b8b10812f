//! Supervision: what keeps actors alive. No product noun in here.
//!
//! actix restarts an actor that *stops*, not one that *crashes*: a panic kills the address and drops what was
//! queued. This layer drives actix contexts itself, so that a crash is an ordinary event:
//!
//! - [`ActorRef`] points at a cell that outlives the actor: queue, counters and state stay while incarnations
//!   come and go. Senders see `Full`, never `Closed`, until the child has ended for good.
//! - The *pump* is the only reader of that queue and lives inside the actix context, so handlers are ordinary
//!   `Handler<M>` and `ctx.wait` still holds back delivery.
//! - *Run* polls the context inside `catch_unwind` and terminates it before dropping it: no hook runs on a
//!   poisoned actor, and no second panic aborts the process.
//! - Each incarnation has an *epoch*. Once it is fenced it can take nothing, acknowledge nothing, answer nothing.
//! - A [`Group`] watches its children by a [`ChildSpec`] each, and is itself a child of a group. Its loop is a
//!   state machine with deadlines: it never awaits a child.
//! - [`SupervisorHandle`] is what the rest of the process holds: tree, restart on demand, orderly shutdown.
//!
//! Invariants: at most one unfenced incarnation per child; an accepted message is in exactly one of queue,
//! in-flight slot, handled, dead letter; no hook runs on an actor that panicked; nothing waits without a
//! deadline; actix's own `Addr` never leaves this module.
//!
//! Deliberately absent: remote actors, registries, `SyncArbiter`, and any delivery promise across processes. What
//! must survive the process goes through a journal that is leased and acknowledged (see [`WorkQueue`] for the
//! protocol in memory). A handler that returns `ResponseFuture` is detached by actix and escapes supervision:
//! use `ResponseActFuture` or `AtomicResponse`.

mod actor_ref;
mod backoff;
mod cell;
mod child;
mod envelope;
mod exit;
mod failure;
pub mod faults;
mod group;
mod group_loop;
mod handle;
mod histogram;
mod incarnation;
mod life;
mod mailbox;
mod managed;
mod on_demand;
mod panics;
mod pump;
mod root;
mod run;
mod seeded;
mod slot;
mod snapshot;
mod spec;
mod stopping;
mod subgroup;
mod threads;
mod tree;
mod watchdog;
mod work_queue;

pub use actor_ref::{ActorRef, AskError, TrySendError};
pub use backoff::{Backoff, Intensity};
pub use exit::{Cause, Escalation, Exit, GroupExit, LastExit};
pub use faults::{Fault, FaultPlan};
pub use group::{Group, Strategy};
pub use handle::{RestartError, SupervisorHandle};
pub use incarnation::Incarnation;
pub use life::Protected;
pub use panics::PanicReport;
pub use root::Supervisor;
pub use snapshot::{DeadLetter, Snapshot, State};
pub use spec::{ChildSpec, Placement, Restart, SpecError};
pub use tree::{Node, NodeKind};
pub use work_queue::{Fenced, Lease, QueueFull, WorkQueue};
