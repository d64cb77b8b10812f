//! What was spent over days, in all and by whom: for rules that watch costs, and for budgets while rollups are counted anew.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr};

use super::measures::Fact;
use super::sql::Sql;

/// By whom it is told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    Model,
    App,
    Token,
    Account,
    Tenant,
}

impl By {
    /// Rollup, its key, and where the key's name is.
    const fn tables(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Model => ("model_daily", "model_id", "models", "name"),
            Self::App => ("app_daily", "app_id", "apps", "name"),
            Self::Token => ("token_daily", "token_id", "dim_tokens", "public_id"),
            Self::Account => ("account_daily", "account_id", "dim_accounts", "public_id"),
            Self::Tenant => ("tenant_daily", "tenant_id", "dim_tenants", "public_id"),
        }
    }
}

/// What somebody was charged on a day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spent {
    pub name: String,
    /// Start of the local day, microseconds since the Unix epoch.
    pub day: i64,
    /// Billionths of US dollars and of yuan.
    pub charged: [i64; 2],
}

/// What was charged on days in `[from, to)`, by name and day, in this order; nobody's are left out.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_name<C: ConnectionTrait>(
    connection: &C,
    by: By,
    (from, to): (i64, i64),
) -> Result<Vec<Spent>, DbErr> {
    let (rollup, key, names, name) = by.tables();
    let mut sql = Sql::new(
        connection.get_database_backend(),
        &format!(
            "SELECT n.{name}, r.bucket, CAST(SUM(r.cost_usd_nano) AS BIGINT), CAST(SUM(r.cost_cny_nano) AS BIGINT) \
             FROM {rollup} r JOIN {names} n ON n.id = r.{key} WHERE r.bucket >= "
        ),
    );
    sql.bind(from).push(" AND r.bucket < ").bind(to);
    sql.push(&format!(
        " GROUP BY n.{name}, r.bucket ORDER BY n.{name}, r.bucket"
    ));
    let rows = connection.query_all_raw(sql.done()).await?;
    let each = rows.iter().map(|row| {
        Ok(Spent {
            name: row.try_get_by_index(0)?,
            day: row.try_get_by_index(1)?,
            charged: [row.try_get_by_index(2)?, row.try_get_by_index(3)?],
        })
    });
    each.collect()
}

/// Who is charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Charged {
    Token,
    Tenant,
}

/// What somebody was charged in a month, and of it in one day of the month.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Windows {
    /// Billionths of US dollars and of yuan.
    pub day: [i64; 2],
    pub month: [i64; 2],
}

/// What was charged to each from `month.0` to `month.1`, straight from the log: rids from `rid_from` on hold all of it.
/// Slow where much is logged; rollups tell the same.
///
/// # Errors
/// When the database cannot be read.
pub async fn from_log<C: ConnectionTrait>(
    connection: &C,
    whom: Charged,
    rid_from: i64,
    day: (i64, i64),
    month: (i64, i64),
) -> Result<Vec<(i64, Windows)>, DbErr> {
    let key = match whom {
        Charged::Token => "token_id",
        Charged::Tenant => "tenant_id",
    };
    let mut sql = Sql::new(
        connection.get_database_backend(),
        &format!("SELECT {key}, currency, CASE WHEN request_at >= "),
    );
    sql.bind(day.0).push(" AND request_at < ").bind(day.1);
    sql.push(
        " THEN 1 ELSE 0 END AS is_of_day, CAST(SUM(cost_nano) AS BIGINT) FROM request_logs WHERE rid >= ",
    );
    sql.bind(rid_from).push(" AND request_at >= ").bind(month.0);
    sql.push(" AND request_at < ").bind(month.1);
    sql.push(&format!(
        " AND cost_nano <> 0 GROUP BY {key}, currency, is_of_day"
    ));
    let mut found: BTreeMap<i64, Windows> = BTreeMap::new();
    for row in connection.query_all_raw(sql.done()).await? {
        let currency: String = row.try_get_by_index(1)?;
        let is_of_day = row.try_get_by_index::<i32>(2)? == 1;
        let charge = Fact::charge(row.try_get_by_index(3)?, &currency);
        let windows = found.entry(row.try_get_by_index(0)?).or_default();
        let counting = [(&mut windows.month, true), (&mut windows.day, is_of_day)];
        for (window, _) in counting.into_iter().filter(|(_, counts)| *counts) {
            for (sum, nano) in window.iter_mut().zip(charge) {
                *sum = sum.saturating_add(nano);
            }
        }
    }
    Ok(found.into_iter().collect())
}
