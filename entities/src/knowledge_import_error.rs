//! Rows of an imported file that were no pair, and why. Reached through the import, which knows whose it is.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, QueryOrder, QuerySelect};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "knowledge_import_errors")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub import_id: i64,
    /// As a spreadsheet numbers its rows, an editor its lines.
    pub row_number: i64,
    /// What was wrong of it: `question`, `answer`, `category`, `quality_score`.
    pub field: String,
    /// One word.
    pub reason: String,
    /// The same as a sentence.
    pub message: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A row that was no pair.
#[derive(Clone, Debug)]
pub struct New {
    pub row_number: i64,
    pub field: &'static str,
    pub reason: &'static str,
    pub message: String,
}

/// Writes them down.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert_all(
    txn: &DatabaseTransaction,
    import_id: i64,
    new: Vec<New>,
) -> Result<(), DbErr> {
    if new.is_empty() {
        return Ok(());
    }
    let rows = new.into_iter().map(|new| ActiveModel {
        import_id: Set(import_id),
        row_number: Set(new.row_number),
        field: Set(new.field.to_owned()),
        reason: Set(new.reason.to_owned()),
        message: Set(new.message),
        ..Default::default()
    });
    Entity::insert_many(rows)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Forgets those of an import.
///
/// # Errors
/// When the database cannot be written.
pub async fn clear(txn: &DatabaseTransaction, import_id: i64) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::ImportId.eq(import_id))
        .exec(txn)
        .await?;
    Ok(())
}

/// In the order of the file, those after the row of the key `after`.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    import_id: i64,
    after: Option<i64>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::ImportId.eq(import_id))
        .filter(Column::Id.gt(after.unwrap_or(0)))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
}
