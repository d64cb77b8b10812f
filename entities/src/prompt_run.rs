//! Runs of a prompt's versions in the playground. What a call took and cost is the ledger's to tell, by `request_id`.

use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, PaginatorTrait};

use crate::public_id;
use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ai_prompt_runs")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub prompt_id: i64,
    /// Number of the version.
    pub number: i64,
    pub model: String,
    /// Public id of the token on whose behalf.
    pub token_id: String,
    /// JSON object: what the variables were filled in with.
    pub variables: String,
    /// The call's.
    pub request_id: String,
    /// What the model said, as far as it came.
    pub text: String,
    /// 0 until the answer began.
    pub status_code: i64,
    /// Empty when it went well.
    pub error: String,
    /// Name of the operator.
    pub created_by: String,
    pub created_at: i64,
    /// Absent while it runs, and for good when whoever asked left before its end.
    pub ended_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A run that begins.
#[derive(Clone, Debug)]
pub struct New {
    pub prompt_id: i64,
    pub number: i64,
    pub model: String,
    pub token_id: String,
    pub variables: String,
    pub request_id: String,
    pub created_by: String,
    pub created_at: i64,
}

/// Adds a run.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(txn: &DatabaseTransaction, new: New) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(public_id::new("run")),
        prompt_id: Set(new.prompt_id),
        number: Set(new.number),
        model: Set(new.model),
        token_id: Set(new.token_id),
        variables: Set(new.variables),
        request_id: Set(new.request_id),
        text: Set(String::new()),
        status_code: Set(0),
        error: Set(String::new()),
        created_by: Set(new.created_by),
        created_at: Set(new.created_at),
        ended_at: Set(None),
        ..Default::default()
    };
    row.insert(txn).await
}

/// Writes the set fields of `changes` over a run.
///
/// # Errors
/// When the database cannot be written, or the run is gone.
pub async fn write(
    txn: &DatabaseTransaction,
    id: i64,
    mut changes: ActiveModel,
) -> Result<Model, DbErr> {
    changes.id = Unchanged(id);
    changes.update(txn).await
}

/// A page of a prompt's runs, newest first.
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
        Column::Id,
    )
    .all(connection)
    .await
}

/// How many runs a prompt has.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, prompt_id: i64) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::PromptId.eq(prompt_id))
        .count(connection)
        .await
}

/// Removes a run of a prompt; false when there was none.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(
    txn: &DatabaseTransaction,
    prompt_id: i64,
    public_id: &str,
) -> Result<bool, DbErr> {
    let removed = Entity::delete_many()
        .filter(Column::PromptId.eq(prompt_id))
        .filter(Column::PublicId.eq(public_id))
        .exec(txn)
        .await?;
    Ok(removed.rows_affected > 0)
}
