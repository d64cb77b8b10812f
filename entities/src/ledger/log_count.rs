//! What calls came to, counted from the log itself: the ragged ends of a range, and filters that no rollup knows together.
//!
//! The log is as long as the years, so nothing is read here before a walk over keys has said that it is little. What
//! is walked over is what counting would look at, not what it would find: a filter without an index saves nothing.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::histogram::Histogram;
use super::measures::{FACT_COLUMNS, Measures, SUMS, fact};
use super::rollup::{KEYS_MAX, RollupRow};
use super::sql::Sql;

/// Calls of the log that one edge of a range may cost.
pub const EDGE_BUDGET: usize = 10_000;
/// Calls of the log that a question may cost whose filters no rollup knows together.
pub const SCAN_BUDGET: usize = 20_000;
/// Keys that the log has an index on.
const INDEXED: [&str; 2] = ["token_id", "account_id"];

/// Calls with `request_at` in `at`. Those that were served here meanwhile lie between two rids that enclose them; those
/// that were told of later lie anywhere, and have an index of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Microseconds since the Unix epoch, `[from, to)`.
    pub at: (i64, i64),
    /// `[from, to)`.
    pub rids: (i64, i64),
}

impl Window {
    /// Asks for `columns` of the calls served here, as far as the condition on their keys.
    fn served(self, sql: &mut Sql, columns: &str) {
        sql.push(&format!("SELECT {columns} FROM request_logs WHERE rid >= "));
        sql.bind(self.rids.0).push(" AND rid < ").bind(self.rids.1);
    }

    /// Asks for `columns` of the calls told of later, as far as the condition on their keys.
    fn told(self, sql: &mut Sql, columns: &str) {
        sql.push(&format!(
            "SELECT {columns} FROM request_logs WHERE source <> 0 AND request_at >= "
        ));
        sql.bind(self.at.0)
            .push(" AND request_at < ")
            .bind(self.at.1);
        sql.push(" AND (rid < ").bind(self.rids.0);
        sql.push(" OR rid >= ").bind(self.rids.1).push(")");
    }

    /// Asks for `columns` of all of them; with `only`, those whose keys have one of the values given for them.
    fn calls(self, sql: &mut Sql, columns: &str, only: &[(&str, &[i64])]) {
        self.served(sql, columns);
        sql.push(" AND request_at >= ").bind(self.at.0);
        sql.push(" AND request_at < ").bind(self.at.1);
        let lead = leading(only);
        narrow(sql, &only[..lead], "+");
        narrow(sql, only.get(lead..=lead).unwrap_or_default(), "");
        narrow(sql, only.get(lead + 1..).unwrap_or_default(), "+");
        sql.push(" UNION ALL ");
        self.told(sql, columns);
        // By the time they were made, of which the budget knows; a token's index would lead through all its years.
        narrow(sql, only, "+");
    }

    /// Whether counting looks at `budget` rows at most. Finding out costs a walk over keys; reading the rows to find out
    /// would cost all of it.
    async fn is_within<C: ConnectionTrait>(
        self,
        connection: &C,
        only: &[(&str, &[i64])],
        budget: usize,
    ) -> Result<bool, DbErr> {
        let lead = leading(only);
        let mut sql = Sql::new(connection.get_database_backend(), "SELECT 1 FROM (");
        self.served(&mut sql, "rid");
        narrow(&mut sql, only.get(lead..=lead).unwrap_or_default(), "");
        sql.push(" UNION ALL ");
        self.told(&mut sql, "rid");
        sql.push(") AS looked_at LIMIT 1 OFFSET ");
        sql.bind(i64::try_from(budget).unwrap_or(i64::MAX));
        Ok(connection.query_one_raw(sql.done()).await?.is_none())
    }
}

