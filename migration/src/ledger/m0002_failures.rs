//! Failures of any status in key order: what went wrong lately is the question asked most.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

pub(super) struct Failures;

impl MigrationName for Failures {
    fn name(&self) -> &str {
        "m0002_failures"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Failures {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A few rows in a hundred, so neither index costs the writer anything to speak of. Every SQLite index
        // ends in the rowid, which is the rid; the equality makes its planner prefer it to the key. `NOT
        // success` is spelt unlike the other partial index's condition, so that SQLite, which compares words,
        // never takes this one where a status leads to the other.
        let columns = match manager.get_database_backend() {
            DbBackend::Sqlite => "success",
            _ => "rid",
        };
        let sql = format!(
            "CREATE INDEX request_logs_failures ON request_logs ({columns}) WHERE NOT success"
        );
        manager.get_connection().execute_unprepared(&sql).await?;
        Ok(())
    }
}
