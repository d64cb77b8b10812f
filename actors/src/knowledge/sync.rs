//! A pass of the synchronisation: embeds what waits, a batch at a time, in the order of the pairs.
//!
//! A reconciler: it takes no input but the tables and the settings, and may be broken off anywhere, since what has its vector
//! is told in the transaction that writes it. A text that a model refuses is told of and tried again later, and holds
//! nothing else up: its batch is halved until it stands alone. A model that cannot be asked at all is left alone for
//! longer each time ([`outage`](super::outage)), and no pair is told of it. With a vector store, what has its vector is then
//! pushed ([`push`](super::push)), and is synchronised only by that; a store that cannot be reached is an outage as well.

use std::collections::{BTreeMap, HashMap};

use sea_orm::DbErr;
use sha2::{Digest, Sha256};
use steward_entities::database::begin_write;
use steward_entities::qa_vector::{self, Model as Row, Which};
use steward_entities::{instance, lease, qa_pair, qa_sync_failure};

use super::embed::{Ask, Blame, Failed, embedded, to_bytes};
use super::index::Entry;
use super::outage::{self, Outage, Outages, wait};
use super::{ACTIVE, Parts, push};

pub(super) const LEASE: &str = "knowledge_sync";
/// Longer than a call may take on all accounts that are tried.
pub(super) const LEASE_MICROS: i64 = 600_000_000;
/// Calls refused one after the other before it is the model that is wrong, not the texts.
const REFUSALS_MAX: u32 = 16;
/// Pairs whose vectors of other models are forgotten in one transaction.
const FORGET_ROWS: u64 = 500;

/// What a pass came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Passed {
    pub embedded: u64,
    /// Pairs that were told of.
    pub failed: u64,
    /// A model that could not be asked is tried again then, microseconds since the Unix epoch.
    pub again_at: Option<i64>,
}

/// What is embedded of a pair: what it asks. An answer says much that nobody asks for.
fn text_of(pair: &qa_pair::Model) -> &str {
    &pair.question
}

pub(super) fn hash_of(pair: &qa_pair::Model) -> Vec<u8> {
    Sha256::digest(text_of(pair).as_bytes()).to_vec()
}

/// Makes a pass, unless another node is at it.
///
/// # Errors
/// When a database cannot be read or written; what was embedded stays.
pub async fn pass(parts: &Parts) -> Result<Passed, DbErr> {
    pass_over(parts, Which::All).await
}

pub(super) async fn pass_over(parts: &Parts, which: Which) -> Result<Passed, DbErr> {
    let mut passed = Passed::default();
    if parts.store.is_none() {
        push::without_store(parts).await?;
    }
    if !parts.model.is_empty() && hold(parts).await? {
        let done = embed_all(parts, which, &mut passed).await;
        // Another node may be the next to be asked. Not given back, it ends by itself.
        let txn = begin_write(&parts.databases.control).await?;
        lease::give_back(&txn, LEASE, parts.node).await?;
        txn.commit().await?;
        done?;
    }
    parts.refresh().await?;
    if let Some(loaded) = parts.loaded.load_full() {
        loaded.sweep(&parts.databases.control_read).await?;
    }
    Ok(passed)
}

/// Takes the lease, or keeps it.
pub(super) async fn hold(parts: &Parts) -> Result<bool, DbErr> {
    let now = parts.clock.now_micros();
    let txn = begin_write(&parts.databases.control).await?;
    let held = lease::take(&txn, LEASE, parts.node, now, now + LEASE_MICROS).await?;
    txn.commit().await?;
    Ok(held)
}

