//! Upstream accounts. The secret is sealed under the key `secret_key_id` of the key file.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0004_accounts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE accounts (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    protocol TEXT NOT NULL,
    base_url TEXT NOT NULL,
    secret_sealed $BYTES NOT NULL,
    secret_key_id TEXT NOT NULL,
    secret_last4 TEXT NOT NULL,
    models $JSON NOT NULL,
    aliases $JSON NOT NULL,
    priority BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    concurrency BIGINT,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    deleted_at BIGINT
);
"#;
