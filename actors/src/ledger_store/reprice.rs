//! Charges calls of the past anew, after prices were set or mended. Run as a job.
//!
//! The log is read in pieces beside the writer; only calls whose charge changes are taken into a transaction, a few
//! hundred at a time, in which they are read again and rows and rollups move together. So a crash leaves nothing half
//! done, and a second run passes over what the first one did. Calls that brought their own cost keep it. Whoever keeps
//! budgets in memory is told of every charge that became another, once it is in the log; on several nodes those of this
//! node are, and the others' learn of it at their next start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use chrono_tz::Tz;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use serde_json::{Value, json};
use steward_entities::database::Databases;
use steward_entities::ledger::rollup::{Fact, KEYS, SUMS, USAGE_STATS_HOURLY};
use steward_entities::price;

use crate::domain::calendar;
use crate::domain::clock::SharedClock;
use crate::domain::price::{Call, PriceBook, Used, is_called, is_told};
use crate::domain::record::Operation;
use crate::domain::rid::Rid;
use crate::jobs::{JobContext, JobKind};
use crate::retention::HOURLY_CUBE_KEPT_MICROS;
use crate::snapshot_source::price_row;
use crate::spool::Spool;

use super::days::derive_day;
use super::line::Purpose;
use super::recount::ByIndex;
use super::rollups::{self, Added, Counted, charged, charged_columns};
use super::write::{Backend, Shared, Transaction};
use super::{LedgerStore, WriteError};

/// Rows of one read.
const READ: usize = 5_000;
/// Calls of one transaction.
const MOVED_AT_ONCE: usize = 500;
/// The key's time may run behind `request_at` by the clock's error, and a call may be accepted before its time.
const BEFORE_US: i64 = 3_600_000_000;
/// A database that is not available is asked again after …
const AGAIN: Duration = Duration::from_millis(500);
/// … so often.
const TRIES: u32 = 60;
/// How often it is looked whether the spool has been written down, and how long that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS: u32 = 600;

/// A call as it stands in the log, with what its charge depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Charged {
    pub(super) counted: Counted,
    pub(super) price_id: i64,
    /// Of what was written to a cache: kept there for an hour.
    pub(super) cache_write_1h: i64,
    pub(super) units: i64,
    pub(super) operation: i64,
    pub(super) provider: String,
    pub(super) asked: String,
    pub(super) answered: String,
}

/// What a row of the log is to say instead.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recharge {
    pub(super) rid: i64,
    pub(super) cost_nano: i64,
    pub(super) currency: &'static str,
    pub(super) priced: bool,
    pub(super) price_id: i64,
}

impl Charged {
    /// What it is charged by `prices`; `None` when that is what it says already, or not for us to say.
    fn anew(&self, prices: &PriceBook) -> Option<Recharge> {
        let fact = &self.counted.fact;
        if is_told(fact.priced, self.price_id) {
            return None;
        }
        let [
            prompt,
            completion,
            total_tokens,
            cached,
            cache_write,
            reasoning,
        ] = fact.tokens;
        let charge = prices.charge(&Call {
            provider: &self.provider,
            answered: &self.answered,
            asked: &self.asked,
            at_micros: self.counted.request_at,
            used: Used {
                prompt,
                completion,
                cached,
                cache_write,
                cache_write_1h: self.cache_write_1h,
                reasoning,
                units: self.units,
            },
            total_tokens,
            success: fact.success,
            is_count: self.operation == i64::from(i32::from(Operation::CountTokens)),
        });
        let recharge = Recharge {
            rid: self.counted.rid,
            cost_nano: charge.map_or(0, |charge| charge.cost_nano),
            currency: charge.map_or("", |charge| charge.currency.as_str()),
            priced: charge.is_some(),
            price_id: charge.map_or(0, |charge| charge.price_id),
        };
        let is_same = recharge.priced == fact.priced
            && recharge.price_id == self.price_id
            && recharge.charge() == fact.cost_nano;
        (!is_same).then_some(recharge)
    }
}

impl Recharge {
    fn charge(&self) -> [i64; 2] {
        Fact::charge(self.cost_nano, self.currency)
    }

    /// What the rollups differ by afterwards.
    fn difference(&self, before: &Fact) -> [i64; SUMS.len()] {
        let after = Fact {
            priced: self.priced,
            cost_nano: self.charge(),
            ..*before
        };
        let mut sums = after.sums();
        for (after, before) in sums.iter_mut().zip(before.sums()) {
            *after -= before;
        }
        sums
    }
}

