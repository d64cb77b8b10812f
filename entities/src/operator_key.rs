//! Operator keys: long-lived credentials with which an operator's scripts sign in.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, PaginatorTrait};

use crate::public_id;
use crate::scope::Page;
use crate::token::KeptSecret;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operator_keys")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub operator_id: i64,
    pub name: String,
    pub prefix: String,
    pub last4: String,
    /// SHA-256 of the secret.
    pub hash: Vec<u8>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Adds a key.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    operator_id: i64,
    name: String,
    secret: KeptSecret,
    expires_at: Option<i64>,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(public_id::new("opk")),
        operator_id: Set(operator_id),
        name: Set(name),
        prefix: Set(secret.prefix),
        last4: Set(secret.last4),
        hash: Set(secret.hash),
        created_at: Set(at_micros),
        expires_at: Set(expires_at),
        last_used_at: Set(None),
        revoked_at: Set(None),
        ..Default::default()
    };
    row.insert(txn).await
}

/// The key with this hash, if it still opens something. Unscoped: it tells who is asking.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_hash(
    connection: &impl ConnectionTrait,
    hash: &[u8],
    now_micros: i64,
) -> Result<Option<Model>, DbErr> {
    let row = Entity::find()
        .filter(Column::Hash.eq(hash))
        .filter(Column::RevokedAt.is_null())
        .one(connection)
        .await?;
    Ok(row.filter(|key| key.expires_at.is_none_or(|until| until > now_micros)))
}

/// One of the operator's keys; revoked ones too.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    operator_id: i64,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::OperatorId.eq(operator_id))
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// A page of the operator's keys that are not revoked, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    operator_id: i64,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find()
        .filter(Column::OperatorId.eq(operator_id))
        .filter(Column::RevokedAt.is_null());
    page.of(query, Column::Id).all(connection).await
}

/// How many keys of the operator are not revoked.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, operator_id: i64) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::OperatorId.eq(operator_id))
        .filter(Column::RevokedAt.is_null())
        .count(connection)
        .await
}

/// Closes one of the operator's keys; false when there was nothing to close.
///
/// # Errors
/// When the database cannot be written.
pub async fn revoke(
    txn: &DatabaseTransaction,
    operator_id: i64,
    id: i64,
    at_micros: i64,
) -> Result<bool, DbErr> {
    let written = Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(at_micros))
        .filter(Column::Id.eq(id))
        .filter(Column::OperatorId.eq(operator_id))
        .filter(Column::RevokedAt.is_null())
        .exec(txn)
        .await?;
    Ok(written.rows_affected > 0)
}

/// Notes a use. Callers do so at most once a minute per key, not on every request.
///
/// # Errors
/// When the database cannot be written.
pub async fn touch(txn: &DatabaseTransaction, id: i64, at_micros: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(at_micros))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}
