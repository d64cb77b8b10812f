//! What longer prompts cost, and what is written to a cache that keeps it for an hour.
//!
//! `tiers` is JSON, an array by rising `above`: rows are never changed and read only whole, so a table of its own would
//! only be joined again.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0053_price_tiers"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(
            manager,
            "ALTER TABLE prices ADD COLUMN cache_write_1h_nano BIGINT; ALTER TABLE prices ADD COLUMN tiers TEXT",
        )
        .await
    }
}
