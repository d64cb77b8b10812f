//! `POST /knowledge/search`: pairs found by what a question means, whatever its words.
//!
//! `top_k` and `min_score` come from the settings (`rag`) unless the request says otherwise. The question is embedded by an
//! account, which is on the books with its cost.

use actix_web::{post, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::knowledge::find::{Found, NotFound};
use steward_entities::scope::Scope;
use utoipa::ToSchema;

use super::view::{self, PairView};
use super::{QUESTION_MAX, in_scope};
use crate::error::{ApiError, ErrorCode};
use crate::http::check::prose;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadKnowledge};
use crate::state::AppState;

const TOP_K_MAX: u32 = 20;

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KnowledgeQuery {
    #[schema(min_length = 1, max_length = 1000)]
    query: String,
    /// Whose pairs; without it all that the caller may see.
    tenant_id: Option<String>,
    /// At most so many; the setting `rag.top_k` unless given.
    #[schema(minimum = 1, maximum = 20)]
    top_k: Option<u32>,
    /// None that is less near; the setting `rag.min_score` unless given.
    #[schema(minimum = 0, maximum = 1)]
    min_score: Option<f32>,
}

/// A pair that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KnowledgeHit {
    /// The cosine of the two vectors.
    score: f32,
    pair: PairView,
}

/// What was found, the nearest first.
#[derive(Debug, Serialize, ToSchema)]
struct KnowledgeHits {
    items: Vec<KnowledgeHit>,
    top_k: u32,
    min_score: f32,
}

/// Pairs found by what a question means, the nearest first.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = KnowledgeHits)))]
#[post("/knowledge/search")]
pub(super) async fn search(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    Json(asked): Json<KnowledgeQuery>,
) -> Result<Json<KnowledgeHits>, ApiError> {
    let question = prose("query", &asked.query, 1, QUESTION_MAX)?;
    let (top_k, min_score) = {
        let settings = state.settings.load();
        (
            asked.top_k.unwrap_or(settings.top_k),
            asked
                .min_score
                .unwrap_or(settings.min_score_nano as f32 / 1e9),
        )
    };
    if !(1..=TOP_K_MAX).contains(&top_k) {
        return Err(ApiError::invalid(
            "top_k",
            format!("must lie between 1 and {TOP_K_MAX}"),
        ));
    }
    if !(0.0..=1.0).contains(&min_score) {
        return Err(ApiError::invalid("min_score", "must lie between 0 and 1"));
    }
    let read = &state.databases.control_read;
    let own = caller.operator.scope();
    let scope = in_scope(read, own, asked.tenant_id.as_deref()).await?;
    let found = state
        .tree
        .knowledge
        .find(scope, &question, top_k as usize, min_score)
        .await;
    Ok(Json(KnowledgeHits {
        items: hits(read, own, found.map_err(told)?).await?,
        top_k,
        min_score,
    }))
}

/// What was found, as it is shown.
pub(super) async fn hits(
    connection: &impl ConnectionTrait,
    scope: Scope,
    found: Vec<Found>,
) -> Result<Vec<KnowledgeHit>, ApiError> {
    let (scores, rows): (Vec<f32>, Vec<_>) =
        found.into_iter().map(|hit| (hit.score, hit.pair)).unzip();
    let views = view::of(connection, scope, rows).await?;
    let hits = scores
        .into_iter()
        .zip(views)
        .map(|(score, pair)| KnowledgeHit { score, pair });
    Ok(hits.collect())
}

fn told(cause: NotFound) -> ApiError {
    match cause {
        NotFound::Database(error) => error.into(),
        NotFound::Loading => ApiError::new(ErrorCode::Unavailable)
            .detail("The vectors are being read into memory.")
            .retry_after_s(5),
        NotFound::Store(failed) => {
            let sentence = failed.sentence.trim_end_matches('.');
            ApiError::new(ErrorCode::Unavailable)
                .detail(format!("The vector store cannot be asked: {sentence}."))
                .retry_after_s(failed.retry_after.map_or(5, |after| after.as_secs().max(1)))
        }
        NotFound::Unembedded(failed) => {
            let sentence = failed.sentence.trim_end_matches('.');
            let error = ApiError::new(ErrorCode::Unavailable)
                .detail(format!("The question could not be embedded: {sentence}."));
            match failed.retry_after {
                Some(after) => error.retry_after_s(after.as_secs().max(1)),
                None => error,
            }
        }
    }
}
