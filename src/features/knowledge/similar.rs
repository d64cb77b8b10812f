//! `POST /ops/knowledge/similar`: pairs of a tenant that ask nearly what somebody is about to write, found by what it means.
//! Those that ask the very same are found without asking anybody ([`super::duplicates`]), and are none of these.
//!
//! Of pairs that have no vector yet nothing is known. Saving never waits for it: it has two seconds, and where it cannot be looked, the answer says so. The question is
//! embedded by an account, which is on the books of the tenant with its cost.

use std::time::Duration;

use actix_web::{post, web};
use serde::{Deserialize, Serialize};
use steward_actors::knowledge::find::{ALIKE, NotFound};
use steward_entities::qa_pair;
use steward_entities::scope::Scope;
use utoipa::ToSchema;

use super::search::{KnowledgeHit, hits};
use super::{QUESTION_MAX, whose};
use crate::error::ApiError;
use crate::http::check::prose;
use crate::http::extract::Json;
use crate::http::permission::{Can, WriteKnowledge};
use crate::state::AppState;

/// How long whoever writes a pair waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pairs that are told, and looked at: some of the nearest may be none of these.
const TOLD: usize = 5;
const LOOKED_AT: usize = 20;

/// A question that somebody is about to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SimilarQuery {
    /// Whose pairs; an operator of one tenant may leave it out.
    tenant_id: Option<String>,
    #[schema(min_length = 1, max_length = 1000)]
    question: String,
    /// The pair that is edited, which is not told.
    except: Option<String>,
    /// None that is less near; 0.85 unless given.
    #[schema(minimum = 0, maximum = 1)]
    min_score: Option<f32>,
}

/// Pairs that ask nearly the same, the nearest first.
#[derive(Debug, Serialize, ToSchema)]
struct Similar {
    /// At most five.
    items: Vec<KnowledgeHit>,
    /// Whether it could be looked; if not, that there are no items says nothing.
    looked: bool,
    /// Why not; null also where no model is configured (`rag.embedding_model`).
    reason: Option<String>,
}

/// Pairs of a tenant that ask nearly the same by what they mean, but not the very same.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = Similar)))]
#[post("/ops/knowledge/similar")]
pub(super) async fn similar(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    Json(asked): Json<SimilarQuery>,
) -> Result<Json<Similar>, ApiError> {
    let question = prose("question", &asked.question, 1, QUESTION_MAX)?;
    let min_score = asked.min_score.unwrap_or(ALIKE);
    if !(0.0..=1.0).contains(&min_score) {
        return Err(ApiError::invalid("min_score", "must lie between 0 and 1"));
    }
    let own = caller.operator.scope();
    let read = &state.databases.control_read;
    let tenant_id = whose(read, own, asked.tenant_id.as_deref()).await?;
    let unlooked = |reason: Option<String>| Similar {
        items: Vec::new(),
        looked: false,
        reason,
    };
    let knowledge = &state.tree.knowledge;
    if knowledge.model.is_empty() {
        return Ok(Json(unlooked(None)));
    }
    let finding = knowledge.find(Scope::Tenant(tenant_id), &question, LOOKED_AT, min_score);
    let found = match tokio::time::timeout(PATIENCE, finding).await {
        Err(_) => {
            let reason = format!("nothing was found within {} s", PATIENCE.as_secs());
            return Ok(Json(unlooked(Some(reason))));
        }
        Ok(Err(cause)) => {
            return match reason(cause) {
                Ok(reason) => Ok(Json(unlooked(Some(reason)))),
                Err(error) => Err(error),
            };
        }
        Ok(Ok(found)) => found,
    };
    let key = qa_pair::question_key(&question);
    let except = asked.except.as_deref();
    let others = found
        .into_iter()
        .filter(|hit| hit.pair.question_key != key && Some(hit.pair.public_id.as_str()) != except);
    Ok(Json(Similar {
        items: hits(read, own, others.take(TOLD).collect()).await?,
        looked: true,
        reason: None,
    }))
}

fn reason(cause: NotFound) -> Result<String, ApiError> {
    match cause {
        NotFound::Database(error) => Err(error.into()),
        NotFound::Loading => Ok("the vectors are being read into memory".to_owned()),
        NotFound::Store(failed) => Ok(failed.sentence),
        NotFound::Unembedded(failed) => Ok(failed.sentence),
    }
}
