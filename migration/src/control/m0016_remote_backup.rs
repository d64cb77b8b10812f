//! The remote that the day's dashboard numbers are pushed to, and why it would not take one of them.
//!
//! `remote_backups` has one row or none. `dashboard_stats.refused` is why a row was put aside: NULL when it was not.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0016_remote_backup"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE remote_backups (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    kind TEXT NOT NULL,
    shown TEXT NOT NULL,
    table_name TEXT NOT NULL,
    sealed $BYTES NOT NULL,
    sealed_key_id TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    interval_s BIGINT NOT NULL,
    keep_days BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    failing_since BIGINT,
    last_error TEXT,
    last_push_at BIGINT,
    last_rows BIGINT NOT NULL,
    pushed_rows BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
ALTER TABLE dashboard_stats ADD COLUMN refused TEXT;
"#;
