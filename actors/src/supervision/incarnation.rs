//! What an actor knows about its own present life. The factory receives it; actors keep it as `me`.

use super::actor_ref::ActorRef;
use super::life::{Life, Protected, StopRequest};
use actix::Actor;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One incarnation of a child, from inside.
pub struct Incarnation<A: Actor> {
    actor: ActorRef<A>,
    life: Arc<Life>,
}

impl<A: Actor> Clone for Incarnation<A> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            life: Arc::clone(&self.life),
        }
    }
}

impl<A: Actor> fmt::Debug for Incarnation<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({}, epoch {})", self.id(), self.epoch())
    }
}

impl<A: Actor> Incarnation<A> {
    pub(crate) fn new(actor: ActorRef<A>, life: Arc<Life>) -> Self {
        Self { actor, life }
    }

    /// Slash path in the tree.
    pub fn id(&self) -> &str {
        self.actor.id()
    }

    /// Number of *this* incarnation: it does not move when a successor starts. Leases are taken with it.
    pub fn epoch(&self) -> u64 {
        self.life.epoch
    }

    /// False once this incarnation is fenced: whatever it still does has no effect on messages and leases.
    pub fn is_current(&self) -> bool {
        !self.life.is_fenced()
    }

    /// True while the child finishes its work for good.
    pub fn is_draining(&self) -> bool {
        self.life.stop_requested() == Some(StopRequest::Drain)
    }

    /// The address that outlives this incarnation.
    pub fn actor_ref(&self) -> ActorRef<A> {
        self.actor.clone()
    }

    /// Ends this incarnation as failed, as soon as the code that is running returns to the runtime. No hook runs, the
    /// message in hand counts as unfinished, the supervisor restarts. May be called from any thread.
    pub fn fail(&self, reason: impl Into<String>) {
        self.life.fail(reason.into());
    }

    /// Suspends the hang deadline while the guard lives, for at most `bound`; longer counts as hung.
    pub fn protected(&self, bound: Duration) -> Protected {
        self.life.protect(bound)
    }
}
