//! Ids of the gateway's own calls, where nobody has told of calls from outside.
//!
//! An id has no order, so that each put into `seen_ids` costs a page of its own. Where a tenant never tells of its
//! calls that would buy nothing: its ids stand, for an hour, a batch beside the other.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::dialect;

pub(super) struct RecentIds;

impl MigrationName for RecentIds {
    fn name(&self) -> &str {
        "m0009_recent_ids"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for RecentIds {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (id, bytes) = match manager.get_database_backend() {
            DbBackend::Sqlite => ("INTEGER PRIMARY KEY", "BLOB"),
            _ => ("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "BYTEA"),
        };
        let sql = format!(
            "CREATE TABLE recent_ids (id {id}, written_at BIGINT NOT NULL, keys {bytes} NOT NULL);
             CREATE INDEX recent_ids_written_at ON recent_ids (written_at);
             CREATE TABLE telling_tenants (tenant_id BIGINT NOT NULL PRIMARY KEY, bucket BIGINT NOT NULL)"
        );
        dialect::run(manager, &sql).await
    }
}
