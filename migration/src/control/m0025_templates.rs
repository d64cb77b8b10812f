//! Templates of questions and answers, the pairs that tenants answer from, and which tenant has which template.
//!
//! `question_key` is the question without what does not matter of it (case, blanks, punctuation), so that the same one is
//! found however it was typed. `hash` is that of the text as it was handed out: a pair that has another was edited since.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0025_templates"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE templates (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    question TEXT NOT NULL,
    question_key TEXT NOT NULL UNIQUE,
    answer TEXT NOT NULL,
    category TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX templates_category ON templates (category, id);

CREATE TABLE qa_pairs (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    question TEXT NOT NULL,
    question_key TEXT NOT NULL,
    answer TEXT NOT NULL,
    category TEXT NOT NULL,
    source TEXT NOT NULL,
    template_id BIGINT REFERENCES templates (id) ON DELETE SET NULL,
    quality_score DOUBLE PRECISION,
    is_synced BOOLEAN NOT NULL,
    synced_at BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX qa_pairs_tenant ON qa_pairs (tenant_id, id);
CREATE INDEX qa_pairs_question ON qa_pairs (tenant_id, question_key);
CREATE INDEX qa_pairs_template ON qa_pairs (template_id);

CREATE TABLE template_distributions (
    template_id BIGINT NOT NULL REFERENCES templates (id) ON DELETE CASCADE,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    pair_id BIGINT REFERENCES qa_pairs (id) ON DELETE SET NULL,
    revision BIGINT NOT NULL,
    hash TEXT NOT NULL,
    outcome TEXT NOT NULL,
    job_id TEXT NOT NULL,
    distributed_at BIGINT NOT NULL,
    PRIMARY KEY (template_id, tenant_id)
);
CREATE INDEX template_distributions_pair ON template_distributions (pair_id);
"#;
