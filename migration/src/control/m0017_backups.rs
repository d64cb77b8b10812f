//! Database backups: where they go and when (one row or none), those that were made, and what restoring them came to.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0017_backups"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE backup_plans (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    kind TEXT NOT NULL,
    shown TEXT NOT NULL,
    sealed $BYTES NOT NULL,
    sealed_key_id TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    interval_s BIGINT NOT NULL,
    keep_last BIGINT NOT NULL,
    keep_daily BIGINT NOT NULL,
    keep_weekly BIGINT NOT NULL,
    keep_monthly BIGINT NOT NULL,
    drill BOOLEAN NOT NULL,
    next_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE backups (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    place TEXT NOT NULL,
    job_id TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    removed_at BIGINT,
    bytes BIGINT NOT NULL,
    table_rows BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    drilled_at BIGINT,
    drill_works BOOLEAN,
    drill_error TEXT,
    drill_ms BIGINT
);
CREATE INDEX backups_state ON backups (state, id);
"#;
