//! Pairs that were removed and may still have vectors in a store that is called over a network.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0042_qa_vector_removals"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLE).await
    }
}

const TABLE: &str = r#"
CREATE TABLE qa_vector_removals (
    pair_id BIGINT PRIMARY KEY
);
"#;
