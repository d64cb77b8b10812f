//! Changes of the ledger's tables, oldest first.

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// The list of changes of `ledger.db` / schema `ledger`.
pub struct LedgerMigrator;

#[async_trait::async_trait]
impl MigratorTrait for LedgerMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![]
    }
}
