//! Runs of reports: what was counted, kept as it was told, and which notice took it out of the house.
//!
//! Whoever finds one has found its report first, in the caller's scope. The latest [`KEPT`] of a report stay.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{DatabaseTransaction, Iterable, PaginatorTrait, QueryOrder, QuerySelect, Select};

use crate::public_id;
use crate::scope::Page;

/// Runs of a report that stay.
pub const KEPT: u64 = 50;

/// It waits for its job, or is being counted.
pub const QUEUED: &str = "queued";
/// It was counted.
pub const DONE: &str = "done";
/// It could not be counted.
pub const FAILED: &str = "failed";

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "report_runs")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub report_id: i64,
    /// Public id of the job that counts.
    pub job_id: String,
    /// When the schedule asked for it; none when somebody did. Of a report there is one for each time.
    pub due_at: Option<i64>,
    /// Whether the report's channel is told.
    pub deliver: bool,
    /// One of the constants above.
    pub state: String,
    pub error: Option<String>,
    /// The report's as they were.
    pub name: String,
    pub definition: Json,
    /// The table.
    pub result: Option<Json>,
    pub result_rows: Option<i64>,
    /// Public id of its row in the outbox.
    pub message_id: Option<String>,
    /// Why there is none although it was to be told.
    pub delivery_error: Option<String>,
    /// Public id of the operator who asked, or `scheduler`.
    pub created_by: String,
    pub created_at: i64,
    pub finished_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A run to queue.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub public_id: String,
    pub job_id: String,
    pub due_at: Option<i64>,
    pub deliver: bool,
    pub created_by: String,
}

/// Queues a run of `report` as it stands.
///
/// # Errors
/// When the database cannot be written, or the schedule has asked for this one before.
pub async fn insert(
    txn: &DatabaseTransaction,
    report: &crate::report::Model,
    new: NewRun,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(new.public_id),
        report_id: Set(report.id),
        job_id: Set(new.job_id),
        due_at: Set(new.due_at),
        deliver: Set(new.deliver),
        state: Set(QUEUED.to_owned()),
        name: Set(report.name.clone()),
        definition: Set(report.definition.clone()),
        created_by: Set(new.created_by),
        created_at: Set(at_micros),
        ..Default::default()
    };
    row.insert(txn).await
}

/// A name for one to queue.
pub fn new_id() -> String {
    public_id::new("rrn")
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub result: Option<Json>,
    pub rows: Option<i64>,
    pub error: Option<String>,
    pub message_id: Option<String>,
    pub delivery_error: Option<String>,
}

/// Ends one that is queued; false when it had ended before.
///
/// # Errors
/// When the database cannot be written.
pub async fn finish(
    txn: &DatabaseTransaction,
    id: i64,
    outcome: Outcome,
    at_micros: i64,
) -> Result<bool, DbErr> {
    let state = if outcome.error.is_some() {
        FAILED
    } else {
        DONE
    };
    let changes = ActiveModel {
        state: Set(state.to_owned()),
        result: Set(outcome.result),
        result_rows: Set(outcome.rows),
        error: Set(outcome.error),
        message_id: Set(outcome.message_id),
        delivery_error: Set(outcome.delivery_error),
        finished_at: Set(Some(at_micros)),
        ..Default::default()
    };
    let ended = Entity::update_many()
        .set(changes)
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(QUEUED))
        .exec(txn)
        .await?;
    Ok(ended.rows_affected > 0)
}

/// Removes what is older than the latest [`KEPT`] runs of a report.
///
/// # Errors
/// When the database cannot be written.
pub async fn prune(txn: &DatabaseTransaction, report_id: i64) -> Result<(), DbErr> {
    let oldest: Option<i64> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::ReportId.eq(report_id))
        .order_by_desc(Column::Id)
        .offset(KEPT)
        .limit(1)
        .into_tuple()
        .one(txn)
        .await?;
    if let Some(oldest) = oldest {
        Entity::delete_many()
            .filter(Column::ReportId.eq(report_id))
            .filter(Column::Id.lte(oldest))
            .filter(Column::State.ne(QUEUED))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// By public id, whosever it is: for the job, and for the notifier.
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

/// One of a report's.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_report(
    connection: &impl ConnectionTrait,
    report: &crate::report::Model,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::ReportId.eq(report.id))
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// Rows whose table is left where it is: lists show none.
fn without_result() -> Select<Entity> {
    let columns = Column::iter().filter(|column| !matches!(column, Column::Result));
    Entity::find()
        .select_only()
        .columns(columns)
        .column_as(Expr::cust("NULL"), "result")
}

/// A page of a report's, newest first, without their tables.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    report: &crate::report::Model,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = without_result().filter(Column::ReportId.eq(report.id));
    page.of(query, Column::Id).all(connection).await
}

/// How many a report has.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(
    connection: &impl ConnectionTrait,
    report: &crate::report::Model,
) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::ReportId.eq(report.id))
        .count(connection)
        .await
}

/// Whether the report was asked for at this turn.
///
/// # Errors
/// When the database cannot be read.
pub async fn was_due(
    connection: &impl ConnectionTrait,
    report: &crate::report::Model,
    due_at: Option<i64>,
) -> Result<bool, DbErr> {
    let then = Entity::find()
        .filter(Column::ReportId.eq(report.id))
        .filter(Column::DueAt.eq(due_at));
    Ok(due_at.is_some() && then.count(connection).await? > 0)
}

/// Whether a run of the report waits to be counted.
///
/// # Errors
/// When the database cannot be read.
pub async fn waits(
    connection: &impl ConnectionTrait,
    report: &crate::report::Model,
) -> Result<bool, DbErr> {
    let waiting = Entity::find()
        .filter(Column::ReportId.eq(report.id))
        .filter(Column::State.eq(QUEUED));
    Ok(waiting.count(connection).await? > 0)
}

/// Runs that are queued, the oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn queued(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.eq(QUEUED))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// The latest run of each of these reports, without its table.
///
/// # Errors
/// When the database cannot be read.
pub async fn latest(
    connection: &impl ConnectionTrait,
    reports: impl IntoIterator<Item = i64>,
) -> Result<Vec<Model>, DbErr> {
    let ids: Vec<Option<i64>> = Entity::find()
        .select_only()
        .column_as(Expr::col(Column::Id).max(), "id")
        .filter(Column::ReportId.is_in(reports))
        .group_by(Column::ReportId)
        .into_tuple()
        .all(connection)
        .await?;
    without_result()
        .filter(Column::Id.is_in(ids.into_iter().flatten()))
        .all(connection)
        .await
}
