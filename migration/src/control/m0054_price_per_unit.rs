//! What a unit costs that a provider counts in place of tokens: the read units of a vector store.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0054_price_per_unit"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(
            manager,
            "ALTER TABLE prices ADD COLUMN per_unit_nano BIGINT NOT NULL DEFAULT 0",
        )
        .await
    }
}
