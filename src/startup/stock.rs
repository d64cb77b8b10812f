//! What was used before this start: figures that live in memory begin where the books end.

use std::collections::HashMap;

use prost::Message as _;
use steward_actors::domain::clock::Clock;
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::LedgerStore;
use steward_actors::spool::Spool;
use steward_entities::database::Databases;
use steward_entities::ledger::total;

use super::StartError;
use crate::config::Config;
use crate::gateway::limits::Limits;

/// Settles the spool with the ledger, then reads what was used so far: the greatest rid (answered, to
/// allocate above it) and every token's use (into `limits`), from the ledger plus what is not in it yet.
pub(super) async fn take_stock(
    config: &Config,
    store: &dyn LedgerStore,
    spool: &Spool,
    databases: &Databases,
    limits: &Limits,
    clock: &dyn Clock,
) -> Result<Rid, StartError> {
    store.prepare(clock.now_ms()).await?;
    spool.reconcile(store.cursor(config.node.id).await?);
    let mut greatest = store.greatest_rid().await?;
    let mut used: HashMap<i64, i64> = total::of_all_tokens(&databases.ledger)
        .await?
        .into_iter()
        .map(|(token_id, total)| (token_id, total.total_tokens))
        .collect();
    spool.replay_unacked(|entry| {
        // What does not decode is the writer's to put aside; here it only carries no figures.
        if let Ok(record) = Record::decode(entry.payload.as_ref()) {
            greatest = greatest.max(record.rid);
            *used.entry(record.token_id).or_default() += record.total_tokens;
        }
    })?;
    for (token_id, tokens) in used {
        limits.seed_used(token_id, u64::try_from(tokens).unwrap_or_default());
    }
    Ok(Rid(greatest))
}
