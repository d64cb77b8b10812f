//! Pairs that somebody asked to have synchronised, by the job that asks, and what came of each.
//!
//! What is asked for is the pair, however it reads when its turn comes. `state` is `waiting`, `done` or `failed`; the job
//! removes its rows when it ends.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0044_qa_sync_requests"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLE).await
    }
}

const TABLE: &str = r#"
CREATE TABLE qa_sync_requests (
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    pair_id BIGINT NOT NULL REFERENCES qa_pairs (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    error TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    PRIMARY KEY (job_id, pair_id)
);
CREATE INDEX qa_sync_requests_pair ON qa_sync_requests (pair_id);
CREATE INDEX qa_sync_requests_state ON qa_sync_requests (state);
"#;
