//! Sessions: a signed-in browser. Holds the hash of the refresh secret, which changes with every use.
//!
//! All secrets of one sign-in are a family. A secret that was already exchanged and comes back was stolen
//! (or the answer was lost): the caller decides, and may revoke the family.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, DatabaseTransaction, QueryOrder};

use crate::change::ChangeError;
use crate::public_id;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub operator_id: i64,
    /// SHA-256 of the refresh secret in force.
    pub refresh_hash: Vec<u8>,
    /// SHA-256 of the one before it.
    pub previous_hash: Option<Vec<u8>>,
    pub family: String,
    pub ip: String,
    pub user_agent: String,
    pub created_at: i64,
    pub expires_at: i64,
    pub rotated_at: i64,
    pub revoked_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A session to begin.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub operator_id: i64,
    pub refresh_hash: Vec<u8>,
    pub ip: String,
    pub user_agent: String,
    pub expires_at: i64,
}

/// Which of a session's secrets was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The one in force.
    Current(Model),
    /// One that was exchanged already.
    Previous(Model),
}

/// Begins a session.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewSession,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(public_id::new("ses")),
        operator_id: Set(new.operator_id),
        refresh_hash: Set(new.refresh_hash),
        previous_hash: Set(None),
        family: Set(public_id::new("fam")),
        ip: Set(new.ip),
        user_agent: Set(new.user_agent),
        created_at: Set(at_micros),
        expires_at: Set(new.expires_at),
        rotated_at: Set(at_micros),
        revoked_at: Set(None),
        ..Default::default()
    };
    row.insert(txn).await
}

/// The session a refresh secret belongs or belonged to; revoked and expired ones too.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_refresh_hash(
    connection: &impl ConnectionTrait,
    hash: &[u8],
) -> Result<Option<Presented>, DbErr> {
    let row = Entity::find()
        .filter(
            Condition::any()
                .add(Column::RefreshHash.eq(hash))
                .add(Column::PreviousHash.eq(hash)),
        )
        .one(connection)
        .await?;
    Ok(row.map(|row| {
        if row.refresh_hash == hash {
            Presented::Current(row)
        } else {
            Presented::Previous(row)
        }
    }))
}

/// One of the operator's sessions.
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

/// The operator's sessions that still open something, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list_active(
    connection: &impl ConnectionTrait,
    operator_id: i64,
    now_micros: i64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::OperatorId.eq(operator_id))
        .filter(Column::RevokedAt.is_null())
        .filter(Column::ExpiresAt.gt(now_micros))
        .order_by_desc(Column::Id)
        .all(connection)
        .await
}

/// Exchanges the refresh secret.
///
/// # Errors
/// [`ChangeError::Stale`] when it was exchanged or revoked in the meantime.
pub async fn rotate(
    txn: &DatabaseTransaction,
    current: &Model,
    refresh_hash: Vec<u8>,
    expires_at: i64,
    at_micros: i64,
) -> Result<(), ChangeError> {
    let written = Entity::update_many()
        .set(ActiveModel {
            refresh_hash: Set(refresh_hash),
            previous_hash: Set(Some(current.refresh_hash.clone())),
            expires_at: Set(expires_at),
            rotated_at: Set(at_micros),
            ..Default::default()
        })
        .filter(Column::Id.eq(current.id))
        .filter(Column::RefreshHash.eq(current.refresh_hash.as_slice()))
        .filter(Column::RevokedAt.is_null())
        .exec(txn)
        .await?;
    if written.rows_affected == 0 {
        return Err(ChangeError::Stale);
    }
    Ok(())
}

/// Ends one session. Ending it twice is fine.
///
/// # Errors
/// When the database cannot be written.
pub async fn revoke(txn: &DatabaseTransaction, id: i64, at_micros: i64) -> Result<(), DbErr> {
    revoke_where(txn, Column::Id.eq(id), at_micros).await?;
    Ok(())
}

/// Ends every session of one sign-in; answers how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn revoke_family(
    txn: &DatabaseTransaction,
    family: &str,
    at_micros: i64,
) -> Result<u64, DbErr> {
    revoke_where(txn, Column::Family.eq(family), at_micros).await
}

/// Ends every session of one operator; answers how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn revoke_all(
    txn: &DatabaseTransaction,
    operator_id: i64,
    at_micros: i64,
) -> Result<u64, DbErr> {
    revoke_where(txn, Column::OperatorId.eq(operator_id), at_micros).await
}

async fn revoke_where(
    txn: &DatabaseTransaction,
    which: impl sea_orm::sea_query::IntoCondition,
    at_micros: i64,
) -> Result<u64, DbErr> {
    let written = Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(at_micros))
        .filter(which)
        .filter(Column::RevokedAt.is_null())
        .exec(txn)
        .await?;
    Ok(written.rows_affected)
}
