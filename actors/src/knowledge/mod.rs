//! Knowledge that is found by what it means: pairs become vectors of a model, and the vectors lie in memory to be scanned.
//!
//! The tables are the truth: which pair has which vector stands in `qa_vectors`, and what is in memory is read from there.
//! [`learn`] makes pairs of feedback, [`sync`] embeds what waits, [`asked`] what somebody asked for and nothing else, [`index`] keeps and scans, [`find`] answers. Whose pairs a question may find is said by its
//! scope; which account embeds, and what that costs, is the front's ([`embed`]).
//!
//! **A vector store** that is called over a network ([`store`]), where one is configured, is a copy that answers in place of this
//! process's memory: [`push`] fills it, and until it holds everything, memory answers as it does without one.
//!
//! **Another model.** Until every pair has a vector of it, questions are answered by the one before, which is kept up to date
//! too; then what is in memory is exchanged at once, and the old vectors go when the next pass begins. A model is what
//! `rag.embedding_model` calls it: another one under the same name is told by the length of its vectors only.

pub mod asked;
pub mod embed;
pub mod find;
pub mod index;
pub mod learn;
pub mod outage;
mod push;
pub mod shelf;
pub mod store;
pub mod sync;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use sea_orm::{ConnectionTrait, DbErr};
use steward_entities::database::{Databases, begin_write};
use steward_entities::{instance, qa_vector};
use tokio::sync::Mutex;

use self::embed::{Embedder, from_bytes};
use self::index::{Entry, Index};
use self::shelf::Shelves;
use self::store::{Collection, VectorStore};
use crate::domain::clock::SharedClock;
use crate::domain::setting::InForce;

/// Row of `instance`: the model that questions are answered by.
const ACTIVE: &str = "knowledge_model";
/// Vectors read at a time, and keys.
const READ_ROWS: u64 = 1_000;
const READ_KEYS: u64 = 20_000;

/// What it all works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub embedder: Arc<dyn Embedder>,
    /// Where vectors are looked for; none: in memory.
    pub store: Option<Arc<dyn VectorStore>>,
    pub settings: InForce,
    /// The model that pairs are to be embedded by; empty for none.
    pub model: Arc<str>,
    pub clock: SharedClock,
    pub node: u8,
    /// Empty at first.
    pub loaded: Arc<ArcSwapOption<Loaded>>,
    /// By which whoever writes pairs tells what embeds them.
    pub news: News,
}

/// That pairs were written which wait to be embedded: told by whoever wrote them, after they are written; heard of by
/// `knowledge_sync`, once for many. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<AtomicBool>);

impl News {
    /// There is something to embed.
    pub fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether there was; asked again, no more.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }

    /// Whether there is.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// The vectors of one model, in memory.
#[derive(Debug)]
pub struct Loaded {
    pub model: String,
    pub index: Index,
    /// How far the table is read: when the last vector came, and its pair. Held by whoever changes the index, from the look
    /// at the table on: what was read earlier never undoes what was written later.
    upto: Mutex<(i64, i64)>,
}

impl Loaded {
    /// Forgets what the table no longer has.
    ///
    /// # Errors
    /// When the database cannot be read.
    async fn sweep(&self, connection: &impl ConnectionTrait) -> Result<(), DbErr> {
        let _changing = self.upto.lock().await;
        let mut after = 0;
        loop {
            let kept = qa_vector::pair_ids(connection, &self.model, after, READ_KEYS).await?;
            let last = kept.last().copied();
            self.index.retain(after, last, &kept);
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Keeps what was just committed.
    async fn put(&self, entries: Vec<Entry>) {
        let _changing = self.upto.lock().await;
        self.index.put(entries);
    }

    /// Reads what has come to the table since the last time.
    async fn catch_up(&self, connection: &impl ConnectionTrait) -> Result<(), DbErr> {
        let mut upto = self.upto.lock().await;
        loop {
            let rows = qa_vector::after(connection, &self.model, *upto, READ_ROWS).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            *upto = (last.embedded_at, last.pair_id);
            self.index.put(rows.iter().map(Entry::of));
        }
    }
}

impl Parts {
    /// The model that questions are answered by; none while nothing was ever embedded.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn active(&self) -> Result<Option<String>, DbErr> {
        instance::get(&self.databases.control_read, ACTIVE).await
    }

    /// How many vectors are in memory.
    pub fn in_memory(&self) -> usize {
        let loaded = self.loaded.load();
        loaded.as_ref().map_or(0, |loaded| loaded.index.len())
    }

    /// What the vector store answers questions to a model by; none while it does not.
    async fn on_shelf(
        &self,
        model: &str,
    ) -> Result<Option<(&Arc<dyn VectorStore>, Collection)>, DbErr> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let shelves = Shelves::of(&self.databases.control_read, &**store).await?;
        let collection = shelves.answering(model).cloned();
        Ok(collection.map(|collection| (store, collection)))
    }

    /// Somebody did away with a model's collection: memory answers, and the next pass fills another.
    async fn lose(&self, model: &str) -> Result<(), DbErr> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let txn = begin_write(&self.databases.control).await?;
        let mut shelves = Shelves::of(&txn, &**store).await?;
        shelves.by_model.remove(model);
        shelves.put(&txn).await?;
        txn.commit().await
    }

    /// Whether the vectors of a model are where they are looked for, or will be.
    async fn is_pushed(&self, model: &str) -> Result<bool, DbErr> {
        Ok(self.store.is_none() || self.on_shelf(model).await?.is_some())
    }

    /// The last vector of a model that the store has; none where there is no store.
    async fn pushed_upto(&self, model: &str) -> Result<Option<(i64, i64)>, DbErr> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let shelves = Shelves::of(&self.databases.control_read, &**store).await?;
        Ok(Some(
            shelves
                .by_model
                .get(model)
                .map_or((0, 0), |shelf| shelf.upto),
        ))
    }

    /// Reads what has come to the table since the last time. Where questions are answered by another model now, all of its
    /// vectors are read before the first question goes to them; where by a vector store, none are kept in memory.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn refresh(&self) -> Result<(), DbErr> {
        let Some(active) = self.active().await? else {
            return Ok(());
        };
        if self.on_shelf(&active).await?.is_some() {
            self.loaded.store(None);
            return Ok(());
        }
        let loaded = match self.loaded.load_full() {
            Some(loaded) if loaded.model == active => loaded,
            _ => Arc::new(Loaded {
                model: active.clone(),
                index: Index::default(),
                upto: Mutex::default(),
            }),
        };
        loaded.catch_up(&self.databases.control_read).await?;
        self.loaded.store(Some(loaded));
        Ok(())
    }
}

impl Entry {
    fn of(row: &qa_vector::Model) -> Self {
        Self {
            pair_id: row.pair_id,
            tenant_id: row.tenant_id,
            vector: from_bytes(&row.vector),
        }
    }
}
