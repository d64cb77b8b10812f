//! `job_runner`: runs the rows of `jobs`, one at a time, oldest first; beside them, in a lane of their own, those that mostly
//! wait for what others do, one at a time too.
//!
//! Woken by [`Wake`] and by a tick. While a job runs, each tick writes its progress and looks whether somebody
//! wants it cancelled. What this node was running when it crashed goes back to the queue when it starts; what
//! another node was running, once it has not beaten for a minute. An ending that cannot be written is kept and
//! tried again. A job that panics takes the actor with it, and is one of the interrupted ones then. What the
//! kinds do is not known here.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use sea_orm::DbErr;
use serde_json::json;
use steward_entities::audit;
use steward_entities::database::{Databases, begin_write};
use steward_entities::job::{self, Ending, State};

use crate::domain::clock::SharedClock;
use crate::jobs::{JobContext, JobControl, JobKinds};
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

const TICK: Duration = Duration::from_secs(1);
const SILENT_AFTER_MICROS: i64 = 60_000_000;

/// A job was queued, or is to be cancelled: look now.
#[derive(Clone, Copy, Debug)]
pub struct Wake;

impl Message for Wake {
    type Result = ();
}

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub kinds: JobKinds,
    /// This node; it takes back only its own jobs at start.
    pub node: u8,
    pub clock: SharedClock,
}

/// What it is at.
enum Work {
    Idle,
    Running {
        job: Box<job::Model>,
        control: Arc<JobControl>,
    },
    /// Ended, but not yet in the table.
    Ending {
        job: Box<job::Model>,
        ending: Ending,
    },
}

/// Jobs that run one after the other.
struct Lane {
    /// The kinds it takes.
    kinds: Vec<String>,
    work: Work,
    /// A database step is under way: there is never more than one.
    stepping: bool,
    /// Woken during that step.
    again: bool,
    /// Took back what an earlier life was running.
    recovered: bool,
}

/// One for work, one for waiting.
const LANES: usize = 2;

/// The actor.
pub struct JobRunner {
    parts: Parts,
    lanes: [Lane; LANES],
    /// The database failed at the last step: told once, not at every tick.
    failing: bool,
}

/// The child spec of `root/upkeep/job_runner`.
pub fn spec(actor: &ActorRef<JobRunner>, parts: Parts) -> ChildSpec {
    ChildSpec::new("job_runner", actor, move |me| {
        JobRunner::new(me, parts.clone())
    })
}

/// What a database step found.
enum Stepped {
    /// Nothing waits.
    Nothing,
    /// This job is ours now.
    Claimed(Box<job::Model>),
    /// The running job is to stop.
    Stop,
    /// The ending is in the table.
    Ended,
}

impl JobRunner {
    /// A runner with nothing to do yet.
    pub fn new(_me: Incarnation<Self>, parts: Parts) -> Self {
        let lanes = [false, true].map(|that_wait| Lane {
            kinds: parts.kinds.names(that_wait),
            work: Work::Idle,
            stepping: false,
            again: false,
            recovered: false,
        });
        Self {
            parts,
            lanes,
            failing: false,
        }
    }

    fn step_all(&mut self, ctx: &mut Context<Self>) {
        for lane in 0..LANES {
            self.step(lane, ctx);
        }
    }

    /// One database step of a lane, whichever is due.
    fn step(&mut self, at: usize, ctx: &mut Context<Self>) {
        let lane = &mut self.lanes[at];
        if lane.stepping {
            lane.again = true;
            return;
        }
        if lane.kinds.is_empty() {
            return;
        }
        lane.stepping = true;
        lane.again = false;
        let parts = self.parts.clone();
        let now = self.parts.clock.now_micros();
        let due = match &lane.work {
            Work::Idle => Due::Claim {
                kinds: lane.kinds.clone(),
                own_too: !lane.recovered,
            },
            Work::Running { job, control } => Due::Beat {
                id: job.id,
                progress: control.per_cent(),
            },
            Work::Ending { job, ending } => Due::End {
                job: job.clone(),
                ending: ending.clone(),
            },
        };
        let home = parts.databases.clone();
        let stepped = async move {
            home.at_home(async move { due.write(&parts, now).await })
                .await
        };
        ctx.spawn(stepped.into_actor(self).map(move |result, this, ctx| {
            this.lanes[at].stepping = false;
            this.stepped(at, result, ctx);
        }));
    }

