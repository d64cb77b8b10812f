//! Candidates follow their feedback: which version of it they were learnt from, which other candidate says the same
//! (`merged_into`), and which pair asks nearly the same (`alike_pair_id`).

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0049_candidates_follow_feedback"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, COLUMNS).await
    }
}

const COLUMNS: &str = r#"
ALTER TABLE qa_candidates ADD COLUMN feedback_version BIGINT NOT NULL DEFAULT 0;
UPDATE qa_candidates SET feedback_version =
    COALESCE((SELECT version FROM user_feedback WHERE user_feedback.id = qa_candidates.feedback_id), 0);
ALTER TABLE qa_candidates ADD COLUMN merged_into BIGINT REFERENCES qa_candidates (id) ON DELETE CASCADE;
ALTER TABLE qa_candidates ADD COLUMN alike_pair_id BIGINT REFERENCES qa_pairs (id) ON DELETE SET NULL;
CREATE INDEX qa_candidates_merged ON qa_candidates (merged_into);
CREATE INDEX qa_candidates_alike ON qa_candidates (alike_pair_id);
"#;
