//! Pairs that could not be embedded, why, and when they are tried again. Reached through the pair, which knows whose it is.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, DatabaseTransaction, PaginatorTrait, QueryOrder, QuerySelect, Select,
};

use crate::qa_pair;
use crate::scope::Scope;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "qa_sync_failures")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub pair_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    /// The model will not have the text: nobody waits for it.
    pub is_refused: bool,
    pub attempts: i64,
    /// A sentence without secrets.
    pub error: String,
    pub failed_at: i64,
    pub next_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Writes one down in place of what was known.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(txn: &DatabaseTransaction, row: Model) -> Result<(), DbErr> {
    let row = ActiveModel {
        pair_id: Set(row.pair_id),
        model: Set(row.model),
        is_refused: Set(row.is_refused),
        attempts: Set(row.attempts),
        error: Set(row.error),
        failed_at: Set(row.failed_at),
        next_at: Set(row.next_at),
    };
    let replace = OnConflict::columns([Column::PairId, Column::Model])
        .update_columns([
            Column::IsRefused,
            Column::Attempts,
            Column::Error,
            Column::FailedAt,
            Column::NextAt,
        ])
        .to_owned();
    Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// What is known of these pairs.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_pairs(
    connection: &impl ConnectionTrait,
    model: &str,
    pairs: Vec<i64>,
) -> Result<Vec<Model>, DbErr> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    Entity::find()
        .filter(Column::Model.eq(model))
        .filter(Column::PairId.is_in(pairs))
        .all(connection)
        .await
}

/// They are well.
///
/// # Errors
/// When the database cannot be written.
pub async fn clear(txn: &DatabaseTransaction, model: &str, pairs: Vec<i64>) -> Result<(), DbErr> {
    if pairs.is_empty() {
        return Ok(());
    }
    Entity::delete_many()
        .filter(Column::Model.eq(model))
        .filter(Column::PairId.is_in(pairs))
        .exec(txn)
        .await?;
    Ok(())
}

/// Forgets those of other models.
///
/// # Errors
/// When the database cannot be written.
pub async fn keep_only(txn: &DatabaseTransaction, model: &str) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::Model.ne(model))
        .exec(txn)
        .await?;
    Ok(())
}

/// All of a scope may be tried now.
///
/// # Errors
/// When the database cannot be written.
pub async fn hurry(txn: &DatabaseTransaction, scope: Scope, now: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .set(ActiveModel {
            next_at: Set(now),
            ..Default::default()
        })
        .filter(Column::PairId.in_subquery(pairs_of(scope)))
        .exec(txn)
        .await?;
    Ok(())
}

/// These may be tried now.
///
/// # Errors
/// When the database cannot be written.
pub async fn hurry_pairs(
    txn: &DatabaseTransaction,
    pairs: Vec<i64>,
    now: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .set(ActiveModel {
            next_at: Set(now),
            ..Default::default()
        })
        .filter(Column::PairId.is_in(pairs))
        .exec(txn)
        .await?;
    Ok(())
}

fn pairs_of(scope: Scope) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(qa_pair::Column::Id)
        .from(qa_pair::Entity)
        .cond_where(scope.on(qa_pair::Column::TenantId))
        .to_owned()
}

fn in_scope(scope: Scope, model: &str) -> Select<Entity> {
    Entity::find()
        .filter(Column::Model.eq(model))
        .filter(Column::PairId.in_subquery(pairs_of(scope)))
}

/// How many of a scope failed.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(
    connection: &impl ConnectionTrait,
    scope: Scope,
    model: &str,
) -> Result<u64, DbErr> {
    in_scope(scope, model).count(connection).await
}

/// The latest of a scope.
///
/// # Errors
/// When the database cannot be read.
pub async fn latest(
    connection: &impl ConnectionTrait,
    scope: Scope,
    model: &str,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    in_scope(scope, model)
        .order_by_desc(Column::FailedAt)
        .order_by_desc(Column::PairId)
        .limit(limit)
        .all(connection)
        .await
}
