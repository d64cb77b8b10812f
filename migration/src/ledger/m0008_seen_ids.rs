//! By what calls are recognised that are told of twice: by a span, by the gateway, by a batch.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::dialect;

pub(super) struct SeenIds;

impl MigrationName for SeenIds {
    fn name(&self) -> &str {
        "m0008_seen_ids"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SeenIds {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The first ledger made a table of this name that no release has ever written to.
        // The new one is its primary key: a second copy of it would be most of the cost.
        let ending = match manager.get_database_backend() {
            DbBackend::Sqlite => " WITHOUT ROWID",
            _ => "",
        };
        let sql = format!(
            "DROP TABLE seen_ids; CREATE TABLE seen_ids (bucket BIGINT NOT NULL, key BIGINT NOT NULL, PRIMARY KEY (bucket, key)){ending}"
        );
        dialect::run(manager, &sql).await
    }
}
