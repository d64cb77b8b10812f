//! `retention`: forgets what has outlived its use, once an hour.
//!
//! A reconciler: it takes no input, looks at the clock and the settings, makes a pass (`retention::pass`), and can be run
//! any number of times. What goes when is said there; a pass that somebody asked for is a job of the same.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use crate::retention::{Parts, pass};
use crate::supervision::{ActorRef, ChildSpec};

/// How often it looks.
pub const EVERY: Duration = Duration::from_secs(3_600);

/// The actor.
pub struct Retention {
    parts: Parts,
    /// A pass is under way: there is never more than one.
    at_work: bool,
}

/// The child spec of `root/upkeep/retention`.
pub fn spec(actor: &ActorRef<Retention>, parts: Parts) -> ChildSpec {
    ChildSpec::new("retention", actor, move |_| Retention {
        parts: parts.clone(),
        at_work: false,
    })
}

impl Retention {
    fn look(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.at_work, true) {
            return;
        }
        let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
        let work = async move {
            let now = parts.clock.now_micros();
            home.at_home(async move { pass(&parts, now, &|_| {}, &|| false).await })
                .await
        };
        ctx.spawn(work.into_actor(self).map(|result, this, _| {
            this.at_work = false;
            if let Err(error) = result {
                tracing::warn!(%error, "what has expired cannot be removed; trying again in an hour");
            }
        }));
    }
}

impl Actor for Retention {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        ctx.run_interval(EVERY, Self::look);
    }
}
