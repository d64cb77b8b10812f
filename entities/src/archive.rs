//! Months that were written to files that stay: what is in each, what it hashes to, and whether it was brought back.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, QueryOrder};

use crate::public_id;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "archives")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// `request_logs` or `contents`.
    pub kind: String,
    /// Such as `2026-03`, by record ids; UTC.
    pub month: String,
    /// Of calls or conversations.
    pub rows: i64,
    /// Of its files.
    pub bytes: i64,
    /// Its manifest, below its place: names its files, with their hashes and numbers of rows.
    pub manifest: String,
    /// Of the manifest, hexadecimal.
    pub sha256: String,
    /// Microseconds since the Unix epoch, as all that follow.
    pub created_at: i64,
    /// When it was last brought back.
    pub imported_at: Option<i64>,
    /// Until when retention leaves what was brought back.
    pub kept_until: Option<i64>,
    /// Where it lies; none: in the directory of the configuration.
    pub place_id: Option<i64>,
    /// How many parts it was written in: what came late makes another.
    pub parts: i64,
    /// When the last of them was.
    pub written_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A month that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewArchive {
    pub kind: &'static str,
    pub month: String,
    pub rows: i64,
    pub bytes: i64,
    pub manifest: String,
    pub sha256: String,
    pub place_id: Option<i64>,
    pub parts: i64,
}

/// A month with one part more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Further {
    /// With this one.
    pub parts: i64,
    /// Of all of them, as the rest.
    pub rows: i64,
    pub bytes: i64,
    pub manifest: String,
    pub sha256: String,
}

/// Writes down that a month is archived; `None` when another node was faster.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewArchive,
    at_micros: i64,
) -> Result<Option<Model>, DbErr> {
    if of_month(txn, new.kind, &new.month).await?.is_some() {
        return Ok(None);
    }
    let row = ActiveModel {
        public_id: Set(public_id::new("arc")),
        kind: Set(new.kind.to_owned()),
        month: Set(new.month),
        rows: Set(new.rows),
        bytes: Set(new.bytes),
        manifest: Set(new.manifest),
        sha256: Set(new.sha256),
        created_at: Set(at_micros),
        place_id: Set(new.place_id),
        parts: Set(new.parts),
        written_at: Set(at_micros),
        ..Default::default()
    };
    row.insert(txn).await.map(Some)
}

/// Writes down that a month has one part more; `false` when another node was faster.
///
/// # Errors
/// When the database cannot be written.
pub async fn add_part(
    txn: &DatabaseTransaction,
    id: i64,
    further: Further,
    at_micros: i64,
) -> Result<bool, DbErr> {
    let updated = Entity::update_many()
        .col_expr(Column::Parts, further.parts.into())
        .col_expr(Column::Rows, further.rows.into())
        .col_expr(Column::Bytes, further.bytes.into())
        .col_expr(Column::Manifest, further.manifest.into())
        .col_expr(Column::Sha256, further.sha256.into())
        .col_expr(Column::WrittenAt, at_micros.into())
        .filter(Column::Id.eq(id))
        .filter(Column::Parts.eq(further.parts - 1))
        .exec(txn)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// A month, if it is archived.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_month(
    connection: &impl ConnectionTrait,
    kind: &str,
    month: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Kind.eq(kind))
        .filter(Column::Month.eq(month))
        .one(connection)
        .await
}

/// Every archived month, the newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_desc(Column::Month)
        .order_by_asc(Column::Kind)
        .all(connection)
        .await
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

/// It is being brought back: retention leaves it until `kept_until`.
///
/// # Errors
/// When the database cannot be written.
pub async fn mark_imported(
    txn: &DatabaseTransaction,
    id: i64,
    at_micros: i64,
    kept_until: i64,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(id),
        imported_at: Set(Some(at_micros)),
        kept_until: Set(Some(kept_until)),
        ..Default::default()
    };
    row.update(txn).await?;
    Ok(())
}
