//! A request's only attempt, when the request's own row tells the rest of it, is two columns of that row.

use sea_orm_migration::prelude::*;

pub(super) struct LoneAttempts;

impl MigrationName for LoneAttempts {
    fn name(&self) -> &str {
        "m0003_lone_attempts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for LoneAttempts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in [
            // Microseconds from `request_at` to the attempt's start, and its duration. NULL: its attempts, if it
            // has any, are rows of `request_attempts`.
            "ALTER TABLE request_logs ADD COLUMN attempt_offset_us BIGINT",
            "ALTER TABLE request_logs ADD COLUMN attempt_ms BIGINT",
            "CREATE VIEW request_attempt_view AS \
             SELECT rid, ordinal, started_at, duration_ms, account_id, status_code, error_code \
             FROM request_attempts \
             UNION ALL \
             SELECT rid, CAST(1 AS SMALLINT), request_at + attempt_offset_us, attempt_ms, account_id, \
                 status_code, NULL \
             FROM request_logs WHERE attempt_ms IS NOT NULL",
        ] {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
