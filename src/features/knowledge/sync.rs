//! How the vectors stand to the pairs, and having them caught up now.
//!
//! | method | path | permission |
//! |---|---|---|
//! | POST | `/ops/knowledge/sync` | `write:knowledge` |
//! | GET | `/ops/knowledge/sync/status` | `read:knowledge` |
//!
//! What embeds is `root/learning/knowledge_sync`; here it is looked at and nudged.

use actix_web::{HttpResponse, get, post, web};
use serde::Serialize;
use steward_actors::knowledge::outage::{self, Outage};
use steward_actors::knowledge::shelf::Shelves;
use steward_actors::tree::learning::knowledge_sync::SyncNow;
use steward_entities::scope::Scope;
use steward_entities::{qa_pair, qa_sync_failure, qa_vector};
use utoipa::ToSchema;

use super::view::{self, PairView};
use crate::error::ApiError;
use crate::http::change::{Audit, Change};
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadKnowledge, WriteKnowledge};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// Failures that are told.
const FAILURES_MAX: u64 = 20;

/// A pair that could not be embedded.
#[derive(Debug, Serialize, ToSchema)]
struct SyncFailure {
    pair: PairView,
    attempts: i64,
    error: String,
    failed_at: String,
    /// Not tried before.
    next_at: String,
}

/// A model cannot be asked at all.
#[derive(Debug, Serialize, ToSchema)]
struct SyncOutage {
    model: String,
    attempts: i64,
    error: String,
    failed_at: String,
    /// Not tried before.
    next_at: String,
}

/// The vector store that is called over a network.
#[derive(Debug, Serialize, ToSchema)]
struct StoreStatus {
    /// `qdrant`, `pgvector` or `pinecone`
    kind: &'static str,
    /// That of `model`; null before it is made.
    collection: Option<String>,
    /// Whether it answers questions; until it holds everything, memory does.
    answers: bool,
    /// Vectors that wait to be pushed.
    waiting_count: u64,
    /// While it cannot be asked.
    #[schema(inline)]
    outage: Option<StoreOutage>,
}

/// The vector store cannot be asked.
#[derive(Debug, Serialize, ToSchema)]
struct StoreOutage {
    attempts: i64,
    error: String,
    failed_at: String,
    /// Not tried before.
    next_at: String,
}

/// How the vectors stand to the pairs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SyncStatus {
    /// Whether a model is configured to embed by (`rag.embedding_model`).
    enabled: bool,
    /// Whether pairs are embedded as they come (`scheduler.auto_sync_enabled`), or only when somebody asks.
    auto: bool,
    /// The model that pairs are to be embedded by; null for none.
    model: Option<String>,
    /// The one that questions are answered by; another than `model` while it is being changed to.
    active_model: Option<String>,
    total_qa_pairs: u64,
    /// Pairs that have a vector of `model`.
    embedded_count: u64,
    /// Those that wait, failed ones included.
    waiting_count: i64,
    /// Seconds that the one which waits longest has waited.
    lag_seconds: i64,
    failed_count: u64,
    /// While the model, or the one that answers questions, cannot be asked at all; the pairs are told of nothing then.
    #[schema(inline)]
    outage: Option<SyncOutage>,
    /// The vector store that is called over a network; null for none.
    #[schema(inline)]
    store: Option<StoreStatus>,
    /// Vectors that this process holds in memory, of whichever tenant; null for who may see one tenant only.
    in_memory: Option<usize>,
    /// The latest.
    failures: Vec<SyncFailure>,
}

/// How the vectors stand to the pairs.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = SyncStatus)))]
#[get("/ops/knowledge/sync/status")]
pub(super) async fn status(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
) -> Result<Json<SyncStatus>, ApiError> {
    Ok(Json(told(&state, caller.operator.scope()).await?))
}

