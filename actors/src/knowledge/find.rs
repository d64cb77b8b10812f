//! Pairs that are near to a question.
//!
//! What the index names is looked up: pairs that are gone, that ask something else by now or that the scope does not hold are
//! no answer, and the rest is compared by the vectors as the model gave them.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::DbErr;
use steward_entities::scope::Scope;
use steward_entities::{qa_pair, qa_vector};

use super::embed::{Ask, Failed, embedded, from_bytes};
use super::sync::hash_of;
use super::{Loaded, Parts};

/// Candidates for each pair that is wanted, and at least.
const CANDIDATES: usize = 8;
const CANDIDATES_MIN: usize = 64;

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
        let Some(loaded) = self.loaded.load_full() else {
            return match self.active().await? {
                Some(_) => Err(NotFound::Loading),
                None => Ok(Vec::new()),
            };
        };
        let tenant_id = match scope {
            Scope::All => None,
            Scope::Tenant(id) => Some(id),
        };
        if !loaded.index.has_any(tenant_id) {
            return Ok(Vec::new());
        }
        let ask = Ask {
            model: loaded.model.clone(),
            texts: vec![question.to_owned()],
            tenant_id,
        };
        let vectors = embedded(&*self.embedder, ask, loaded.index.dimensions()).await;
        let query = vectors.map_err(NotFound::Unembedded)?.pop();
        let query: Arc<[f32]> = query.unwrap_or_default().into();
        let count = (top_k * CANDIDATES).max(CANDIDATES_MIN);
        let read = &self.databases.control_read;
        let mut near = candidates(&loaded, &query, tenant_id, count).await?;
        let mut rows = qa_vector::of_pairs(read, &loaded.model, near.clone()).await?;
        if rows.len() < near.len() / 2 {
            // So many were removed that they stand before those that are there.
            loaded.sweep(read).await?;
            near = candidates(&loaded, &query, tenant_id, count).await?;
            rows = qa_vector::of_pairs(read, &loaded.model, near.clone()).await?;
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

/// The scan takes milliseconds of a core: not on a thread that others wait for.
async fn candidates(
    loaded: &Arc<Loaded>,
    query: &Arc<[f32]>,
    tenant_id: Option<i64>,
    count: usize,
) -> Result<Vec<i64>, NotFound> {
    let (loaded, query) = (Arc::clone(loaded), Arc::clone(query));
    let scan = tokio::task::spawn_blocking(move || loaded.index.near(&query, tenant_id, count));
    let near = scan
        .await
        .map_err(|stopped| DbErr::Custom(stopped.to_string()))?;
    Ok(near.into_iter().map(|(id, _)| id).collect())
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
