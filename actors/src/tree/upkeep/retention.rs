//! `retention`: forgets what has outlived its use, once an hour, and keeps SQLite's files in shape.
//!
//! A reconciler: it takes no input, looks at the clock and the settings, makes a pass (`retention::pass`), and can be run
//! any number of times. What goes when is said there; a pass that somebody asked for is a job of the same. Beside it, every
//! minute, write-ahead logs that have grown long are folded in, and once an hour the planner's statistics are looked at
//! (`retention::files`).

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};

use crate::retention::{Parts, files, pass};
use crate::supervision::{ActorRef, ChildSpec};

/// How often it looks.
pub const EVERY: Duration = Duration::from_secs(3_600);
/// How soon it looks again after a pass that failed: who counts a long log anew may keep the writer busy for so long.
pub const AGAIN: Duration = Duration::from_secs(60);
/// How often it looks at SQLite's files.
pub const FILES_EVERY: Duration = Duration::from_secs(60);
/// So many looks are an hour: the last of them is at the planner's statistics too.
const CARES_AN_HOUR: u32 = 60;

/// The actor.
pub struct Retention {
    parts: Parts,
    /// A pass is under way: there is never more than one.
    at_work: bool,
    /// The look after one that failed.
    again: Option<SpawnHandle>,
    /// Likewise the care of files.
    at_files: bool,
    /// How often it looked at them.
    cares: u32,
}

/// The child spec of `root/upkeep/retention`.
pub fn spec(actor: &ActorRef<Retention>, parts: Parts) -> ChildSpec {
    ChildSpec::new("retention", actor, move |_| Retention {
        parts: parts.clone(),
        at_work: false,
        again: None,
        at_files: false,
        cares: 0,
    })
}

impl Retention {
    fn look(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.at_work, true) {
            return;
        }
        if let Some(later) = self.again.take() {
            ctx.cancel_future(later);
        }
        let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
        let work = async move {
            let now = parts.clock.now_micros();
            home.at_home(async move { pass(&parts, now, &|_| {}, &|| false).await })
                .await
        };
        ctx.spawn(work.into_actor(self).map(|result, this, ctx| {
            this.at_work = false;
            if let Err(error) = result {
                tracing::warn!(%error, "what has expired cannot be removed; trying again in a minute");
                this.again = Some(ctx.run_later(AGAIN, Self::look));
            }
        }));
    }
}

impl Retention {
    /// Looks after the files, where blocking blocks nobody.
    fn care(&mut self, ctx: &mut Context<Self>) {
        let files = files::of(&self.parts.databases);
        if files.is_empty() || std::mem::replace(&mut self.at_files, true) {
            return;
        }
        let is_hour = self.cares % CARES_AN_HOUR == CARES_AN_HOUR - 1;
        self.cares = self.cares.wrapping_add(1);
        let done = tokio::task::spawn_blocking(move || {
            files::fold_long_logs(&files);
            if is_hour {
                files::optimize(&files);
            }
        });
        ctx.spawn(
            done.into_actor(self)
                .map(|_, this, _| this.at_files = false),
        );
    }
}

impl Actor for Retention {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        ctx.run_interval(EVERY, Self::look);
        self.care(ctx);
        ctx.run_interval(FILES_EVERY, Self::care);
    }
}