/// What the calls of a window came to; `None` when that takes a look at more than `budget` rows.
///
/// # Errors
/// When the database cannot be read.
pub async fn sum<C: ConnectionTrait>(
    connection: &C,
    window: Window,
    only: &[(&str, &[i64])],
    budget: usize,
) -> Result<Option<Measures>, DbErr> {
    if !window.is_within(connection, only, budget).await? {
        return Ok(None);
    }
    let backend = connection.get_database_backend();
    let list = match backend {
        DbBackend::Postgres => |column: &str| format!("string_agg(CAST({column} AS TEXT), ',')"),
        _ => |column: &str| format!("group_concat({column})"),
    };
    let sums = SUMS.map(|sum| format!("CAST(COALESCE({}, 0) AS BIGINT)", of_log(sum)));
    let (durations, ttfts) = (list("duration_ms"), list("ttft_ms"));
    let text = format!("SELECT {}, {durations}, {ttfts} FROM (", sums.join(", "));
    let mut sql = Sql::new(backend, &text);
    window.calls(&mut sql, FACT_COLUMNS, only);
    sql.push(") AS calls");
    let Some(row) = connection.query_one_raw(sql.done()).await? else {
        return Ok(None);
    };
    let mut measures = Measures::default();
    for (at, sum) in measures.sums.iter_mut().enumerate() {
        *sum = row.try_get_by_index(at)?;
    }
    let listed = |at: usize| -> Result<Vec<_>, DbErr> {
        let text: Option<String> = row.try_get_by_index(at)?;
        let each = text.iter().flat_map(|text| text.split(','));
        each.map(|number| {
            let number = number.parse::<i64>();
            number
                .map(Histogram::bucket_of)
                .map_err(|error| DbErr::Type(error.to_string()))
        })
        .collect()
    };
    measures.duration.add_buckets(listed(SUMS.len())?);
    measures.ttft.add_buckets(listed(SUMS.len() + 1)?);
    Ok(Some(measures))
}

/// What the calls of a window came to in each bucket, told apart by the keys `by`: rows as a rollup of these keys would have
/// them, histograms included. `None` when that takes a look at more than `budget` rows.
///
/// # Errors
/// When the database cannot be read.
pub async fn rows_by<C: ConnectionTrait>(
    connection: &C,
    window: Window,
    by: &[&str],
    only: &[(&str, &[i64])],
    budget: usize,
    bucket_of: impl Fn(i64) -> i64,
) -> Result<Option<Vec<RollupRow>>, DbErr> {
    if !window.is_within(connection, only, budget).await? {
        return Ok(None);
    }
    let mut columns = vec!["request_at".to_owned()];
    columns.extend(by.iter().map(|key| key_of_log(key)));
    columns.push(FACT_COLUMNS.to_owned());
    let mut sql = Sql::new(connection.get_database_backend(), "");
    window.calls(&mut sql, &columns.join(", "), only);
    let mut groups: BTreeMap<(i64, [i64; KEYS_MAX]), Measures> = BTreeMap::new();
    for row in connection.query_all_raw(sql.done()).await? {
        let mut keys = [0; KEYS_MAX];
        for (index, key) in keys.iter_mut().enumerate().take(by.len()) {
            *key = row.try_get_by_index(1 + index)?;
        }
        let bucket = bucket_of(row.try_get_by_index(0)?);
        let group = groups.entry((bucket, keys)).or_default();
        group.add(&fact(&row, 1 + by.len())?);
    }
    let each = groups
        .into_iter()
        .map(|((bucket, keys), measures)| RollupRow {
            bucket,
            keys,
            measures,
        });
    Ok(Some(each.collect()))
}

