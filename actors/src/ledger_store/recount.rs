//! Counts a day from the log once more and compares it with the rollups. Nothing is repaired: a difference is a fault
//! of the program or of the disk, and whoever finds it wants to see it as it is.
//!
//! The log is read in pieces, so calls may come in between (yesterday's long streams end today): a difference counts
//! only when a second look finds the same one. A day's calls lie in the log from the hour before it on; those that
//! were reported later (OpenTelemetry, ingest) lie further back than their day, so the look goes up to now.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, QueryResult, Statement, TryGetable};
use serde::Serialize;
use serde_json::{Value, json};
use steward_entities::database::{Databases, begin_write};
use steward_entities::ledger::daily;
use steward_entities::ledger::rollup::{
    self, Measures, ROLLUPS, RollupTable, SUMS, USAGE_STATS_HOURLY,
};

use crate::domain::calendar;
use crate::domain::clock::SharedClock;
use crate::domain::rid::Rid;
use crate::jobs::{JobContext, JobKind};
use crate::retention::HOURLY_CUBE_KEPT_MICROS;

use super::rollups::{COUNTED_COLUMNS, Counted, Key, added, counted};

/// Rows of one read.
const CHUNK: usize = 5_000;
/// Differences that are told in words; the rest are counted.
const TOLD_MAX: usize = 100;
/// The key's time may run behind `request_at` by the clock's error, and a call may be accepted before its day begins.
const BEFORE_US: i64 = 3_600_000_000;

/// A figure of a rollup that is not what the log says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Difference {
    pub table: &'static str,
    /// Start of the hour or day, microseconds since the Unix epoch.
    pub bucket: i64,
    /// Such as `token_id=3`.
    pub key: String,
    /// A sum, or one of the two histograms; of these the number of values is told.
    pub column: &'static str,
    pub log: i64,
    pub rollup: i64,
}

/// What a recount found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Recount {
    /// Calls of the day in the log.
    pub calls: u64,
    /// All differences; `differences` tells the first of them.
    pub difference_count: u64,
    pub differences: Vec<Difference>,
}

/// Recounts the day that begins at `day`.
///
/// # Errors
/// When the database cannot be read, or a histogram in it.
pub async fn recount(
    read: &DatabaseConnection,
    zone: Tz,
    day: i64,
    now_micros: i64,
    mut progress: impl FnMut(u8),
) -> Result<Recount, DbErr> {
    let (calls, first) = look(read, zone, day, now_micros, &mut progress).await?;
    if first.is_empty() {
        return Ok(Recount {
            calls,
            ..Recount::default()
        });
    }
    let (calls, second) = look(read, zone, day, now_micros, &mut progress).await?;
    let mut differences: Vec<Difference> = second
        .into_iter()
        .filter(|found| first.contains(found))
        .collect();
    let difference_count = differences.len() as u64;
    differences.truncate(TOLD_MAX);
    Ok(Recount {
        calls,
        difference_count,
        differences,
    })
}

async fn look(
    read: &DatabaseConnection,
    zone: Tz,
    day: i64,
    now_micros: i64,
    progress: &mut impl FnMut(u8),
) -> Result<(u64, Vec<Difference>), DbErr> {
    let next = calendar::next_day(zone, day);
    let mut from_log: Vec<BTreeMap<Key, Measures>> = ROLLUPS.map(|_| BTreeMap::new()).into();
    let rid = |micros: i64| Rid::floor_of_ms(micros.max(0) / 1_000).0;
    let (first, last) = (rid(day - BEFORE_US), rid(now_micros + BEFORE_US));
    let (mut after, mut calls) = (first - 1, 0_u64);
    loop {
        let rows = chunk(read, after).await?;
        let full = rows.len() == CHUNK;
        if let Some(row) = rows.last() {
            after = row.rid;
        }
        let of_day: Vec<Counted> = rows
            .into_iter()
            .filter(|row| (day..next).contains(&row.request_at))
            .collect();
        calls += of_day.len() as u64;
        for (groups, added) in from_log.iter_mut().zip(added(&of_day, zone)) {
            for (key, measures) in added.rows {
                groups.entry(key).or_default().merge(&measures);
            }
        }
        if !full {
            break;
        }
        let done = (after - first) as f64 / (last - first).max(1) as f64;
        progress((done * 100.0).clamp(0.0, 99.0) as u8);
    }
    let mut differences = Vec::new();
    // Calls that tables count, by bucket and first key, where it has to be known.
    let mut calls_of: BTreeMap<(&str, i64, i64), i64> = BTreeMap::new();
    let is_asked_for = |table: &RollupTable| {
        let asks = |other: &&RollupTable| {
            let whole = other.whole_where;
            whole.is_some_and(|whole| whole.name == table.name)
        };
        table.whole_where.is_some() || ROLLUPS.iter().any(asks)
    };
    for (table, mut log) in ROLLUPS.iter().zip(from_log) {
        if table.name == USAGE_STATS_HOURLY.name && day < now_micros - HOURLY_CUBE_KEPT_MICROS {
            // Its hours are forgotten by then, or in part.
            continue;
        }
        let mut kept: BTreeMap<Key, Measures> = BTreeMap::new();
        for row in rollup::rows(read, table, (day, next), &[]).await? {
            let key = (row.bucket, row.keys);
            kept.entry(key).or_default().merge(&row.measures);
            if is_asked_for(table) {
                let first = (table.name, row.bucket, row.keys[0]);
                *calls_of.entry(first).or_default() += row.measures.sum("request_count");
            }
        }
        if let Some(whole) = table.whole_where {
            // From before it began; nobody reads that.
            let is_whole = |(bucket, keys): &Key| {
                let counted = |name| calls_of.get(&(name, *bucket, keys[0])).copied();
                counted(table.name).unwrap_or(0) == counted(whole.name).unwrap_or(0)
            };
            kept.retain(|key, _| is_whole(key));
            log.retain(|key, _| is_whole(key));
        }
        for (key, kept) in kept {
            let log = log.remove(&key).unwrap_or_default();
            compare(table, key, &log, &kept, &mut differences);
        }
        for (key, log) in log {
            compare(table, key, &log, &Measures::default(), &mut differences);
        }
    }
    Ok((calls, differences))
}

