//! `remote_backup`: pushes the day's dashboard numbers to the remote that operators set.
//!
//! A reconciler: it takes no input, reads which days the remote does not have in their present state, and pushes those.
//! Where it stands is in the rows themselves (`synced_at`), so an outage of days is a longer list, and what was pushed when
//! the process died is pushed once more, to the same end. Several nodes on one database take turns by a claim that
//! expires. A row that the remote will never take is put aside and shown; whatever else is wrong with the remote, rows
//! wait.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use arc_swap::ArcSwapOption;
use chrono::{Days, NaiveDate};
use sea_orm::DbErr;
use steward_entities::database::{Databases, begin_write};
use steward_entities::{dashboard_stats, remote_backup};

use crate::domain::alert::machine::micros;
use crate::domain::clock::SharedClock;
use crate::outward::Outward;
use crate::remote::{self, Address, BATCH_ROWS, Failure, Kind, Remote, RemoteRow, Verdict};
use crate::supervision::{ActorRef, ChildSpec, Incarnation};
use crate::vault::Vault;

/// How often it looks whether a push is due.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A claim outlives the process that died with it by so long. Renewed with every request.
const CLAIM: Duration = Duration::from_secs(120);
/// Batches of one push; what is left then is due at once.
const BATCHES_MAX: usize = 50;
/// How long until the next attempt after so many that failed in a row; the last one goes on.
const WAITS: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(900),
];

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub vault: Arc<Vault>,
    pub outward: Arc<dyn Outward>,
    pub clock: SharedClock,
    /// How pushing goes, for who asks: not known before the first look, and none where nothing is to be pushed. Kept by
    /// every look.
    pub standing: Arc<ArcSwapOption<Option<Standing>>>,
}

/// How pushing goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Pushes that failed in a row.
    pub attempts: i64,
    /// What the last one came to, when it failed.
    pub last_error: Option<String>,
    /// Changes with what operators say of the remote.
    pub version: i64,
}

impl Standing {
    fn of(row: &remote_backup::Model) -> Self {
        Self {
            attempts: row.attempts,
            last_error: row.last_error.clone(),
            version: row.version,
        }
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The actor.
pub struct RemoteBackup {
    parts: Parts,
    /// A round is under way: there is never more than one.
    at_work: bool,
    /// The database failed at the last look: told once, not every two seconds.
    failing: bool,
}

/// The child spec of `root/upkeep/remote_backup`.
pub fn spec(actor: &ActorRef<RemoteBackup>, parts: Parts) -> ChildSpec {
    ChildSpec::new("remote_backup", actor, move |me| {
        RemoteBackup::new(me, parts.clone())
    })
}

/// What a round did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Round {
    /// There is no remote, or none that is due.
    NotDue,
    /// A push is under way: of another node, or somebody asked for it.
    Taken,
    /// The remote has everything.
    Pushed { rows: usize, refused: usize },
    /// It took so many rows, then something was wrong.
    Failed { rows: usize, why: String },
}

/// Pushes what the remote does not have, when a push is due; `urgent`: whether or not it is, and what was put aside as
/// well.
///
/// # Errors
/// When the database cannot be read or written. What was pushed and not noted is pushed again.
pub async fn round(parts: &Parts, urgent: bool) -> Result<Round, DbErr> {
    let now = parts.clock.now_micros();
    let row = remote_backup::get(&parts.databases.control_read).await?;
    let pushed = row.as_ref().filter(|row| row.enabled);
    parts
        .standing
        .store(Some(Arc::new(pushed.map(Standing::of))));
    let Some(row) = row else {
        return Ok(Round::NotDue);
    };
    let is_due = row.enabled && row.next_at <= now;
    if !urgent && !is_due {
        return Ok(Round::NotDue);
    }
    let txn = begin_write(&parts.databases.control).await?;
    if !remote_backup::claim(&txn, urgent, now, now + micros(CLAIM)).await? {
        return Ok(Round::Taken);
    }
    if urgent {
        dashboard_stats::offer_again(&txn, false).await?;
    }
    txn.commit().await?;
    let mut push = Push {
        parts,
        taken: 0,
        refused: 0,
    };
    let failure = match opened(parts, &row) {
        Ok(remote) => push.all(remote.as_ref(), &row).await?,
        Err(why) => Some(Failure {
            verdict: Verdict::Misset,
            why,
        }),
    };
    push.finish(&row, failure).await
}

/// The remote that `row` tells of.
///
/// # Errors
/// In words for whoever set it.
pub fn opened(parts: &Parts, row: &remote_backup::Model) -> Result<Box<dyn Remote>, String> {
    let kind = Kind::parse(&row.kind).ok_or("this release does not know the kind of remote")?;
    let address = Address::open(&parts.vault, row);
    let address =
        address.map_err(|error| format!("the remote's address does not open: {error}"))?;
    remote::open(kind, &address, &row.table_name, Arc::clone(&parts.outward))
}

/// A push under way.
struct Push<'a> {
    parts: &'a Parts,
    taken: usize,
    refused: usize,
}

