//! What was spent over days, in all and by whom: for rules that watch costs.

use sea_orm::{ConnectionTrait, DbErr};

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

/// Billionths of US dollars and of yuan that were charged on days in `[from, to)`, by name; nobody's are left out.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_name<C: ConnectionTrait>(
    connection: &C,
    by: By,
    (from, to): (i64, i64),
) -> Result<Vec<(String, [i64; 2])>, DbErr> {
    let (rollup, key, names, name) = by.tables();
    let mut sql = Sql::new(
        connection.get_database_backend(),
        &format!(
            "SELECT n.{name}, CAST(SUM(r.cost_usd_nano) AS BIGINT), CAST(SUM(r.cost_cny_nano) AS BIGINT) \
             FROM {rollup} r JOIN {names} n ON n.id = r.{key} WHERE r.bucket >= "
        ),
    );
    sql.bind(from).push(" AND r.bucket < ").bind(to);
    sql.push(&format!(" GROUP BY n.{name} ORDER BY n.{name}"));
    let rows = connection.query_all_raw(sql.done()).await?;
    let each = rows.iter().map(|row| {
        let spent = [row.try_get_by_index(1)?, row.try_get_by_index(2)?];
        Ok((row.try_get_by_index(0)?, spent))
    });
    each.collect()
}
