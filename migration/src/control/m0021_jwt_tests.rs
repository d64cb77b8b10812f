//! Runs of the JWT test bench, and every result of theirs. A token that somebody gave to be tried lies sealed in its run
//! until that has ended.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0021_jwt_tests"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE jwt_tests (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    issuer_id TEXT NOT NULL,
    issuer_name TEXT NOT NULL,
    job_id TEXT NOT NULL,
    count BIGINT NOT NULL,
    concurrency BIGINT NOT NULL,
    call TEXT NOT NULL,
    model TEXT,
    token_sealed $BYTES,
    token_key_id TEXT,
    summary $JSON,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT
);
CREATE INDEX jwt_tests_issuer ON jwt_tests (issuer_id, id);

CREATE TABLE jwt_test_results (
    id $PK,
    test_id BIGINT NOT NULL REFERENCES jwt_tests (id),
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    issue_us BIGINT,
    verify_us BIGINT,
    call_us BIGINT,
    status BIGINT,
    request_id TEXT,
    failed_at TEXT,
    code TEXT,
    message TEXT,
    UNIQUE (test_id, number)
);
"#;
