//! What each node saw of a day's health, so that `dashboard_stats` can tell what all of them saw together.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0056_health_days"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(
            manager,
            "CREATE TABLE health_days (\
             stat_date TEXT NOT NULL, node SMALLINT NOT NULL, api_up_us BIGINT NOT NULL, api_known_us BIGINT NOT NULL, \
             jwt_up_us BIGINT NOT NULL, jwt_known_us BIGINT NOT NULL, PRIMARY KEY (stat_date, node))",
        )
        .await
    }
}
