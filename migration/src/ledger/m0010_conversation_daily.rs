//! Conversations of a day by tenant, derived from the log: distinct ones where calls carry an id, and calls that carry none.
//!
//! A day that was counted has a row of tenant 0 (nobody) in any case, so that it is known to be counted.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(super) struct ConversationDaily;

impl MigrationName for ConversationDaily {
    fn name(&self) -> &str {
        "m0010_conversation_daily"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ConversationDaily {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The bucket is the start of the local day in microseconds since the epoch, as in the rollups.
        dialect::run(
            manager,
            "CREATE TABLE conversation_daily (bucket BIGINT NOT NULL, tenant_id BIGINT NOT NULL DEFAULT 0, \
             with_id BIGINT NOT NULL, without_id BIGINT NOT NULL, calls BIGINT NOT NULL, counted_at BIGINT NOT NULL, \
             PRIMARY KEY (bucket, tenant_id))",
        )
        .await
    }
}
