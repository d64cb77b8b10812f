//! Where the day's dashboard numbers are pushed: one remote or none. Its address and key are sealed together.
//!
//! What operators say and how it went lie in one row, but only the former is a change with a version.

use sea_orm::ActiveValue::Set;
use sea_orm::DatabaseTransaction;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait as _};

use crate::change::{self, ChangeError, versioned};
use crate::column::HiddenBytes;

/// Key of the one row.
const THE_ONE: i64 = 1;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "remote_backups")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// `postgres` or `postgrest`.
    pub kind: String,
    /// What may be shown of the address.
    pub shown: String,
    /// Of the table there.
    pub table_name: String,
    /// Address and key, sealed.
    pub sealed: HiddenBytes,
    pub sealed_key_id: String,
    pub enabled: bool,
    /// Between two pushes.
    pub interval_s: i64,
    /// Days kept there, counted back from the newest; 0: all.
    pub keep_days: i64,
    /// When the next push is due.
    pub next_at: i64,
    /// A node is pushing, and has until then.
    pub claimed_until: i64,
    /// Pushes that failed in a row.
    pub attempts: i64,
    pub failing_since: Option<i64>,
    /// What the last push came to, when it failed.
    pub last_error: Option<String>,
    /// The last push that succeeded, and how many rows it took.
    pub last_push_at: Option<i64>,
    pub last_rows: i64,
    /// Rows taken and pushes failed since the remote was set.
    pub pushed_rows: i64,
    pub failures: i64,
    /// Public id of the operator who changed it last.
    pub updated_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// What operators say of it.
#[derive(Clone, Debug)]
pub struct Said {
    pub kind: String,
    pub shown: String,
    pub table_name: String,
    pub sealed: Vec<u8>,
    pub sealed_key_id: String,
    pub enabled: bool,
    pub interval_s: i64,
    pub keep_days: i64,
    /// Public id of the operator.
    pub by: String,
}

/// The remote, if there is one.
///
/// # Errors
/// When the database cannot be read.
pub async fn get(connection: &impl ConnectionTrait) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(THE_ONE).one(connection).await
}

/// Sets the first remote.
///
/// # Errors
/// [`ChangeError::Duplicate`] when there is one.
pub async fn insert(
    txn: &DatabaseTransaction,
    said: Said,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        id: Set(THE_ONE),
        kind: Set(said.kind),
        shown: Set(said.shown),
        table_name: Set(said.table_name),
        sealed: Set(HiddenBytes(said.sealed)),
        sealed_key_id: Set(said.sealed_key_id),
        enabled: Set(said.enabled),
        interval_s: Set(said.interval_s),
        keep_days: Set(said.keep_days),
        next_at: Set(at_micros),
        claimed_until: Set(0),
        attempts: Set(0),
        failing_since: Set(None),
        last_error: Set(None),
        last_push_at: Set(None),
        last_rows: Set(0),
        pushed_rows: Set(0),
        failures: Set(0),
        updated_by: Set(said.by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
    };
    Ok(row.insert(txn).await?)
}

/// Writes what operators say over `current`; the next push is due at once.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    said: Said,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let changes = ActiveModel {
        kind: Set(said.kind),
        shown: Set(said.shown),
        table_name: Set(said.table_name),
        sealed: Set(HiddenBytes(said.sealed)),
        sealed_key_id: Set(said.sealed_key_id),
        enabled: Set(said.enabled),
        interval_s: Set(said.interval_s),
        keep_days: Set(said.keep_days),
        next_at: Set(at_micros),
        attempts: Set(0),
        failing_since: Set(None),
        last_error: Set(None),
        updated_by: Set(said.by),
        ..Default::default()
    };
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// Pushes nothing more until an operator wants it again; whether it did.
///
/// # Errors
/// When the database cannot be written.
pub async fn disable(txn: &DatabaseTransaction, at_micros: i64) -> Result<bool, DbErr> {
    let disabled = Entity::update_many()
        .col_expr(Column::Enabled, Expr::value(false))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAt, Expr::value(at_micros))
        .filter(Column::Enabled.eq(true))
        .exec(txn)
        .await?;
    Ok(disabled.rows_affected > 0)
}

/// Removes it. What lies there stays.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction) -> Result<(), DbErr> {
    Entity::delete_by_id(THE_ONE).exec(txn).await?;
    Ok(())
}

/// Seals its address anew; not a change of it.
///
/// # Errors
/// When the database cannot be written.
pub async fn reseal(txn: &DatabaseTransaction, sealed: Vec<u8>, key_id: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Sealed, Expr::value(HiddenBytes(sealed)))
        .col_expr(Column::SealedKeyId, Expr::value(key_id))
        .filter(Column::Id.eq(THE_ONE))
        .exec(txn)
        .await?;
    Ok(())
}

/// Takes the push that is due at `now`, or any when `urgent`, until `until`; false when nothing is due or another node
/// has it.
///
/// # Errors
/// When the database cannot be written.
pub async fn claim(
    txn: &DatabaseTransaction,
    urgent: bool,
    now: i64,
    until: i64,
) -> Result<bool, DbErr> {
    let mut taken = Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(until))
        .filter(Column::Id.eq(THE_ONE))
        .filter(Column::ClaimedUntil.lte(now));
    if !urgent {
        taken = taken
            .filter(Column::Enabled.eq(true))
            .filter(Column::NextAt.lte(now));
    }
    Ok(taken.exec(txn).await?.rows_affected > 0)
}

/// The push goes on; it has until then.
///
/// # Errors
/// When the database cannot be written.
pub async fn extend(txn: &DatabaseTransaction, until: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(until))
        .filter(Column::Id.eq(THE_ONE))
        .exec(txn)
        .await?;
    Ok(())
}

/// A push succeeded, and took so many rows.
///
/// # Errors
/// When the database cannot be written.
pub async fn pushed(
    txn: &DatabaseTransaction,
    rows: i64,
    now: i64,
    next_at: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(0))
        .col_expr(Column::NextAt, Expr::value(next_at))
        .col_expr(Column::Attempts, Expr::value(0))
        .col_expr(Column::FailingSince, Expr::value(None::<i64>))
        .col_expr(Column::LastError, Expr::value(None::<String>))
        .col_expr(Column::LastPushAt, Expr::value(now))
        .col_expr(Column::LastRows, Expr::value(rows))
        .col_expr(Column::PushedRows, Expr::col(Column::PushedRows).add(rows))
        .filter(Column::Id.eq(THE_ONE))
        .exec(txn)
        .await?;
    Ok(())
}

/// A push failed, after it took so many rows.
///
/// # Errors
/// When the database cannot be written.
pub async fn failed(
    txn: &DatabaseTransaction,
    rows: i64,
    why: &str,
    now: i64,
    next_at: i64,
) -> Result<(), DbErr> {
    let since = Expr::col(Column::FailingSince).if_null(Expr::value(now));
    Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(0))
        .col_expr(Column::NextAt, Expr::value(next_at))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .col_expr(Column::Failures, Expr::col(Column::Failures).add(1))
        .col_expr(Column::FailingSince, since)
        .col_expr(Column::LastError, Expr::value(why))
        .col_expr(Column::PushedRows, Expr::col(Column::PushedRows).add(rows))
        .filter(Column::Id.eq(THE_ONE))
        .exec(txn)
        .await?;
    Ok(())
}
