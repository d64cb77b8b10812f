//! Where archived months go besides the directory of the configuration: a folder or a bucket, sealed. One is the current
//! one or none is; those before it stay for as long as months lie there.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0030_archive_places"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE archive_places (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    shown TEXT NOT NULL UNIQUE,
    sealed $BYTES NOT NULL,
    sealed_key_id TEXT NOT NULL,
    is_current BOOLEAN NOT NULL,
    updated_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
ALTER TABLE archives ADD COLUMN place_id BIGINT;
"#;