async fn embed_all(parts: &Parts, which: Which, passed: &mut Passed) -> Result<(), DbErr> {
    let wanted = parts.model.to_string();
    let active = settle(parts, &wanted).await?;
    let mut outages = outage::all(&parts.databases.control_read).await?;
    // Those who ask are answered by the one before until the other has all: it is kept up to date first.
    let models = match active == wanted {
        true => vec![wanted.clone()],
        false => vec![active.clone(), wanted.clone()],
    };
    outages.retain(|of, _| models.contains(of) || (of == outage::STORE && parts.store.is_some()));
    for model in &models {
        let now = parts.clock.now_micros();
        if outages
            .get(model)
            .is_some_and(|outage| outage.next_at > now)
        {
            continue;
        }
        let before = passed.embedded;
        let mut sweep = Sweep {
            parts,
            model,
            which,
            dimensions: dimensions(parts, model).await?,
            refusals: 0,
            unpaying: HashMap::new(),
            pushed: parts.pushed_upto(model).await?,
            passed,
        };
        match sweep.run().await? {
            // That nothing was asked of it says nothing of how the model is.
            Ended::Through if which == Which::Asked && passed.embedded == before => {}
            Ended::Through => drop(outages.remove(model)),
            Ended::Down(failed) => {
                let now = parts.clock.now_micros();
                let outage = Outage::after(outages.get(model), &failed, now);
                tracing::warn!(
                    model,
                    error = outage.error,
                    "knowledge cannot be embedded; trying again"
                );
                outages.insert(model.clone(), outage);
            }
            Ended::Fenced => return Ok(()),
        }
    }
    if let Some(store) = &parts.store {
        let now = parts.clock.now_micros();
        let known = outages.get(outage::STORE);
        if known.is_none_or(|outage| outage.next_at <= now) {
            match push::catch_up(parts, &**store, &models).await? {
                Ended::Through => drop(outages.remove(outage::STORE)),
                Ended::Down(failed) => {
                    let outage = Outage::after(known, &failed, now);
                    tracing::warn!(
                        store = store.kind().as_str(),
                        error = outage.error,
                        "vectors cannot be pushed; trying again"
                    );
                    outages.insert(outage::STORE.to_owned(), outage);
                }
                Ended::Fenced => return Ok(()),
            }
        }
    }
    keep(parts, &outages).await?;
    passed.again_at = outages.values().map(|outage| outage.next_at).min();
    let read = &parts.databases.control_read;
    if active != wanted
        && qa_vector::is_complete(read, &wanted).await?
        && parts.is_pushed(&wanted).await?
    {
        let txn = begin_write(&parts.databases.control).await?;
        instance::put(&txn, ACTIVE, &wanted).await?;
        txn.commit().await?;
        tracing::info!(
            model = wanted,
            "questions are answered by another model now"
        );
    }
    Ok(())
}

/// The model that questions are answered by. One that never embedded anything gives way at once; of those before it nothing
/// is kept, since by now every node has read the other's vectors.
async fn settle(parts: &Parts, wanted: &str) -> Result<String, DbErr> {
    let txn = begin_write(&parts.databases.control).await?;
    let mut active = instance::insert_if_absent(&txn, ACTIVE, wanted).await?;
    if active != wanted && qa_vector::latest(&txn, &active).await?.is_none() {
        instance::put(&txn, ACTIVE, wanted).await?;
        wanted.clone_into(&mut active);
    }
    txn.commit().await?;
    if active == wanted {
        forget_others(parts, wanted).await?;
    }
    Ok(active)
}

async fn forget_others(parts: &Parts, model: &str) -> Result<(), DbErr> {
    loop {
        let txn = begin_write(&parts.databases.control).await?;
        let forgotten = qa_vector::forget_other_models(&txn, model, FORGET_ROWS).await?;
        qa_sync_failure::keep_only(&txn, model).await?;
        txn.commit().await?;
        if forgotten == 0 {
            return Ok(());
        }
    }
}

pub(super) async fn dimensions(parts: &Parts, model: &str) -> Result<Option<usize>, DbErr> {
    let latest = qa_vector::latest(&parts.databases.control_read, model).await?;
    Ok(latest.map(|row| row.vector.len() / size_of::<f32>()))
}

async fn keep(parts: &Parts, outages: &Outages) -> Result<(), DbErr> {
    if outage::all(&parts.databases.control_read).await? == *outages {
        return Ok(());
    }
    let txn = begin_write(&parts.databases.control).await?;
    outage::put(&txn, outages).await?;
    txn.commit().await
}

