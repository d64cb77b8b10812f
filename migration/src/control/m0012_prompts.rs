//! Prompts as git keeps text: a prompt is a name and a head, a version is never changed, a label points at one.
//!
//! What a version says is kept as canonical JSON text, not as the database's JSON: its hash must hold for ever.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0012_prompts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE ai_prompts (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    head BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE ai_prompt_versions (
    id $PK,
    prompt_id BIGINT NOT NULL REFERENCES ai_prompts (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    parent BIGINT,
    restores BIGINT,
    content TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    message TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (prompt_id, number)
);

CREATE TABLE ai_prompt_labels (
    prompt_id BIGINT NOT NULL REFERENCES ai_prompts (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    number BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (prompt_id, label)
);
"#;
