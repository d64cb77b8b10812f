//! What happens beside the calls and is never edited: measured values, the process's own log, probes, deliveries.
//!
//! Apart from the control tables, so that a busy log does not make an operator's change wait. Rows only come and, by
//! retention, go. No index beyond time and what a row is about: there are many rows and few readers.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "events/m0001_events"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

// Every `at` is microseconds since the Unix epoch, UTC.
const TABLES: &str = r#"
CREATE TABLE metrics_snapshots (
    id $PK,
    at BIGINT NOT NULL,
    metric TEXT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    dimensions $JSON NOT NULL,
    node BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX metrics_snapshots_metric ON metrics_snapshots (metric, at);
CREATE INDEX metrics_snapshots_at ON metrics_snapshots (at);

CREATE TABLE system_logs (
    id $PK,
    at BIGINT NOT NULL,
    level TEXT NOT NULL,
    target TEXT NOT NULL,
    message TEXT NOT NULL,
    user_id TEXT,
    request_id TEXT,
    fields $JSON NOT NULL,
    node BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX system_logs_at ON system_logs (at);
CREATE INDEX system_logs_level ON system_logs (level, at);

CREATE TABLE health_checks (
    id $PK,
    at BIGINT NOT NULL,
    component TEXT NOT NULL,
    status TEXT NOT NULL,
    latency_ms BIGINT,
    reason TEXT,
    certificate_expires_at BIGINT,
    details $JSON NOT NULL,
    node BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX health_checks_component ON health_checks (component, at);
CREATE INDEX health_checks_at ON health_checks (at);

CREATE TABLE deliveries (
    id $PK,
    at BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    status_code BIGINT,
    response TEXT,
    error TEXT,
    duration_ms BIGINT,
    node BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_message ON deliveries (message_id);
CREATE INDEX deliveries_channel ON deliveries (channel_id, at);
"#;
