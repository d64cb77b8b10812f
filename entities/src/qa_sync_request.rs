//! Pairs that a job asks to have synchronised, and what came of each. What waits here is embedded even where nothing else is
//! (`scheduler.auto_sync_enabled` off). Reached through the job, whose author was asked whose pairs they may be.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query, SelectStatement};
use sea_orm::{
    ActiveValue::Set, DatabaseTransaction, FromQueryResult, QueryOrder, QuerySelect, Select,
};

use crate::{qa_pair, qa_sync_failure, qa_vector};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
    #[sea_orm(string_value = "waiting")]
    Waiting,
    #[sea_orm(string_value = "done")]
    Done,
    #[sea_orm(string_value = "failed")]
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "qa_sync_requests")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub job_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub pair_id: i64,
    pub state: State,
    /// A sentence without secrets; empty unless it failed.
    pub error: String,
    pub asked_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Asks for pairs; what the job asked for already stays as it is. How many are new.
///
/// # Errors
/// When the database cannot be written.
pub async fn ask(
    txn: &DatabaseTransaction,
    job_id: i64,
    pairs: Vec<i64>,
    at_micros: i64,
) -> Result<u64, DbErr> {
    if pairs.is_empty() {
        return Ok(0);
    }
    let rows = pairs.into_iter().map(|pair_id| ActiveModel {
        job_id: Set(job_id),
        pair_id: Set(pair_id),
        state: Set(State::Waiting),
        error: Set(String::new()),
        asked_at: Set(at_micros),
    });
    Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([Column::JobId, Column::PairId])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await
}

/// Which of these pairs the job asked for.
///
/// # Errors
/// When the database cannot be read.
pub async fn asked(
    connection: &impl ConnectionTrait,
    job_id: i64,
    pairs: Vec<i64>,
) -> Result<Vec<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::PairId)
        .filter(Column::JobId.eq(job_id))
        .filter(Column::PairId.is_in(pairs))
        .into_tuple()
        .all(connection)
        .await
}

/// Whether anything waits that anybody asked for.
///
/// # Errors
/// When the database cannot be read.
pub async fn any_waiting(connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let one: Option<i64> = Entity::find()
        .select_only()
        .column(Column::PairId)
        .filter(Column::State.eq(State::Waiting))
        .limit(1)
        .into_tuple()
        .one(connection)
        .await?;
    Ok(one.is_some())
}

/// The keys of the pairs that wait, whoever asked.
pub(crate) fn waiting_pairs() -> SelectStatement {
    Query::select()
        .column(Column::PairId)
        .from(Entity)
        .and_where(Column::State.eq(State::Waiting))
        .to_owned()
}

fn waiting(job_id: i64) -> Select<Entity> {
    Entity::find()
        .filter(Column::JobId.eq(job_id))
        .filter(Column::State.eq(State::Waiting))
}

/// Of what the job waits for, some that the model has embedded as it reads and that are where questions look for them.
///
/// # Errors
/// When the database cannot be read.
pub async fn well(
    connection: &impl ConnectionTrait,
    job_id: i64,
    model: &str,
    limit: u64,
) -> Result<Vec<i64>, DbErr> {
    let lacking = Query::select()
        .expr(Expr::val(1))
        .from(qa_pair::Entity)
        .and_where(
            Expr::col((qa_pair::Entity, qa_pair::Column::Id)).equals((Entity, Column::PairId)),
        )
        .cond_where(qa_vector::lacking(model))
        .to_owned();
    waiting(job_id)
        .select_only()
        .column(Column::PairId)
        .filter(Expr::exists(lacking).not())
        .order_by_asc(Column::PairId)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
}

/// Of what the job waits for, some that were tried since it asked and failed, and why.
///
/// # Errors
/// When the database cannot be read.
pub async fn tried_in_vain(
    connection: &impl ConnectionTrait,
    job_id: i64,
    model: &str,
    limit: u64,
) -> Result<Vec<(i64, String)>, DbErr> {
    let failure = |column| (qa_sync_failure::Entity, column);
    let same_pair =
        Expr::col(failure(qa_sync_failure::Column::PairId)).equals((Entity, Column::PairId));
    let since = Expr::col(failure(qa_sync_failure::Column::FailedAt))
        .gte(Expr::col((Entity, Column::AskedAt)));
    let mut found = waiting(job_id).select_only().column(Column::PairId);
    QuerySelect::query(&mut found).inner_join(qa_sync_failure::Entity, same_pair);
    found
        .column_as(
            Expr::col(failure(qa_sync_failure::Column::Error)),
            "of_failure",
        )
        .filter(Expr::col(failure(qa_sync_failure::Column::Model)).eq(model))
        .filter(since)
        .order_by_asc(Column::PairId)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
}

/// Says what came of some, or of all that still wait.
///
/// # Errors
/// When the database cannot be written.
pub async fn settle(
    txn: &DatabaseTransaction,
    job_id: i64,
    pairs: Option<Vec<i64>>,
    state: State,
    error: &str,
) -> Result<(), DbErr> {
    let these = pairs.map(|pairs| Column::PairId.is_in(pairs));
    Entity::update_many()
        .set(ActiveModel {
            state: Set(state),
            error: Set(error.to_owned()),
            ..Default::default()
        })
        .filter(Column::JobId.eq(job_id))
        .filter(Column::State.eq(State::Waiting))
        .filter(sea_orm::Condition::all().add_option(these))
        .exec(txn)
        .await?;
    Ok(())
}

/// How the job's pairs stand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    pub waiting: i64,
    pub done: i64,
    pub failed: i64,
}

#[derive(FromQueryResult)]
struct Counted {
    state: State,
    pairs: i64,
}

/// How the job's pairs stand.
///
/// # Errors
/// When the database cannot be read.
pub async fn counts(connection: &impl ConnectionTrait, job_id: i64) -> Result<Counts, DbErr> {
    let found = Entity::find()
        .select_only()
        .column(Column::State)
        .column_as(Expr::cust("COUNT(*)"), "pairs")
        .filter(Column::JobId.eq(job_id))
        .group_by(Column::State)
        .into_model::<Counted>()
        .all(connection)
        .await?;
    let mut counts = Counts::default();
    for one in found {
        match one.state {
            State::Waiting => counts.waiting = one.pairs,
            State::Done => counts.done = one.pairs,
            State::Failed => counts.failed = one.pairs,
        }
    }
    Ok(counts)
}

/// Why pairs of the job failed, and how many of each reason, the most frequent first.
///
/// # Errors
/// When the database cannot be read.
pub async fn reasons(
    connection: &impl ConnectionTrait,
    job_id: i64,
    limit: u64,
) -> Result<Vec<(String, i64)>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Error)
        .column_as(Expr::cust("COUNT(*)"), "pairs")
        .filter(Column::JobId.eq(job_id))
        .filter(Column::State.eq(State::Failed))
        .group_by(Column::Error)
        .order_by_desc(Expr::cust("COUNT(*)"))
        .order_by_asc(Column::Error)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
}

/// Forgets some of what the job asked for; how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn clear(txn: &DatabaseTransaction, job_id: i64, limit: u64) -> Result<u64, DbErr> {
    let some = Query::select()
        .column(Column::PairId)
        .from(Entity)
        .and_where(Column::JobId.eq(job_id))
        .limit(limit)
        .to_owned();
    let gone = Entity::delete_many()
        .filter(Column::JobId.eq(job_id))
        .filter(Column::PairId.in_subquery(some))
        .exec(txn)
        .await?;
    Ok(gone.rows_affected)
}
