//! `database_backup`: asks for a backup when one is due.
//!
//! A reconciler: it takes no input, looks at the plan and at the clock, and queues the job. Making it is the job's matter,
//! one at a time; several nodes on one database take turns. A plan that was asleep for days is due once.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use sea_orm::DbErr;
use serde_json::json;
use steward_entities::database::{Databases, begin_write};
use steward_entities::{backup_plan, job};

use super::job_runner::{JobRunner, Wake};
use crate::backup::BACKUP;
use crate::domain::clock::SharedClock;
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub job_runner: ActorRef<JobRunner>,
    pub clock: SharedClock,
}

/// The actor.
pub struct DatabaseBackup {
    parts: Parts,
    /// A look is under way: there is never more than one.
    at_work: bool,
}

/// The child spec of `root/upkeep/database_backup`.
pub fn spec(actor: &ActorRef<DatabaseBackup>, parts: Parts) -> ChildSpec {
    ChildSpec::new("database_backup", actor, move |me| {
        DatabaseBackup::new(me, parts.clone())
    })
}

/// Queues the backup that is due at `now`; whether one was.
///
/// # Errors
/// When the database cannot be read or written.
pub async fn round(databases: &Databases, now: i64) -> Result<bool, DbErr> {
    let plan = backup_plan::get(&databases.control_read).await?;
    let Some(plan) = plan.filter(|plan| plan.enabled && plan.next_at <= now) else {
        return Ok(false);
    };
    let txn = begin_write(&databases.control).await?;
    let next_at = now.saturating_add(plan.interval_s.saturating_mul(1_000_000));
    if !backup_plan::take_turn(&txn, now, next_at).await? {
        return Ok(false);
    }
    job::insert(&txn, BACKUP, json!({}), "scheduler".to_owned(), now).await?;
    txn.commit().await?;
    Ok(true)
}

impl DatabaseBackup {
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
            home.at_home(async move { round(&databases, now).await })
                .await
        };
        ctx.spawn(work.into_actor(self).map(|result, this, _| {
            this.at_work = false;
            match result {
                // It would look by itself in a second; that it cannot be told is no failure.
                Ok(true) => drop(this.parts.job_runner.try_send(Wake)),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "the plan of backups cannot be read"),
            }
        }));
    }
}

impl Actor for DatabaseBackup {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}
