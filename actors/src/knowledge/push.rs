//! Brings the vector store to what the tables say: pushes what came since the last time, in the order in which it came, has
//! forgotten what was removed, and does away with models that nobody asks any more.
//!
//! A reconciler under the lease of the pass: where it stands is told after each call that went well, so it may be broken off
//! anywhere and then pushes a few points twice, which changes nothing. A pair counts as synchronised when its vector has
//! been pushed.

use std::collections::{BTreeMap, HashMap};

use sea_orm::DbErr;
use steward_entities::database::begin_write;
use steward_entities::scope::Scope;
use steward_entities::{lease, qa_pair, qa_vector, qa_vector_removal};

use super::Parts;
use super::embed::from_bytes;
use super::shelf::{self, Shelf, Shelves};
use super::store::{Collection, Point, StoreFailed, VectorStore};
use super::sync::{Ended, LEASE, LEASE_MICROS, dimensions, hash_of, hold};

/// Pairs forgotten by one call.
const REMOVED_PAIRS: u64 = 500;

/// Why it stopped.
enum Stopped {
    Store(StoreFailed),
    Fenced,
    Database(DbErr),
}

impl From<DbErr> for Stopped {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<StoreFailed> for Stopped {
    fn from(failed: StoreFailed) -> Self {
        Self::Store(failed)
    }
}

/// Brings the store to what the tables say of these models, and of no others.
pub(super) async fn catch_up(
    parts: &Parts,
    store: &dyn VectorStore,
    models: &[String],
) -> Result<Ended, DbErr> {
    let shelves = Shelves::of(&parts.databases.control_read, store).await?;
    if shelves.is_empty() {
        // What is pushed from now on was not removed.
        forget_removals(parts).await?;
    }
    let mut push = Push {
        parts,
        store,
        shelves,
    };
    match push.run(models).await {
        Ok(()) => Ok(Ended::Through),
        Err(Stopped::Store(failed)) => Ok(Ended::Down(failed.into())),
        Err(Stopped::Fenced) => Ok(Ended::Fenced),
        Err(Stopped::Database(error)) => Err(error),
    }
}

/// Where there is no store, nothing is kept for one.
pub(super) async fn without_store(parts: &Parts) -> Result<(), DbErr> {
    forget_removals(parts).await?;
    if shelf::is_known(&parts.databases.control_read).await? {
        let txn = begin_write(&parts.databases.control).await?;
        shelf::forget(&txn).await?;
        txn.commit().await?;
    }
    Ok(())
}

async fn forget_removals(parts: &Parts) -> Result<(), DbErr> {
    loop {
        let read = &parts.databases.control_read;
        let gone = qa_vector_removal::some(read, REMOVED_PAIRS).await?;
        if gone.is_empty() {
            return Ok(());
        }
        let txn = begin_write(&parts.databases.control).await?;
        qa_vector_removal::clear(&txn, gone).await?;
        txn.commit().await?;
    }
}

struct Push<'a> {
    parts: &'a Parts,
    store: &'a dyn VectorStore,
    shelves: Shelves,
}

