//! Rollups: what calls came to, per hour or day and dimension. Counted by the writer in the transaction that stores
//! the calls; read and merged here.
//!
//! A table is one declaration ([`RollupTable`]); all have the same measures. A key of 0 is nobody. Only the node of a
//! row updates it (histograms cannot be added up in an upsert), so every reader merges nodes.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult};

use super::histogram::Histogram;
use super::sql::Sql;

/// How long a bucket is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grain {
    Hour,
    Day,
}

/// One rollup.
#[derive(Debug)]
pub struct RollupTable {
    pub name: &'static str,
    pub grain: Grain,
    /// Columns beside `bucket` (start of the local hour or day, microseconds since the epoch) and `node`; each one of
    /// [`KEYS`].
    pub keys: &'static [&'static str],
    /// Whether it keeps histograms of durations beside the sums.
    pub has_histograms: bool,
    /// Whether calls whose first key is 0 are counted too. Where they are not, the table began empty with its key, and
    /// what was on the books before needs no counting.
    pub counts_nobody: bool,
}

impl RollupTable {
    /// Whether a call with this first key is counted.
    pub const fn counts(&self, first_key: i64) -> bool {
        self.counts_nobody || first_key != 0
    }
}

/// Keys of a row beside bucket and node at most.
pub const KEYS_MAX: usize = 4;

/// Every column that is a key of some rollup.
pub const KEYS: [&str; 9] = [
    "token_id",
    "account_id",
    "tenant_id",
    "app_id",
    "model_id",
    "provider_id",
    "end_user_id",
    "mode",
    "prompt_version_id",
];

pub static MODEL_HOURLY: RollupTable = RollupTable {
    name: "model_hourly",
    grain: Grain::Hour,
    keys: &["model_id", "provider_id"],
    has_histograms: true,
    counts_nobody: true,
};
pub static MODEL_DAILY: RollupTable = RollupTable {
    name: "model_daily",
    grain: Grain::Day,
    keys: &["model_id", "provider_id"],
    has_histograms: true,
    counts_nobody: true,
};
pub static TOKEN_DAILY: RollupTable = RollupTable {
    name: "token_daily",
    grain: Grain::Day,
    keys: &["token_id"],
    has_histograms: true,
    counts_nobody: true,
};
pub static ACCOUNT_DAILY: RollupTable = RollupTable {
    name: "account_daily",
    grain: Grain::Day,
    keys: &["account_id"],
    has_histograms: true,
    counts_nobody: true,
};
pub static TENANT_DAILY: RollupTable = RollupTable {
    name: "tenant_daily",
    grain: Grain::Day,
    keys: &["tenant_id"],
    has_histograms: true,
    counts_nobody: true,
};
pub static APP_DAILY: RollupTable = RollupTable {
    name: "app_daily",
    grain: Grain::Day,
    keys: &["app_id"],
    has_histograms: true,
    counts_nobody: true,
};

/// Who was there: the end users of a day, told apart by how they came.
pub static USER_DAILY: RollupTable = RollupTable {
    name: "user_daily",
    grain: Grain::Day,
    keys: &["end_user_id", "mode"],
    has_histograms: false,
    counts_nobody: true,
};
/// Kept for 35 days.
pub static USAGE_STATS_HOURLY: RollupTable = RollupTable {
    name: "usage_stats_hourly",
    grain: Grain::Hour,
    keys: &["token_id", "account_id", "mode", "model_id"],
    has_histograms: false,
    counts_nobody: true,
};
pub static USAGE_STATS_DAILY: RollupTable = RollupTable {
    name: "usage_stats_daily",
    grain: Grain::Day,
    keys: &["token_id", "account_id", "mode", "model_id"],
    has_histograms: false,
    counts_nobody: true,
};

/// Calls that named a version of a prompt.
pub static PROMPT_DAILY: RollupTable = RollupTable {
    name: "prompt_daily",
    grain: Grain::Day,
    keys: &["prompt_version_id"],
    has_histograms: true,
    counts_nobody: false,
};

