//! Exchange rates that were in force, and since when: what was spent on a day is shown by the rate of that day.
//!
//! A row is never changed. The first holds for everything before it too.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, QueryOrder};

use crate::revision;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "exchange_rates")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Billionths of a yuan for a dollar.
    pub cny_per_usd_nano: i64,
    /// Microseconds since the Unix epoch.
    pub valid_from: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Every one, the oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}

/// Writes down that a rate is in force, unless it was already.
///
/// # Errors
/// When the database cannot be written.
pub async fn note(
    txn: &DatabaseTransaction,
    cny_per_usd_nano: i64,
    at_micros: i64,
) -> Result<(), DbErr> {
    let newest = Entity::find().order_by_desc(Column::Id).one(txn).await?;
    if newest.is_some_and(|row| row.cny_per_usd_nano == cny_per_usd_nano) {
        return Ok(());
    }
    let row = ActiveModel {
        cny_per_usd_nano: Set(cny_per_usd_nano),
        valid_from: Set(at_micros),
        ..Default::default()
    };
    row.insert(txn).await?;
    revision::bump(txn).await
}
