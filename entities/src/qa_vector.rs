//! What pairs mean, as vectors. Written by `knowledge_sync`; whoever finds by them joins the pair, which knows whose it is.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, Condition, DatabaseTransaction, FromQueryResult, PaginatorTrait, QueryOrder,
    QuerySelect, Select,
};

use crate::qa_pair;
use crate::qa_sync_failure;
use crate::qa_sync_request;
use crate::scope::Scope;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "qa_vectors")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub pair_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    pub tenant_id: i64,
    /// Of the text that was embedded.
    pub text_hash: Vec<u8>,
    /// 32-bit floats, little-endian, of length 1.
    pub vector: Vec<u8>,
    pub embedded_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Writes vectors in place of older ones of the same pairs and models.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(txn: &DatabaseTransaction, rows: Vec<Model>) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.into_iter().map(|row| ActiveModel {
        pair_id: Set(row.pair_id),
        model: Set(row.model),
        tenant_id: Set(row.tenant_id),
        text_hash: Set(row.text_hash),
        vector: Set(row.vector),
        embedded_at: Set(row.embedded_at),
    });
    let replace = OnConflict::columns([Column::PairId, Column::Model])
        .update_columns([
            Column::TenantId,
            Column::TextHash,
            Column::Vector,
            Column::EmbeddedAt,
        ])
        .to_owned();
    Entity::insert_many(rows)
        .on_conflict(replace)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Those of these pairs.
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

/// Vectors of a model in the order in which they came, those after a place: when the last one came, and its pair.
///
/// # Errors
/// When the database cannot be read.
pub async fn after(
    connection: &impl ConnectionTrait,
    model: &str,
    place: (i64, i64),
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Model.eq(model))
        .filter(later(place))
        .order_by_asc(Column::EmbeddedAt)
        .order_by_asc(Column::PairId)
        .limit(limit)
        .all(connection)
        .await
}

/// How many vectors of a model and a scope came after a place.
///
/// # Errors
/// When the database cannot be read.
pub async fn count_after(
    connection: &impl ConnectionTrait,
    scope: Scope,
    model: &str,
    place: (i64, i64),
) -> Result<u64, DbErr> {
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::Model.eq(model))
        .filter(later(place))
        .count(connection)
        .await
}

fn later((embedded_at, pair_id): (i64, i64)) -> Condition {
    Condition::any()
        .add(Column::EmbeddedAt.gt(embedded_at))
        .add(
            Condition::all()
                .add(Column::EmbeddedAt.eq(embedded_at))
                .add(Column::PairId.gt(pair_id)),
        )
}

/// The keys of the pairs that have a vector of the model, by a page; those after `after`, ascending.
///
/// # Errors
/// When the database cannot be read.
pub async fn pair_ids(
    connection: &impl ConnectionTrait,
    model: &str,
    after: i64,
    limit: u64,
) -> Result<Vec<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::PairId)
        .filter(Column::Model.eq(model))
        .filter(Column::PairId.gt(after))
        .order_by_asc(Column::PairId)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
}

/// The vector of the model that came last.
///
/// # Errors
/// When the database cannot be read.
pub async fn latest(
    connection: &impl ConnectionTrait,
    model: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Model.eq(model))
        .order_by_desc(Column::EmbeddedAt)
        .order_by_desc(Column::PairId)
        .one(connection)
        .await
}

/// When a vector of any model was last written; none where there is none.
///
/// # Errors
/// When the database cannot be read.
pub async fn last_at(connection: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
    let last: Option<Option<i64>> = Entity::find()
        .select_only()
        .column_as(Column::EmbeddedAt.max(), "last_at")
        .into_tuple()
        .one(connection)
        .await?;
    Ok(last.flatten())
}

