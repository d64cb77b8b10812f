//! Reports: what is told of which days and when, and every time it was.
//!
//! `channel` is a public id and no reference: a report whose channel was removed stays, and says so. A run that was asked
//! for by a schedule has `due_at`, of which there is one.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0043_reports"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE reports (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT REFERENCES tenants (id),
    name TEXT NOT NULL,
    definition $JSON NOT NULL,
    schedule $JSON,
    channel TEXT,
    enabled BOOLEAN NOT NULL,
    next_at BIGINT,
    last_run_at BIGINT,
    last_error TEXT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX reports_tenant ON reports (tenant_id, id);
CREATE INDEX reports_next ON reports (next_at);

CREATE TABLE report_runs (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    report_id BIGINT NOT NULL REFERENCES reports (id) ON DELETE CASCADE,
    job_id TEXT NOT NULL,
    due_at BIGINT,
    deliver BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    name TEXT NOT NULL,
    definition $JSON NOT NULL,
    result $JSON,
    result_rows BIGINT,
    message_id TEXT,
    delivery_error TEXT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    UNIQUE (report_id, due_at)
);
CREATE INDEX report_runs_report ON report_runs (report_id, id);
CREATE INDEX report_runs_state ON report_runs (state, id);
"#;
