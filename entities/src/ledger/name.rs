//! Control-plane rows as the ledger remembers them, also after they were deleted there.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::Sql;

/// Whose public id it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dimension {
    Token,
    Account,
    Tenant,
}

impl Dimension {
    const fn table(self) -> &'static str {
        match self {
            Self::Token => "dim_tokens",
            Self::Account => "dim_accounts",
            Self::Tenant => "dim_tenants",
        }
    }
}

/// Versions of prompts that a text means: `name@number` one, a bare name all of that prompt, newest first, and at most
/// `limit`. A name that was given to another prompt later means both.
///
/// # Errors
/// When the database cannot be read.
pub async fn prompt_versions<C: ConnectionTrait>(
    connection: &C,
    text: &str,
    limit: u64,
) -> Result<Vec<i64>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT id FROM dim_prompt_versions WHERE ",
    );
    if text.contains('@') {
        sql.push("name = ").bind(text);
    } else {
        // Not LIKE: it would take a name's `_` for any letter, and on one of the two databases small letters for large ones.
        let prefix = format!("{text}@");
        let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        sql.push("substr(name, 1, CAST(").bind(length);
        sql.push(" AS INTEGER)) = ").bind(prefix.as_str());
    }
    sql.push(" ORDER BY id DESC LIMIT ")
        .bind(limit.cast_signed());
    keys(connection, sql).await
}

/// Versions of a prompt that calls have named, by the prompt's public id: key and `name@number`.
///
/// # Errors
/// When the database cannot be read.
pub async fn versions_of<C: ConnectionTrait>(
    connection: &C,
    prompt_public_id: &str,
) -> Result<Vec<(i64, String)>, DbErr> {
    #[derive(FromQueryResult)]
    struct Found {
        id: i64,
        name: String,
    }
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT id, name FROM dim_prompt_versions WHERE public_id = ",
    );
    sql.bind(prompt_public_id).push(" ORDER BY id");
    let found = Found::find_by_statement(sql.done()).all(connection).await?;
    Ok(found.into_iter().map(|row| (row.id, row.name)).collect())
}

async fn keys<C: ConnectionTrait>(connection: &C, sql: Sql) -> Result<Vec<i64>, DbErr> {
    let rows = connection.query_all_raw(sql.done()).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// The key behind a public id, `None` when no record ever named it.
///
/// # Errors
/// When the database cannot be read.
pub async fn id_of<C: ConnectionTrait>(
    connection: &C,
    dimension: Dimension,
    public_id: &str,
) -> Result<Option<i64>, DbErr> {
    #[derive(FromQueryResult)]
    struct Found {
        id: i64,
    }
    let mut sql = Sql::new(connection.get_database_backend(), "SELECT id FROM ");
    sql.push(dimension.table())
        .push(" WHERE public_id = ")
        .bind(public_id);
    let found = Found::find_by_statement(sql.done()).one(connection).await?;
    Ok(found.map(|found| found.id))
}
