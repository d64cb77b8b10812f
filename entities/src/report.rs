//! Reports: what is told of which days, and when. Each time it was told: [`crate::report_run`].
//!
//! A tenant's reports have its id; those of the installation have none.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{DatabaseTransaction, PaginatorTrait, QueryOrder, QuerySelect};

use crate::change::{self, ChangeError, versioned};
use crate::public_id;
use crate::scope::{Page, Scope};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "reports")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub tenant_id: Option<i64>,
    pub name: String,
    /// Range, filters, grouping, columns.
    pub definition: Json,
    /// When it is due; none: when somebody asks.
    pub schedule: Option<Json>,
    /// Public id of the channel that is told; it may be gone.
    pub channel: Option<String>,
    pub enabled: bool,
    /// When it is due next; none while it is disabled or has no schedule.
    pub next_at: Option<i64>,
    pub last_run_at: Option<i64>,
    /// Why the last run, or its delivery, failed.
    pub last_error: Option<String>,
    /// Public id of the operator who made it.
    pub created_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// A report to add.
#[derive(Clone, Debug)]
pub struct NewReport {
    pub tenant_id: Option<i64>,
    pub name: String,
    pub definition: Json,
    pub schedule: Option<Json>,
    pub channel: Option<String>,
    pub enabled: bool,
    pub next_at: Option<i64>,
    pub created_by: String,
}

/// Adds a report.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewReport,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(public_id::new("rep")),
        tenant_id: Set(new.tenant_id),
        name: Set(new.name),
        definition: Set(new.definition),
        schedule: Set(new.schedule),
        channel: Set(new.channel),
        enabled: Set(new.enabled),
        next_at: Set(new.next_at),
        created_by: Set(new.created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
    Ok(row.insert(txn).await?)
}

/// Writes the set fields of `changes` over `current`.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    changes: ActiveModel,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// Removes it, and its runs.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), DbErr> {
    Entity::delete_by_id(current.id).exec(txn).await?;
    Ok(())
}

/// By public id, of those in `scope`.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    scope: Scope,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// The report that a run is of.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_run(
    connection: &impl ConnectionTrait,
    run: &crate::report_run::Model,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(run.report_id).one(connection).await
}

/// A page of those in `scope`, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    scope: Scope,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(scope.on(Column::TenantId));
    page.of(query, Column::Id).all(connection).await
}

/// How many there are in `scope`.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, scope: Scope) -> Result<u64, DbErr> {
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .count(connection)
        .await
}

/// Those that are due at `now`, of whomever, the longest due first.
///
/// # Errors
/// When the database cannot be read.
pub async fn due(
    connection: &impl ConnectionTrait,
    now: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Enabled.eq(true))
        .filter(Column::NextAt.lte(now))
        .order_by_asc(Column::NextAt)
        .limit(limit)
        .all(connection)
        .await
}

/// Takes the run of `current` that is due: the next one is due at `next_at`. False when another node was faster, or
/// somebody changed the report. Its version stays: nobody edited it.
///
/// # Errors
/// When the database cannot be written.
pub async fn take_turn(
    txn: &DatabaseTransaction,
    current: &Model,
    next_at: Option<i64>,
) -> Result<bool, DbErr> {
    let taken = Entity::update_many()
        .col_expr(Column::NextAt, Expr::value(next_at))
        .filter(Column::Id.eq(current.id))
        .filter(Column::Version.eq(current.version))
        .filter(Column::Enabled.eq(true))
        .filter(Column::NextAt.eq(current.next_at))
        .exec(txn)
        .await?;
    Ok(taken.rows_affected > 0)
}

/// Writes down what the last run came to.
///
/// # Errors
/// When the database cannot be written.
pub async fn ran(
    txn: &DatabaseTransaction,
    id: i64,
    error: Option<&str>,
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::LastRunAt, Expr::value(at_micros))
        .col_expr(Column::LastError, Expr::value(error.map(str::to_owned)))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}
