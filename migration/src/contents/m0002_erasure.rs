//! What a deletion has to find: which conversations a dictionary was trained on, which dictionaries are to go for it, and
//! what the search index still holds of rows that are gone.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "contents/m0002_erasure"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = "
ALTER TABLE content_dictionaries ADD COLUMN is_retired BOOLEAN NOT NULL DEFAULT FALSE;
CREATE TABLE content_samples (
    rid BIGINT NOT NULL,
    dict_id BIGINT NOT NULL,
    PRIMARY KEY (rid, dict_id)
);
CREATE TABLE content_leftovers (
    what TEXT NOT NULL PRIMARY KEY,
    marks BIGINT NOT NULL
);
CREATE INDEX conversation_contents_dictionary ON conversation_contents (dict_id, rid);
";
