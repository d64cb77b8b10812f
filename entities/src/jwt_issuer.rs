//! Who vouches for users: issuers of the JWTs that the gateway takes. Keys and secrets are stored sealed; opening them is
//! not done here.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, PaginatorTrait, QueryOrder};

use crate::change::{self, ChangeError, versioned};
use crate::column::HiddenBytes;
use crate::revision;
use crate::scope::Page;

/// Keys are ours: Steward signs.
pub const OWN: &str = "own";
/// Public keys are fetched from an address.
pub const JWKS: &str = "jwks";
/// Both sides know a secret.
pub const SECRET: &str = "secret";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jwt_issuers")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Must be among their `aud`.
    pub audience: String,
    /// [`OWN`], [`JWKS`] or [`SECRET`].
    pub kind: String,
    /// The token whose tenant, limits, models, budgets and choices its callers have.
    pub token_id: i64,
    pub jwks_url: Option<String>,
    /// As fetched last.
    pub jwks: Option<Json>,
    pub jwks_fetched_at: Option<i64>,
    /// Signing keys or the shared secret; empty for [`JWKS`].
    pub keys_sealed: HiddenBytes,
    /// Which key of the key file sealed them.
    pub keys_key_id: String,
    /// Seconds that a token of ours holds unless asked otherwise.
    pub ttl_s: i64,
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

/// An issuer to add. Its public id is made first (`public_id::new("iss")`): the seal is bound to it.
#[derive(Clone, Debug)]
pub struct NewIssuer {
    pub public_id: String,
    pub name: String,
    pub issuer: String,
    pub audience: String,
    pub kind: &'static str,
    pub token_id: i64,
    pub jwks_url: Option<String>,
    pub jwks: Option<Json>,
    pub keys_sealed: Vec<u8>,
    pub keys_key_id: String,
    pub ttl_s: i64,
    pub enabled: bool,
    pub created_by: String,
}

/// Adds an issuer.
///
/// # Errors
/// [`ChangeError::Duplicate`] when its `iss` is taken.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewIssuer,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(new.public_id),
        name: Set(new.name),
        issuer: Set(new.issuer),
        audience: Set(new.audience),
        kind: Set(new.kind.to_owned()),
        token_id: Set(new.token_id),
        jwks_url: Set(new.jwks_url),
        jwks_fetched_at: Set(new.jwks.is_some().then_some(at_micros)),
        jwks: Set(new.jwks),
        keys_sealed: Set(HiddenBytes(new.keys_sealed)),
        keys_key_id: Set(new.keys_key_id),
        ttl_s: Set(new.ttl_s),
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

/// A page of them, newest first.
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

/// All of them, oldest first: for the gateway's snapshot and for resealing.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_asc(Column::Id)
        .all(connection)
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

/// Keeps a key set that was fetched; the issuer as people know it does not change, so its version stays.
///
/// # Errors
/// When the database cannot be written.
pub async fn fetched(
    txn: &DatabaseTransaction,
    public_id: &str,
    jwks: Json,
    at_micros: i64,
) -> Result<(), DbErr> {
    let changes = ActiveModel {
        jwks: Set(Some(jwks)),
        jwks_fetched_at: Set(Some(at_micros)),
        ..Default::default()
    };
    Entity::update_many()
        .set(changes)
        .filter(Column::PublicId.eq(public_id))
        .filter(Column::Kind.eq(JWKS))
        .exec(txn)
        .await?;
    revision::bump(txn).await?;
    Ok(())
}

/// Its keys were fetched, and are those that are known: nothing changed, so its revision stays.
///
/// # Errors
/// When the database cannot be written.
pub async fn fetched_same(
    txn: &DatabaseTransaction,
    public_id: &str,
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::JwksFetchedAt, Expr::value(at_micros))
        .filter(Column::PublicId.eq(public_id))
        .filter(Column::Kind.eq(JWKS))
        .exec(txn)
        .await?;
    Ok(())
}

/// Replaces the sealed form of unchanged keys (the key file got a new key); nothing is written when they changed since
/// `current` was read.
///
/// # Errors
/// When the database cannot be written.
pub async fn reseal(
    txn: &DatabaseTransaction,
    current: &Model,
    keys_sealed: Vec<u8>,
    keys_key_id: &str,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::KeysSealed, Expr::value(keys_sealed))
        .col_expr(Column::KeysKeyId, Expr::value(keys_key_id))
        .filter(Column::Id.eq(current.id))
        .filter(Column::Version.eq(current.version))
        .exec(txn)
        .await?;
    Ok(())
}

/// Removes it: its tokens open nothing from now on.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), DbErr> {
    Entity::delete_by_id(current.id).exec(txn).await?;
    revision::bump(txn).await
}
