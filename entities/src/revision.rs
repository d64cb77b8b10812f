//! One number that rises with every change the gateway has to know about.
//!
//! Every function that writes tenants, tokens, accounts, prices or prompts bumps it in the same transaction, so a reader that
//! sees the number sees the change. It says that something changed, not what.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter};

use crate::instance;

const KEY: &str = "revision";

/// The number as of now.
///
/// # Errors
/// When the database cannot be read or the row is damaged.
pub async fn read(connection: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let text = instance::get(connection, KEY)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("instance.revision".into()))?;
    text.parse()
        .map_err(|_| DbErr::Custom("instance.revision is not a number".into()))
}

/// Raises it. The transaction holds the row until its end, so revisions become visible in their order.
///
/// # Errors
/// When the database cannot be written.
pub async fn bump(txn: &DatabaseTransaction) -> Result<(), DbErr> {
    let number = Expr::col(instance::Column::Value).cast_as("BIGINT").add(1);
    let written = instance::Entity::update_many()
        .col_expr(instance::Column::Value, number.cast_as("TEXT"))
        .filter(instance::Column::Key.eq(KEY))
        .exec(txn)
        .await?;
    if written.rows_affected == 1 {
        Ok(())
    } else {
        Err(DbErr::RecordNotUpdated)
    }
}
