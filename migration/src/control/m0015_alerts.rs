//! Alerts: rules, where each series of them stands, incidents and what became of them, silences; and who is told:
//! channels, the outbox that outlives outages of theirs, and how far each operator has read.
//!
//! `alerts` and what hangs on it stay when their rule goes: history is told by names, not by references.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0015_alerts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE alert_rules (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    condition TEXT NOT NULL,
    window_s BIGINT NOT NULL,
    hold_for_s BIGINT NOT NULL,
    keep_firing_for_s BIGINT NOT NULL,
    severity TEXT NOT NULL,
    no_data TEXT NOT NULL,
    split_by $JSON NOT NULL,
    filter $JSON NOT NULL,
    channels $JSON NOT NULL,
    enabled BOOLEAN NOT NULL,
    evaluated_at BIGINT,
    error TEXT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE alert_series (
    id $PK,
    rule_id BIGINT NOT NULL REFERENCES alert_rules (id) ON DELETE CASCADE,
    labels_key TEXT NOT NULL,
    labels $JSON NOT NULL,
    rule_version BIGINT NOT NULL,
    state TEXT NOT NULL,
    active_at BIGINT,
    clear_since BIGINT,
    error_since BIGINT,
    changes $JSON NOT NULL,
    incident TEXT,
    acknowledged BOOLEAN NOT NULL,
    told_what TEXT,
    told_incident TEXT,
    told_at BIGINT,
    carried TEXT,
    value TEXT NOT NULL,
    UNIQUE (rule_id, labels_key)
);

CREATE TABLE alerts (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    rule_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    labels $JSON NOT NULL,
    condition TEXT NOT NULL,
    value TEXT NOT NULL,
    channels $JSON NOT NULL,
    active_at BIGINT NOT NULL,
    fired_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    acknowledged_by TEXT,
    resolved_at BIGINT,
    resolved_by TEXT
);
CREATE INDEX alerts_resolved ON alerts (resolved_at);

CREATE TABLE alert_transitions (
    id $PK,
    alert_id BIGINT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    at BIGINT NOT NULL,
    value TEXT NOT NULL,
    operator TEXT,
    told BOOLEAN NOT NULL
);
CREATE INDEX alert_transitions_alert ON alert_transitions (alert_id);
CREATE INDEX alert_transitions_told ON alert_transitions (told, id);

CREATE TABLE alert_silences (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    matchers $JSON NOT NULL,
    from_at BIGINT NOT NULL,
    to_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE channels (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    shown TEXT NOT NULL,
    recipients $JSON NOT NULL,
    sealed $BYTES NOT NULL,
    sealed_key_id TEXT NOT NULL,
    takes_all BOOLEAN NOT NULL,
    enabled BOOLEAN NOT NULL,
    disabled_reason TEXT,
    failing_since BIGINT,
    last_error TEXT,
    last_delivered_at BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE outbox (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    transition_id BIGINT NOT NULL,
    channel_id BIGINT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    incident TEXT NOT NULL,
    notice TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    reason TEXT,
    created_at BIGINT NOT NULL,
    done_at BIGINT,
    UNIQUE (transition_id, channel_id)
);
CREATE INDEX outbox_state ON outbox (state, id);

CREATE TABLE notification_reads (
    operator_id BIGINT PRIMARY KEY REFERENCES operators (id) ON DELETE CASCADE,
    read_to BIGINT NOT NULL
);
"#;
