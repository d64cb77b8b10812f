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
