//! What people thought of an answer. A row says what is needed of its call by itself, since the call's own row lies in
//! another database and may be forgotten first; of one call every end user has one.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0024_feedback"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE user_feedback (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    rid BIGINT NOT NULL,
    id_tail BIGINT NOT NULL,
    token_id BIGINT NOT NULL,
    tenant_id BIGINT REFERENCES tenants (id),
    app TEXT NOT NULL,
    end_user TEXT NOT NULL,
    model TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    prompt_name TEXT NOT NULL,
    prompt_number BIGINT,
    rating BIGINT NOT NULL,
    category TEXT NOT NULL,
    comment TEXT NOT NULL,
    correction TEXT NOT NULL,
    status TEXT NOT NULL,
    resolution TEXT,
    handled_by TEXT,
    handled_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (rid, end_user)
);
CREATE INDEX user_feedback_status ON user_feedback (status, id);
CREATE INDEX user_feedback_tenant ON user_feedback (tenant_id, id);
CREATE INDEX user_feedback_created ON user_feedback (created_at);
CREATE INDEX user_feedback_prompt ON user_feedback (prompt_name, prompt_number);
"#;
