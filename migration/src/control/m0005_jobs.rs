//! Long work that outlives the request that asked for it, and the answers kept for repeated requests.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0005_jobs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE jobs (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    progress BIGINT NOT NULL,
    params $JSON NOT NULL,
    result $JSON,
    error TEXT,
    cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
    attempts BIGINT NOT NULL DEFAULT 0,
    node BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    heartbeat_at BIGINT
);
CREATE INDEX jobs_state ON jobs (state);

CREATE TABLE idempotency_keys (
    key TEXT NOT NULL,
    operator_id BIGINT NOT NULL,
    method_path TEXT NOT NULL,
    body_hash $BYTES NOT NULL,
    status BIGINT NOT NULL,
    response $JSON NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (operator_id, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
"#;
