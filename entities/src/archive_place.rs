//! Where archived months go, besides the directory of the configuration: a folder or a bucket, its keys sealed. New months
//! go to the current one; those before it are remembered for as long as months lie there.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{DatabaseTransaction, QueryOrder};

use crate::archive;
use crate::change::{self, ChangeError, versioned};
use crate::column::HiddenBytes;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "archive_places")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// `folder` or `bucket`.
    pub kind: String,
    /// What may be shown of it; tells places apart.
    pub shown: String,
    /// The place, sealed.
    pub sealed: HiddenBytes,
    pub sealed_key_id: String,
    /// New months go there. At most one is.
    pub is_current: bool,
    /// Public id of the operator who said so.
    pub updated_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// A place, as an operator says it. The seal is bound to the id, so the caller makes it.
#[derive(Clone, Debug)]
pub struct Said {
    pub public_id: String,
    pub kind: String,
    pub shown: String,
    pub sealed: Vec<u8>,
    pub sealed_key_id: String,
    pub by: String,
}

/// Every place, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}

/// Where new months go; none: to the directory.
///
/// # Errors
/// When the database cannot be read.
pub async fn current(connection: &impl ConnectionTrait) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::IsCurrent.eq(true))
        .one(connection)
        .await
}

/// The place of a month.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_id(connection: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(connection).await
}

/// The place that is shown so.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_shown(
    connection: &impl ConnectionTrait,
    shown: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Shown.eq(shown))
        .one(connection)
        .await
}

/// Makes a place the current one, and keeps its keys: one that is known by what is shown of it gets new ones.
///
/// # Errors
/// [`ChangeError::Stale`] when somebody else changed it meanwhile.
pub async fn choose(
    txn: &DatabaseTransaction,
    said: Said,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let known = by_shown(txn, &said.shown).await?;
    let (before, id) = (
        current(txn).await?,
        known.as_ref().map_or(0, |known| known.id),
    );
    if before.is_some_and(|before| before.id != id) {
        leave(txn, at_micros).await?;
    }
    let changes = ActiveModel {
        kind: Set(said.kind),
        sealed: Set(HiddenBytes(said.sealed)),
        sealed_key_id: Set(said.sealed_key_id),
        is_current: Set(true),
        updated_by: Set(said.by),
        ..Default::default()
    };
    if let Some(known) = known {
        return change::update::<Entity>(txn, known.id, known.version, changes, at_micros).await;
    }
    let row = ActiveModel {
        public_id: Set(said.public_id),
        shown: Set(said.shown),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..changes
    };
    Ok(row.insert(txn).await?)
}

/// New months go to the directory again. A place where months lie stays known, so that they can be brought back.
///
/// # Errors
/// When the database cannot be written.
pub async fn leave(txn: &DatabaseTransaction, at_micros: i64) -> Result<(), DbErr> {
    let Some(before) = current(txn).await? else {
        return Ok(());
    };
    let used = archive::Entity::find()
        .filter(archive::Column::PlaceId.eq(before.id))
        .one(txn)
        .await?;
    if used.is_none() {
        Entity::delete_by_id(before.id).exec(txn).await?;
        return Ok(());
    }
    Entity::update_many()
        .col_expr(Column::IsCurrent, Expr::value(false))
        .col_expr(Column::UpdatedAt, Expr::value(at_micros))
        .col_expr(Column::Version, Expr::value(before.version + 1))
        .filter(Column::Id.eq(before.id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Seals it anew; not a change of it.
///
/// # Errors
/// When the database cannot be written.
pub async fn reseal(
    txn: &DatabaseTransaction,
    row: &Model,
    sealed: Vec<u8>,
    key_id: &str,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Sealed, Expr::value(HiddenBytes(sealed)))
        .col_expr(Column::SealedKeyId, Expr::value(key_id))
        .filter(Column::Id.eq(row.id))
        .exec(txn)
        .await?;
    Ok(())
}
