//! Labels of prompts (`production`, `staging`): each points at one version, and is moved, never copied.

use sea_orm::ActiveValue::Set;
use sea_orm::DatabaseTransaction;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ai_prompt_labels")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub prompt_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub label: String,
    /// The version it points at.
    pub number: i64,
    pub updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// All of them.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().all(connection).await
}

/// Labels of several prompts.
///
/// # Errors
/// When the database cannot be read.
pub async fn of(
    connection: &impl ConnectionTrait,
    prompt_ids: impl IntoIterator<Item = i64>,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::PromptId.is_in(prompt_ids))
        .all(connection)
        .await
}

/// Points a label at a version, making it when there is none.
///
/// # Errors
/// When the database cannot be written.
pub async fn point(
    txn: &DatabaseTransaction,
    prompt_id: i64,
    label: String,
    number: i64,
    at_micros: i64,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        prompt_id: Set(prompt_id),
        label: Set(label),
        number: Set(number),
        updated_at: Set(at_micros),
    };
    Entity::insert(row)
        .on_conflict(
            OnConflict::columns([Column::PromptId, Column::Label])
                .update_columns([Column::Number, Column::UpdatedAt])
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Takes a label away; false when there was none.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, prompt_id: i64, label: &str) -> Result<bool, DbErr> {
    let removed = Entity::delete_by_id((prompt_id, label.to_owned()))
        .exec(txn)
        .await?;
    Ok(removed.rows_affected > 0)
}