/// Every rollup the writer keeps.
pub static ROLLUPS: [&RollupTable; 10] = [
    &MODEL_HOURLY,
    &MODEL_DAILY,
    &TOKEN_DAILY,
    &ACCOUNT_DAILY,
    &TENANT_DAILY,
    &APP_DAILY,
    &USER_DAILY,
    &USAGE_STATS_HOURLY,
    &USAGE_STATS_DAILY,
    &PROMPT_DAILY,
];

/// Columns that are sums, in the order of [`Measures::sums`].
pub const SUMS: [&str; 19] = [
    "request_count",
    "success_count",
    "client_error_count",
    "rate_limited_count",
    "upstream_error_count",
    "cancelled_count",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "estimated_count",
    "unpriced_count",
    "duration_ms_sum",
    "ttft_ms_sum",
    "ttft_count",
    "cost_usd_nano",
    "cost_cny_nano",
];

/// A sum that is greater stays what it is: a billion dollars a day, from whoever reports such costs, must not make a number
/// that no column holds and with it every later call of that day unwritable.
const COST_SUM_MAX_NANO: i64 = 1 << 60;

/// How an upsert adds to a column of [`SUMS`]; `stored` qualifies the row that is there.
pub fn adding(sum: &str, stored: &str) -> String {
    match sum {
        "cost_usd_nano" | "cost_cny_nano" => format!(
            "{sum} = CASE WHEN {stored}{sum} > {COST_SUM_MAX_NANO} - excluded.{sum} THEN {COST_SUM_MAX_NANO} \
             ELSE {stored}{sum} + excluded.{sum} END"
        ),
        _ => format!("{sum} = {stored}{sum} + excluded.{sum}"),
    }
}

/// What one call adds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fact {
    pub duration_ms: i64,
    pub ttft_ms: Option<i64>,
    /// Prompt, completion, total, cached, cache write, reasoning.
    pub tokens: [i64; 6],
    pub status_code: i32,
    pub success: bool,
    pub usage_estimated: bool,
    pub priced: bool,
    /// Billionths, in the currency it was charged in: US dollars, Chinese yuan. At most one is not 0.
    pub cost_nano: [i64; 2],
}

impl Fact {
    /// A charge as [`Self::cost_nano`]. Other currencies are not charged in.
    pub fn charge(cost_nano: i64, currency: &str) -> [i64; 2] {
        match currency {
            "USD" => [cost_nano, 0],
            "CNY" => [0, cost_nano],
            _ => [0, 0],
        }
    }

    /// What it adds to each of [`SUMS`]. A failure has one class: 499 the caller left, 429, other 4xx, and everything
    /// else (5xx, answers cut short) the provider. Unpriced are calls that used tokens and had no price.
    pub fn sums(&self) -> [i64; SUMS.len()] {
        let mut class = [0_i64; 4];
        if !self.success {
            class[match self.status_code {
                429 => 1,
                499 => 3,
                400..=498 => 0,
                _ => 2,
            }] = 1;
        }
        let [client, limited, upstream, cancelled] = class;
        let [prompt, completion, total, cached, cache_write, reasoning] = self.tokens;
        [
            1,
            i64::from(self.success),
            client,
            limited,
            upstream,
            cancelled,
            prompt,
            completion,
            total,
            cached,
            cache_write,
            reasoning,
            i64::from(self.usage_estimated),
            i64::from(!self.priced && total > 0),
            self.duration_ms.max(0),
            self.ttft_ms.unwrap_or_default().max(0),
            i64::from(self.ttft_ms.is_some()),
            self.cost_nano[0],
            self.cost_nano[1],
        ]
    }
}

/// What calls came to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Measures {
    pub sums: [i64; SUMS.len()],
    pub duration: Histogram,
    pub ttft: Histogram,
}

impl Measures {
    /// The sum of a column of [`SUMS`]; 0 for another name.
    pub fn sum(&self, column: &str) -> i64 {
        let index = SUMS.iter().position(|name| *name == column);
        index.map_or(0, |index| self.sums[index])
    }

    pub fn add(&mut self, fact: &Fact) {
        self.add_sums(&fact.sums());
        self.duration.add(fact.duration_ms);
        if let Some(ttft) = fact.ttft_ms {
            self.ttft.add(ttft);
        }
    }

