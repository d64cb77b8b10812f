//! What was used before this start: figures that live in memory begin where the books end.

use std::collections::HashMap;

use prost::Message as _;
use steward_actors::domain::clock::Clock;
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::LedgerStore;
use steward_actors::spool::Spool;
use steward_entities::database::Databases;
use steward_entities::ledger::rollup::{self, TENANT_DAILY, TOKEN_DAILY};
use steward_entities::ledger::spent::{self, Charged, Windows};
use steward_entities::ledger::{daily, total};

use super::StartError;
use crate::config::Config;
use crate::gateway::budget::{Budgets, Whose, charge_of};
use crate::gateway::limits::Limits;

/// A call may be accepted so long before its `request_at`, by the clock's error.
const ACCEPTED_BEFORE_US: i64 = 3_600_000_000;

/// Where what was used and spent so far is kept.
pub(super) struct Spent<'a> {
    pub(super) limits: &'a Limits,
    pub(super) budgets: &'a Budgets,
}

/// Settles the spool with the ledger, then reads what was used so far: the greatest rid (answered, to
/// allocate above it), every token's use, and what tokens and tenants have spent today and this month, from the ledger
/// plus what is not in it yet.
pub(super) async fn take_stock(
    config: &Config,
    store: &dyn LedgerStore,
    spool: &Spool,
    databases: &Databases,
    spent: &Spent<'_>,
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
    let Spent { limits, budgets } = spent;
    seed_budgets(budgets, databases, clock.now_micros()).await?;
    spool.replay_unacked(|entry| {
        // What does not decode is the writer's to put aside; here it only carries no figures.
        if let Ok(record) = Record::decode(entry.payload.as_ref()) {
            greatest = greatest.max(record.rid);
            *used.entry(record.token_id).or_default() += record.total_tokens;
            budgets.spend(
                record.token_id,
                record.tenant_id,
                record.request_at,
                charge_of(&record),
            );
        }
    })?;
    for (token_id, tokens) in used {
        limits.seed_used(token_id, u64::try_from(tokens).unwrap_or_default());
    }
    Ok(Rid(greatest))
}

/// What was spent today and this month: what the rollups say, or the log while they are still being counted.
async fn seed_budgets(
    budgets: &Budgets,
    databases: &Databases,
    now_micros: i64,
) -> Result<(), StartError> {
    let period = budgets.period(now_micros);
    let read = &databases.ledger;
    let is_backfilling = daily::is_backfilling(read).await?;
    for (whose, whom, table) in [
        (Whose::Token, Charged::Token, &TOKEN_DAILY),
        (Whose::Tenant, Charged::Tenant, &TENANT_DAILY),
    ] {
        let mut spent: HashMap<i64, Windows> = HashMap::new();
        if is_backfilling {
            let rid_from = Rid::floor_of_ms((period.month.0 - ACCEPTED_BEFORE_US).max(0) / 1_000).0;
            let found = spent::from_log(read, whom, rid_from, period.day, period.month);
            spent.extend(found.await?);
        } else {
            // Up to the end of the month: nodes' clocks differ.
            for row in rollup::rows(read, table, period.month, &[]).await? {
                let charge = ["cost_usd_nano", "cost_cny_nano"].map(|sum| row.measures.sum(sum));
                let windows = spent.entry(row.keys[0]).or_default();
                let is_of_day = row.bucket == period.day.0;
                let counting = [(&mut windows.month, true), (&mut windows.day, is_of_day)];
                for (window, _) in counting.into_iter().filter(|(_, counts)| *counts) {
                    for (sum, charge) in window.iter_mut().zip(charge) {
                        *sum = sum.saturating_add(charge);
                    }
                }
            }
        }
        // Key 0 of tenants is nobody.
        for (id, Windows { day, month }) in spent.into_iter().filter(|(id, _)| *id != 0) {
            budgets.seed(whose, id, period, day, month);
        }
    }
    Ok(())
}
