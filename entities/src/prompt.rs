//! Prompts: a name, and which of its versions is the newest. What a version says: [`crate::prompt_version`].

use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{Condition, DatabaseTransaction, PaginatorTrait};

use crate::change::ChangeError;
use crate::public_id;
use crate::revision;
use crate::scope::{Page, contains};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ai_prompts")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// What applications ask for.
    pub name: String,
    pub description: String,
    /// Number of the newest version.
    pub head: i64,
    pub created_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

fn found(search: Option<&str>) -> Condition {
    Condition::all().add_option(search.map(|text| {
        Condition::any()
            .add(contains(Column::Name, text))
            .add(contains(Column::Description, text))
    }))
}

/// Adds a prompt whose first version, number 1, the caller adds in the same transaction.
///
/// # Errors
/// [`ChangeError::Duplicate`] when the name is taken.
pub async fn insert(
    txn: &DatabaseTransaction,
    name: String,
    description: String,
    created_by: String,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(public_id::new("prm")),
        name: Set(name),
        description: Set(description),
        head: Set(1),
        created_by: Set(created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
    let row = row.insert(txn).await?;
    revision::bump(txn).await?;
    Ok(row)
}

/// By key.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_id(connection: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(connection).await
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

/// All of them.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().all(connection).await
}

/// By name.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_name(
    connection: &impl ConnectionTrait,
    name: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Name.eq(name))
        .one(connection)
        .await
}

/// A page, newest first; `search` is a part of the name or of the description.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    search: Option<&str>,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    page.of(Entity::find().filter(found(search)), Column::Id)
        .all(connection)
        .await
}

/// How many `search` finds.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, search: Option<&str>) -> Result<u64, DbErr> {
    Entity::find().filter(found(search)).count(connection).await
}

/// Takes the row for a change of it and holds it until the transaction ends: whoever else would change it waits, so
/// that every writer sees what the one before left. The row's version rises by one.
///
/// # Errors
/// When the database cannot be written.
pub async fn take(
    txn: &DatabaseTransaction,
    public_id: &str,
    at_micros: i64,
) -> Result<Option<Model>, DbErr> {
    Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAt, Expr::val(at_micros))
        .filter(Column::PublicId.eq(public_id))
        .exec(txn)
        .await?;
    revision::bump(txn).await?;
    by_public_id(txn, public_id).await
}

/// Writes the set fields of `changes` over a row that was [`take`]n.
///
/// # Errors
/// [`ChangeError::Duplicate`] when the name is taken.
pub async fn write(
    txn: &DatabaseTransaction,
    taken: &Model,
    mut changes: ActiveModel,
) -> Result<Model, ChangeError> {
    changes.id = Unchanged(taken.id);
    Ok(changes.update(txn).await?)
}

/// Removes a prompt with its versions and labels.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, taken: &Model) -> Result<(), DbErr> {
    Entity::delete_by_id(taken.id).exec(txn).await?;
    revision::bump(txn).await
}
