//! Months whose archive was begun, and the rows that came for them later.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(super) struct ArchiveLate;

impl MigrationName for ArchiveLate {
    fn name(&self) -> &str {
        "m0057_archive_late"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ArchiveLate {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, crate::ARCHIVE_LATE).await
    }
}
