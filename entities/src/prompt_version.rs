//! Versions of prompts: written once, never changed. Each names its parent, and its hash covers the parent's.
//!
//! What is hashed, and how, is the feature's to know; here hashes are text.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    Condition, DatabaseTransaction, FromQueryResult, PaginatorTrait, QueryOrder, QuerySelect,
};

use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ai_prompt_versions")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub prompt_id: i64,
    /// Counts from 1 within its prompt, without gaps.
    pub number: i64,
    /// Number of the version it was made from; none for the first.
    pub parent: Option<i64>,
    /// Number of the earlier version whose content it brings back.
    pub restores: Option<i64>,
    /// Canonical JSON.
    pub content: String,
    /// SHA-256 of `content`, hexadecimal.
    pub content_hash: String,
    /// SHA-256 over content, message, author, time and the parent's hash, hexadecimal.
    pub hash: String,
    pub message: String,
    /// Name of the operator who wrote it.
    pub author: String,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A version to keep.
#[derive(Clone, Debug)]
pub struct New {
    pub prompt_id: i64,
    pub number: i64,
    pub parent: Option<i64>,
    pub restores: Option<i64>,
    pub content: String,
    pub content_hash: String,
    pub hash: String,
    pub message: String,
    pub author: String,
    pub created_at: i64,
}

/// Which versions there are, without what they say.
#[derive(Clone, Debug, FromQueryResult, PartialEq, Eq)]
pub struct Stub {
    pub id: i64,
    pub prompt_id: i64,
    pub number: i64,
    pub hash: String,
}

/// Adds a version.
///
/// # Errors
/// When the database cannot be written, or has this number already.
pub async fn insert(txn: &DatabaseTransaction, new: New) -> Result<Model, DbErr> {
    let row = ActiveModel {
        prompt_id: Set(new.prompt_id),
        number: Set(new.number),
        parent: Set(new.parent),
        restores: Set(new.restores),
        content: Set(new.content),
        content_hash: Set(new.content_hash),
        hash: Set(new.hash),
        message: Set(new.message),
        author: Set(new.author),
        created_at: Set(new.created_at),
        ..Default::default()
    };
    row.insert(txn).await
}

/// All versions of all prompts, without what they say.
///
/// # Errors
/// When the database cannot be read.
pub async fn stubs(connection: &impl ConnectionTrait) -> Result<Vec<Stub>, DbErr> {
    Entity::find()
        .select_only()
        .columns([Column::Id, Column::PromptId, Column::Number, Column::Hash])
        .into_model()
        .all(connection)
        .await
}

/// By its key.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_id(connection: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(connection).await
}

/// One version.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_number(
    connection: &impl ConnectionTrait,
    prompt_id: i64,
    number: i64,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::PromptId.eq(prompt_id))
        .filter(Column::Number.eq(number))
        .one(connection)
        .await
}

/// A page of a prompt's versions, newest first; the page's key is the number.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    prompt_id: i64,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    page.of(
        Entity::find().filter(Column::PromptId.eq(prompt_id)),
        Column::Number,
    )
    .all(connection)
    .await
}

/// The newest versions of several prompts.
///
/// # Errors
/// When the database cannot be read.
pub async fn heads(
    connection: &impl ConnectionTrait,
    prompts: &[(i64, i64)],
) -> Result<Vec<Model>, DbErr> {
    let mut any = Condition::any();
    for (prompt_id, number) in prompts {
        any = any.add(
            Column::PromptId
                .eq(*prompt_id)
                .and(Column::Number.eq(*number)),
        );
    }
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    Entity::find().filter(any).all(connection).await
}

/// At most `limit` versions after number `after`, oldest first: for walking the whole chain.
///
/// # Errors
/// When the database cannot be read.
pub async fn after(
    connection: &impl ConnectionTrait,
    prompt_id: i64,
    after: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::PromptId.eq(prompt_id))
        .filter(Column::Number.gt(after))
        .order_by_asc(Column::Number)
        .limit(limit)
        .all(connection)
        .await
}

/// Hashes of a prompt's versions, the first one first.
///
/// # Errors
/// When the database cannot be read.
pub async fn hashes(
    connection: &impl ConnectionTrait,
    prompt_id: i64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Hash)
        .filter(Column::PromptId.eq(prompt_id))
        .order_by_asc(Column::Number)
        .into_tuple()
        .all(connection)
        .await
}

/// How many versions a prompt has.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, prompt_id: i64) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::PromptId.eq(prompt_id))
        .count(connection)
        .await
}
