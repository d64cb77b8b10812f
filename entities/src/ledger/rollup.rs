//! Rollups: what calls came to, per hour or day and dimension. Counted by the writer in the transaction that stores
//! the calls; read and merged here.
//!
//! A table is one declaration ([`RollupTable`]); all have the same measures. A key of 0 is nobody. Only the node of a
//! row updates it (histograms cannot be added up in an upsert), so every reader merges nodes.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult};

use super::histogram::{Histogram, Summing};
pub use super::measures::{Fact, Measures, SUMS, adding};
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
    /// Set where the table began empty while calls with its keys were on the books: then it has all calls of its first
    /// key in a bucket exactly where it counts as many as this table ([`partial`] tells where it does not). Whoever
    /// does not ask that leaves it alone.
    pub whole_where: Option<&'static RollupTable>,
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

/// All calls: what is asked of nobody in particular takes a row a bucket.
pub static TOTAL_HOURLY: RollupTable = RollupTable {
    name: "total_hourly",
    grain: Grain::Hour,
    keys: &[],
    has_histograms: true,
    counts_nobody: true,
    whole_where: None,
};
pub static TOTAL_DAILY: RollupTable = RollupTable {
    name: "total_daily",
    grain: Grain::Day,
    keys: &[],
    has_histograms: true,
    counts_nobody: true,
    whole_where: None,
};
pub static MODEL_HOURLY: RollupTable = RollupTable {
    name: "model_hourly",
    grain: Grain::Hour,
    keys: &["model_id", "provider_id"],
    has_histograms: true,
    counts_nobody: true,
    whole_where: None,
};
pub static MODEL_DAILY: RollupTable = RollupTable {
    name: "model_daily",
    grain: Grain::Day,
    keys: &["model_id", "provider_id"],
    has_histograms: true,
    counts_nobody: true,
    whole_where: None,
};
pub static TOKEN_DAILY: RollupTable = RollupTable {
    name: "token_daily",
    grain: Grain::Day,
    keys: &["token_id"],
    has_histograms: true,
    counts_nobody: true,
    whole_where: None,
};
pub static ACCOUNT_DAILY: RollupTable = RollupTable {
    name: "account_daily",
    grain: Grain::Day,
    keys: &["account_id"],
    has_histograms: true,
    counts_nobody: true,
    whole_where: None,
};
pub static TENANT_DAILY: RollupTable = RollupTable {
    name: "tenant_daily",
    grain: Grain::Day,
    keys: &["tenant_id"],
    has_histograms: true,
    counts_nobody: true,
    whole_where: None,
};
pub static APP_DAILY: RollupTable = RollupTable {
    name: "app_daily",
    grain: Grain::Day,
    keys: &["app_id"],
    has_histograms: true,
    counts_nobody: true,
    whole_where: None,
};

/// Who was there: the end users of a day, told apart by how they came.
pub static USER_DAILY: RollupTable = RollupTable {
    name: "user_daily",
    grain: Grain::Day,
    keys: &["end_user_id", "mode"],
    has_histograms: false,
    counts_nobody: true,
    whole_where: None,
};
/// Kept for 35 days.
pub static USAGE_STATS_HOURLY: RollupTable = RollupTable {
    name: "usage_stats_hourly",
    grain: Grain::Hour,
    keys: &["token_id", "account_id", "mode", "model_id"],
    has_histograms: false,
    counts_nobody: true,
    whole_where: None,
};
pub static USAGE_STATS_DAILY: RollupTable = RollupTable {
    name: "usage_stats_daily",
    grain: Grain::Day,
    keys: &["token_id", "account_id", "mode", "model_id"],
    has_histograms: false,
    counts_nobody: true,
    whole_where: None,
};

/// Calls that named a version of a prompt.
pub static PROMPT_DAILY: RollupTable = RollupTable {
    name: "prompt_daily",
    grain: Grain::Day,
    keys: &["prompt_version_id"],
    has_histograms: true,
    counts_nobody: false,
    whole_where: None,
};

/// Providers of a tenant's calls.
pub static TENANT_PROVIDER_DAILY: RollupTable = RollupTable {
    name: "tenant_provider_daily",
    grain: Grain::Day,
    keys: &["tenant_id", "provider_id"],
    has_histograms: false,
    counts_nobody: false,
    whole_where: Some(&TENANT_DAILY),
};

/// Every rollup the writer keeps.
pub static ROLLUPS: [&RollupTable; 13] = [
    &TOTAL_HOURLY,
    &TOTAL_DAILY,
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
    &TENANT_PROVIDER_DAILY,
];

