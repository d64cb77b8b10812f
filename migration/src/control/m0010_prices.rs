//! What providers charge, with its history, and what tokens and tenants may spend. Prices: rows are added and never changed, so that a record's price can always be
//! read again. `id` is what records carry.
//!
//! `source` says where the figures were read. `from_list` tells the list that comes with the program from an operator's own. `removed` ends what was before it;
//! its figures mean nothing.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0010_prices"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

/// The unique index is what two processes that start at once are kept apart by.
const TABLES: &str = r#"
CREATE TABLE prices (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    currency TEXT NOT NULL,
    input_nano BIGINT NOT NULL,
    output_nano BIGINT NOT NULL,
    cached_nano BIGINT,
    cache_write_nano BIGINT,
    reasoning_nano BIGINT,
    per_call_nano BIGINT NOT NULL,
    valid_from BIGINT NOT NULL,
    from_list BOOLEAN NOT NULL,
    source TEXT NOT NULL,
    removed BOOLEAN NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX prices_model ON prices (provider, model, valid_from);
CREATE UNIQUE INDEX prices_list ON prices (provider, model, valid_from) WHERE from_list;

ALTER TABLE tokens ADD COLUMN budget_currency TEXT NOT NULL DEFAULT 'USD';
ALTER TABLE tenants ADD COLUMN daily_budget_nano BIGINT;
ALTER TABLE tenants ADD COLUMN monthly_budget_nano BIGINT;
ALTER TABLE tenants ADD COLUMN budget_currency TEXT NOT NULL DEFAULT 'USD';
"#;
