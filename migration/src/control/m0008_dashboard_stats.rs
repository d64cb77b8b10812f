//! The day's dashboard numbers, kept where they can be pushed to a remote from.
//!
//! What nothing measures yet is NULL, never zero. `synced_at` belongs to whoever pushes: NULL means not pushed since
//! `updated_at`.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0008_dashboard_stats"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

// Cost in billionths of `currency`; rates between 0 and 1.
const TABLES: &str = r#"
CREATE TABLE dashboard_stats (
    stat_date TEXT NOT NULL PRIMARY KEY,
    daily_active_users BIGINT NOT NULL,
    jwt_active_users BIGINT NOT NULL,
    ai_requests BIGINT NOT NULL,
    success_rate DOUBLE PRECISION,
    total_tokens BIGINT NOT NULL,
    cost_nano BIGINT,
    currency TEXT,
    api_connectivity DOUBLE PRECISION,
    jwt_availability DOUBLE PRECISION,
    p95_duration_ms DOUBLE PRECISION,
    updated_at BIGINT NOT NULL,
    synced_at BIGINT
);
"#;
