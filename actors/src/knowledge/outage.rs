//! When a model, or the vector store, cannot be asked at all: since when, why, and when it is tried again. It is no pair's fault, so no pair is told
//! of it. Kept in the database, so that a restart does not ask sooner and every node can say how it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use steward_entities::instance;

use super::embed::Failed;

/// Row of `instance`: outages by model, as JSON.
const OUTAGES: &str = "knowledge_outages";
/// Among the models: the outage of the vector store.
pub const STORE: &str = "vector_store";
const FIRST_WAIT_MICROS: i64 = 30_000_000;
const LONGEST_WAIT_MICROS: i64 = 3_600_000_000;
/// A provider that asks for more is looked at again all the same.
const LONGEST_ASKED: Duration = Duration::from_secs(86_400);

/// Of one model.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Outage {
    /// How often it was tried in vain.
    pub attempts: i64,
    pub error: String,
    /// The last time, microseconds since the Unix epoch.
    pub failed_at: i64,
    pub next_at: i64,
}

impl Outage {
    pub(super) fn after(before: Option<&Self>, failed: &Failed, now: i64) -> Self {
        let attempts = before.map_or(0, |one| one.attempts).saturating_add(1);
        Self {
            attempts,
            error: failed.sentence.clone(),
            failed_at: now,
            next_at: now.saturating_add(wait(attempts, failed.retry_after)),
        }
    }
}

/// Of every model that has one, and of the store ([`STORE`]).
pub type Outages = BTreeMap<String, Outage>;

/// What is known.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Outages, DbErr> {
    let text = instance::get(connection, OUTAGES).await?;
    // What cannot be read was written by another version: it is tried again now.
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

pub(super) async fn put(txn: &DatabaseTransaction, outages: &Outages) -> Result<(), DbErr> {
    let text = serde_json::to_string(outages).map_err(|error| DbErr::Custom(error.to_string()))?;
    instance::put(txn, OUTAGES, &text).await
}

/// Every model may be tried now.
///
/// # Errors
/// When the database cannot be written.
pub async fn hurry(txn: &DatabaseTransaction, now: i64) -> Result<(), DbErr> {
    let mut outages = all(txn).await?;
    if outages.is_empty() {
        return Ok(());
    }
    for outage in outages.values_mut() {
        outage.next_at = outage.next_at.min(now);
    }
    put(txn, &outages).await
}

/// Microseconds until it is tried again: twice as long each time, and no sooner than asked.
pub(super) fn wait(attempts: i64, asked: Option<Duration>) -> i64 {
    let doubled = u32::try_from(attempts - 1)
        .ok()
        .and_then(|times| 2_i64.checked_pow(times));
    let own = doubled.and_then(|factor| FIRST_WAIT_MICROS.checked_mul(factor));
    let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
    let asked = i64::try_from(asked.as_micros()).unwrap_or_default();
    own.unwrap_or(LONGEST_WAIT_MICROS)
        .min(LONGEST_WAIT_MICROS)
        .max(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_waits_longer_each_time_up_to_an_hour() {
        let seconds = |attempts, asked: Option<u64>| {
            wait(attempts, asked.map(Duration::from_secs)) / 1_000_000
        };
        assert_eq!(
            [1, 2, 3, 7, 8, 200].map(|attempts| seconds(attempts, None)),
            [30, 60, 120, 1_920, 3_600, 3_600]
        );
        assert_eq!(seconds(1, Some(90)), 90);
        assert_eq!(seconds(9, Some(u64::MAX / 1_000_000)), 86_400);
    }
}
