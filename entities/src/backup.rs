//! Backups of the databases that were made, and what restoring them came to. What is in them, they say themselves.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{DatabaseTransaction, PaginatorTrait, QueryOrder};

use crate::public_id;
use crate::scope::Page;

/// It is being made.
pub const RUNNING: &str = "running";
/// It is there.
pub const COMPLETE: &str = "complete";
/// It was not made.
pub const FAILED: &str = "failed";
/// It was there, and made room for others.
pub const REMOVED: &str = "removed";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "backups")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// Of its folder.
    pub name: String,
    /// Where it is, as may be shown.
    pub place: String,
    /// Public id of the job that made it.
    pub job_id: String,
    /// [`RUNNING`], [`COMPLETE`], [`FAILED`] or [`REMOVED`].
    pub state: String,
    pub error: Option<String>,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub removed_at: Option<i64>,
    pub bytes: i64,
    pub table_rows: i64,
    pub parts: i64,
    /// When it was last restored somewhere and compared.
    pub drilled_at: Option<i64>,
    /// Whether it was all there.
    pub drill_works: Option<bool>,
    pub drill_error: Option<String>,
    pub drill_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A backup begins.
///
/// # Errors
/// When the database cannot be written.
pub async fn begin(
    txn: &DatabaseTransaction,
    name: String,
    place: String,
    job_id: String,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(public_id::new("bkp")),
        name: Set(name),
        place: Set(place),
        job_id: Set(job_id),
        state: Set(RUNNING.to_owned()),
        started_at: Set(at_micros),
        bytes: Set(0),
        table_rows: Set(0),
        parts: Set(0),
        ..Default::default()
    };
    row.insert(txn).await
}

/// It is there.
///
/// # Errors
/// When the database cannot be written.
pub async fn complete(
    txn: &DatabaseTransaction,
    id: i64,
    (bytes, table_rows, parts): (i64, i64, i64),
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(COMPLETE))
        .col_expr(Column::FinishedAt, Expr::value(at_micros))
        .col_expr(Column::Bytes, Expr::value(bytes))
        .col_expr(Column::TableRows, Expr::value(table_rows))
        .col_expr(Column::Parts, Expr::value(parts))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// It was not made.
///
/// # Errors
/// When the database cannot be written.
pub async fn fail(
    txn: &DatabaseTransaction,
    id: i64,
    why: &str,
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(FAILED))
        .col_expr(Column::FinishedAt, Expr::value(at_micros))
        .col_expr(Column::Error, Expr::value(why))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// It made room for others.
///
/// # Errors
/// When the database cannot be written.
pub async fn removed(txn: &DatabaseTransaction, id: i64, at_micros: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(REMOVED))
        .col_expr(Column::RemovedAt, Expr::value(at_micros))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// What restoring it came to: why it did not, or nothing.
///
/// # Errors
/// When the database cannot be written.
pub async fn drilled(
    txn: &DatabaseTransaction,
    id: i64,
    error: Option<&str>,
    took_ms: i64,
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::DrilledAt, Expr::value(at_micros))
        .col_expr(Column::DrillWorks, Expr::value(error.is_none()))
        .col_expr(Column::DrillError, Expr::value(error.map(str::to_owned)))
        .col_expr(Column::DrillMs, Expr::value(took_ms))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// A page, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(connection: &impl ConnectionTrait, page: Page) -> Result<Vec<Model>, DbErr> {
    page.of(Entity::find(), Column::Id).all(connection).await
}

/// How many there are.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().count(connection).await
}

/// Those of a place in a state, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn in_state(
    connection: &impl ConnectionTrait,
    state: &str,
    place: &str,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.eq(state))
        .filter(Column::Place.eq(place))
        .order_by_desc(Column::Id)
        .all(connection)
        .await
}

/// Those that are being made, wherever.
///
/// # Errors
/// When the database cannot be read.
pub async fn running(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.eq(RUNNING))
        .all(connection)
        .await
}

/// The newest that is there.
///
/// # Errors
/// When the database cannot be read.
pub async fn newest(connection: &impl ConnectionTrait) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.eq(COMPLETE))
        .order_by_desc(Column::Id)
        .one(connection)
        .await
}

/// The one that was restored last.
///
/// # Errors
/// When the database cannot be read.
pub async fn last_drilled(connection: &impl ConnectionTrait) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::DrilledAt.is_not_null())
        .order_by_desc(Column::DrilledAt)
        .one(connection)
        .await
}

/// By public id.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}
