//! Accounts: upstream credentials. The secret is stored sealed; opening it is not done here.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, PaginatorTrait, QueryOrder};

use crate::change::{self, ChangeError, versioned};
use crate::column::{HiddenBytes, TextList, TextMap};
use crate::revision;
use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "accounts")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// Whose model it is (`openai`, `anthropic`, `deepseek` …): a label, prices go by it.
    pub provider: String,
    /// What is spoken on the wire: `openai` or `anthropic`.
    pub protocol: String,
    /// What SDKs call base URL.
    pub base_url: String,
    pub secret_sealed: HiddenBytes,
    /// Which key of the key file sealed it.
    pub secret_key_id: String,
    pub secret_last4: String,
    /// Entries may end in `*`.
    pub models: TextList,
    /// Name the caller uses → name the upstream knows.
    pub aliases: TextMap,
    /// Lower is tried first.
    pub priority: i64,
    /// Share among accounts of the same priority.
    pub weight: i64,
    /// Calls at the same time.
    pub concurrency: Option<i64>,
    pub enabled: bool,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
    pub deleted_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// An account to add. Its public id is made first (`public_id::new("acc")`): the seal is bound to it.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub public_id: String,
    pub name: String,
    pub provider: String,
    pub protocol: String,
    pub base_url: String,
    pub secret_sealed: Vec<u8>,
    pub secret_key_id: String,
    pub secret_last4: String,
    pub models: Vec<String>,
    pub aliases: TextMap,
    pub priority: i64,
    pub weight: i64,
    pub concurrency: Option<i64>,
    pub enabled: bool,
}

/// Adds an account.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewAccount,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(new.public_id),
        name: Set(new.name),
        provider: Set(new.provider),
        protocol: Set(new.protocol),
        base_url: Set(new.base_url),
        secret_sealed: Set(HiddenBytes(new.secret_sealed)),
        secret_key_id: Set(new.secret_key_id),
        secret_last4: Set(new.secret_last4),
        models: Set(TextList(new.models)),
        aliases: Set(new.aliases),
        priority: Set(new.priority),
        weight: Set(new.weight),
        concurrency: Set(new.concurrency),
        enabled: Set(new.enabled),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        deleted_at: Set(None),
        ..Default::default()
    };
    let row = row.insert(txn).await?;
    revision::bump(txn).await?;
    Ok(row)
}

/// By public id; not the deleted.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::PublicId.eq(public_id))
        .filter(Column::DeletedAt.is_null())
        .one(connection)
        .await
}

/// A page of those not deleted, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(connection: &impl ConnectionTrait, page: Page) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::DeletedAt.is_null());
    page.of(query, Column::Id).all(connection).await
}

/// Every account not deleted, oldest first: for the gateway's snapshot and for resealing.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::DeletedAt.is_null())
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}

/// How many are not deleted.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::DeletedAt.is_null())
        .count(connection)
        .await
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

/// Takes it out of use for good. The row stays for the books, its secret does not.
///
/// # Errors
/// As [`update`].
pub async fn remove(
    txn: &DatabaseTransaction,
    current: &Model,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let changes = ActiveModel {
        enabled: Set(false),
        secret_sealed: Set(HiddenBytes(Vec::new())),
        deleted_at: Set(Some(at_micros)),
        ..Default::default()
    };
    update(txn, current, changes, at_micros).await
}

/// Replaces the sealed form of an unchanged secret (the key file got a new key). The account as people know
/// it does not change, so its version stays. Nothing is written when the
/// secret was sealed anew since `current` was read.
///
/// # Errors
/// When the database cannot be written.
pub async fn reseal(
    txn: &DatabaseTransaction,
    current: &Model,
    secret_sealed: Vec<u8>,
    secret_key_id: &str,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::SecretSealed, Expr::value(secret_sealed))
        .col_expr(Column::SecretKeyId, Expr::value(secret_key_id))
        .filter(Column::Id.eq(current.id))
        .filter(Column::SecretKeyId.eq(current.secret_key_id.as_str()))
        .filter(Column::Version.eq(current.version))
        .exec(txn)
        .await?;
    Ok(())
}
