//! Changes of the control tables, oldest first.

mod m0001_instance;
mod m0002_operators;
mod m0003_tenants_and_tokens;
mod m0004_accounts;
mod m0005_jobs;
mod m0008_dashboard_stats;
mod m0009_conversations;
mod m0010_prices;
mod m0012_prompts;
mod m0014_settings;
mod m0015_alerts;
mod m0016_remote_backup;
mod m0017_backups;
mod m0018_exchange_rates;
mod m0020_jwt_issuers;
mod m0021_jwt_tests;
mod m0022_archives;
mod m0024_feedback;
mod m0025_templates;
mod m0030_archive_places;
mod m0031_notice_batches;
mod m0034_knowledge_imports;
mod m0035_qa_vectors;
mod m0036_prompt_runs;
mod m0037_people_of_tenants;
mod m0040_qa_candidates;
mod m0041_token_knowledge;
mod m0042_qa_vector_removals;
mod m0043_reports;
mod m0044_qa_sync_requests;
mod m0048_jobs_of_a_node;
mod m0049_candidates_follow_feedback;
mod m0051_rings;
mod m0052_channel_patience;
mod m0053_price_tiers;
mod m0054_price_per_unit;
mod m0056_health_days;
mod m0057_archive_parts;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// The list of changes of `steward.db` / schema `steward`.
pub struct ControlMigrator;

#[async_trait::async_trait]
impl MigratorTrait for ControlMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_instance::Change),
            Box::new(m0002_operators::Change),
            Box::new(m0003_tenants_and_tokens::Change),
            Box::new(m0004_accounts::Change),
            Box::new(m0005_jobs::Change),
            Box::new(m0008_dashboard_stats::Change),
            Box::new(m0009_conversations::Change),
            Box::new(m0010_prices::Change),
            Box::new(m0012_prompts::Change),
            Box::new(m0014_settings::Change),
            Box::new(m0015_alerts::Change),
            Box::new(m0016_remote_backup::Change),
            Box::new(m0017_backups::Change),
            Box::new(m0018_exchange_rates::Change),
            Box::new(m0020_jwt_issuers::Change),
            Box::new(m0021_jwt_tests::Change),
            Box::new(m0022_archives::Change),
            Box::new(m0024_feedback::Change),
            Box::new(m0025_templates::Change),
            Box::new(m0030_archive_places::Change),
            Box::new(m0031_notice_batches::Change),
            Box::new(m0034_knowledge_imports::Change),
            Box::new(m0035_qa_vectors::Change),
            Box::new(m0036_prompt_runs::Change),
            Box::new(m0037_people_of_tenants::Change),
            Box::new(m0040_qa_candidates::Change),
            Box::new(m0041_token_knowledge::Change),
            Box::new(m0042_qa_vector_removals::Change),
            Box::new(m0043_reports::Change),
            Box::new(m0044_qa_sync_requests::Change),
            Box::new(m0048_jobs_of_a_node::Change),
            Box::new(m0049_candidates_follow_feedback::Change),
            Box::new(m0051_rings::Change),
            Box::new(m0052_channel_patience::Change),
            Box::new(m0053_price_tiers::Change),
            Box::new(m0054_price_per_unit::Change),
            Box::new(m0056_health_days::Change),
            Box::new(m0057_archive_parts::Change),
        ]
    }
}