    pub fn add_sums(&mut self, sums: &[i64; SUMS.len()]) {
        for (mine, theirs) in self.sums.iter_mut().zip(sums) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.add_sums(&other.sums);
        self.duration.merge(&other.duration);
        self.ttft.merge(&other.ttft);
    }
}

/// A row of a rollup.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupRow {
    pub bucket: i64,
    pub keys: [i64; KEYS_MAX],
    pub measures: Measures,
}

/// Rows of `table` with buckets in `[from, to)` whose keys have one of the values given for them.
///
/// # Errors
/// When the database cannot be read, or a histogram in it.
pub async fn rows<C: ConnectionTrait>(
    connection: &C,
    table: &RollupTable,
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, DbErr> {
    let histograms: &[&str] = match table.has_histograms {
        true => &["duration_histogram", "ttft_histogram"],
        false => &[],
    };
    let columns = [&["bucket"][..], table.keys, &SUMS, histograms]
        .concat()
        .join(", ");
    let sql = begun(connection, table, &columns, range, only);
    let found = connection.query_all_raw(sql.done()).await?;
    found.iter().map(|row| read(row, table)).collect()
}

fn read(row: &QueryResult, table: &RollupTable) -> Result<RollupRow, DbErr> {
    let mut keys = [0; KEYS_MAX];
    for (index, key) in keys.iter_mut().zip(1..=table.keys.len()) {
        *index = row.try_get_by_index(key)?;
    }
    let mut at = 1 + table.keys.len();
    let mut measures = Measures::default();
    for sum in &mut measures.sums {
        *sum = row.try_get_by_index(at)?;
        at += 1;
    }
    let histogram = |at: usize| -> Result<Histogram, DbErr> {
        let bytes: Vec<u8> = row.try_get_by_index(at)?;
        Histogram::decode(&bytes).map_err(|error| DbErr::Type(error.to_string()))
    };
    if table.has_histograms {
        measures.duration = histogram(at)?;
        measures.ttft = histogram(at + 1)?;
    }
    Ok(RollupRow {
        bucket: row.try_get_by_index(0)?,
        keys,
        measures,
    })
}

/// The values of the keys `by` with most of `measure` (an SQL expression of sums) in `[from, to)`, most first, in the order
/// of `by`. Only rows whose keys have one of the values given for them count.
///
/// # Errors
/// When the database cannot be read.
pub async fn most<C: ConnectionTrait>(
    connection: &C,
    table: &RollupTable,
    by: &[&str],
    measure: &str,
    (from, to): (i64, i64),
    only: &[(&str, &[i64])],
    limit: u64,
) -> Result<Vec<[i64; KEYS_MAX]>, DbErr> {
    let keys = by.join(", ");
    let mut sql = begun(connection, table, &keys, (from, to), only);
    sql.push(&format!(
        " GROUP BY {keys} ORDER BY {measure} DESC, {keys} LIMIT "
    ));
    sql.bind(limit as i64);
    let mut most = Vec::new();
    for row in connection.query_all_raw(sql.done()).await? {
        let mut values = [0; KEYS_MAX];
        for (at, value) in values.iter_mut().take(by.len()).enumerate() {
            *value = row.try_get_by_index(at)?;
        }
        most.push(values);
    }
    Ok(most)
}

/// How many calls rows of `table` count in `range`, of those whose keys have one of the values given for them.
///
/// # Errors
/// When the database cannot be read.
pub async fn calls<C: ConnectionTrait>(
    connection: &C,
    table: &RollupTable,
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<i64, DbErr> {
    let count = "CAST(COALESCE(sum(request_count), 0) AS BIGINT)";
    let sql = begun(connection, table, count, range, only);
    let row = connection.query_one_raw(sql.done()).await?;
    let calls = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(calls.unwrap_or_default())
}

/// A question for `columns` of the rows of `table` in `range`, as far as its condition.
fn begun<C: ConnectionTrait>(
    connection: &C,
    table: &RollupTable,
    columns: &str,
    (from, to): (i64, i64),
    only: &[(&str, &[i64])],
) -> Sql {
    let text = format!("SELECT {columns} FROM {} WHERE bucket >= ", table.name);
    let mut sql = Sql::new(connection.get_database_backend(), &text);
    sql.bind(from).push(" AND bucket < ").bind(to);
    for (key, values) in only {
        sql.push(&format!(" AND {key} IN ")).bind_list(values);
    }
    sql
}

/// Rows of `table` as [`rows`] finds them, told apart by the keys `by` alone, in their order. A table without histograms has
/// many rows a bucket; the database adds them up.
///
/// # Errors
/// When the database cannot be read, or a histogram in it.
pub async fn rows_by<C: ConnectionTrait>(
    connection: &C,
    table: &RollupTable,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, DbErr> {
    if !table.has_histograms {
        return sums_by(connection, table, by, range, only).await;
    }
    let mut found = rows(connection, table, range, only).await?;
    for row in &mut found {
        let mut keys = [0; KEYS_MAX];
        for (key, name) in keys.iter_mut().zip(by) {
            let at = table.keys.iter().position(|known| known == name);
            *key = at.map_or(0, |at| row.keys[at]);
        }
        row.keys = keys;
    }
    Ok(found)
}

async fn sums_by<C: ConnectionTrait>(
    connection: &C,
    table: &RollupTable,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, DbErr> {
    let mut columns = vec!["bucket".to_owned()];
    columns.extend(by.iter().map(|&key| key.to_owned()));
    columns.extend(SUMS.map(|sum| format!("CAST(sum({sum}) AS BIGINT)")));
    let mut sql = begun(connection, table, &columns.join(", "), range, only);
    sql.push(" GROUP BY bucket");
    for key in by {
        sql.push(", ").push(key);
    }
    let mut found = Vec::new();
    for row in connection.query_all_raw(sql.done()).await? {
        let mut keys = [0; KEYS_MAX];
        for (index, key) in keys.iter_mut().enumerate().take(by.len()) {
            *key = row.try_get_by_index(1 + index)?;
        }
        let mut measures = Measures::default();
        for (index, sum) in measures.sums.iter_mut().enumerate() {
            *sum = row.try_get_by_index(1 + by.len() + index)?;
        }
        found.push(RollupRow {
            bucket: row.try_get_by_index(0)?,
            keys,
            measures,
        });
    }
    Ok(found)
}

/// Calls of the log that one edge of a range may cost.
pub const EDGE_BUDGET: usize = 10_000;

/// What calls with `request_at` in `[from, to)` came to, counted from the log: those between two rids that enclose what was
/// served here meanwhile, and those that were told of later; `None` when that takes more than [`EDGE_BUDGET`] rows.
///
/// # Errors
/// When the database cannot be read.
pub async fn from_log<C: ConnectionTrait>(
    connection: &C,
    (from, to): (i64, i64),
    (rid_from, rid_to): (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Option<Measures>, DbErr> {
    let backend = connection.get_database_backend();
    // Whether they are too many costs a walk over keys; reading them to find out would cost all of it.
    let mut sql = Sql::new(backend, "SELECT 1 FROM request_logs WHERE rid >= ");
    sql.bind(rid_from).push(" AND rid < ").bind(rid_to);
    narrow(&mut sql, only);
    sql.push(" LIMIT 1 OFFSET ").bind(EDGE_BUDGET as i64);
    if connection.query_one_raw(sql.done()).await?.is_some() {
        return Ok(None);
    }
    let list = match backend {
        DbBackend::Postgres => |column: &str| format!("string_agg(CAST({column} AS TEXT), ',')"),
        _ => |column: &str| format!("group_concat({column})"),
    };
    let sums = SUMS.map(|sum| format!("CAST(COALESCE({}, 0) AS BIGINT)", of_log(sum)));
    let rows = format!("SELECT {FACT_COLUMNS} FROM request_logs WHERE request_at >= ");
    let mut sql = Sql::new(
        backend,
        &format!(
            "SELECT {}, {}, {} FROM ({rows}",
            sums.join(", "),
            list("duration_ms"),
            list("ttft_ms")
        ),
    );
    sql.bind(from).push(" AND request_at < ").bind(to);
    sql.push(" AND rid >= ").bind(rid_from);
    sql.push(" AND rid < ").bind(rid_to);
    narrow(&mut sql, only);
    sql.push(" UNION ALL ").push(&rows).bind(from);
    sql.push(" AND request_at < ").bind(to);
    sql.push(" AND source <> 0 AND (rid < ").bind(rid_from);
    sql.push(" OR rid >= ").bind(rid_to).push(")");
    narrow(&mut sql, only);
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

/// Only calls whose keys have one of the values given for them, in the log's own columns.
fn narrow(sql: &mut Sql, only: &[(&str, &[i64])]) {
    for (key, values) in only {
        match *key {
            "provider_id" => sql
                .push(" AND provider IN (SELECT name FROM providers WHERE id IN ")
                .bind_list(values)
                .push(")"),
            key => sql.push(&format!(" AND {key} IN ")).bind_list(values),
        };
    }
}

/// The log's columns that [`fact`] reads, in order.
pub(super) const FACT_COLUMNS: &str = "duration_ms, ttft_ms, prompt_tokens, completion_tokens, total_tokens, \
     cached_tokens, cache_write_tokens, reasoning_tokens, status_code, success, usage_estimated, priced, \
     cost_nano, currency";
/// How many they are.
pub(super) const FACT_LEN: usize = 14;

pub(super) fn fact(row: &QueryResult, at: usize) -> Result<Fact, DbErr> {
    let mut tokens = [0; 6];
    for (index, tokens) in tokens.iter_mut().enumerate() {
        *tokens = row.try_get_by_index(at + 2 + index)?;
    }
    Ok(Fact {
        duration_ms: row.try_get_by_index(at)?,
        ttft_ms: row.try_get_by_index(at + 1)?,
        tokens,
        status_code: row.try_get_by_index(at + 8)?,
        success: row.try_get_by_index(at + 9)?,
        usage_estimated: row.try_get_by_index(at + 10)?,
        priced: row.try_get_by_index(at + 11)?,
        cost_nano: Fact::charge(
            row.try_get_by_index(at + 12)?,
            &row.try_get_by_index::<String>(at + 13)?,
        ),
    })
}

/// Names behind keys: id, public id (the name again where there is none), name.
///
/// # Errors
/// When the database cannot be read.
pub async fn names<C: ConnectionTrait>(
    connection: &C,
    key: &str,
    ids: &[i64],
) -> Result<Vec<(i64, Option<String>, String)>, DbErr> {
    let (table, public_id) = match key {
        "token_id" => ("dim_tokens", "public_id"),
        "account_id" => ("dim_accounts", "public_id"),
        "tenant_id" => ("dim_tenants", "public_id"),
        "app_id" => ("apps", "NULL"),
        "provider_id" => ("providers", "NULL"),
        "end_user_id" => ("end_users", "NULL"),
        "prompt_version_id" => ("dim_prompt_versions", "public_id"),
        _ => ("models", "NULL"),
    };
    let mut sql = Sql::new(
        connection.get_database_backend(),
        &format!("SELECT id, CAST({public_id} AS TEXT), name FROM {table} WHERE id IN "),
    );
    sql.bind_list(ids);
    let rows = connection.query_all_raw(sql.done()).await?;
    let each = rows.iter().map(|row| {
        Ok((
            row.try_get_by_index(0)?,
            row.try_get_by_index(1)?,
            row.try_get_by_index(2)?,
        ))
    });
    each.collect()
}

/// The id of a plain name of `apps`, `models` or `providers`; `None` when no record ever had it.
///
/// # Errors
/// When the database cannot be read.
pub async fn id_of_name<C: ConnectionTrait>(
    connection: &C,
    table: &str,
    name: &str,
) -> Result<Option<i64>, DbErr> {
    let text = format!("SELECT id FROM {table} WHERE name = ");
    let mut sql = Sql::new(connection.get_database_backend(), &text);
    sql.bind(name);
    let row = connection.query_one_raw(sql.done()).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}
