//! Runs of prompts in the console's playground: which version, on which model, with which values, and what came of it. What
//! the call took and cost is on the books under its id.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0036_prompt_runs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLE).await
    }
}

const TABLE: &str = r#"
CREATE TABLE ai_prompt_runs (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    prompt_id BIGINT NOT NULL REFERENCES ai_prompts (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    model TEXT NOT NULL,
    token_id TEXT NOT NULL,
    variables TEXT NOT NULL,
    request_id TEXT NOT NULL,
    text TEXT NOT NULL,
    status_code BIGINT NOT NULL,
    error TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX ai_prompt_runs_prompt ON ai_prompt_runs (prompt_id, id);
"#;