    fn stepped(&mut self, at: usize, result: Result<Stepped, DbErr>, ctx: &mut Context<Self>) {
        let next = match result {
            Ok(found) => {
                self.failing = false;
                self.take(at, found, ctx)
            }
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, "the jobs cannot be read or written; trying again every second");
                    self.failing = true;
                }
                false
            }
        };
        if next || self.lanes[at].again {
            self.step(at, ctx);
        }
    }

    /// True when the next step is due at once.
    fn take(&mut self, at: usize, found: Stepped, ctx: &mut Context<Self>) -> bool {
        let lane = &mut self.lanes[at];
        match found {
            Stepped::Nothing => lane.recovered = true,
            Stepped::Claimed(job) => {
                lane.recovered = true;
                self.start(at, job, ctx);
            }
            Stepped::Stop => {
                if let Work::Running { control, .. } = &lane.work {
                    control.cancel();
                }
            }
            Stepped::Ended => {
                lane.work = Work::Idle;
                return true;
            }
        }
        false
    }

    fn start(&mut self, at: usize, job: Box<job::Model>, ctx: &mut Context<Self>) {
        let control = JobControl::new();
        let context = JobContext::new(&job, Arc::clone(&control));
        let kind = self.parts.kinds.get(&job.kind);
        tracing::info!(
            job = job.public_id,
            kind = job.kind,
            attempt = job.attempts,
            "a job begins"
        );
        self.lanes[at].work = Work::Running { job, control };
        let run = async move {
            match kind {
                Some(kind) => kind.run(context).await,
                None => Err("this release does not know the kind of job".to_owned()),
            }
        };
        ctx.spawn(run.into_actor(self).map(move |result, this, ctx| {
            let work = std::mem::replace(&mut this.lanes[at].work, Work::Idle);
            if let Work::Running { job, control } = work {
                let ending = match result {
                    Ok(value) => Ending::Succeeded(value),
                    Err(_) if control.is_cancelled() => Ending::Cancelled,
                    Err(reason) => Ending::Failed(reason),
                };
                this.lanes[at].work = Work::Ending { job, ending };
                this.step(at, ctx);
            }
        }));
    }
}

/// The database step that is due.
enum Due {
    Claim {
        kinds: Vec<String>,
        /// What an earlier life of this node was running is taken back first.
        own_too: bool,
    },
    Beat {
        id: i64,
        progress: i64,
    },
    End {
        job: Box<job::Model>,
        ending: Ending,
    },
}

impl Due {
    async fn write(self, parts: &Parts, now: i64) -> Result<Stepped, DbErr> {
        let node = i64::from(parts.node);
        if let Self::Claim {
            kinds,
            own_too: false,
        } = &self
            && !job::any_waiting(
                &parts.databases.control_read,
                kinds,
                node,
                now - SILENT_AFTER_MICROS,
            )
            .await?
        {
            // Looking does not take the writing connection.
            return Ok(Stepped::Nothing);
        }
        let txn = begin_write(&parts.databases.control).await?;
        let stepped = match self {
            Self::Claim { kinds, own_too } => {
                let own = own_too.then_some((node, &kinds[..]));
                let lost = job::recover(&txn, own, now - SILENT_AFTER_MICROS, now).await?;
                for job in lost {
                    tracing::warn!(
                        job = job.public_id,
                        kind = job.kind,
                        attempt = job.attempts,
                        "a job was interrupted"
                    );
                }
                let claimed = job::claim(&txn, &kinds, node, now).await?;
                claimed.map_or(Stepped::Nothing, |job| Stepped::Claimed(Box::new(job)))
            }
            Self::Beat { id, progress } => match job::beat(&txn, id, node, progress, now).await? {
                true => Stepped::Nothing,
                false => Stepped::Stop,
            },
            Self::End { job, ending } => {
                let entry = outcome(&job, &ending);
                if job::finish(&txn, job.id, node, ending, now).await? {
                    audit::insert(&txn, entry, now).await?;
                }
                Stepped::Ended
            }
        };
        txn.commit().await?;
        Ok(stepped)
    }
}

/// The audit row of the outcome; the row of the request was written by whoever asked.
fn outcome(job: &job::Model, ending: &Ending) -> audit::Entry {
    let (state, details) = match ending {
        Ending::Succeeded(result) => (
            State::Succeeded,
            json!({"kind": job.kind, "result": result}),
        ),
        Ending::Failed(reason) => (State::Failed, json!({"kind": job.kind, "error": reason})),
        Ending::Cancelled => (State::Cancelled, json!({"kind": job.kind})),
    };
    audit::Entry {
        operator_id: None,
        operator_name: "job_runner".to_owned(),
        action: format!("jobs.{}", state.as_str()),
        target_type: "job".to_owned(),
        target_id: job.public_id.clone(),
        details,
        ip: String::new(),
        request_id: String::new(),
    }
}

impl Actor for JobRunner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.step_all(ctx);
        ctx.run_interval(TICK, Self::step_all);
    }
}

impl Handler<Wake> for JobRunner {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
        self.step_all(ctx);
    }
}
