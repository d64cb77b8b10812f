//! Notices that go out as one message, and who of several nodes sends them.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0031_notice_batches"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
ALTER TABLE outbox ADD COLUMN batch TEXT;
CREATE INDEX outbox_channel ON outbox (channel_id, state, id);

CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    node BIGINT NOT NULL,
    until_at BIGINT NOT NULL
);
"#;
