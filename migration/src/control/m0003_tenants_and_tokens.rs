//! Tenants, and the tokens that open the gateway. Limits are absent where nothing is limited; money is in
//! billionths, `hash` is SHA-256 of the secret, which itself is nowhere.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0003_tenants_and_tokens"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE tenants (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    suspended_at BIGINT,
    suspended_reason TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE tokens (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT REFERENCES tenants (id),
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    prefix TEXT NOT NULL,
    last4 TEXT NOT NULL,
    hash $BYTES NOT NULL UNIQUE,
    previous_hash $BYTES UNIQUE,
    previous_expires_at BIGINT,
    enabled BOOLEAN NOT NULL,
    expires_at BIGINT,
    allowed_models $JSON,
    rpm BIGINT,
    tpm BIGINT,
    concurrency BIGINT,
    token_quota BIGINT,
    daily_budget_nano BIGINT,
    monthly_budget_nano BIGINT,
    enable_conversation_logging BOOLEAN NOT NULL,
    redaction TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX tokens_tenant ON tokens (tenant_id);
"#;
