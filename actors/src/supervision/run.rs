//! Drives one actix context to its end and says why it ended.
//!
//! The context is polled inside `catch_unwind`. After anything but a normal stop it is terminated *before* it is
//! dropped: actix runs `stopping`/`stopped` in the drop of a live context, and hooks on a poisoned actor, possibly
//! while unwinding, would abort the process.

use super::exit::Exit;
use super::life::{Life, StopRequest};
use super::panics;
use actix::dev::ContextFut;
use actix::{Actor, ActorContext, Context};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

pub(crate) struct Run<A: Actor<Context = Context<A>>> {
    /// None once it has ended.
    context: Option<ContextFut<A, Context<A>>>,
    life: Arc<Life>,
}

impl<A: Actor<Context = Context<A>>> Run<A> {
    pub(crate) fn new(context: ContextFut<A, Context<A>>, life: Arc<Life>) -> Self {
        Self {
            context: Some(context),
            life,
        }
    }

    /// Why it must end now, whatever the actor is doing.
    fn ordered_end(&self) -> Option<Exit> {
        if self.life.is_fenced() || self.life.is_killed() {
            return Some(Exit::Killed);
        }
        self.life.failure().map(Exit::Failed)
    }

    /// Drops the actor. A panic in its `Drop` counts unless it failed before.
    fn finish(&mut self, exit: Exit) -> Exit {
        let Some(mut context) = self.context.take() else {
            return exit;
        };
        if exit != Exit::Normal {
            context.ctx().terminate();
        }
        match panics::contain(move || drop(context)) {
            Err(report) if exit == Exit::Normal => Exit::Panicked(report),
            Err(report) => {
                tracing::warn!(message = %report.message, location = %report.location, "an actor that had failed panicked again in its drop");
                exit
            }
            Ok(()) => exit,
        }
    }
}

// Nothing in it is pinned structurally: `ContextFut` is `Unpin`.
impl<A: Actor<Context = Context<A>>> Unpin for Run<A> {}

impl<A: Actor<Context = Context<A>>> Future for Run<A> {
    type Output = Exit;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Exit> {
        let this = &mut *self;
        this.life.begin_poll(task.waker());
        if let Some(exit) = this.ordered_end() {
            return Poll::Ready(this.finish(exit));
        }
        let halt = this.life.stop_requested() == Some(StopRequest::Halt);
        let Some(context) = this.context.as_mut() else {
            return Poll::Ready(Exit::Normal);
        };
        if halt {
            // From here, because an actor inside `ctx.wait` does not poll its pump.
            context.ctx().stop();
        }
        let polled = panics::contain(|| Pin::new(context).poll(task));
        let exit = match polled {
            Err(report) => Exit::Panicked(report),
            Ok(outcome) => match (this.ordered_end(), outcome) {
                (Some(exit), _) => exit,
                (None, Poll::Ready(())) => Exit::Normal,
                (None, Poll::Pending) => return Poll::Pending,
            },
        };
        Poll::Ready(this.finish(exit))
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Run<A> {
    /// Reached with a live context only when its thread is torn down.
    fn drop(&mut self) {
        self.finish(Exit::ThreadLost);
    }
}
