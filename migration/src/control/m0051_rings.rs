//! What the bell in the console rings for is a question of its own: a step that no channel was told of is one that nobody
//! was told of, and the console's own bell rings for it all the same. A series remembers that nobody was told, until somebody is.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0051_rings"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, COLUMN).await
    }
}

const COLUMN: &str = r#"
ALTER TABLE alert_transitions ADD COLUMN rings BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE alert_transitions SET rings = told;
ALTER TABLE alert_series ADD COLUMN unheard BOOLEAN NOT NULL DEFAULT FALSE;
DROP INDEX alert_transitions_told;
CREATE INDEX alert_transitions_rings ON alert_transitions (rings, id);
"#;