/// Forgets what a pair's vectors were of another text.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget_others(
    txn: &DatabaseTransaction,
    pair_id: i64,
    text_hash: &[u8],
) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::PairId.eq(pair_id))
        .filter(Column::TextHash.ne(text_hash.to_vec()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Forgets vectors of other models, those of so many pairs; how many pairs that were.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget_other_models(
    txn: &DatabaseTransaction,
    model: &str,
    limit: u64,
) -> Result<usize, DbErr> {
    let pairs: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::PairId)
        .filter(Column::Model.ne(model))
        .limit(limit)
        .into_tuple()
        .all(txn)
        .await?;
    if pairs.is_empty() {
        return Ok(0);
    }
    let found = pairs.len();
    Entity::delete_many()
        .filter(Column::Model.ne(model))
        .filter(Column::PairId.is_in(pairs))
        .exec(txn)
        .await?;
    Ok(found)
}

/// Of a pair: it has no vector of the model, or says something else than what was embedded.
pub(crate) fn lacking(model: &str) -> Condition {
    let of_pair = Query::select()
        .expr(Expr::val(1))
        .from(Entity)
        .and_where(
            Expr::col((Entity, Column::PairId)).equals((qa_pair::Entity, qa_pair::Column::Id)),
        )
        .and_where(Column::Model.eq(model))
        .to_owned();
    Condition::any()
        .add(qa_pair::Column::IsSynced.eq(false))
        .add(Expr::exists(of_pair).not())
}

/// Pairs that wait.
fn waiting(scope: Scope, model: &str) -> Select<qa_pair::Entity> {
    qa_pair::Entity::find()
        .filter(scope.on(qa_pair::Column::TenantId))
        .filter(lacking(model))
}

/// Which of what waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Which {
    All,
    /// What somebody asked for, and nothing else.
    Asked,
}

/// Whether a failure of the model at this pair stands that fulfils `which`.
fn failed(model: &str, which: Expr) -> Expr {
    let of_pair = Query::select()
        .expr(Expr::val(1))
        .from(qa_sync_failure::Entity)
        .and_where(
            Expr::col((qa_sync_failure::Entity, qa_sync_failure::Column::PairId))
                .equals((qa_pair::Entity, qa_pair::Column::Id)),
        )
        .and_where(qa_sync_failure::Column::Model.eq(model))
        .and_where(which)
        .to_owned();
    Expr::exists(of_pair)
}

/// What waits and may be tried now, by a page; those after `after`, ascending. What failed waits for its time.
///
/// # Errors
/// When the database cannot be read.
pub async fn due(
    connection: &impl ConnectionTrait,
    (model, which): (&str, Which),
    now: i64,
    after: i64,
    limit: u64,
) -> Result<Vec<qa_pair::Model>, DbErr> {
    let later = failed(model, qa_sync_failure::Column::NextAt.gt(now));
    let asked = (which == Which::Asked)
        .then(|| qa_pair::Column::Id.in_subquery(qa_sync_request::waiting_pairs()));
    waiting(Scope::All, model)
        .filter(Condition::all().add_option(asked))
        .filter(qa_pair::Column::Id.gt(after))
        .filter(later.not())
        .order_by_asc(qa_pair::Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// Which of these pairs wait.
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting_of(
    connection: &impl ConnectionTrait,
    model: &str,
    pairs: Vec<i64>,
) -> Result<Vec<i64>, DbErr> {
    waiting(Scope::All, model)
        .select_only()
        .column(qa_pair::Column::Id)
        .filter(qa_pair::Column::Id.is_in(pairs))
        .order_by_asc(qa_pair::Column::Id)
        .into_tuple()
        .all(connection)
        .await
}

/// Whether the model has embedded all that it takes.
///
/// # Errors
/// When the database cannot be read.
pub async fn is_complete(connection: &impl ConnectionTrait, model: &str) -> Result<bool, DbErr> {
    let refused = failed(model, qa_sync_failure::Column::IsRefused.eq(true));
    let wanting = waiting(Scope::All, model)
        .filter(refused.not())
        .limit(1)
        .one(connection)
        .await?;
    Ok(wanting.is_none())
}

/// How many wait, and since when the one that waits longest has said what it says.
#[derive(Clone, Copy, Debug, Default, Eq, FromQueryResult, PartialEq)]
pub struct Lag {
    pub waiting: i64,
    pub oldest_at: Option<i64>,
}

/// What waits in a scope.
///
/// # Errors
/// When the database cannot be read.
pub async fn lag(
    connection: &impl ConnectionTrait,
    scope: Scope,
    model: &str,
) -> Result<Lag, DbErr> {
    let found = waiting(scope, model)
        .select_only()
        .column_as(Expr::cust("COUNT(*)"), "waiting")
        .column_as(
            // Those that wait for another model only were answered for all the time.
            Expr::cust("MIN(CASE WHEN is_synced THEN NULL ELSE updated_at END)"),
            "oldest_at",
        )
        .into_model::<Lag>()
        .one(connection)
        .await?;
    Ok(found.unwrap_or_default())
}

/// How many pairs of a scope have a vector of the model.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(
    connection: &impl ConnectionTrait,
    scope: Scope,
    model: &str,
) -> Result<u64, DbErr> {
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::Model.eq(model))
        .count(connection)
        .await
}
