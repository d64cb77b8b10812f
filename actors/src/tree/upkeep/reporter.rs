//! `reporter`: asks for the reports that are due.
//!
//! A reconciler: it takes no input, looks at the reports and at the clock, and queues a job for each that is due; of several
//! nodes on one database one does for each time ([`crate::reports::look`]). Counting is the job's matter, telling the
//! notifier's. A report that nobody could ask for while everything slept is due once.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use steward_entities::database::Databases;

use super::job_runner::{JobRunner, Wake};
use crate::domain::clock::SharedClock;
use crate::reports;
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub job_runner: ActorRef<JobRunner>,
    pub clock: SharedClock,
}

/// The actor.
pub struct Reporter {
    parts: Parts,
    /// A look is under way: there is never more than one.
    at_work: bool,
}

/// The child spec of `root/upkeep/reporter`.
pub fn spec(actor: &ActorRef<Reporter>, parts: Parts) -> ChildSpec {
    ChildSpec::new("reporter", actor, move |me| {
        Reporter::new(me, parts.clone())
    })
}

impl Reporter {
    /// One that has not looked yet.
    pub fn new(_me: Incarnation<Self>, parts: Parts) -> Self {
        Self {
            parts,
            at_work: false,
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.at_work, true) {
            return;
        }
        let parts = self.parts.clone();
        let work = async move {
            let (databases, now) = (parts.databases.clone(), parts.clock.now_micros());
            let home = databases.clone();
            home.at_home(async move { reports::look(&databases, now).await })
                .await
        };
        ctx.spawn(work.into_actor(self).map(|result, this, _| {
            this.at_work = false;
            match result {
                Ok(0) => {}
                // It would look by itself in a second; that it cannot be told is no failure.
                Ok(_) => drop(this.parts.job_runner.try_send(Wake)),
                Err(error) => tracing::warn!(%error, "the reports that are due cannot be read"),
            }
        }));
    }
}

impl Actor for Reporter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}