fn compare(
    table: &RollupTable,
    (bucket, keys): Key,
    log: &Measures,
    kept: &Measures,
    differences: &mut Vec<Difference>,
) {
    let key: Vec<String> = table
        .keys
        .iter()
        .zip(keys)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut tell = |column, log, rollup| {
        differences.push(Difference {
            table: table.name,
            bucket,
            key: key.join(" "),
            column,
            log,
            rollup,
        });
    };
    for (column, (log, kept)) in SUMS.iter().zip(log.sums.iter().zip(&kept.sums)) {
        if log != kept {
            tell(*column, *log, *kept);
        }
    }
    if !table.has_histograms {
        return;
    }
    for (column, log, kept) in [
        ("duration_histogram", &log.duration, &kept.duration),
        ("ttft_histogram", &log.ttft, &kept.ttft),
    ] {
        if log != kept {
            let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            tell(column, count(log.count()), count(kept.count()));
        }
    }
}

/// At most [`CHUNK`] rows with a rid above `after`, rising.
async fn chunk(read: &DatabaseConnection, after: i64) -> Result<Vec<Counted>, DbErr> {
    let sql =
        format!("SELECT {COUNTED_COLUMNS} WHERE l.rid > {after} ORDER BY l.rid LIMIT {CHUNK}");
    let statement = Statement::from_string(read.get_database_backend(), sql);
    let rows = read.query_all_raw(statement).await?;
    let each = rows.iter().map(|row| {
        let row = ByIndex(row);
        Ok(counted!(&row))
    });
    each.collect()
}

/// A row read by position in the words that [`counted!`] uses.
pub(super) struct ByIndex<'a>(pub(super) &'a QueryResult);

/// A position.
pub(super) trait Position {
    fn position(self) -> usize;
}

impl Position for usize {
    fn position(self) -> usize {
        self
    }
}

impl ByIndex<'_> {
    pub(super) fn try_get<T: TryGetable, I: Position>(&self, index: I) -> Result<T, DbErr> {
        self.0.try_get_by_index(index.position())
    }
}

/// Recounts a day and writes down what came of it.
///
/// # Errors
/// When a database cannot be read or written.
pub async fn recount_day(
    databases: &Databases,
    zone: Tz,
    date: NaiveDate,
    clock: &SharedClock,
    progress: impl FnMut(u8),
) -> Result<Recount, DbErr> {
    let day = calendar::start_of(zone, date);
    let now = clock.now_micros();
    let found = recount(&databases.ledger_read, zone, day, now, progress).await?;
    if found.difference_count > 0 {
        tracing::error!(
            %date,
            calls = found.calls,
            differences = found.difference_count,
            first = ?found.differences.first(),
            "the rollups of a day are not what its log says; they are left as they are"
        );
    } else {
        tracing::info!(%date, calls = found.calls, "a day's rollups are what its log says");
    }
    let count = i64::try_from(found.difference_count).unwrap_or(i64::MAX);
    let txn = begin_write(&databases.ledger).await?;
    daily::recounted(&txn, day, clock.now_micros(), count).await?;
    txn.commit().await?;
    Ok(found)
}

/// The kind of job that recounts a day: `{"date": "2026-01-31"}`.
pub struct RecountDay {
    pub databases: Databases,
    pub zone: Tz,
    pub clock: SharedClock,
}

/// Its name.
pub const RECOUNT: &str = "stats.recount";

#[async_trait::async_trait]
impl JobKind for RecountDay {
    fn kind(&self) -> &str {
        RECOUNT
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let date = context.params["date"].as_str();
        let date = date.and_then(|date| date.parse::<NaiveDate>().ok());
        let date = date.ok_or("`date` must be a day like 2026-01-31")?;
        let work = recount_day(&self.databases, self.zone, date, &self.clock, |per_cent| {
            context.progress(per_cent);
        });
        tokio::select! {
            found = work => {
                let found = found.map_err(|error| error.to_string())?;
                Ok(json!({
                    "date": date.to_string(),
                    "calls": found.calls,
                    "difference_count": found.difference_count,
                    "differences": found.differences,
                }))
            }
            () = context.cancelled() => Err("cancelled".to_owned()),
        }
    }
}
