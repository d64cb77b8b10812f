//! An archived month may be written in several parts: what came for it later makes another.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0057_archive_parts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, COLUMNS).await
    }
}

const COLUMNS: &str = "
ALTER TABLE archives ADD COLUMN parts BIGINT NOT NULL DEFAULT 1;
ALTER TABLE archives ADD COLUMN written_at BIGINT NOT NULL DEFAULT 0;
UPDATE archives SET written_at = created_at;
";
