//! Months whose archive was begun, and the conversations that came for them later; and whether this month's file is about
//! to be removed (SQLite).

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "contents/m0003_archive_late"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = format!(
            "{}; CREATE TABLE content_farewell (rid_from BIGINT NOT NULL PRIMARY KEY)",
            crate::ARCHIVE_LATE
        );
        dialect::run(manager, &tables).await
    }
}
