//! Changes of the tables that keep conversations, oldest first: each month's file on SQLite, one schema on PostgreSQL.

mod m0001_contents;
mod m0002_erasure;
mod m0003_archive_late;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// The list of changes of `contents/YYYY-MM.db` / schema `contents`.
pub struct ContentsMigrator;

#[async_trait::async_trait]
impl MigratorTrait for ContentsMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_contents::Change),
            Box::new(m0002_erasure::Change),
            Box::new(m0003_archive_late::Change),
        ]
    }
}