impl Push<'_> {
    /// Batch after batch; answers what stopped it.
    async fn all(
        &mut self,
        remote: &dyn Remote,
        row: &remote_backup::Model,
    ) -> Result<Option<Failure>, DbErr> {
        let read = &self.parts.databases.control;
        for _ in 0..BATCHES_MAX {
            // From the writing connection: what the last batch settled is not offered again.
            let rows = dashboard_stats::unpushed(read, BATCH_ROWS as u64).await?;
            if rows.is_empty() {
                break;
            }
            if let Some(failure) = self.batch(remote, &rows).await? {
                return Ok(Some(failure));
            }
        }
        match self.horizon(row).await? {
            Some(before) => Ok(remote.forget_before(&before).await.err()),
            None => Ok(None),
        }
    }

    /// One batch. When it is not taken for what is in it, its halves are tried, down to single rows.
    async fn batch(
        &mut self,
        remote: &dyn Remote,
        rows: &[dashboard_stats::Model],
    ) -> Result<Option<Failure>, DbErr> {
        let mut to_try = vec![rows];
        let mut broke: Vec<(&dashboard_stats::Model, Failure)> = Vec::new();
        let mut is_asked = false;
        while let Some(some) = to_try.pop() {
            let now = self.parts.clock.now_micros();
            let sent: Vec<RemoteRow> = some.iter().map(|row| RemoteRow::of(row, now)).collect();
            let failure = match remote.push(&sent).await {
                Ok(()) => {
                    self.settle(some, None).await?;
                    continue;
                }
                Err(failure) => failure,
            };
            match (failure.verdict, some) {
                (Verdict::Later(_) | Verdict::Misset, _) => return Ok(Some(failure)),
                (Verdict::Rows, [row]) => {
                    self.settle(std::slice::from_ref(row), Some(&failure))
                        .await?
                }
                (Verdict::Broke, [row]) => broke.push((row, failure)),
                (verdict, some) => {
                    if verdict == Verdict::Broke && !std::mem::replace(&mut is_asked, true) {
                        // A remote that answers nothing at all is not asked two hundred times.
                        if let Err(other) = remote.test().await {
                            return Ok(Some(other));
                        }
                    }
                    let (first, second) = some.split_at(some.len() / 2);
                    // The older half first.
                    to_try.extend([second, first]);
                }
            }
        }
        if self.taken == 0
            && let Some((_, failure)) = broke.pop()
        {
            // Not one row was taken: it is the remote that is broken.
            return Ok(Some(failure));
        }
        for (row, failure) in broke {
            self.settle(std::slice::from_ref(row), Some(&failure))
                .await?;
        }
        Ok(None)
    }

    /// Notes what became of rows, and that the push goes on.
    async fn settle(
        &mut self,
        rows: &[dashboard_stats::Model],
        refusal: Option<&Failure>,
    ) -> Result<(), DbErr> {
        let now = self.parts.clock.now_micros();
        let txn = begin_write(&self.parts.databases.control).await?;
        for row in rows {
            match refusal {
                None => dashboard_stats::pushed(&txn, row, now).await?,
                Some(failure) => dashboard_stats::refused(&txn, row, &failure.why).await?,
            }
        }
        remote_backup::extend(&txn, now + micros(CLAIM)).await?;
        txn.commit().await?;
        match refusal {
            None => self.taken += rows.len(),
            Some(failure) => {
                self.refused += rows.len();
                let days: Vec<&str> = rows.iter().map(|row| row.stat_date.as_str()).collect();
                tracing::warn!(
                    ?days,
                    why = failure.why,
                    "the remote would not take a day; it was put aside"
                );
            }
        }
        Ok(())
    }

    /// The first day that stays there: counted back from the newest there is, so that figures that stopped coming do
    /// not make it forget everything.
    async fn horizon(&self, row: &remote_backup::Model) -> Result<Option<String>, DbErr> {
        let Ok(days) = u64::try_from(row.keep_days) else {
            return Ok(None);
        };
        if days == 0 {
            return Ok(None);
        }
        let newest = dashboard_stats::newest(&self.parts.databases.control_read).await?;
        let newest = newest.and_then(|date| date.parse::<NaiveDate>().ok());
        Ok(newest
            .and_then(|date| date.checked_sub_days(Days::new(days - 1)))
            .map(|date| date.to_string()))
    }

    async fn finish(
        self,
        row: &remote_backup::Model,
        failure: Option<Failure>,
    ) -> Result<Round, DbErr> {
        let now = self.parts.clock.now_micros();
        let rows = self.taken;
        let counted = i64::try_from(rows).unwrap_or(i64::MAX);
        let txn = begin_write(&self.parts.databases.control).await?;
        let Some(failure) = failure else {
            let left = dashboard_stats::unpushed(&txn, 1).await?;
            let next_at = match left.is_empty() {
                true => now.saturating_add(row.interval_s.saturating_mul(1_000_000)),
                false => now,
            };
            remote_backup::pushed(&txn, counted, now, next_at).await?;
            txn.commit().await?;
            return Ok(Round::Pushed {
                rows,
                refused: self.refused,
            });
        };
        // What was put aside until then may have been a step forward; the count of attempts is of failures.
        let failed = usize::try_from(row.attempts).unwrap_or(usize::MAX);
        let asked = match failure.verdict {
            Verdict::Later(asked) => asked.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let wait = WAITS[failed.min(WAITS.len() - 1)].max(asked);
        let next_at = now.saturating_add(micros(wait));
        remote_backup::failed(&txn, counted, &failure.why, now, next_at).await?;
        txn.commit().await?;
        if failed == 0 {
            tracing::warn!(
                why = failure.why,
                "the remote backup of statistics failed; rows wait and nothing is lost"
            );
        }
        Ok(Round::Failed {
            rows,
            why: failure.why,
        })
    }
}

impl RemoteBackup {
    /// One that has not looked yet.
    pub fn new(_me: Incarnation<Self>, parts: Parts) -> Self {
        Self {
            parts,
            at_work: false,
            failing: false,
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.at_work, true) {
            return;
        }
        let parts = self.parts.clone();
        let home = parts.databases.clone();
        let work = async move {
            home.at_home(async move { round(&parts, false).await })
                .await
        };
        ctx.spawn(work.into_actor(self).map(|result, this, _| {
            this.at_work = false;
            let failed = result.is_err();
            match result {
                Ok(Round::Pushed { rows, refused }) => {
                    tracing::debug!(rows, refused, "pushed statistics to the remote");
                }
                Ok(_) => {}
                Err(error) if !this.failing => {
                    tracing::warn!(%error, "what is to be pushed cannot be read or noted; trying again");
                }
                Err(_) => {}
            }
            this.failing = failed;
        }));
    }
}

impl Actor for RemoteBackup {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}
