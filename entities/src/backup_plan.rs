//! Where database backups go, how often, and how many stay: one plan or none. The place and its keys are sealed together.

use sea_orm::ActiveValue::Set;
use sea_orm::DatabaseTransaction;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait as _};

use crate::change::{self, ChangeError, versioned};
use crate::column::HiddenBytes;

/// Key of the one row.
const THE_ONE: i64 = 1;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "backup_plans")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// `folder` or `bucket`.
    pub kind: String,
    /// What may be shown of the place.
    pub shown: String,
    /// The place, sealed.
    pub sealed: HiddenBytes,
    pub sealed_key_id: String,
    pub enabled: bool,
    /// Between two backups.
    pub interval_s: i64,
    pub keep_last: i64,
    pub keep_daily: i64,
    pub keep_weekly: i64,
    pub keep_monthly: i64,
    /// Whether each is restored somewhere and compared.
    pub drill: bool,
    /// When the next is due.
    pub next_at: i64,
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
    pub sealed: Vec<u8>,
    pub sealed_key_id: String,
    pub enabled: bool,
    pub interval_s: i64,
    pub keep_last: i64,
    pub keep_daily: i64,
    pub keep_weekly: i64,
    pub keep_monthly: i64,
    pub drill: bool,
    /// Public id of the operator.
    pub by: String,
}

impl Said {
    fn set(self) -> ActiveModel {
        ActiveModel {
            kind: Set(self.kind),
            shown: Set(self.shown),
            sealed: Set(HiddenBytes(self.sealed)),
            sealed_key_id: Set(self.sealed_key_id),
            enabled: Set(self.enabled),
            interval_s: Set(self.interval_s),
            keep_last: Set(self.keep_last),
            keep_daily: Set(self.keep_daily),
            keep_weekly: Set(self.keep_weekly),
            keep_monthly: Set(self.keep_monthly),
            drill: Set(self.drill),
            updated_by: Set(self.by),
            ..Default::default()
        }
    }
}

/// The plan, if there is one.
///
/// # Errors
/// When the database cannot be read.
pub async fn get(connection: &impl ConnectionTrait) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(THE_ONE).one(connection).await
}

/// Sets the first plan; its first backup is due at once.
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
        next_at: Set(at_micros),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..said.set()
    };
    Ok(row.insert(txn).await?)
}

/// Writes what operators say over `current`. The next backup is due when it was, or sooner when the interval is shorter.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    said: Said,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let latest = at_micros.saturating_add(said.interval_s.saturating_mul(1_000_000));
    let changes = ActiveModel {
        next_at: Set(Ord::min(current.next_at, latest)),
        ..said.set()
    };
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// Makes no more backups until an operator wants them again; whether it did.
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

/// Removes it. Backups that were made stay.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction) -> Result<(), DbErr> {
    Entity::delete_by_id(THE_ONE).exec(txn).await?;
    Ok(())
}

/// Takes the backup that is due at `now`: the next one is due at `next_at`. False when another node was faster, or nothing
/// is due.
///
/// # Errors
/// When the database cannot be written.
pub async fn take_turn(txn: &DatabaseTransaction, now: i64, next_at: i64) -> Result<bool, DbErr> {
    let taken = Entity::update_many()
        .col_expr(Column::NextAt, Expr::value(next_at))
        .filter(Column::Id.eq(THE_ONE))
        .filter(Column::Enabled.eq(true))
        .filter(Column::NextAt.lte(now))
        .exec(txn)
        .await?;
    Ok(taken.rows_affected > 0)
}

/// Seals its place anew; not a change of it.
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
