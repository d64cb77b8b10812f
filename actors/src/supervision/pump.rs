//! The only reader of the queue: an actor future inside the actix context.
//!
//! Because it is an item of the context, `ctx.wait` holds it back like anything else, handlers are ordinary
//! `Handler<M>`, and nothing is ever parked in actix's own mailbox, which dies with the actor.

use super::cell::ActorCell;
use super::faults::{Fault, Strike};
use super::life::{Life, StopRequest};
use super::mailbox::Next;
use actix::fut::wrap_future;
use actix::{Actor, ActorContext, ActorFuture, AsyncContext, Context};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

/// Messages handled before other futures of the same thread get a turn.
const BATCH: usize = 128;

pub(crate) struct Pump<A: Actor> {
    cell: Arc<ActorCell<A>>,
    life: Arc<Life>,
    /// The previous handler began a `ctx.wait`; its message is done when we are polled again.
    waiting: bool,
    /// The poll of the context in which we last asked it to stop.
    stopped_in_poll: u64,
    /// Told once the context has come as far as polling us: `started` and what it awaited are done.
    ready: Option<Box<dyn FnOnce()>>,
}

impl<A: Actor> Pump<A> {
    pub(crate) fn new(
        cell: Arc<ActorCell<A>>,
        life: Arc<Life>,
        ready: impl FnOnce() + 'static,
    ) -> Self {
        Self {
            cell,
            life,
            waiting: false,
            stopped_in_poll: 0,
            ready: Some(Box::new(ready)),
        }
    }
}

impl<A: Actor<Context = Context<A>>> Pump<A> {
    /// Goes wrong as a handler could: on the actor's own thread, inside its context.
    fn suffer(&self, strike: Strike, ctx: &mut Context<A>) {
        match strike.fault {
            Fault::Panic => panic!("a fault was ordered"),
            Fault::PanicSpawned => {
                ctx.spawn(wrap_future(async { panic!("a fault was ordered") }));
            }
            Fault::Fail => self.life.fail("a fault was ordered".to_owned()),
            Fault::Hang => {
                ctx.wait(wrap_future(std::future::pending::<()>()));
            }
            Fault::Block => std::thread::sleep(strike.block),
        }
    }
}

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Pump<A> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        this.life.pump.register(task.waker());
        for _ in 0..BATCH {
            // Nothing is terminated from here: that would run `stopped`. Whoever drives the context ends it.
            if this.life.is_over() || ctx.waiting() {
                return Poll::Pending;
            }
            if let Some(strike) = this.life.take_strike() {
                this.suffer(strike, ctx);
                continue;
            }
            this.life.answer();
            if let Some(ready) = this.ready.take() {
                ready();
            }
            if std::mem::take(&mut this.waiting) {
                this.cell.finish(&this.life);
            }
            if this.life.stop_requested() == Some(StopRequest::Halt) {
                // Whoever drives the context stops it: that reaches an actor in a wait as well.
                return Poll::Pending;
            }
            let envelope = match this.cell.take(&this.life) {
                Next::Message(envelope) => envelope,
                Next::Fenced => return Poll::Pending,
                Next::Empty => {
                    let draining = this.life.stop_requested() == Some(StopRequest::Drain);
                    // Once a poll: an actor may refuse in `stopping`, whereupon actix polls us again at once.
                    let asked = std::mem::replace(&mut this.stopped_in_poll, this.life.polls());
                    let refused = asked == this.life.polls();
                    if draining && !refused && !this.cell.has_outside_work() {
                        ctx.stop();
                    }
                    return Poll::Pending;
                }
            };
            envelope.deliver(actor, ctx);
            if this.life.is_over() {
                return Poll::Pending;
            }
            // An actor that stops itself has handled the message; only a running one can be in a `ctx.wait`.
            if ctx.waiting() && ctx.state().alive() && !ctx.state().stopping() {
                this.waiting = true;
            } else {
                this.cell.finish(&this.life);
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
