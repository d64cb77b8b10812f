//! Files of pairs that are brought in, how far each is, and which of their rows were no pair.
//!
//! The file itself lies in the data directory, read once into plain rows; `offset_bytes` is how far they were worked
//! through, moved in the transaction that writes what came of them, so that a job that is started again goes on there.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0034_knowledge_imports"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE knowledge_imports (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    file_name TEXT NOT NULL,
    file_bytes BIGINT NOT NULL,
    format TEXT NOT NULL,
    encoding TEXT,
    delimiter TEXT,
    row_count BIGINT NOT NULL,
    job_id TEXT,
    dry_run BOOLEAN NOT NULL,
    offset_bytes BIGINT NOT NULL,
    rows_done BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    bad BIGINT NOT NULL,
    ended_at BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX knowledge_imports_updated ON knowledge_imports (updated_at);

CREATE TABLE knowledge_import_errors (
    id $PK,
    import_id BIGINT NOT NULL REFERENCES knowledge_imports (id) ON DELETE CASCADE,
    row_number BIGINT NOT NULL,
    field TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX knowledge_import_errors_import ON knowledge_import_errors (import_id, id);
"#;
