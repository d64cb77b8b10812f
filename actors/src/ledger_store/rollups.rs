//! What a batch adds to the rollups: new rows, grouped by every key of every table.
//!
//! Exactly the rows that an insert says are new are counted, in its transaction. Rows from before there were rollups
//! are counted later, in chunks ([`Backfill`] says which): while that goes on, a new row within the part that is still
//! to come is left to it, so that every row is counted once, whoever comes first.

use chrono_tz::Tz;
use rustc_hash::FxHashMap;
use steward_entities::ledger::histogram::Histogram;
use steward_entities::ledger::rollup::{
    Fact, Grain, KEYS, KEYS_MAX, Measures, ROLLUPS, RollupTable, SUMS,
};

use crate::domain::calendar::Buckets;
use crate::domain::ring::fact_of;

use super::row::Row;

/// Rows that one step of the back-fill counts.
pub(super) const BACKFILL_ROWS: i64 = 5_000;

/// The part of the log that is still to be counted: rids in `next..below`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Backfill {
    pub(super) next: i64,
    pub(super) below: i64,
}

impl Backfill {
    pub(super) fn is_done(self) -> bool {
        self.next >= self.below
    }

    pub(super) fn will_count(self, rid: i64) -> bool {
        (self.next..self.below).contains(&rid)
    }
}

/// A row as far as rollups are concerned.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counted {
    pub(super) rid: i64,
    pub(super) node: u8,
    pub(super) request_at: i64,
    /// In the order of [`KEYS`].
    pub(super) keys: [i64; KEYS.len()],
    pub(super) fact: Fact,
}

impl Counted {
    pub(super) fn of(row: &Row<'_>, node: u8) -> Self {
        let record = row.record;
        Self {
            rid: record.rid,
            node,
            request_at: record.request_at,
            keys: [
                record.token_id,
                record.account_id,
                record.tenant_id,
                row.bigs[7],
                row.bigs[9],
                row.provider_id,
                row.bigs[8],
                i64::from(record.mode),
                record.prompt_version_id,
            ],
            fact: fact_of(record),
        }
    }
}

/// Bucket, and the values of the table's keys.
pub(super) type Key = (i64, [i64; KEYS_MAX]);

/// Sums and buckets of values, before they are a histogram.
#[derive(Default)]
struct Gathered {
    sums: [i64; SUMS.len()],
    durations: Vec<u16>,
    ttfts: Vec<u16>,
}

/// What is added to one table, sorted so that upserts lock in one order.
pub(super) struct Added {
    pub(super) table: &'static RollupTable,
    pub(super) rows: Vec<(Key, Measures)>,
}

/// What `rows` of one node add to every rollup.
pub(super) fn added(rows: &[Counted], zone: Tz) -> Vec<Added> {
    grouped(rows.iter().map(|row| (row, row.fact.sums(), true)), zone)
}

/// What it makes of every rollup that calls of one node, counted already, have other sums now: the differences.
pub(super) fn moved(rows: &[(Counted, [i64; SUMS.len()])], zone: Tz) -> Vec<Added> {
    grouped(rows.iter().map(|(row, sums)| (row, *sums, false)), zone)
}

/// Calls, what each adds to the sums, and whether its durations are new too.
fn grouped<'a>(
    rows: impl Iterator<Item = (&'a Counted, [i64; SUMS.len()], bool)>,
    zone: Tz,
) -> Vec<Added> {
    let mut buckets = Buckets::new(zone);
    let mut tables: Vec<FxHashMap<Key, Gathered>> =
        ROLLUPS.iter().map(|_| FxHashMap::default()).collect();
    // Where each table's keys stand among a row's.
    let places: Vec<Vec<usize>> = ROLLUPS
        .iter()
        .map(|table| {
            let place = |key: &&str| KEYS.iter().position(|known| known == key);
            table.keys.iter().filter_map(place).collect()
        })
        .collect();
    for (row, sums, is_new) in rows {
        let (hour, day) = buckets.of(row.request_at);
        let duration = Histogram::bucket_of(row.fact.duration_ms);
        let ttft = row.fact.ttft_ms.map(Histogram::bucket_of);
        for ((table, places), groups) in ROLLUPS.iter().zip(&places).zip(&mut tables) {
            let bucket = match table.grain {
                Grain::Hour => hour,
                Grain::Day => day,
            };
            let mut keys = [0; KEYS_MAX];
            for (key, place) in keys.iter_mut().zip(places) {
                *key = row.keys[*place];
            }
            if !table.counts(keys[0]) {
                continue;
            }
            let group = groups.entry((bucket, keys)).or_default();
            for (sum, add) in group.sums.iter_mut().zip(&sums) {
                *sum = sum.saturating_add(*add);
            }
            if table.has_histograms && is_new {
                group.durations.push(duration);
                group.ttfts.extend(ttft);
            }
        }
    }
    let measures = |gathered: Gathered| {
        let mut measures = Measures {
            sums: gathered.sums,
            ..Measures::default()
        };
        measures.duration.add_buckets(gathered.durations);
        measures.ttft.add_buckets(gathered.ttfts);
        measures
    };
    ROLLUPS
        .iter()
        .zip(tables)
        .map(|(table, groups)| {
            let mut rows: Vec<(Key, Measures)> = groups
                .into_iter()
                .map(|(key, gathered)| (key, measures(gathered)))
                .collect();
            rows.sort_unstable_by_key(|(key, _)| *key);
            Added { table, rows }
        })
        .collect()
}