/// Embeds what waits now, what failed included, and answers how it stands.
#[utoipa::path(tag = "knowledge", responses((status = 202, body = SyncStatus)))]
#[post("/ops/knowledge/sync")]
pub(super) async fn sync(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
) -> Result<HttpResponse, ApiError> {
    let scope = caller.operator.scope();
    let change = Change::begin(&state, &caller).await?;
    qa_sync_failure::hurry(&change, scope, change.now).await?;
    outage::hurry(&change, change.now).await?;
    change
        .commit(Audit::of("knowledge.sync", "knowledge", ""))
        .await?;
    // It looks by itself too; that it cannot be told is no failure.
    let _ = state.tree.knowledge_sync.try_send(SyncNow);
    Ok(HttpResponse::Accepted().json(told(&state, scope).await?))
}

async fn told(state: &AppState, scope: Scope) -> Result<SyncStatus, ApiError> {
    let read = &state.databases.control_read;
    let knowledge = &state.tree.knowledge;
    let model = Some(knowledge.model.to_string()).filter(|model| !model.is_empty());
    let (lag, embedded_count) = match &model {
        Some(model) => (
            qa_vector::lag(read, scope, model).await?,
            qa_vector::count(read, scope, model).await?,
        ),
        None => Default::default(),
    };
    let of_model = model.as_deref().unwrap_or_default();
    let failed = qa_sync_failure::latest(read, scope, of_model, FAILURES_MAX).await?;
    let failed_count = qa_sync_failure::count(read, scope, of_model).await?;
    let mut outages = outage::all(read).await?;
    let unreached = outages.remove(outage::STORE);
    let store = store_told(state, scope, of_model, unreached).await?;
    let outage = outages
        .remove_entry(of_model)
        .or_else(|| outages.pop_first())
        .filter(|_| model.is_some());
    let pairs = failed.iter().map(|row| row.pair_id).collect();
    let rows = qa_pair::by_ids(read, scope, pairs).await?;
    let mut failures = Vec::new();
    for row in failed {
        if let Some(pair) = rows.iter().find(|pair| pair.id == row.pair_id) {
            failures.push(SyncFailure {
                pair: view::one(read, scope, pair.clone()).await?,
                attempts: row.attempts,
                error: row.error,
                failed_at: rfc3339(row.failed_at),
                next_at: rfc3339(row.next_at),
            });
        }
    }
    let waited = lag.oldest_at.map_or(0, |at| state.clock.now_micros() - at);
    Ok(SyncStatus {
        enabled: model.is_some(),
        auto: state.settings.load().syncs,
        active_model: knowledge.active().await?,
        model,
        total_qa_pairs: qa_pair::count(read, scope, &qa_pair::Filter::default()).await?,
        embedded_count,
        waiting_count: lag.waiting,
        lag_seconds: waited.max(0) / 1_000_000,
        failed_count,
        outage: outage.map(|(model, one)| SyncOutage {
            model,
            attempts: one.attempts,
            error: one.error,
            failed_at: rfc3339(one.failed_at),
            next_at: rfc3339(one.next_at),
        }),
        store,
        in_memory: matches!(scope, Scope::All).then(|| knowledge.in_memory()),
        failures,
    })
}

async fn store_told(
    state: &AppState,
    scope: Scope,
    model: &str,
    outage: Option<Outage>,
) -> Result<Option<StoreStatus>, ApiError> {
    let Some(store) = &state.tree.knowledge.store else {
        return Ok(None);
    };
    let read = &state.databases.control_read;
    let shelves = Shelves::of(read, &**store).await?;
    let shelf = shelves.by_model.get(model);
    let upto = shelf.map_or((0, 0), |shelf| shelf.upto);
    Ok(Some(StoreStatus {
        kind: store.kind().as_str(),
        collection: shelf.map(|shelf| shelf.collection.name.clone()),
        answers: shelf.is_some_and(|shelf| shelf.is_whole),
        waiting_count: qa_vector::count_after(read, scope, model, upto).await?,
        outage: outage.map(|one| StoreOutage {
            attempts: one.attempts,
            error: one.error,
            failed_at: rfc3339(one.failed_at),
            next_at: rfc3339(one.next_at),
        }),
    }))
}
