//! Answers kept for a while, so that a request sent twice has its effect once.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DatabaseTransaction};

use crate::change::ChangeError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// As the client sent it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// Keys of two operators are different keys.
    #[sea_orm(primary_key, auto_increment = false)]
    pub operator_id: i64,
    /// Such as `POST /api/v1/tokens`.
    pub method_path: String,
    /// SHA-256: the same key with another body is a mistake to tell.
    pub body_hash: Vec<u8>,
    /// HTTP status of the kept answer.
    pub status: i64,
    /// The kept answer, without what is shown only once.
    pub response: Json,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The answer kept under the operator's key.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(
    connection: &impl ConnectionTrait,
    operator_id: i64,
    key: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((key.to_owned(), operator_id))
        .one(connection)
        .await
}

/// Keeps an answer, in the transaction of its effect.
///
/// # Errors
/// [`ChangeError::Duplicate`] when the same request is being answered twice: roll back and read the other's.
pub async fn insert(txn: &DatabaseTransaction, answer: Model) -> Result<(), ChangeError> {
    let row = ActiveModel {
        key: Set(answer.key),
        operator_id: Set(answer.operator_id),
        method_path: Set(answer.method_path),
        body_hash: Set(answer.body_hash),
        status: Set(answer.status),
        response: Set(answer.response),
        created_at: Set(answer.created_at),
    };
    Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}
