//! `retention`: forgets what has outlived its use.
//!
//! A reconciler: it takes no input, looks at the clock, deletes what is due, and can be run any number of
//! times. At present that is sessions that expired, answers kept for repeated requests, measured values, looks at components, and
//! counts by the hour that days tell as well; the log is not its business, it is kept for ever.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use sea_orm::DbErr;
use steward_entities::database::{Databases, begin_write};
use steward_entities::ledger::rollup;
use steward_entities::{health_check, idempotency_key, metrics_snapshot, session};

use crate::domain::clock::SharedClock;
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

/// How often it looks.
pub const EVERY: Duration = Duration::from_secs(3_600);
/// Expired sessions are kept this long, to tell a stolen refresh secret from an unknown one.
const SESSION_KEPT_MICROS: i64 = 7 * 24 * 3_600_000_000;
/// A request may be repeated with the same idempotency key this long.
const ANSWER_KEPT_MICROS: i64 = 24 * 3_600_000_000;
/// Availability is told over thirty days.
const LOOKS_KEPT_MICROS: i64 = 32 * 24 * 3_600_000_000;
/// Measured values are shown as lines over weeks, not years.
const MEASURED_KEPT_MICROS: i64 = 90 * 24 * 3_600_000_000;

/// Counts by the hour of every token, account, mode and model are kept this long; those by the day for ever.
pub const HOURLY_CUBE_KEPT_MICROS: i64 = 35 * 24 * 3_600_000_000;
/// Rows removed at once: so many hold up the writer for a few milliseconds.
const STEP_ROWS: i64 = 1_000;

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub clock: SharedClock,
}

/// What one round removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    pub sessions: u64,
    pub answers: u64,
    pub hourly_counts: u64,
    pub measured: u64,
    pub looks: u64,
}

/// The actor.
pub struct Retention {
    parts: Parts,
    /// A round is under way: there is never more than one.
    at_work: bool,
}

/// The child spec of `root/upkeep/retention`.
pub fn spec(actor: &ActorRef<Retention>, parts: Parts) -> ChildSpec {
    ChildSpec::new("retention", actor, move |me| {
        Retention::new(me, parts.clone())
    })
}

/// Removes what is due at `now_micros`, in short transactions.
///
/// # Errors
/// When a database cannot be written; what was not removed then is removed by the next round.
pub async fn round(databases: &Databases, now_micros: i64) -> Result<Removed, DbErr> {
    let txn = begin_write(&databases.control).await?;
    let mut removed = Removed {
        measured: 0,
        looks: 0,
        sessions: session::delete_expired(&txn, now_micros - SESSION_KEPT_MICROS).await?,
        answers: idempotency_key::delete_before(&txn, now_micros - ANSWER_KEPT_MICROS).await?,
        hourly_counts: 0,
    };
    txn.commit().await?;
    let txn = begin_write(&databases.events).await?;
    removed.measured =
        metrics_snapshot::delete_before(&txn, now_micros - MEASURED_KEPT_MICROS).await?;
    removed.looks = health_check::delete_before(&txn, now_micros - LOOKS_KEPT_MICROS).await?;
    txn.commit().await?;
    let before = now_micros - HOURLY_CUBE_KEPT_MICROS;
    let mut hourly_counts = 0;
    loop {
        let table = &rollup::USAGE_STATS_HOURLY;
        let gone = rollup::delete_before(&databases.ledger, table, before, STEP_ROWS).await?;
        hourly_counts += gone;
        if gone < STEP_ROWS as u64 {
            break;
        }
    }
    Ok(Removed {
        hourly_counts,
        ..removed
    })
}

impl Retention {
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
        let home = parts.databases.clone();
        let work = async move {
            let now = parts.clock.now_micros();
            home.at_home(async move { round(&parts.databases, now).await })
                .await
        };
        ctx.spawn(work.into_actor(self).map(|result, this, _| {
            this.at_work = false;
            match result {
                Ok(removed) => tracing::debug!(
                    sessions = removed.sessions,
                    answers = removed.answers,
                    hourly_counts = removed.hourly_counts,
                    measured = removed.measured,
                    looks = removed.looks,
                    "forgot what had expired"
                ),
                Err(error) => {
                    tracing::warn!(%error, "what has expired cannot be removed; trying again in an hour");
                }
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
