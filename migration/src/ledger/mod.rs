//! Schema of the ledger: the books of finished calls and the names they refer to.
//!
//! The SQL stands in files of its own, one per database, because partitions, partial indexes and the
//! computed public id have no common spelling. Monthly partitions are not made here but by the writer
//! (`LedgerStore::prepare`), which lives long enough to see the month change.

mod m0001_books;
mod m0002_failures;
mod m0003_lone_attempts;
mod m0004_rollups;
mod m0005_cost_and_cubes;
mod m0006_daily_statistics;
mod m0008_seen_ids;
mod m0009_recent_ids;
mod m0010_conversation_daily;
mod m0011_told_elsewhere;
mod m0013_prompts;
mod m0041_request_knowledge;
mod m0053_hour_cache;
mod m0054_letters_of_spools;
mod m0055_tenant_providers;
mod m0056_units;
mod m0057_archive_late;
mod m0058_totals;
mod m0059_clustered_rollups;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// The ledger's migrations, oldest first.
pub struct LedgerMigrator;

impl MigratorTrait for LedgerMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_books::Books),
            Box::new(m0002_failures::Failures),
            Box::new(m0003_lone_attempts::LoneAttempts),
            Box::new(m0004_rollups::Rollups),
            Box::new(m0005_cost_and_cubes::CostAndCubes),
            Box::new(m0006_daily_statistics::DailyStatistics),
            Box::new(m0008_seen_ids::SeenIds),
            Box::new(m0009_recent_ids::RecentIds),
            Box::new(m0010_conversation_daily::ConversationDaily),
            Box::new(m0011_told_elsewhere::ToldElsewhere),
            Box::new(m0013_prompts::Prompts),
            Box::new(m0041_request_knowledge::RequestKnowledge),
            Box::new(m0053_hour_cache::HourCache),
            Box::new(m0054_letters_of_spools::LettersOfSpools),
            Box::new(m0055_tenant_providers::TenantProviders),
            Box::new(m0056_units::Units),
            Box::new(m0057_archive_late::ArchiveLate),
            Box::new(m0058_totals::Totals),
            Box::new(m0059_clustered_rollups::ClusteredRollups),
        ]
    }
}
