//! What feedback taught: of every approved piece one candidate, from which a pair may be made.
//!
//! `missing` says what keeps an incomplete one from being a pair; `pair_id` what a taken one became.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0040_qa_candidates"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLE).await
    }
}

const TABLE: &str = r#"
CREATE TABLE qa_candidates (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    feedback_id BIGINT NOT NULL UNIQUE REFERENCES user_feedback (id) ON DELETE CASCADE,
    tenant_id BIGINT REFERENCES tenants (id),
    question TEXT NOT NULL,
    question_key TEXT NOT NULL,
    answer TEXT NOT NULL,
    origin TEXT NOT NULL,
    status TEXT NOT NULL,
    missing TEXT,
    pair_id BIGINT REFERENCES qa_pairs (id) ON DELETE SET NULL,
    decided_by TEXT,
    decided_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX qa_candidates_status ON qa_candidates (status, id);
CREATE INDEX qa_candidates_tenant ON qa_candidates (tenant_id, id);
CREATE INDEX qa_candidates_pair ON qa_candidates (pair_id);
"#;
