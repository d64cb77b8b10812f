//! Pairs that are near to a question.
//!
//! What the index, or the vector store, names is looked up: pairs that are gone, that ask something else by now or that the scope does not hold are
//! no answer, and the rest is compared by the vectors as the model gave them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbErr};
use steward_entities::scope::Scope;
use steward_entities::{qa_pair, qa_vector, qa_vector_removal};

use super::embed::{Ask, Failed, embedded, from_bytes};
use super::store::{Collection, StoreFailed, VectorStore};
use super::sync::hash_of;
use super::{Loaded, Parts};

/// So near that both may ask the same: the cosine.
pub const ALIKE: f32 = 0.85;
/// Candidates for each pair that is wanted, and at least.
const CANDIDATES: usize = 8;
const CANDIDATES_MIN: usize = 64;
/// Pairs that a store is told to forget at most, when so many are gone that they crowd the others out.
const FORGOTTEN: u64 = 500;

/// A pair, and how near it is: the cosine.
#[derive(Clone, Debug)]
pub struct Found {
    pub pair: qa_pair::Model,
    pub score: f32,
}

/// Why nothing could be looked for.
#[derive(Debug)]
pub enum NotFound {
    /// The vectors are still being read into memory.
    Loading,
    /// The question has no vector.
    Unembedded(Failed),
    /// The vector store does not answer.
    Store(StoreFailed),
    Database(DbErr),
}

impl From<DbErr> for NotFound {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl Parts {
    /// The pairs nearest to a question, at most `top_k` and none below `min_score`, the nearest first. Where there is nothing
    /// to be found, nobody is asked to embed the question.
    ///
    /// # Errors
    /// See [`NotFound`].
    pub async fn find(
        &self,
        scope: Scope,
        question: &str,
        top_k: usize,
        min_score: f32,
    ) -> Result<Vec<Found>, NotFound> {
        let Some(place) = self.place().await? else {
            return Ok(Vec::new());
        };
        let tenant_id = match scope {
            Scope::All => None,
            Scope::Tenant(id) => Some(id),
        };
        let read = &self.databases.control_read;
        let has_any = match &place {
            Place::Memory(loaded) => loaded.index.has_any(tenant_id),
            Place::Store { .. } => qa_pair::has_any(read, scope).await?,
        };
        if !has_any {
            return Ok(Vec::new());
        }
        let model = place.model().to_owned();
        let ask = Ask {
            model: model.clone(),
            texts: vec![question.to_owned()],
            tenant_id,
        };
        let vectors = embedded(&*self.embedder, ask, place.dimensions()).await;
        let query = vectors.map_err(NotFound::Unembedded)?.pop();
        let query: Arc<[f32]> = query.unwrap_or_default().into();
        let count = (top_k * CANDIDATES).max(CANDIDATES_MIN);
        let near = place.near(&query, tenant_id, count).await;
        if let Err(NotFound::Store(failed)) = &near
            && failed.is_gone
        {
            self.lose(&model).await?;
        }
        let mut near = near?;
        let mut rows = qa_vector::of_pairs(read, &model, near.clone()).await?;
        if rows.len() < near.len() / 2 {
            // So many were removed that they stand before those that are there.
            place.forget(&near, &rows, read).await?;
            near = place.near(&query, tenant_id, count).await?;
            rows = qa_vector::of_pairs(read, &model, near.clone()).await?;
        }
        let pairs = qa_pair::by_ids(read, scope, near).await?;
        let mut pairs: HashMap<i64, qa_pair::Model> =
            pairs.into_iter().map(|pair| (pair.id, pair)).collect();
        let found = rows.into_iter().filter_map(|row| {
            let score = dot(&query, &from_bytes(&row.vector));
            let pair = pairs.remove(&row.pair_id)?;
            let is_one = score >= min_score && hash_of(&pair) == row.text_hash;
            is_one.then_some(Found { pair, score })
        });
        let mut found: Vec<Found> = found.collect();
        found.sort_by(|a, b| {
            let nearest = b.score.total_cmp(&a.score);
            nearest.then_with(|| a.pair.id.cmp(&b.pair.id))
        });
        found.truncate(top_k);
        Ok(found)
    }
}

/// Where it is looked for.
enum Place {
    Memory(Arc<Loaded>),
    Store {
        store: Arc<dyn VectorStore>,
        model: String,
        collection: Collection,
    },
}

impl Parts {
    /// Where questions are answered from now; none where nothing was ever embedded.
    async fn place(&self) -> Result<Option<Place>, NotFound> {
        if self.store.is_none()
            && let Some(loaded) = self.loaded.load_full()
        {
            return Ok(Some(Place::Memory(loaded)));
        }
        let Some(model) = self.active().await? else {
            return Ok(None);
        };
        if let Some((store, collection)) = self.on_shelf(&model).await? {
            let store = Arc::clone(store);
            return Ok(Some(Place::Store {
                store,
                model,
                collection,
            }));
        }
        let loaded = self.loaded.load_full().ok_or(NotFound::Loading)?;
        Ok(Some(Place::Memory(loaded)))
    }
}

impl Place {
    fn model(&self) -> &str {
        match self {
            Self::Memory(loaded) => &loaded.model,
            Self::Store { model, .. } => model,
        }
    }

    fn dimensions(&self) -> Option<usize> {
        match self {
            Self::Memory(loaded) => loaded.index.dimensions(),
            Self::Store { collection, .. } => Some(collection.dimensions),
        }
    }

    /// Candidates, the nearest first.
    async fn near(
        &self,
        query: &Arc<[f32]>,
        tenant_id: Option<i64>,
        count: usize,
    ) -> Result<Vec<i64>, NotFound> {
        let near = match self {
            Self::Memory(loaded) => {
                // The scan takes milliseconds of a core: not on a thread that others wait for.
                let (loaded, query) = (Arc::clone(loaded), Arc::clone(query));
                let scan = move || loaded.index.near(&query, tenant_id, count);
                let near = tokio::task::spawn_blocking(scan).await;
                near.map_err(|stopped| DbErr::Custom(stopped.to_string()))?
            }
            Self::Store {
                store, collection, ..
            } => {
                let near = store.near(collection, query, tenant_id, count).await;
                near.map_err(NotFound::Store)?.pairs
            }
        };
        Ok(near.into_iter().map(|(id, _)| id).collect())
    }

    /// Forgets what the table no longer has; a store, what of these it named and what the next pass would have it forget.
    async fn forget(
        &self,
        near: &[i64],
        rows: &[qa_vector::Model],
        connection: &impl ConnectionTrait,
    ) -> Result<(), NotFound> {
        match self {
            Self::Memory(loaded) => Ok(loaded.sweep(connection).await?),
            Self::Store {
                store, collection, ..
            } => {
                let there: HashSet<i64> = rows.iter().map(|row| row.pair_id).collect();
                let mut gone = qa_vector_removal::some(
                    connection,
                    FORGOTTEN.saturating_sub(near.len() as u64),
                )
                .await?;
                gone.extend(near.iter().filter(|id| !there.contains(id)));
                gone.sort_unstable();
                gone.dedup();
                let forgotten = store.remove(collection, &gone).await;
                forgotten.map_err(NotFound::Store)
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
