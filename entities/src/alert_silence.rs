//! Silences: for a while, nobody is told of alerts that fit. Ending one early moves its end.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, PaginatorTrait};

use crate::change::{self, ChangeError, versioned};
use crate::column::TextList;
use crate::public_id;
use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_silences")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// `label=value` or `label!=value`; all must fit.
    pub matchers: TextList,
    pub from_at: i64,
    /// The first moment that is loud again.
    pub to_at: i64,
    pub reason: String,
    /// Name of the operator.
    pub created_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// A silence to add.
#[derive(Clone, Debug)]
pub struct NewSilence {
    pub matchers: Vec<String>,
    pub from_at: i64,
    pub to_at: i64,
    pub reason: String,
    pub created_by: String,
}

/// Adds one.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewSilence,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(public_id::new("sil")),
        matchers: Set(TextList(new.matchers)),
        from_at: Set(new.from_at),
        to_at: Set(new.to_at),
        reason: Set(new.reason),
        created_by: Set(new.created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
    row.insert(txn).await
}

/// Those in force at a moment.
///
/// # Errors
/// When the database cannot be read.
pub async fn at(connection: &impl ConnectionTrait, at_micros: i64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::FromAt.lte(at_micros))
        .filter(Column::ToAt.gt(at_micros))
        .all(connection)
        .await
}

/// Ends one at a moment.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn end(
    txn: &DatabaseTransaction,
    current: &Model,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let set = ActiveModel {
        to_at: Set(at_micros),
        ..Default::default()
    };
    change::update::<Entity>(txn, current.id, current.version, set, at_micros).await
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
