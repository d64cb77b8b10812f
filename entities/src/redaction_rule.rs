//! Operators' own redaction rules: regular expressions beside the built-in ones.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, PaginatorTrait};

use crate::change::{self, ChangeError, versioned};
use crate::scope::Page;
use crate::{public_id, revision};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "redaction_rules")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// A regular expression.
    pub pattern: String,
    /// What stands where it matched, to the letter.
    pub replacement: String,
    pub enabled: bool,
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

/// A rule to add.
#[derive(Clone, Debug)]
pub struct NewRule {
    pub name: String,
    pub pattern: String,
    pub replacement: String,
    pub enabled: bool,
    pub created_by: String,
}

/// Adds a rule.
///
/// # Errors
/// [`ChangeError::Duplicate`] when the name is taken.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewRule,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(public_id::new("red")),
        name: Set(new.name),
        pattern: Set(new.pattern),
        replacement: Set(new.replacement),
        enabled: Set(new.enabled),
        created_by: Set(new.created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
    let row = row.insert(txn).await?;
    revision::bump(txn).await?;
    Ok(row)
}

/// Every rule in force, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn enabled(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    use sea_orm::QueryOrder;
    Entity::find()
        .filter(Column::Enabled.eq(true))
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
    let row =
        change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await?;
    revision::bump(txn).await?;
    Ok(row)
}

/// Removes it.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), DbErr> {
    Entity::delete_by_id(current.id).exec(txn).await?;
    revision::bump(txn).await
}
