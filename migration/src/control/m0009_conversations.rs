//! Operators' redaction rules, and the tombstones of deleted conversations; every token says how it redacts.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0009_conversations"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = "
UPDATE tokens SET redaction = 'redact' WHERE redaction = '';

CREATE TABLE redaction_rules (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    pattern TEXT NOT NULL,
    replacement TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE tombstones (
    id $PK,
    job_id TEXT NOT NULL,
    rid_from BIGINT NOT NULL,
    rid_to BIGINT NOT NULL,
    token_id BIGINT,
    tenant_id BIGINT,
    end_user TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX tombstones_rids ON tombstones (rid_to, rid_from);
";
