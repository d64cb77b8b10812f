//! Changes of the tables of what happened beside the calls, oldest first.

mod m0001_events;
mod m0002_lines;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// The list of changes of `events.db` / schema `events`.
pub struct EventsMigrator;

#[async_trait::async_trait]
impl MigratorTrait for EventsMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_events::Change),
            Box::new(m0002_lines::Change),
        ]
    }
}
