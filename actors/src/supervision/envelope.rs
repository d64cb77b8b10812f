//! A message on its way: how it is handed to the actor, and what remains if the actor does not finish with it.
//!
//! Three classes: *tell* (at most once), *ask* (at most once, the asker learns if it was dropped) and *sure*
//! (handed out again a limited number of times).

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, Handler, Message};
use std::any::type_name;
use std::sync::Arc;

/// A queued message of any type that `A` handles.
pub(crate) trait Envelope<A: Actor>: Send {
    fn deliver(self: Box<Self>, actor: &mut A, ctx: &mut A::Context);

    /// What to queue again if this delivery is not finished; none for the at-most-once classes and when the
    /// deliveries are used up.
    fn redelivery(&self) -> Option<Queued<A>> {
        None
    }

    /// Type name of the message.
    fn message(&self) -> &'static str;

    /// Why an unfinished delivery without redelivery is lost.
    fn loss(&self) -> &'static str {
        "not finished, and it is delivered at most once"
    }
}

pub(crate) type Queued<A> = Box<dyn Envelope<A>>;

pub(crate) struct Tell<M>(pub(crate) M);

impl<A, M> Envelope<A> for Tell<M>
where
    A: Handler<M>,
    M: Message + Send + 'static,
{
    fn deliver(self: Box<Self>, actor: &mut A, ctx: &mut A::Context) {
        let response = actor.handle(self.0, ctx);
        MessageResponse::<A, M>::handle(response, ctx, None);
    }

    fn message(&self) -> &'static str {
        type_name::<M>()
    }
}

pub(crate) struct Ask<M: Message> {
    pub(crate) message: M,
    pub(crate) answer: OneshotSender<M::Result>,
}

impl<A, M> Envelope<A> for Ask<M>
where
    A: Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn deliver(self: Box<Self>, actor: &mut A, ctx: &mut A::Context) {
        if self.answer.is_closed() {
            return;
        }
        let response = actor.handle(self.message, ctx);
        MessageResponse::<A, M>::handle(response, ctx, Some(self.answer));
    }

    fn message(&self) -> &'static str {
        type_name::<M>()
    }
}

pub(crate) struct Sure<M> {
    pub(crate) message: Arc<M>,
    pub(crate) redeliveries: u32,
}

impl<A, M> Envelope<A> for Sure<M>
where
    A: Handler<M>,
    M: Message + Clone + Send + Sync + 'static,
{
    fn deliver(self: Box<Self>, actor: &mut A, ctx: &mut A::Context) {
        let message = Arc::unwrap_or_clone(self.message);
        let response = actor.handle(message, ctx);
        MessageResponse::<A, M>::handle(response, ctx, None);
    }

    fn redelivery(&self) -> Option<Queued<A>> {
        let redeliveries = self.redeliveries.checked_sub(1)?;
        Some(Box::new(Sure {
            message: Arc::clone(&self.message),
            redeliveries,
        }))
    }

    fn message(&self) -> &'static str {
        type_name::<M>()
    }

    fn loss(&self) -> &'static str {
        "not finished, and its redeliveries are used up"
    }
}