impl Shared {
    /// Charges the calls of `rids` anew, rows and rollups in one transaction; how many changed.
    pub(super) async fn reprice<B: Backend>(
        &self,
        backend: &B,
        rids: &[i64],
        prices: &PriceBook,
        now_micros: i64,
    ) -> Result<u64, WriteError> {
        let mut transaction = backend.begin(Purpose::Aside).await?;
        let part = transaction.backfill(false).await?;
        let mut recharges = Vec::new();
        let mut nodes: BTreeMap<u8, Vec<(Counted, [i64; SUMS.len()])>> = BTreeMap::new();
        for row in transaction.charged(rids).await? {
            let Some(recharge) = row.anew(prices) else {
                continue;
            };
            // One that the back-fill is still to come to is counted as it then stands.
            if !part.will_count(row.counted.rid) {
                let difference = recharge.difference(&row.counted.fact);
                let node = nodes.entry(row.counted.node).or_default();
                node.push((row.counted, difference));
            }
            recharges.push(recharge);
        }
        if recharges.is_empty() {
            transaction.commit().await?;
            return Ok(0);
        }
        transaction.recharge(&recharges).await?;
        for node in nodes.keys() {
            transaction.lock_rollups(*node).await?;
        }
        let forgotten = now_micros - HOURLY_CUBE_KEPT_MICROS;
        for (node, rows) in nodes {
            for Added { table, mut rows } in rollups::moved(&rows, self.zone()) {
                if table.name == USAGE_STATS_HOURLY.name {
                    // Those hours are gone, and are not to come back with a cost alone.
                    rows.retain(|((bucket, _), _)| *bucket >= forgotten);
                }
                transaction.add_rollup(node, Added { table, rows }).await?;
            }
        }
        transaction.commit().await?;
        Ok(recharges.len() as u64)
    }
}

/// Which calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Microseconds since the Unix epoch, by when the call was made.
    pub from: i64,
    /// Exclusive.
    pub to: i64,
    pub provider: Option<String>,
    /// Asked for or answered; of that date, too, when it names none: those calls have its price.
    pub model: Option<String>,
}

impl Scope {
    fn has(&self, row: &Charged) -> bool {
        (self.from..self.to).contains(&row.counted.request_at)
            && self.provider.as_ref().is_none_or(|of| row.provider == *of)
            && self
                .model
                .as_ref()
                .is_none_or(|of| is_called(of, &row.asked) || is_called(of, &row.answered))
    }
}

/// A charge that became another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recharged {
    pub token_id: i64,
    /// 0: of no tenant.
    pub tenant_id: i64,
    /// When the call was made, microseconds since the Unix epoch.
    pub request_at: i64,
    /// Billionths of US dollars and of Chinese yuan, now less before.
    pub difference: [i64; 2],
}

impl Recharged {
    fn of(row: &Charged, anew: &Recharge) -> Self {
        let key = |name| KEYS.iter().position(|key| *key == name);
        let value = |name| key(name).map_or(0, |at| row.counted.keys[at]);
        let (after, before) = (anew.charge(), row.counted.fact.cost_nano);
        Self {
            token_id: value("token_id"),
            tenant_id: value("tenant_id"),
            request_at: row.counted.request_at,
            difference: [after[0] - before[0], after[1] - before[1]],
        }
    }
}

/// Who wants to know.
pub type Hears = Arc<dyn Fn(Recharged) + Send + Sync>;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Repriced {
    /// Calls of the range.
    pub calls: u64,
    /// Calls whose charge is another now.
    pub changed: u64,
    /// Calls that used tokens and have no price now.
    pub unpriced: u64,
    /// Starts of the days that changed, microseconds since the Unix epoch.
    #[serde(skip)]
    pub days: BTreeSet<i64>,
}

/// What it works on.
#[derive(Clone)]
pub struct Books {
    pub read: DatabaseConnection,
    pub store: Arc<dyn LedgerStore>,
    pub zone: Tz,
    pub clock: SharedClock,
    /// Told of every charge that became another.
    pub hears: Hears,
}

/// Charges the calls of `scope` anew by `prices`. Stops at a step when `progress` says so.
///
/// # Errors
/// When a database stays unavailable; what was done until then stays done.
pub async fn reprice(
    books: &Books,
    scope: &Scope,
    prices: &PriceBook,
    mut progress: impl FnMut(u8) -> bool,
) -> Result<Repriced, DbErr> {
    let rid = |micros: i64| Rid::floor_of_ms(micros.max(0) / 1_000).0;
    let now = books.clock.now_micros();
    let (first, last) = (rid(scope.from - BEFORE_US), rid(now + BEFORE_US));
    let (mut after, mut done) = (first - 1, Repriced::default());
    loop {
        let rows = chunk(&books.read, after).await?;
        let Some(newest) = rows.last().map(|row| row.counted.rid) else {
            return Ok(done);
        };
        let mut recharged = Vec::new();
        for row in rows.iter().filter(|row| scope.has(row)) {
            done.calls += 1;
            let anew = row.anew(prices);
            let fact = &row.counted.fact;
            let priced = anew.as_ref().map_or(fact.priced, |anew| anew.priced);
            done.unpriced += u64::from(!priced && fact.tokens[2] > 0);
            if let Some(anew) = &anew {
                recharged.push((row.counted.rid, Recharged::of(row, anew)));
                done.days
                    .insert(calendar::day_of(books.zone, row.counted.request_at));
            }
        }
        for some in recharged.chunks(MOVED_AT_ONCE) {
            let rids: Vec<i64> = some.iter().map(|(rid, _)| *rid).collect();
            done.changed += moved(books, &rids, prices).await?;
            for (_, recharged) in some {
                (books.hears)(*recharged);
            }
        }
        after = newest;
        let share = (after - first) as f64 / (last - first).max(1) as f64;
        if !progress((share * 100.0).clamp(0.0, 99.0) as u8) || rows.len() < READ {
            return Ok(done);
        }
    }
}

