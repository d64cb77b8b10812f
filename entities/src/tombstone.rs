//! Tombstones: which conversations were deleted, so that what still waits in a spool does not come back.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tombstones")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Public id of the job that deletes; empty when it was done at once.
    pub job_id: String,
    /// First record id it is about …
    pub rid_from: i64,
    /// … and the first beyond.
    pub rid_to: i64,
    /// Key of the token; `None`: any. The same holds below.
    pub token_id: Option<i64>,
    pub tenant_id: Option<i64>,
    pub end_user: Option<String>,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What was deleted: all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// First record id.
    pub rid_from: i64,
    /// First record id beyond.
    pub rid_to: i64,
    pub token_id: Option<i64>,
    pub tenant_id: Option<i64>,
    pub end_user: Option<String>,
}

impl Model {
    /// Whether it is about this conversation.
    pub fn covers(&self, rid: i64, token_id: i64, tenant_id: i64, end_user: &str) -> bool {
        (self.rid_from..self.rid_to).contains(&rid)
            && self.token_id.is_none_or(|id| id == token_id)
            && self.tenant_id.is_none_or(|id| id == tenant_id)
            && self.end_user.as_deref().is_none_or(|user| user == end_user)
    }
}

/// Sets one up. Must be committed before anything is deleted.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    connection: &impl ConnectionTrait,
    selection: Selection,
    job_id: String,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        job_id: Set(job_id),
        rid_from: Set(selection.rid_from),
        rid_to: Set(selection.rid_to),
        token_id: Set(selection.token_id),
        tenant_id: Set(selection.tenant_id),
        end_user: Set(selection.end_user),
        created_at: Set(at_micros),
        ..Default::default()
    };
    row.insert(connection).await
}

/// Those that could be about a record between `least` and `greatest`.
///
/// # Errors
/// When the database cannot be read.
pub async fn between(
    connection: &impl ConnectionTrait,
    least: i64,
    greatest: i64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RidTo.gt(least))
        .filter(Column::RidFrom.lte(greatest))
        .all(connection)
        .await
}