/// What all calls of a window came to, told apart by the keys `by`, as rows of the bucket that begins at `bucket`: added up
/// by the database, so that it is no matter how many they are, and without histograms.
///
/// # Errors
/// When the database cannot be read.
pub async fn sums_by<C: ConnectionTrait>(
    connection: &C,
    window: Window,
    by: &[&str],
    only: &[(&str, &[i64])],
    bucket: i64,
) -> Result<Vec<RollupRow>, DbErr> {
    let named = by.iter().enumerate();
    let columns: Vec<String> = named
        .map(|(at, key)| format!("{} AS key_{at}", key_of_log(key)))
        .chain([FACT_COLUMNS.to_owned()])
        .collect();
    let keys: Vec<String> = (0..by.len()).map(|at| format!("key_{at}")).collect();
    let sums = SUMS.map(|sum| format!("CAST(COALESCE({}, 0) AS BIGINT)", of_log(sum)));
    let told = [&keys[..], &sums[..]].concat().join(", ");
    let mut sql = Sql::new(
        connection.get_database_backend(),
        &format!("SELECT {told} FROM ("),
    );
    window.calls(&mut sql, &columns.join(", "), only);
    sql.push(&format!(") AS calls GROUP BY {}", keys.join(", ")));
    let mut rows = Vec::new();
    for row in connection.query_all_raw(sql.done()).await? {
        let mut keys = [0; KEYS_MAX];
        for (index, key) in keys.iter_mut().enumerate().take(by.len()) {
            *key = row.try_get_by_index(index)?;
        }
        let mut measures = Measures::default();
        for (at, sum) in measures.sums.iter_mut().enumerate() {
            *sum = row.try_get_by_index(by.len() + at)?;
        }
        rows.push(RollupRow {
            bucket,
            keys,
            measures,
        });
    }
    Ok(rows)
}

/// A key of the rollups in the log's own columns.
fn key_of_log(key: &str) -> String {
    match key {
        "provider_id" => {
            "CAST(COALESCE((SELECT id FROM providers WHERE name = provider), 0) AS BIGINT)"
                .to_owned()
        }
        key => format!("CAST({key} AS BIGINT)"),
    }
}

/// A column of [`SUMS`] as it is counted from the log: what [`Fact::sums`] is, for many calls at once.
fn of_log(sum: &str) -> String {
    let count = |which: &str| format!("count(*) FILTER (WHERE {which})");
    let positive = |column: &str| format!("sum(CASE WHEN {column} > 0 THEN {column} ELSE 0 END)");
    match sum {
        "request_count" => "count(*)".to_owned(),
        "success_count" => count("success"),
        "client_error_count" => {
            count("NOT success AND status_code BETWEEN 400 AND 498 AND status_code <> 429")
        }
        "rate_limited_count" => count("NOT success AND status_code = 429"),
        "upstream_error_count" => count("NOT success AND status_code NOT BETWEEN 400 AND 499"),
        "cancelled_count" => count("NOT success AND status_code = 499"),
        "estimated_count" => count("usage_estimated"),
        "unpriced_count" => count("NOT priced AND total_tokens > 0"),
        "duration_ms_sum" => positive("duration_ms"),
        "ttft_ms_sum" => positive("ttft_ms"),
        "ttft_count" => "count(ttft_ms)".to_owned(),
        "cost_usd_nano" => "sum(cost_nano) FILTER (WHERE currency = 'USD')".to_owned(),
        "cost_cny_nano" => "sum(cost_nano) FILTER (WHERE currency = 'CNY')".to_owned(),
        tokens => format!("sum({tokens})"),
    }
}

/// Where the key stands whose index leads to the calls; behind the last when there is none.
fn leading(only: &[(&str, &[i64])]) -> usize {
    let lead = only.iter().position(|(key, _)| INDEXED.contains(key));
    lead.unwrap_or(only.len())
}

/// Only calls whose keys have one of the values given for them, in the log's own columns. With the sign `+` no index on a
/// key is used: what is looked at is what the budget was asked for.
fn narrow(sql: &mut Sql, only: &[(&str, &[i64])], sign: &str) {
    for (key, values) in only {
        match *key {
            "provider_id" => sql
                .push(" AND provider IN (SELECT name FROM providers WHERE id IN ")
                .bind_list(values)
                .push(")"),
            key => sql.push(&format!(" AND {sign}{key} IN ")).bind_list(values),
        };
    }
}
