//! What pairs mean, as vectors of a model, and those that could not be embedded.
//!
//! Of one pair there may be vectors of several models: while another model is being changed to, questions are still
//! answered by the one that has all of them. `text_hash` is of the text that was embedded; `embedded_at` never goes back
//! within a model, so that whoever has read up to one has all before it. `is_refused`: the text itself was, by the model.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0035_qa_vectors"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE qa_vectors (
    pair_id BIGINT NOT NULL REFERENCES qa_pairs (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    tenant_id BIGINT NOT NULL,
    text_hash $BYTES NOT NULL,
    vector $BYTES NOT NULL,
    embedded_at BIGINT NOT NULL,
    PRIMARY KEY (pair_id, model)
);
CREATE INDEX qa_vectors_embedded ON qa_vectors (model, embedded_at, pair_id);

CREATE TABLE qa_sync_failures (
    pair_id BIGINT NOT NULL REFERENCES qa_pairs (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    is_refused BOOLEAN NOT NULL,
    attempts BIGINT NOT NULL,
    error TEXT NOT NULL,
    failed_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    PRIMARY KEY (pair_id, model)
);
CREATE INDEX qa_sync_failures_model ON qa_sync_failures (model, failed_at);
"#;
