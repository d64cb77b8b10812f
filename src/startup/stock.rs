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
use steward_entities::ledger::{daily, request_log, total};

use super::StartError;
use crate::config::Config;
use crate::gateway::budget::{Budgets, Charge, Whose, charge_of};
use crate::gateway::counted_at;
use crate::gateway::limits::Limits;

/// A call may be accepted so long before its `request_at`, by the clock's error.
const ACCEPTED_BEFORE_US: i64 = 3_600_000_000;
/// So many calls are looked for in the log at a time.
const LOOKED_FOR: usize = 500;

/// Where what was used and spent so far is kept.
pub(super) struct Spent<'a> {
    pub(super) limits: &'a Limits,
    pub(super) budgets: &'a Budgets,
}

/// What a record of the spool adds, if it is not on the books.
struct Waiting {
    rid: i64,
    id_tail: i64,
    token_id: i64,
    tenant_id: i64,
    request_at: i64,
    tokens: i64,
    charge: Charge,
}

impl Waiting {
    fn of(record: &Record, now_micros: i64) -> Self {
        Self {
            rid: record.rid,
            id_tail: record.id_tail as i64,
            token_id: record.token_id,
            tenant_id: record.tenant_id,
            request_at: counted_at(record, now_micros),
            tokens: record.total_tokens,
            charge: charge_of(record),
        }
    }

    fn count(&self, used: &mut HashMap<i64, i64>, budgets: &Budgets) {
        *used.entry(self.token_id).or_default() += self.tokens;
        budgets.spend(self.token_id, self.tenant_id, self.request_at, self.charge);
    }
}

/// Numbers the spool on from where the ledger stands, then reads what was used so far: the greatest rid (answered, to
/// allocate above it), every token's use, and what tokens and tenants have spent today and this month, from the ledger
/// plus what is not in it yet. What the spool holds stays there for the writer, which looks for each row itself.
pub(super) async fn take_stock(
    config: &Config,
    store: &dyn LedgerStore,
    spool: &Spool,
    databases: &Databases,
    spent: &Spent<'_>,
    clock: &dyn Clock,
) -> Result<Rid, StartError> {
    store.prepare(clock.now_ms()).await?;
    let settled_through = store.cursor(config.node.id).await?;
    spool.reconcile(settled_through);
    let mut greatest = store.greatest_rid().await?;
    let mut used: HashMap<i64, i64> = total::of_all_tokens(&databases.ledger)
        .await?
        .into_iter()
        .map(|(token_id, total)| (token_id, total.total_tokens))
        .collect();
    let Spent { limits, budgets } = spent;
    let now_micros = clock.now_micros();
    seed_budgets(budgets, databases, now_micros).await?;
    // Settled by its number, but the number may be another spool's: on the books or not, its row says.
    let mut doubtful = Vec::new();
    spool.replay_unacked(|entry| {
        // What does not decode is the writer's to put aside; here it only carries no figures.
        if let Ok(record) = Record::decode(entry.payload.as_ref()) {
            greatest = greatest.max(record.rid);
            let waiting = Waiting::of(&record, now_micros);
            if entry.seq <= settled_through {
                doubtful.push(waiting);
            } else {
                waiting.count(&mut used, budgets);
            }
        }
    })?;
    for part in doubtful.chunks(LOOKED_FOR) {
        let rids: Vec<i64> = part.iter().map(|waiting| waiting.rid).collect();
        let tails = request_log::tails(&databases.ledger, &rids).await?;
        for waiting in part {
            if tails.get(&waiting.rid) != Some(&waiting.id_tail) {
                waiting.count(&mut used, budgets);
            }
        }
    }
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

#[cfg(test)]
mod tests;
