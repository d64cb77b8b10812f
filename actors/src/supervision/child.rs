//! An actor as a child: its cell, its factory, and the seat of its present incarnation.

use super::actor_ref::ActorRef;
use super::cell::ActorCell;
use super::exit::Exit;
use super::faults::Strike;
use super::incarnation::Incarnation;
use super::life::{Life, Protection, StopRequest};
use super::managed::{Event, EventKind, Launch, Managed, Surroundings};
use super::panics;
use super::pump::Pump;
use super::run::Run;
use super::snapshot::State;
use super::spec::SpecError;
use super::threads::{Seat, spawn_here};
use super::tree::{Node, NodeKind};
use actix::{Actor, AsyncContext, Context};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) struct ActorChild<A: Actor, F> {
    actor: ActorRef<A>,
    factory: F,
    seat: Mutex<Option<Seat>>,
}

impl<A: Actor, F> ActorChild<A, F> {
    pub(crate) fn new(actor: ActorRef<A>, factory: F) -> Self {
        Self {
            actor,
            factory,
            seat: Mutex::new(None),
        }
    }

    fn cell(&self) -> &Arc<ActorCell<A>> {
        &self.actor.cell
    }
}

/// Reports the end of an incarnation, also when its task is dropped with its thread.
struct Obituary<A: Actor> {
    cell: Arc<ActorCell<A>>,
    life: Arc<Life>,
    child: usize,
    events: mpsc::UnboundedSender<Event>,
    exit: Exit,
}

impl<A: Actor> Drop for Obituary<A> {
    fn drop(&mut self) {
        if self.life.ended() {
            self.cell.zombie_gone();
        }
        let _ = self.events.send(Event {
            child: self.child,
            epoch: self.life.epoch,
            kind: EventKind::Exited(std::mem::replace(&mut self.exit, Exit::ThreadLost)),
        });
    }
}

impl<A, F> ActorChild<A, F>
where
    A: Actor<Context = Context<A>>,
    F: Fn(Incarnation<A>) -> A + Send + Sync + 'static,
{
    /// Builds the actor on the present thread and drives it to its end.
    async fn live(
        self: Arc<Self>,
        mut obituary: Obituary<A>,
        events: mpsc::UnboundedSender<Event>,
    ) {
        let life = Arc::clone(&obituary.life);
        let (child, epoch) = (obituary.child, life.epoch);
        let made = panics::contain(|| {
            let mut ctx = Context::<A>::new();
            let me = Incarnation::new(self.actor.clone(), Arc::clone(&life));
            let actor = (self.factory)(me);
            let ready = move || {
                let kind = EventKind::Started;
                let _ = events.send(Event { child, epoch, kind });
            };
            let pump = Pump::new(Arc::clone(self.cell()), Arc::clone(&life), ready);
            ctx.spawn(pump);
            ctx.into_future(actor)
        });
        obituary.exit = match made {
            Ok(context) => Run::new(context, life).await,
            Err(report) => Exit::Panicked(report),
        };
    }
}

impl<A, F> Managed for ActorChild<A, F>
where
    A: Actor<Context = Context<A>>,
    F: Fn(Incarnation<A>) -> A + Send + Sync + 'static,
{
    fn attach(&self, path: &str) -> Result<(), SpecError> {
        if self.cell().name(path) {
            Ok(())
        } else {
            Err(SpecError::ActorTwice(self.actor.id().to_owned()))
        }
    }

    fn start(self: Arc<Self>, launch: Launch) -> u64 {
        let life = self.cell().begin(launch.draining.is_some());
        let epoch = life.epoch;
        let obituary = Obituary {
            cell: Arc::clone(self.cell()),
            life,
            child: launch.child,
            events: launch.events.clone(),
            exit: Exit::ThreadLost,
        };
        let this = Arc::clone(&self);
        let events = launch.events.clone();
        let job = move || {
            spawn_here(this.live(obituary, events));
        };
        match launch.surroundings.threads.seat(&launch.placement, job) {
            Ok(seat) => *self.seat.lock() = Some(seat),
            // The job was dropped with its obituary, so `Exited` is on its way.
            Err(error) => {
                tracing::error!(%error, child = self.actor.id(), "no thread for an actor")
            }
        }
        epoch
    }

    fn stop(&self, how: StopRequest, _until: Instant) {
        match how {
            StopRequest::Halt => self.cell().state.set(State::Stopping),
            StopRequest::Drain => {
                self.cell().state.set(State::Draining);
                self.cell().close();
            }
        }
        self.cell().life().request_stop(how);
    }

    fn kill(&self) {
        self.cell().life().kill();
    }

    fn bury(&self, surroundings: &Surroundings, exit: &Exit, abandoned: bool) -> u64 {
        let cell = self.cell();
        let abandoned = abandoned && cell.life().abandon();
        if abandoned {
            cell.zombie_born();
        }
        let epoch = cell.fence(exit, surroundings.clock.now_micros());
        if let Some(seat) = self.seat.lock().take() {
            surroundings.threads.leave(seat, abandoned);
        }
        epoch
    }

    fn set_state(&self, state: State) {
        self.cell().state.set(state);
    }

    fn close(&self, state: State, reason: &str) {
        self.cell().close();
        self.cell().state.set(state);
        self.cell().bury_queue(reason);
    }

    fn has_work(&self) -> bool {
        // A gate that panics cannot say that nothing is left.
        panics::contain(|| self.cell().has_work()).unwrap_or(true)
    }

    fn nudge(&self) {
        self.cell().life().pump.wake();
    }

    fn ask(&self, number: u64) {
        self.cell().life().ask(number);
    }

    fn has_answered(&self, number: u64) -> bool {
        self.cell().life().has_answered(number)
    }

    fn strike(&self, path: &[&str], strike: Strike) -> bool {
        if path.is_empty() {
            self.cell().life().order_strike(strike);
        }
        path.is_empty()
    }

    fn protection(&self, now: Instant) -> Protection {
        self.cell().life().protection(now)
    }

    fn set_gate(&self, gate: Box<dyn Fn() -> bool + Send + Sync>) {
        self.cell().set_gate(gate);
    }

    fn node(&self) -> Node {
        let now = self.cell().snapshot();
        Node {
            id: now.id,
            kind: NodeKind::Actor,
            strategy: None,
            state: now.state,
            depth: now.depth,
            capacity: now.capacity,
            processed: now.processed,
            rejected: now.rejected,
            restarts: now.restarts,
            dead_letters: now.dead_letters,
            zombies: now.zombies,
            epoch: now.epoch,
            last_exit: now.last_exit,
            p50_us: now.p50_us,
            p99_us: now.p99_us,
            children: Vec::new(),
        }
    }
}
