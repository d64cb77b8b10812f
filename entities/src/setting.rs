//! Settings that operators saved over the configuration's, and who saved what when.
//!
//! What a key may hold is not known here. Every change leaves a row of `setting_versions` that is never changed.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseTransaction, QueryOrder, QuerySelect};

use crate::revision;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "settings")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub value: String,
    /// Public id of the operator who saved it.
    pub updated_by: String,
    pub updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One change of one setting.
pub mod change {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "setting_versions")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub key: String,
        /// None: back to the configuration's.
        pub value: Option<String>,
        /// Public id of the operator.
        pub changed_by: String,
        pub changed_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Everything saved.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_asc(Column::Key)
        .all(connection)
        .await
}

/// A number that rises with every change; 0 before the first.
///
/// # Errors
/// When the database cannot be read.
pub async fn version(connection: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let newest = change::Entity::find()
        .order_by_desc(change::Column::Id)
        .one(connection)
        .await?;
    Ok(newest.map_or(0, |row| row.id))
}

/// The changes of a setting, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn changes(
    connection: &impl ConnectionTrait,
    key: &str,
    limit: u64,
) -> Result<Vec<change::Model>, DbErr> {
    change::Entity::find()
        .filter(change::Column::Key.eq(key))
        .order_by_desc(change::Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// Saves a value, or takes the saved one away.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(
    txn: &DatabaseTransaction,
    key: &str,
    value: Option<&str>,
    by: &str,
    at_micros: i64,
) -> Result<(), DbErr> {
    match value {
        Some(value) => {
            let row = ActiveModel {
                key: Set(key.to_owned()),
                value: Set(value.to_owned()),
                updated_by: Set(by.to_owned()),
                updated_at: Set(at_micros),
            };
            let over = OnConflict::column(Column::Key)
                .update_columns([Column::Value, Column::UpdatedBy, Column::UpdatedAt])
                .to_owned();
            Entity::insert(row)
                .on_conflict(over)
                .exec_without_returning(txn)
                .await?;
        }
        None => {
            Entity::delete_by_id(key.to_owned()).exec(txn).await?;
        }
    }
    let version = change::ActiveModel {
        key: Set(key.to_owned()),
        value: Set(value.map(str::to_owned)),
        changed_by: Set(by.to_owned()),
        changed_at: Set(at_micros),
        ..Default::default()
    };
    version.insert(txn).await?;
    revision::bump(txn).await
}
