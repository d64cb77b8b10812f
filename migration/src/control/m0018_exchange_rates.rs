//! Exchange rates that were in force, and since when.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0018_exchange_rates"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

// Nothing is known of the past: what is noted first holds for all that was before it.
const TABLES: &str = "
CREATE TABLE exchange_rates (
    id $PK,
    cny_per_usd_nano BIGINT NOT NULL,
    valid_from BIGINT NOT NULL
);
";