impl Push<'_> {
    async fn run(&mut self, models: &[String]) -> Result<(), Stopped> {
        for model in models {
            if let Err(stopped) = self.push(model).await {
                return Err(self.lost(model, stopped).await);
            }
        }
        self.remove().await?;
        let others = self.shelves.by_model.keys();
        let others: Vec<String> = others
            .filter(|model| !models.contains(model))
            .cloned()
            .collect();
        for model in others {
            if let Some(shelf) = self.shelves.by_model.get(&model) {
                self.store.destroy(&shelf.collection).await?;
            }
            self.shelves.by_model.remove(&model);
            self.keep(&[]).await?;
        }
        Ok(())
    }

    async fn push(&mut self, model: &str) -> Result<(), Stopped> {
        let Some(mut shelf) = self.shelf(model).await? else {
            return Ok(());
        };
        let read = &self.parts.databases.control_read;
        let limit = shelf.collection.points_max() as u64;
        loop {
            let rows = qa_vector::after(read, model, shelf.upto, limit).await?;
            let Some(last) = rows.last() else { break };
            if !hold(self.parts).await? {
                return Err(Stopped::Fenced);
            }
            shelf.upto = (last.embedded_at, last.pair_id);
            let mut by_tenant: BTreeMap<i64, Vec<Point>> = BTreeMap::new();
            for row in &rows {
                let vector = from_bytes(&row.vector);
                // Of other dimensions: no question could be compared with it.
                if vector.len() == shelf.collection.dimensions {
                    by_tenant.entry(row.tenant_id).or_default().push(Point {
                        pair_id: row.pair_id,
                        vector,
                    });
                }
            }
            for (tenant_id, points) in by_tenant {
                let pushed = self.store.upsert(&shelf.collection, tenant_id, &points);
                pushed.await?;
            }
            let known = &mut self.shelves.by_model;
            known.insert(model.to_owned(), shelf.clone());
            self.keep(&rows).await?;
        }
        if !shelf.is_whole {
            shelf.is_whole = true;
            self.shelves.by_model.insert(model.to_owned(), shelf);
            self.keep(&[]).await?;
        }
        Ok(())
    }

    /// Where somebody did away with a model's collection there, the next pass begins anew.
    async fn lost(&mut self, model: &str, stopped: Stopped) -> Stopped {
        if let Stopped::Store(failed) = &stopped
            && failed.is_gone
        {
            self.shelves.by_model.remove(model);
            if let Err(unkept) = self.keep(&[]).await {
                return unkept;
            }
        }
        stopped
    }

    /// The model's, made by the store; none while nothing was embedded by it.
    async fn shelf(&mut self, model: &str) -> Result<Option<Shelf>, Stopped> {
        let known = self.shelves.by_model.get(model).cloned();
        let mut shelf = match known {
            Some(known) => known,
            None => {
                let Some(dimensions) = dimensions(self.parts, model).await? else {
                    return Ok(None);
                };
                let now = self.parts.clock.now_micros();
                Shelf {
                    collection: Collection::new(self.store, model, dimensions, now),
                    is_made: false,
                    upto: (0, 0),
                    is_whole: false,
                }
            }
        };
        if !shelf.is_made {
            // Known before it is there: what was made is never lost sight of.
            let known = &mut self.shelves.by_model;
            known.insert(model.to_owned(), shelf.clone());
            self.keep(&[]).await?;
            self.store.create(&shelf.collection).await?;
            shelf.is_made = true;
        }
        Ok(Some(shelf))
    }

    async fn remove(&mut self) -> Result<(), Stopped> {
        loop {
            let read = &self.parts.databases.control_read;
            let gone = qa_vector_removal::some(read, REMOVED_PAIRS).await?;
            if gone.is_empty() {
                return Ok(());
            }
            if !hold(self.parts).await? {
                return Err(Stopped::Fenced);
            }
            for (model, shelf) in self.shelves.by_model.clone() {
                if let Err(failed) = self.store.remove(&shelf.collection, &gone).await {
                    return Err(self.lost(&model, failed.into()).await);
                }
            }
            let txn = begin_write(&self.parts.databases.control).await?;
            qa_vector_removal::clear(&txn, gone).await?;
            txn.commit().await?;
        }
    }

    /// Writes down where it stands, and that the pairs of these rows are synchronised.
    async fn keep(&self, pushed: &[qa_vector::Model]) -> Result<(), Stopped> {
        let now = self.parts.clock.now_micros();
        let txn = begin_write(&self.parts.databases.control).await?;
        if !lease::take(&txn, LEASE, self.parts.node, now, now + LEASE_MICROS).await? {
            return Err(Stopped::Fenced);
        }
        let hashes: HashMap<i64, &[u8]> = pushed
            .iter()
            .map(|row| (row.pair_id, row.text_hash.as_slice()))
            .collect();
        let ids = hashes.keys().copied().collect();
        for pair in qa_pair::by_ids(&txn, Scope::All, ids).await? {
            if !pair.is_synced
                && hashes
                    .get(&pair.id)
                    .is_some_and(|hash| *hash == hash_of(&pair))
            {
                qa_pair::is_synced_now(&txn, &pair, now).await?;
            }
        }
        self.shelves.put(&txn).await?;
        txn.commit().await?;
        Ok(())
    }
}
