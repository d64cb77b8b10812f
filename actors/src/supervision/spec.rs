//! How one child is to be run: declared once, read by its group.

use super::actor_ref::ActorRef;
use super::child::ActorChild;
use super::group::Group;
use super::incarnation::Incarnation;
use super::managed::Managed;
use super::subgroup::Subgroup;
use actix::{Actor, Context};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// When a child that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// After a failure, not after a normal stop.
    Transient,
    /// Never.
    Temporary,
}

/// Which thread an actor runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The supervisor's own. An actor that blocks there blocks its supervisor, which then cannot help it: for tests
    /// in virtual time and for actors that never block.
    Current,
    /// A fresh thread for each incarnation; whatever it had spawned ends with it.
    Dedicated,
    /// One thread for all actors that give the same name. It is replaced when one of them blocks it.
    Shared(&'static str),
}

/// Why a tree cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Names become parts of slash paths.
    #[error("{0:?} is not a name: it is empty or holds a slash")]
    BadName(String),
    /// Two children of one group have one name.
    #[error("{0} exists twice")]
    NameTwice(String),
    /// One address was given to two specs.
    #[error("the address of {0} is used by another spec too")]
    ActorTwice(String),
}

/// One child: an actor with its factory, or a group.
pub struct ChildSpec {
    pub(crate) id: String,
    pub(crate) node: Arc<dyn Managed>,
    pub(crate) restart: Restart,
    pub(crate) shutdown_within: Option<Duration>,
    pub(crate) start_within: Option<Duration>,
    pub(crate) hang_after: Option<Duration>,
    pub(crate) kill_grace: Option<Duration>,
    pub(crate) placement: Placement,
    pub(crate) on_fence: Option<Box<dyn Fn(u64) + Send + Sync>>,
}

const SHUTDOWN_WITHIN: Duration = Duration::from_secs(5);
const START_WITHIN: Duration = Duration::from_secs(30);
const HANG_AFTER: Duration = Duration::from_secs(30);
const KILL_GRACE: Duration = Duration::from_millis(200);

impl ChildSpec {
    /// A child `id` that is reached through `actor` and made by `factory`, anew for each incarnation and on the
    /// thread it will run on. Permanent, on a thread of its own, 30 s to start, hung after 30 s, 5 s to stop.
    pub fn new<A, F>(id: impl Into<String>, actor: &ActorRef<A>, factory: F) -> Self
    where
        A: Actor<Context = Context<A>>,
        F: Fn(Incarnation<A>) -> A + Send + Sync + 'static,
    {
        Self {
            id: id.into(),
            node: Arc::new(ActorChild::new(actor.clone(), factory)),
            restart: Restart::Permanent,
            shutdown_within: Some(SHUTDOWN_WITHIN),
            start_within: Some(START_WITHIN),
            hang_after: Some(HANG_AFTER),
            kill_grace: Some(KILL_GRACE),
            placement: Placement::Dedicated,
            on_fence: None,
        }
    }

    /// When it is started again.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long it may take to stop, or to drain at shutdown, before it is killed. A group is given the sum of its
    /// children's times unless this says otherwise.
    pub fn shutdown_within(mut self, limit: Duration) -> Self {
        self.shutdown_within = Some(limit);
        self
    }

    /// How long its factory, its `started` and whatever `started` awaits with `ctx.wait` may take.
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.start_within = Some(limit);
        self
    }

    /// How long it may leave a sign of life unanswered. `ctx.wait` does not answer: longer work belongs in a
    /// [protected zone](super::Incarnation::protected).
    pub fn hang_after(mut self, limit: Duration) -> Self {
        self.hang_after = Some(limit);
        self
    }

    /// It is not watched for hanging.
    pub fn never_hangs(mut self) -> Self {
        self.hang_after = None;
        self
    }

    /// How long a kill may take before the incarnation is fenced and left behind.
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = Some(grace);
        self
    }

    /// Which thread it runs on.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Says whether work is left outside the queue. While it does, the child is not drained; without a queue and
    /// down at shutdown, it is brought back for it. Called from several threads; must not block.
    pub fn drain_gate(self, has_work: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.node.set_gate(Box::new(has_work));
        self
    }

    /// Called with the next epoch whenever an incarnation is fenced, before its successor starts: the place to revoke
    /// leases held by earlier epochs. Called on the supervisor's thread; must not block.
    pub fn on_fence(mut self, revoke: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_fence = Some(Box::new(revoke));
        self
    }

    pub(crate) fn stop_limit(&self) -> Duration {
        self.shutdown_within
            .or_else(|| self.node.stop_budget())
            .unwrap_or(SHUTDOWN_WITHIN)
    }

    pub(crate) fn kill_limit(&self) -> Duration {
        self.kill_grace
            .or_else(|| self.node.kill_budget())
            .unwrap_or(KILL_GRACE)
    }
}

impl From<Group> for ChildSpec {
    fn from(group: Group) -> Self {
        Self {
            id: group.name.clone(),
            node: Arc::new(Subgroup::new(group)),
            restart: Restart::Permanent,
            shutdown_within: None,
            start_within: None,
            hang_after: None,
            kill_grace: None,
            placement: Placement::Current,
            on_fence: None,
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("restart", &self.restart)
            .field("placement", &self.placement)
            .finish_non_exhaustive()
    }
}
