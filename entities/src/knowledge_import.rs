//! Files of pairs that are brought in: what the file is, and how far the last job came with it.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DatabaseTransaction};

use crate::public_id;
use crate::scope::Scope;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "knowledge_imports")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// Whose the pairs become.
    pub tenant_id: i64,
    pub file_name: String,
    pub file_bytes: i64,
    /// `csv` or `xlsx`.
    pub format: String,
    /// What a text was read as; none of a workbook.
    pub encoding: Option<String>,
    pub delimiter: Option<String>,
    /// Rows that are not empty, a header included.
    pub row_count: i64,
    /// The last job that worked on it, whether it was to write, and what came of it so far.
    pub job_id: Option<String>,
    pub dry_run: bool,
    pub offset_bytes: i64,
    pub rows_done: i64,
    pub created: i64,
    pub updated: i64,
    /// Were there already, and say the same.
    pub unchanged: i64,
    /// Were there already, say something else, and were left as they are.
    pub kept: i64,
    pub bad: i64,
    /// All is brought in; the file is no longer needed.
    pub ended_at: Option<i64>,
    pub created_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    /// The node in whose data directory the rows lie; unknown of a file that came before nodes were written down.
    pub node: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A file that has come.
#[derive(Clone, Debug)]
pub struct New {
    pub public_id: String,
    pub tenant_id: i64,
    pub file_name: String,
    pub file_bytes: i64,
    pub format: String,
    pub encoding: Option<String>,
    pub delimiter: Option<String>,
    pub row_count: i64,
    pub created_by: String,
    pub node: i64,
}

/// An id for a file that is about to come.
pub fn new_id() -> String {
    public_id::new("imp")
}

/// Writes down a file that has come.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(txn: &DatabaseTransaction, new: New, at_micros: i64) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(new.public_id),
        tenant_id: Set(new.tenant_id),
        file_name: Set(new.file_name),
        file_bytes: Set(new.file_bytes),
        format: Set(new.format),
        encoding: Set(new.encoding),
        delimiter: Set(new.delimiter),
        row_count: Set(new.row_count),
        job_id: Set(None),
        dry_run: Set(false),
        offset_bytes: Set(0),
        rows_done: Set(0),
        created: Set(0),
        updated: Set(0),
        unchanged: Set(0),
        kept: Set(0),
        bad: Set(0),
        ended_at: Set(None),
        created_by: Set(new.created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        node: Set(Some(new.node)),
        ..Default::default()
    };
    row.insert(txn).await
}

/// By public id.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    scope: Scope,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// Begins a run of `job_id`: nothing is done yet.
///
/// # Errors
/// When the database cannot be written.
pub async fn begin(
    txn: &DatabaseTransaction,
    row: Model,
    job_id: String,
    dry_run: bool,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let begun = Model {
        job_id: Some(job_id),
        dry_run,
        offset_bytes: 0,
        rows_done: 0,
        created: 0,
        updated: 0,
        unchanged: 0,
        kept: 0,
        bad: 0,
        ..row
    };
    save(txn, &begun, at_micros).await?;
    Ok(begun)
}

/// Writes down how far it is.
///
/// # Errors
/// When the database cannot be written.
pub async fn save(txn: &DatabaseTransaction, row: &Model, at_micros: i64) -> Result<(), DbErr> {
    let changes = ActiveModel {
        job_id: Set(row.job_id.clone()),
        dry_run: Set(row.dry_run),
        offset_bytes: Set(row.offset_bytes),
        rows_done: Set(row.rows_done),
        created: Set(row.created),
        updated: Set(row.updated),
        unchanged: Set(row.unchanged),
        kept: Set(row.kept),
        bad: Set(row.bad),
        ended_at: Set(row.ended_at),
        updated_at: Set(at_micros),
        ..Default::default()
    };
    Entity::update_many()
        .set(changes)
        .filter(Column::Id.eq(row.id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Forgets it, and its errors.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, id: i64) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(txn).await?;
    Ok(())
}

/// Those that nobody has touched since.
///
/// # Errors
/// When the database cannot be read.
pub async fn untouched_since(
    connection: &impl ConnectionTrait,
    before_micros: i64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UpdatedAt.lt(before_micros))
        .all(connection)
        .await
}
