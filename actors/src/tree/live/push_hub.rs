//! `push_hub`: the clock of the [`Switchboard`]. Has the sources looked at, and rings the bell when there is news.
//!
//! The bell wakes every listener, so it is rung at once after a pause but never more often than [`SPACING`]: however
//! much is published, ten thousand sockets are woken ten times a second at most. A source that hangs is given up and
//! asked again; one that panics takes the actor with it, which is restarted and finds the rings as they were.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::time::{Instant, sleep, timeout};

use crate::live::{Source, Switchboard};
use crate::supervision::{ActorRef, ChildSpec, Incarnation, Placement};

/// How often it sees which sources are due.
pub const BEAT: Duration = Duration::from_millis(250);
/// Shortest time between two rings of the bell.
pub const SPACING: Duration = Duration::from_millis(100);
/// A look that takes longer is given up.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// The actor.
pub struct PushHub {
    board: Arc<Switchboard>,
    /// By name of the source: when it was last asked, and whether it still looks.
    looks: HashMap<&'static str, (Instant, bool)>,
}

/// The child spec of `root/live/push_hub`: on a thread of its own, since waking everybody takes milliseconds.
pub fn spec(actor: &ActorRef<PushHub>, board: Arc<Switchboard>) -> ChildSpec {
    ChildSpec::new("push_hub", actor, move |me| {
        PushHub::new(me, Arc::clone(&board))
    })
    .placement(Placement::Dedicated)
}

impl PushHub {
    /// One that has asked nobody yet.
    pub fn new(_me: Incarnation<Self>, board: Arc<Switchboard>) -> Self {
        Self {
            board,
            looks: HashMap::new(),
        }
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        for source in self.board.sources() {
            let now = Instant::now();
            match self.looks.get(source.name()) {
                Some((_, true)) => continue,
                Some((asked, false)) if now.duration_since(*asked) + BEAT / 2 < source.every() => {
                    continue;
                }
                _ => {}
            }
            self.looks.insert(source.name(), (now, true));
            self.ask(source, ctx);
        }
    }

    fn ask(&mut self, source: Arc<dyn Source>, ctx: &mut Context<Self>) {
        let board = Arc::clone(&self.board);
        let name = source.name();
        let look = async move { timeout(LOOK_WITHIN, source.look(&board)).await };
        ctx.spawn(look.into_actor(self).map(move |outcome, this, _| {
            if outcome.is_err() {
                tracing::warn!(
                    source = name,
                    "a source of live news took too long and was given up"
                );
            }
            if let Some((_, looking)) = this.looks.get_mut(name) {
                *looking = false;
            }
        }));
    }
}

impl Actor for PushHub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let board = Arc::clone(&self.board);
        let ringing = async move {
            loop {
                board.published().await;
                board.ring();
                sleep(SPACING).await;
            }
        };
        ctx.spawn(ringing.into_actor(self));
        ctx.run_interval(BEAT, Self::beat);
    }
}