/// One transaction, tried again while the database is busy with others.
async fn moved(books: &Books, rids: &[i64], prices: &PriceBook) -> Result<u64, DbErr> {
    let mut tries = 0;
    loop {
        let now = books.clock.now_micros();
        match books.store.reprice(rids, prices, now).await {
            Ok(changed) => return Ok(changed),
            Err(WriteError::Unavailable(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(DbErr::Custom(error.to_string())),
        }
    }
}

/// At most [`READ`] rows with a rid above `after`, rising.
async fn chunk(read: &DatabaseConnection, after: i64) -> Result<Vec<Charged>, DbErr> {
    let columns = charged_columns();
    let sql = format!("SELECT {columns} WHERE l.rid > {after} ORDER BY l.rid LIMIT {READ}");
    let statement = Statement::from_string(read.get_database_backend(), sql);
    let rows = read.query_all_raw(statement).await?;
    let each = rows.iter().map(|row| {
        let row = ByIndex(row);
        Ok(charged!(&row))
    });
    each.collect()
}

/// The kind of job that charges calls anew: `{"from", "to", "provider"?, "model"?}`, times in RFC 3339.
pub struct RecalculatePrices {
    pub databases: Databases,
    pub store: Arc<dyn LedgerStore>,
    /// Calls that wait in it are charged by what was in force when they ended: they are waited for.
    pub spool: Arc<Spool>,
    pub zone: Tz,
    pub clock: SharedClock,
    /// Told of every charge that became another.
    pub hears: Hears,
}

/// Its name.
pub const RECALCULATE: &str = "prices.recalculate";

impl RecalculatePrices {
    /// Waits until everything that was accepted before now is in the log.
    async fn written_down(&self) -> Result<(), String> {
        let goal = self.spool.ledger().accepted;
        for _ in 0..LOOKS {
            let books = self.spool.ledger();
            if books.accepted.saturating_sub(books.spooled) >= goal {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err("the ledger does not take what waits in the spool; try again when it does".to_owned())
    }

    async fn done(&self, context: &JobContext) -> Result<Repriced, String> {
        let params = &context.params;
        let time = |name: &str| {
            let at = params[name].as_str().map(DateTime::parse_from_rfc3339);
            match at {
                Some(Ok(at)) => Ok(at.timestamp_micros()),
                _ => Err(format!("`{name}` must be a time like 2026-01-31T00:00:00Z")),
            }
        };
        let text = |name: &str| params[name].as_str().map(str::to_owned);
        let scope = Scope {
            from: time("from")?,
            to: time("to")?,
            provider: text("provider"),
            model: text("model"),
        };
        let told = |error: DbErr| error.to_string();
        let rows = price::all(&self.databases.control_read)
            .await
            .map_err(told)?;
        let prices = PriceBook::new(rows.into_iter().filter_map(price_row));
        self.written_down().await?;
        let books = Books {
            read: self.databases.ledger_read.clone(),
            store: Arc::clone(&self.store),
            zone: self.zone,
            clock: Arc::clone(&self.clock),
            hears: Arc::clone(&self.hears),
        };
        let done = reprice(&books, &scope, &prices, |per_cent| {
            context.progress(per_cent);
            !context.is_cancelled()
        });
        let done = done.await.map_err(told)?;
        for day in &done.days {
            derive_day(&self.databases, self.zone, &self.clock, *day)
                .await
                .map_err(told)?;
        }
        Ok(done)
    }
}

#[async_trait::async_trait]
impl JobKind for RecalculatePrices {
    fn kind(&self) -> &str {
        RECALCULATE
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let done = self.done(&context).await?;
        if context.is_cancelled() {
            return Err("cancelled".to_owned());
        }
        tracing::info!(
            calls = done.calls,
            changed = done.changed,
            unpriced = done.unpriced,
            "calls were charged anew"
        );
        Ok(json!(done))
    }
}
