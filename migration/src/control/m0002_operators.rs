//! The people who sign in, what they may do, and the record of what they did.
//!
//! `roles.permissions` is an ordered list of patterns; a leading `!` takes away what an earlier one gave.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0002_operators"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE roles (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    permissions $JSON NOT NULL,
    built_in BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
INSERT INTO roles (public_id, name, permissions, built_in, created_at, updated_at, version) VALUES
    ('rol_opsadmin00000000000000', 'ops_admin', '["*"]', TRUE, $NOW, $NOW, 1),
    ('rol_opsviewer0000000000000', 'ops_viewer', '["read:*", "!read:conversations"]', TRUE, $NOW, $NOW, 1);

CREATE TABLE operators (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL REFERENCES roles (name),
    display_name TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    epoch BIGINT NOT NULL,
    must_change_password BOOLEAN NOT NULL,
    tenant_id BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    last_login_at BIGINT
);
CREATE INDEX operators_role ON operators (role);

CREATE TABLE sessions (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    operator_id BIGINT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    refresh_hash $BYTES NOT NULL UNIQUE,
    previous_hash $BYTES,
    family TEXT NOT NULL,
    ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX sessions_operator ON sessions (operator_id);
CREATE INDEX sessions_previous_hash ON sessions (previous_hash);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE operator_keys (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    operator_id BIGINT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    last4 TEXT NOT NULL,
    hash $BYTES NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX operator_keys_operator ON operator_keys (operator_id);

CREATE TABLE ops_logs (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    operator_id BIGINT,
    operator_name TEXT NOT NULL,
    action TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id TEXT NOT NULL,
    details $JSON NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL
);
CREATE INDEX ops_logs_operator ON ops_logs (operator_id);
CREATE INDEX ops_logs_target ON ops_logs (target_type, target_id);
CREATE INDEX ops_logs_at ON ops_logs (at);
"#;
