//! The alert rules that come with the program, taken over once: what operators make of them stays.

use std::time::Duration;

use sea_orm::DbErr;
use steward_actors::alert_book::Said;
use steward_actors::domain::alert::rule::Rule;
use steward_actors::domain::clock::Clock;
use steward_entities::change::ChangeError;
use steward_entities::database::{Databases, begin_write};
use steward_entities::{alert_rule, instance};

use crate::alert_test;

const TEXT: &str = include_str!("../../config/alert_rules.toml");
/// Says that they were taken over.
const KEY: &str = "alert_rules";

/// A rule as its row has it.
fn said(rule: &Rule) -> Said {
    let seconds = |length: Duration| i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    Said {
        name: rule.name.clone(),
        condition: rule.condition.to_string(),
        window_s: seconds(rule.window),
        hold_for_s: seconds(rule.hold_for),
        keep_firing_for_s: seconds(rule.keep_firing_for),
        severity: rule.severity.as_str().to_owned(),
        no_data: rule.no_data.as_str().to_owned(),
        split_by: Vec::new(),
        filter: Vec::new(),
        channels: Vec::new(),
        enabled: true,
    }
}

/// Takes them over, unless that was done before. A name that is taken stays whose it is.
///
/// # Errors
/// When the database cannot be read or written.
pub(super) async fn take_over(databases: &Databases, clock: &dyn Clock) -> Result<(), DbErr> {
    let rules = alert_test::rules(TEXT).map_err(DbErr::Custom)?;
    let txn = begin_write(&databases.control).await?;
    if instance::get(&txn, KEY).await?.is_some() {
        return Ok(());
    }
    let now = clock.now_micros();
    let taken: Vec<String> = alert_rule::all(&txn)
        .await?
        .into_iter()
        .map(|row| row.name)
        .collect();
    for rule in rules.iter().filter(|rule| !taken.contains(&rule.name)) {
        let made = alert_rule::insert(&txn, said(rule), String::new(), now).await;
        made.map_err(|error| match error {
            ChangeError::Database(error) => error,
            other => DbErr::Custom(other.to_string()),
        })?;
    }
    instance::put(&txn, KEY, "taken over").await?;
    txn.commit().await
}

#[cfg(test)]
mod tests {
    use steward_actors::domain::clock::SystemClock;
    use steward_migration::testing::TestDatabase;

    use super::*;

    #[actix_web::test]
    async fn the_rules_of_the_start_are_taken_over_once() {
        let database = TestDatabase::sqlite().await;
        take_over(&database, &SystemClock).await.unwrap();
        let rules = alert_rule::all(&database.control_read).await.unwrap();
        let names: Vec<&str> = rules.iter().map(|row| row.name.as_str()).collect();
        for name in [
            "high_error_rate",
            "slow_response",
            "pending_feedbacks",
            "sync_delay",
            "component_down",
        ] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        let txn = begin_write(&database.control).await.unwrap();
        alert_rule::remove(&txn, &rules[0]).await.unwrap();
        txn.commit().await.unwrap();
        take_over(&database, &SystemClock).await.unwrap();
        let left = alert_rule::all(&database.control_read).await.unwrap();
        assert_eq!(left.len(), rules.len() - 1);
    }
}
