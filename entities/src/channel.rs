//! Channels: where notices go. Address and secrets are sealed together, since the address of a chat robot is a secret.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{DatabaseTransaction, PaginatorTrait, QueryOrder};

use crate::change::{self, ChangeError, versioned};
use crate::column::{HiddenBytes, TextList};
use crate::scope::Page;

/// A channel counts as failing when nothing arrived for so long.
const FAILS_AFTER_US: i64 = 600_000_000;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "channels")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// `webhook`, `slack`, …, `email`.
    pub kind: String,
    /// What may be shown of the address.
    pub shown: String,
    /// Of a channel by mail.
    pub recipients: TextList,
    /// Address and secrets, sealed.
    pub sealed: HiddenBytes,
    pub sealed_key_id: String,
    /// Whether it is told of rules that name no channel.
    pub takes_all: bool,
    pub enabled: bool,
    /// Why Steward itself disabled it.
    pub disabled_reason: Option<String>,
    /// Since when nothing arrives.
    pub failing_since: Option<i64>,
    /// What the last attempt came to, when it failed.
    pub last_error: Option<String>,
    pub last_delivered_at: Option<i64>,
    /// Until when its receiver asked not to be called.
    pub not_before: Option<i64>,
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

impl Model {
    /// Whether something may be sent to it at `now`.
    pub fn takes_at(&self, now: i64) -> bool {
        self.enabled && self.not_before.is_none_or(|until| until <= now)
    }

    /// Whether nothing arrived for so long at `now` that it counts as failing.
    pub fn fails_at(&self, now: i64) -> bool {
        self.failing_since
            .is_some_and(|since| now - since >= FAILS_AFTER_US)
    }
}

/// A channel to add. The seal is bound to the id, so the caller makes it.
#[derive(Clone, Debug)]
pub struct NewChannel {
    pub public_id: String,
    pub name: String,
    pub kind: String,
    pub shown: String,
    pub recipients: Vec<String>,
    pub sealed: Vec<u8>,
    pub sealed_key_id: String,
    pub takes_all: bool,
    pub enabled: bool,
    pub created_by: String,
}

/// Adds a channel.
///
/// # Errors
/// [`ChangeError::Duplicate`] when the name is taken.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewChannel,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(new.public_id),
        name: Set(new.name),
        kind: Set(new.kind),
        shown: Set(new.shown),
        recipients: Set(TextList(new.recipients)),
        sealed: Set(HiddenBytes(new.sealed)),
        sealed_key_id: Set(new.sealed_key_id),
        takes_all: Set(new.takes_all),
        enabled: Set(new.enabled),
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
/// [`ChangeError::Stale`] when `current` is no longer what is stored, [`ChangeError::Duplicate`] when the name is taken.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    changes: ActiveModel,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// Seals its address and secrets anew; not a change of the channel.
///
/// # Errors
/// When the database cannot be written.
pub async fn reseal(
    txn: &DatabaseTransaction,
    row: &Model,
    sealed: Vec<u8>,
    key_id: &str,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Sealed, Expr::value(HiddenBytes(sealed)))
        .col_expr(Column::SealedKeyId, Expr::value(key_id))
        .filter(Column::Id.eq(row.id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Something arrived.
///
/// # Errors
/// When the database cannot be written.
pub async fn delivered(txn: &DatabaseTransaction, id: i64, at_micros: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::LastDeliveredAt, Expr::value(at_micros))
        .col_expr(Column::FailingSince, Expr::value(None::<i64>))
        .col_expr(Column::LastError, Expr::value(None::<String>))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Something did not arrive.
///
/// # Errors
/// When the database cannot be written.
pub async fn failed(
    txn: &DatabaseTransaction,
    id: i64,
    error: &str,
    at_micros: i64,
) -> Result<(), DbErr> {
    let since = Expr::col(Column::FailingSince).if_null(Expr::value(at_micros));
    Entity::update_many()
        .col_expr(Column::FailingSince, since)
        .col_expr(Column::LastError, Expr::value(error))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Its receiver is not called before then; `None`: at any time.
///
/// # Errors
/// When the database cannot be written.
pub async fn spare(
    txn: &DatabaseTransaction,
    id: i64,
    not_before: Option<i64>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::NotBefore, Expr::value(not_before))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Takes one out of use, and says why.
///
/// # Errors
/// When the database cannot be written.
pub async fn disable(
    txn: &DatabaseTransaction,
    id: i64,
    reason: &str,
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Enabled, Expr::value(false))
        .col_expr(Column::DisabledReason, Expr::value(reason))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAt, Expr::value(at_micros))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Every channel, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_asc(Column::Id)
        .all(connection)
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

/// Removes it, and what still waits for it.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), DbErr> {
    Entity::delete_by_id(current.id).exec(txn).await?;
    Ok(())
}
