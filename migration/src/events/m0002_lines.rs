//! A kept line of the log knows its number: it is the same line in memory and in the table, and a batch that is written
//! twice is there once.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "events/m0002_lines"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(
            manager,
            "ALTER TABLE system_logs ADD COLUMN line BIGINT NOT NULL DEFAULT 0; \
             UPDATE system_logs SET line = id; \
             CREATE UNIQUE INDEX system_logs_line ON system_logs (line, node)",
        )
        .await
    }
}
