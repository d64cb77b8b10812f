//! Jobs whose input lies on one node: no other may run them. And which node has the file of an import.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0048_jobs_of_a_node"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, COLUMNS).await
    }
}

const COLUMNS: &str = r#"
ALTER TABLE jobs ADD COLUMN only_node BIGINT;
ALTER TABLE knowledge_imports ADD COLUMN node BIGINT;
"#;
