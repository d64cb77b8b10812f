//! The first ledger: request log, attempts, totals, cursor, names, dead letters and the readable view.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

pub(super) struct Books;

impl MigrationName for Books {
    fn name(&self) -> &str {
        "m0001_books"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Books {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = match manager.get_database_backend() {
            DbBackend::Sqlite => include_str!("m0001_books.sqlite.sql"),
            DbBackend::Postgres => include_str!("m0001_books.postgres.sql"),
            other => {
                return Err(DbErr::Custom(format!(
                    "the ledger has no schema for {other:?}"
                )));
            }
        };
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