/// How going through all that waits came to its end.
pub(super) enum Ended {
    Through,
    /// The model, or the store, cannot be asked now.
    Down(Failed),
    /// Another node has taken over.
    Fenced,
}

/// Going through all that waits for one model.
struct Sweep<'a> {
    parts: &'a Parts,
    model: &'a str,
    which: Which,
    /// Of its vectors; unknown before the first.
    dimensions: Option<usize>,
    /// Calls refused for their texts since one was not.
    refusals: u32,
    /// Tenants that may not spend more now, and what they were told.
    unpaying: HashMap<i64, Failed>,
    /// With a vector store: the last vector that is there.
    pushed: Option<(i64, i64)>,
    passed: &'a mut Passed,
}

impl Sweep<'_> {
    async fn run(&mut self) -> Result<Ended, DbErr> {
        let read = &self.parts.databases.control_read;
        let mut after = 0;
        loop {
            let batch = self.parts.settings.load().sync_batch as u64;
            let now = self.parts.clock.now_micros();
            let due = qa_vector::due(read, (self.model, self.which), now, after, batch).await?;
            let Some(last) = due.last() else {
                return Ok(Ended::Through);
            };
            after = last.id;
            if !hold(self.parts).await? {
                return Ok(Ended::Fenced);
            }
            let known = due.iter().map(|pair| pair.id).collect();
            let known = qa_vector::of_pairs(read, self.model, known).await?;
            let known: HashMap<i64, Row> =
                known.into_iter().map(|row| (row.pair_id, row)).collect();
            let mut by_tenant: BTreeMap<i64, Vec<qa_pair::Model>> = BTreeMap::new();
            let mut same = Vec::new();
            for pair in due {
                // Another answer: what it asks is what it was.
                match known.get(&pair.id) {
                    Some(row) if row.text_hash == hash_of(&pair) => {
                        // What waits to be pushed only is synchronised by that.
                        let place = (row.embedded_at, row.pair_id);
                        if self.pushed.is_none_or(|upto| place <= upto) {
                            same.push((pair, None));
                        }
                    }
                    _ => by_tenant.entry(pair.tenant_id).or_default().push(pair),
                }
            }
            if !self.store(same).await? {
                return Ok(Ended::Fenced);
            }
            for (tenant_id, pairs) in by_tenant {
                if let Some(failed) = self.unpaying.get(&tenant_id).cloned() {
                    if self.which == Which::Asked {
                        // Who asked for them is told of each.
                        self.tell(&pairs, &failed).await?;
                    }
                    continue;
                }
                match self.embed(tenant_id, pairs).await? {
                    Ended::Through => {}
                    ended => return Ok(ended),
                }
            }
        }
    }

    /// Embeds pairs of one tenant.
    async fn embed(&mut self, tenant_id: i64, pairs: Vec<qa_pair::Model>) -> Result<Ended, DbErr> {
        let mut left = vec![pairs];
        while let Some(mut pairs) = left.pop() {
            let ask = Ask {
                model: self.model.to_owned(),
                texts: pairs.iter().map(|pair| text_of(pair).to_owned()).collect(),
                tenant_id: Some(tenant_id),
            };
            let answer = embedded(&*self.parts.embedder, ask, self.dimensions).await;
            let failed = match answer {
                Ok(vectors) => {
                    self.refusals = 0;
                    self.dimensions = vectors.first().map(Vec::len);
                    self.passed.embedded += vectors.len() as u64;
                    let both = pairs.into_iter().zip(vectors.into_iter().map(Some));
                    match self.store(both.collect()).await? {
                        true => continue,
                        false => return Ok(Ended::Fenced),
                    }
                }
                Err(failed) => failed,
            };
            match failed.blame {
                Blame::Provider => return Ok(Ended::Down(failed)),
                Blame::Tenant => {
                    self.tell(&pairs, &failed).await?;
                    self.unpaying.insert(tenant_id, failed);
                    return Ok(Ended::Through);
                }
                Blame::Texts => self.refusals += 1,
            }
            if pairs.len() > 1 {
                left.push(pairs.split_off(pairs.len() / 2));
                left.push(pairs);
            } else {
                self.tell(&pairs, &failed).await?;
            }
            if self.refusals >= REFUSALS_MAX {
                // What was told of waits; the others are tried again with the model.
                return Ok(Ended::Down(failed));
            }
        }
        Ok(Ended::Through)
    }

    /// Writes vectors, and that the pairs have them, where they still say what was embedded; false when another node has
    /// taken over, and nothing is written then.
    async fn store(
        &mut self,
        pairs: Vec<(qa_pair::Model, Option<Vec<f32>>)>,
    ) -> Result<bool, DbErr> {
        if pairs.is_empty() {
            return Ok(true);
        }
        let (parts, model) = (self.parts, self.model);
        let now = parts.clock.now_micros();
        let txn = begin_write(&parts.databases.control).await?;
        // In this transaction, so that nobody else writes vectors meanwhile and `embedded_at` only ascends.
        if !lease::take(&txn, LEASE, parts.node, now, now + LEASE_MICROS).await? {
            return Ok(false);
        }
        let latest = qa_vector::latest(&txn, model).await?;
        let latest = latest.map_or(0, |row| row.embedded_at);
        // Later than what was pushed, too: that may have been removed here meanwhile.
        let pushed = self.pushed.map_or(0, |(embedded_at, _)| embedded_at);
        let embedded_at = now.max(latest + 1).max(pushed + 1);
        let mut rows = Vec::new();
        let mut well = Vec::new();
        for (pair, vector) in pairs {
            let is_still = match (&vector, &parts.store) {
                (Some(_), Some(_)) => qa_pair::is_still(&txn, &pair).await?,
                _ => qa_pair::is_synced_now(&txn, &pair, now).await?,
            };
            if !is_still {
                // Changed or removed meanwhile: the next pass finds it as it is.
                continue;
            }
            well.push(pair.id);
            let text_hash = hash_of(&pair);
            if let Some(vector) = vector {
                qa_vector::forget_others(&txn, pair.id, &text_hash).await?;
                rows.push(Row {
                    pair_id: pair.id,
                    model: model.to_owned(),
                    tenant_id: pair.tenant_id,
                    text_hash,
                    vector: to_bytes(&vector),
                    embedded_at,
                });
            }
        }
        let entries: Vec<Entry> = rows.iter().map(Entry::of).collect();
        qa_vector::put(&txn, rows).await?;
        qa_sync_failure::clear(&txn, model, well).await?;
        txn.commit().await?;
        if let Some(loaded) = parts.loaded.load_full().filter(|it| it.model == model) {
            // Found at once.
            loaded.put(entries).await;
        }
        Ok(true)
    }

    async fn tell(&mut self, pairs: &[qa_pair::Model], failed: &Failed) -> Result<(), DbErr> {
        self.passed.failed += pairs.len() as u64;
        let now = self.parts.clock.now_micros();
        let txn = begin_write(&self.parts.databases.control).await?;
        let ids: Vec<i64> = pairs.iter().map(|pair| pair.id).collect();
        let before = qa_sync_failure::of_pairs(&txn, self.model, ids.clone()).await?;
        let before: HashMap<i64, i64> = before
            .into_iter()
            .map(|row| (row.pair_id, row.attempts))
            .collect();
        // One that was removed meanwhile has nothing to be told.
        let there = qa_pair::by_ids(&txn, steward_entities::scope::Scope::All, ids).await?;
        for pair in there {
            let attempts = before.get(&pair.id).copied().unwrap_or(0) + 1;
            let row = qa_sync_failure::Model {
                pair_id: pair.id,
                model: self.model.to_owned(),
                is_refused: failed.blame == Blame::Texts,
                attempts,
                error: failed.sentence.clone(),
                failed_at: now,
                next_at: now + wait(attempts, failed.retry_after),
            };
            qa_sync_failure::put(&txn, row).await?;
        }
        txn.commit().await
    }
}
