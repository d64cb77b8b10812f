//! Tries on accounts, several per request when the first ones failed.
//!
//! A request's only try mostly has no row of its own: the view tells it from the request's row.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::Sql;

/// One try.
#[derive(Clone, Debug, FromQueryResult, PartialEq, Eq)]
pub struct AttemptRow {
    /// From 1.
    pub ordinal: i16,
    pub account_id: i64,
    pub account_public_id: Option<String>,
    pub account_name: Option<String>,
    /// Microseconds since the Unix epoch.
    pub started_at: i64,
    pub duration_ms: i64,
    /// 0: the upstream gave none.
    pub status_code: i32,
    pub error_code: Option<String>,
}

/// Tries of a request, in order.
///
/// # Errors
/// When the database cannot be read.
pub async fn of<C: ConnectionTrait>(connection: &C, rid: i64) -> Result<Vec<AttemptRow>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT t.ordinal, t.account_id, a.public_id AS account_public_id, a.name AS account_name, \
         t.started_at, t.duration_ms, t.status_code, t.error_code \
         FROM request_attempt_view t LEFT JOIN dim_accounts a ON a.id = t.account_id WHERE t.rid = ",
    );
    sql.bind(rid).push(" ORDER BY t.ordinal");
    AttemptRow::find_by_statement(sql.done())
        .all(connection)
        .await
}