/// Merges a stored histogram into one that is about to replace it. One that cannot be read is given up, and told:
/// the sums beside it stay right, and a batch must not be refused for it.
pub(super) fn merge_stored(histogram: &mut Histogram, stored: &[u8], table: &RollupTable) {
    match Histogram::decode(stored) {
        Ok(stored) => histogram.merge(&stored),
        Err(error) => {
            tracing::error!(%error, table = table.name, "a stored histogram cannot be read; it is begun anew");
        }
    }
}

macro_rules! counted_columns {
    () => {
        "l.rid, CAST(l.node AS BIGINT), l.request_at, l.token_id, l.account_id, l.tenant_id, l.app_id, l.model_id, \
         COALESCE(p.id, 0), l.duration_ms, l.ttft_ms, l.prompt_tokens, l.completion_tokens, l.total_tokens, \
         l.cached_tokens, l.cache_write_tokens, l.reasoning_tokens, l.status_code, l.success, l.usage_estimated, \
         l.priced, l.end_user_id, CAST(l.mode AS BIGINT), l.cost_nano, l.currency, \
         COALESCE(l.prompt_version_id, 0)"
    };
}

/// The log's columns that [`Counted`] is read from, in order, for both databases.
pub(super) const COUNTED_COLUMNS: &str = concat!(
    counted_columns!(),
    " FROM request_logs l LEFT JOIN providers p ON p.name = l.provider"
);

/// Those, and what else a call's charge depends on.
pub(super) fn charged_columns() -> &'static str {
    concat!(
        counted_columns!(),
        ", l.price_id, CAST(l.operation AS BIGINT), l.provider, COALESCE(m.name, ''), COALESCE(u.name, ''), \
         COALESCE(l.cache_write_1h_tokens, 0), COALESCE(l.units, 0) \
         FROM request_logs l LEFT JOIN providers p ON p.name = l.provider \
         LEFT JOIN models m ON m.id = l.model_id LEFT JOIN models u ON u.id = l.upstream_model_id"
    )
}

/// Reads a row of [`COUNTED_COLUMNS`].
macro_rules! counted {
    ($row:expr) => {{
        let row = $row;
        let mut tokens = [0_i64; 6];
        for (index, value) in tokens.iter_mut().enumerate() {
            *value = row.try_get(11 + index)?;
        }
        Counted {
            rid: row.try_get(0)?,
            node: row.try_get::<i64, _>(1)? as u8,
            request_at: row.try_get(2)?,
            keys: [
                row.try_get(3)?,
                row.try_get(4)?,
                row.try_get(5)?,
                row.try_get(6)?,
                row.try_get(7)?,
                row.try_get(8)?,
                row.try_get(21)?,
                row.try_get(22)?,
                row.try_get(25)?,
            ],
            fact: steward_entities::ledger::rollup::Fact {
                duration_ms: row.try_get(9)?,
                ttft_ms: row.try_get(10)?,
                tokens,
                status_code: row.try_get(17)?,
                success: row.try_get(18)?,
                usage_estimated: row.try_get(19)?,
                priced: row.try_get(20)?,
                cost_nano: steward_entities::ledger::rollup::Fact::charge(
                    row.try_get(23)?,
                    &row.try_get::<String, _>(24)?,
                ),
            },
        }
    }};
}
pub(super) use counted;

/// Reads a row of [`charged_columns`].
macro_rules! charged {
    ($row:expr) => {{
        let row = $row;
        super::reprice::Charged {
            counted: crate::ledger_store::rollups::counted!(row),
            price_id: row.try_get(26)?,
            operation: row.try_get(27)?,
            provider: row.try_get(28)?,
            asked: row.try_get(29)?,
            answered: row.try_get(30)?,
            cache_write_1h: row.try_get(31)?,
            units: row.try_get(32)?,
        }
    }};
}
pub(super) use charged;
