//! `feedback_learner`: has approved feedback become candidates for pairs.
//!
//! A reconciler: every `scheduler.process_interval`, or on a nudge ([`LearnNow`]), it makes a pass (`knowledge::learn`). One
//! pass at a time; what fails stays in the tables and is tried again by the next.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

use super::knowledge_sync::{KnowledgeSync, SyncNow};
use crate::knowledge::learn::{self, Learned, Parts};
use crate::supervision::{ActorRef, ChildSpec};

/// How often the clock is looked at: a setting that was changed holds within so long.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Somebody wants it now.
#[derive(Clone, Copy, Debug)]
pub struct LearnNow;

impl Message for LearnNow {
    type Result = ();
}

/// The actor.
pub struct FeedbackLearner {
    parts: Parts,
    /// Hears of new pairs.
    sync: ActorRef<KnowledgeSync>,
    /// A pass is under way: there is never more than one.
    at_work: bool,
    /// Another is wanted as soon as that is over.
    again: bool,
    /// The last pass failed: told once, not at every pass.
    failing: bool,
    /// When the last pass began, microseconds since the Unix epoch.
    passed_at: Option<i64>,
}

/// The child spec of `root/learning/feedback_learner`.
pub fn spec(
    actor: &ActorRef<FeedbackLearner>,
    sync: &ActorRef<KnowledgeSync>,
    parts: Parts,
) -> ChildSpec {
    let sync = sync.clone();
    ChildSpec::new("feedback_learner", actor, move |_| FeedbackLearner {
        parts: parts.clone(),
        sync: sync.clone(),
        at_work: false,
        again: false,
        failing: false,
        passed_at: None,
    })
}

impl FeedbackLearner {
    fn look(&mut self, ctx: &mut Context<Self>) {
        let every = self.parts.settings.load().learn_every;
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
        let now = self.parts.clock.now_micros();
        if self
            .passed_at
            .is_none_or(|at| now.saturating_sub(at) >= every)
        {
            self.pass(ctx);
        }
    }

    fn pass(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.at_work, true) {
            return;
        }
        let now = self.parts.clock.now_micros();
        self.passed_at = Some(now);
        self.parts.latest.begin(now);
        let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
        let work = async move { home.at_home(async move { learn::pass(&parts).await }).await };
        ctx.spawn(work.into_actor(self).map(|result, this, ctx| {
            this.at_work = false;
            let now = this.parts.clock.now_micros();
            this.parts.latest.note(now, result.is_err());
            match result {
                Ok(learned) => {
                    this.failing = false;
                    this.tell(learned);
                }
                Err(error) => {
                    if !std::mem::replace(&mut this.failing, true) {
                        tracing::warn!(%error, "feedback cannot be learned from; trying again");
                    }
                }
            }
            if std::mem::take(&mut this.again) {
                this.pass(ctx);
            }
        }));
    }

    fn tell(&self, learned: Learned) {
        if learned.candidates > 0 {
            let Learned {
                candidates, taken, ..
            } = learned;
            tracing::info!(candidates, taken, "learned from feedback");
        }
        if learned.taken > 0 && self.parts.settings.load().syncs {
            // It looks by itself too; that it cannot be told is no failure.
            let _ = self.sync.try_send(SyncNow);
        }
    }
}

impl Actor for FeedbackLearner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}

impl Handler<LearnNow> for FeedbackLearner {
    type Result = ();

    fn handle(&mut self, _: LearnNow, ctx: &mut Context<Self>) {
        // What was approved since a pass began may lie behind it.
        self.again |= self.at_work;
        self.pass(ctx);
    }
}
