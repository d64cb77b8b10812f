//! Pairs that were removed and may still have vectors in a store that is called over a network: `knowledge_sync` has them
//! removed there. Written with the removal, so that a store which cannot be reached forgets them later.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, QueryOrder, QuerySelect};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "qa_vector_removals")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub pair_id: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A pair is being removed.
///
/// # Errors
/// When the database cannot be written.
pub async fn note(txn: &DatabaseTransaction, pair_id: i64) -> Result<(), DbErr> {
    let row = ActiveModel {
        pair_id: Set(pair_id),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::PairId).do_nothing().to_owned())
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Some of them, ascending.
///
/// # Errors
/// When the database cannot be read.
pub async fn some(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::PairId)
        .order_by_asc(Column::PairId)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
}

/// They are gone everywhere.
///
/// # Errors
/// When the database cannot be written.
pub async fn clear(txn: &DatabaseTransaction, pairs: Vec<i64>) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::PairId.is_in(pairs))
        .exec(txn)
        .await?;
    Ok(())
}
