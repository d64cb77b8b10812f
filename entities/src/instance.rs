//! Facts about this installation: fixed at its first start (time zone, id of the signing key …).

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, DatabaseTransaction};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "instance")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub value: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The value of `key`.
///
/// # Errors
/// When the database cannot be read.
pub async fn get(connection: &impl ConnectionTrait, key: &str) -> Result<Option<String>, DbErr> {
    let row = Entity::find_by_id(key.to_owned()).one(connection).await?;
    Ok(row.map(|row| row.value))
}

/// Stores `value` unless the key has one already; answers the value in force afterwards.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert_if_absent(
    txn: &DatabaseTransaction,
    key: &str,
    value: &str,
) -> Result<String, DbErr> {
    let row = ActiveModel {
        key: Set(key.to_owned()),
        value: Set(value.to_owned()),
    };
    Entity::insert(row)
        .on_conflict_do_nothing_on([Column::Key])
        .exec_without_returning(txn)
        .await?;
    get(txn, key)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound(format!("instance.{key}")))
}

/// Stores `value`, whatever was there.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(txn: &DatabaseTransaction, key: &str, value: &str) -> Result<(), DbErr> {
    let row = ActiveModel {
        key: Set(key.to_owned()),
        value: Set(value.to_owned()),
    };
    Entity::insert(row)
        .on_conflict(
            OnConflict::column(Column::Key)
                .update_column(Column::Value)
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}
