//! How far each operator has read what the bell rang for.

use sea_orm::ActiveValue::Set;
use sea_orm::DatabaseTransaction;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notification_reads")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub operator_id: i64,
    /// Key of the last step seen.
    pub read_to: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How far an operator has read; 0 when nothing was.
///
/// # Errors
/// When the database cannot be read.
pub async fn read_to(connection: &impl ConnectionTrait, operator_id: i64) -> Result<i64, DbErr> {
    let row = Entity::find_by_id(operator_id).one(connection).await?;
    Ok(row.map_or(0, |row| row.read_to))
}

/// Remembers how far an operator has read.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(txn: &DatabaseTransaction, operator_id: i64, read_to: i64) -> Result<(), DbErr> {
    let row = ActiveModel {
        operator_id: Set(operator_id),
        read_to: Set(read_to),
    };
    Entity::insert(row)
        .on_conflict(
            OnConflict::column(Column::OperatorId)
                .update_column(Column::ReadTo)
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}
