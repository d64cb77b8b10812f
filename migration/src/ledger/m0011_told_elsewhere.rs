//! Calls that were told of afterwards (OTLP, batches) by when they were made: their keys say when they were told.

use sea_orm_migration::prelude::*;

pub(super) struct ToldElsewhere;

impl MigrationName for ToldElsewhere {
    fn name(&self) -> &str {
        "m0011_told_elsewhere"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ToldElsewhere {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE INDEX request_logs_told_elsewhere ON request_logs (request_at) WHERE source <> 0";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
