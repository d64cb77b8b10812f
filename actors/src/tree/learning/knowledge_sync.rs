//! `knowledge_sync`: has pairs embedded, and keeps the vectors in memory as they are in the tables.
//!
//! A reconciler: when `scheduler.sync_interval` is over, when pairs were written ([`News`](crate::knowledge::News)) or on a
//! nudge ([`SyncNow`]) it looks at what waits and makes a pass (`knowledge::sync`); between them it reads what other nodes have embedded. One pass at a time; what fails is in the tables and waits longer each
//! time. Off (`scheduler.auto_sync_enabled`), it embeds on a nudge only, and what somebody asked for (`knowledge::asked`).

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

use crate::knowledge::sync::Passed;
use crate::knowledge::{Parts, asked, sync};
use crate::supervision::{ActorRef, ChildSpec};

/// How often the tables are looked at for vectors that others wrote, and for what is asked for.
const READ_EVERY: Duration = Duration::from_secs(2);

/// Between two passes over what was written meanwhile: many writes make one pass.
const NEWS_MICROS: i64 = 5_000_000;

/// After a pass that a database broke off.
const AGAIN_MICROS: i64 = 30_000_000;

/// Somebody wants it now.
#[derive(Clone, Copy, Debug)]
pub struct SyncNow;

impl Message for SyncNow {
    type Result = ();
}

/// The actor.
pub struct KnowledgeSync {
    parts: Parts,
    /// A pass or a look is under way: there is never more than one.
    at_work: bool,
    /// A pass is wanted as soon as that is over.
    again: bool,
    /// The last look failed: told once, not at every tick.
    failing: bool,
    /// When the last pass began, microseconds since the Unix epoch.
    passed_at: Option<i64>,
    /// A model that could not be asked is tried again then.
    again_at: Option<i64>,
}

/// The child spec of `root/learning/knowledge_sync`.
pub fn spec(actor: &ActorRef<KnowledgeSync>, parts: Parts) -> ChildSpec {
    ChildSpec::new("knowledge_sync", actor, move |_| KnowledgeSync {
        parts: parts.clone(),
        at_work: false,
        again: false,
        failing: false,
        passed_at: None,
        again_at: None,
    })
}

impl KnowledgeSync {
    /// Whether the clock says that it is time for a pass.
    fn is_due(&self) -> bool {
        let settings = self.parts.settings.load();
        let every = i64::try_from(settings.sync_every.as_micros()).unwrap_or(i64::MAX);
        let now = self.parts.clock.now_micros();
        let since = |at: i64| now.saturating_sub(at);
        settings.syncs
            && (self.passed_at.is_none_or(|at| {
                since(at) >= every || (since(at) >= NEWS_MICROS && self.parts.news.is_told())
            }) || self.again_at.is_some_and(|at| now >= at))
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let passes = self.is_due();
        self.work(passes, ctx);
    }

    fn work(&mut self, passes: bool, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.at_work, true) {
            // A tick comes again by itself.
            return;
        }
        if passes {
            self.passed_at = Some(self.parts.clock.now_micros());
            self.again_at = None;
            self.parts.news.take();
        }
        let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
        let work = async move {
            home.at_home(async move {
                match passes {
                    true => sync::pass(&parts).await,
                    false => match asked::pass(&parts).await? {
                        Some(passed) => Ok(passed),
                        None => parts.refresh().await.map(|()| Passed::default()),
                    },
                }
            })
            .await
        };
        ctx.spawn(work.into_actor(self).map(move |result, this, ctx| {
            this.at_work = false;
            match result {
                Ok(passed) => {
                    this.failing = false;
                    // Of a look that asked nobody nothing follows.
                    this.again_at = match passes {
                        true => passed.again_at,
                        false => passed.again_at.or(this.again_at),
                    };
                }
                Err(error) => {
                    if !std::mem::replace(&mut this.failing, true) {
                        tracing::warn!(%error, "knowledge cannot be synchronised; trying again");
                    }
                    if passes {
                        this.again_at = Some(this.parts.clock.now_micros() + AGAIN_MICROS);
                    }
                }
            }
            if std::mem::take(&mut this.again) {
                this.work(true, ctx);
            }
        }));
    }
}

impl Actor for KnowledgeSync {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.tick(ctx);
        ctx.run_interval(READ_EVERY, Self::tick);
    }
}

impl Handler<SyncNow> for KnowledgeSync {
    type Result = ();

    fn handle(&mut self, _: SyncNow, ctx: &mut Context<Self>) {
        // What was written since a pass began may lie behind it.
        self.again |= self.at_work;
        self.work(true, ctx);
    }
}