const HISTOGRAMS: [&str; 2] = ["duration_histogram", "ttft_histogram"];

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
        true => &HISTOGRAMS,
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
        Histogram::decode(&bytes).map_err(unreadable)
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
    narrow(&mut sql, (from, to), only);
    sql
}

/// The rest of a condition that ends in `bucket >= `.
fn narrow(sql: &mut Sql, (from, to): (i64, i64), only: &[(&str, &[i64])]) {
    sql.bind(from).push(" AND bucket < ").bind(to);
    for (key, values) in only {
        sql.push(&format!(" AND {key} IN ")).bind_list(values);
    }
}

/// Buckets in `range` of which `table` does not have all calls: those from before it began. `only` names its first key,
/// with one value. A bucket that is whole stays so: each call is counted by both tables in one transaction.
///
/// # Errors
/// When the database cannot be read.
pub async fn partial<C: ConnectionTrait>(
    connection: &C,
    table: &RollupTable,
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<i64>, DbErr> {
    let Some(whole) = table.whole_where else {
        return Ok(Vec::new());
    };
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT bucket FROM (SELECT bucket, request_count AS calls FROM ",
    );
    sql.push(whole.name).push(" WHERE bucket >= ");
    narrow(&mut sql, range, only);
    sql.push(" UNION ALL SELECT bucket, -request_count AS calls FROM ");
    sql.push(table.name).push(" WHERE bucket >= ");
    narrow(&mut sql, range, only);
    sql.push(") AS counted GROUP BY bucket HAVING sum(calls) <> 0");
    let found = connection.query_all_raw(sql.done()).await?;
    found.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Rows of `table` as [`rows`] finds them, told apart by bucket and the keys `by` alone, in their order. The database adds
/// up what is a sum and lists histograms: a value that crosses over from it costs more than adding it up there.
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
    if !table.has_histograms || by.len() < table.keys.len() {
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

/// Columns that may be so great that their sum fits no integer of the database; they are added up in two parts.
const GREAT: [&str; 2] = ["cost_usd_nano", "cost_cny_nano"];
const PART: i64 = 1_000_000_000;

async fn sums_by<C: ConnectionTrait>(
    connection: &C,
    table: &RollupTable,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, DbErr> {
    let mut columns = vec!["bucket".to_owned()];
    columns.extend(by.iter().map(|&key| key.to_owned()));
    let sum = |of: &str| format!("CAST(sum({of}) AS BIGINT)");
    columns.extend(SUMS.map(|name| match GREAT.contains(&name) {
        true => sum(&format!("{name} % {PART}")),
        false => sum(name),
    }));
    columns.extend(GREAT.map(|name| sum(&format!("{name} / {PART}"))));
    if table.has_histograms {
        let list = match connection.get_database_backend() {
            DbBackend::Postgres => |name| format!("string_agg(encode({name}, 'hex'), ',')"),
            _ => |name| format!("group_concat(hex({name}))"),
        };
        columns.extend(HISTOGRAMS.map(list));
    }
    let mut sql = begun(connection, table, &columns.join(", "), range, only);
    sql.push(" GROUP BY bucket");
    for key in by {
        sql.push(", ").push(key);
    }
    let mut summing = Summing::default();
    let mut found = Vec::new();
    for row in connection.query_all_raw(sql.done()).await? {
        let mut keys = [0; KEYS_MAX];
        for (key, at) in keys.iter_mut().zip(1..=by.len()) {
            *key = row.try_get_by_index(at)?;
        }
        let mut at = 1 + by.len();
        let mut measures = Measures::default();
        for sum in &mut measures.sums {
            *sum = row.try_get_by_index(at)?;
            at += 1;
        }
        for name in GREAT {
            let parts: i64 = row.try_get_by_index(at)?;
            at += 1;
            if let Some(sum) = SUMS.iter().position(|sum| *sum == name) {
                let sum = &mut measures.sums[sum];
                *sum = parts.saturating_mul(PART).saturating_add(*sum);
            }
        }
        if table.has_histograms {
            let mut listed = |at: usize| -> Result<Histogram, DbErr> {
                let each: String = row.try_get_by_index(at)?;
                for written in each.split(',') {
                    let bytes = hex::decode(written).map_err(unreadable)?;
                    summing.add(&bytes).map_err(unreadable)?;
                }
                Ok(summing.take())
            };
            measures.duration = listed(at)?;
            measures.ttft = listed(at + 1)?;
        }
        found.push(RollupRow {
            bucket: row.try_get_by_index(0)?,
            keys,
            measures,
        });
    }
    Ok(found)
}

fn unreadable(error: impl std::error::Error) -> DbErr {
    DbErr::Type(error.to_string())
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
