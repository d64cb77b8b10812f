//! What of its tenant's knowledge a call was given, as its record has it, with what the pairs ask by now.

use std::collections::HashMap;

use serde::Serialize;
use steward_entities::qa_pair;
use steward_entities::scope::Page;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::permission::{Permission, ReadKnowledge};
use crate::state::AppState;

/// How the ids of pairs begin; no word for why there are none does.
const PAIR: &str = "qa_";

/// What of its tenant's knowledge a call was given as context.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KnowledgeGiven {
    /// `used`; or why nothing was given: `none` (no pair was near enough), `off` (the caller's header), `no_tenant`,
    /// `no_question`, `too_large`, `loading`, `timed_out` or `failed`.
    outcome: String,
    /// The nearest first.
    pairs: Vec<PairGiven>,
}

/// A pair that stood in the context.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PairGiven {
    id: String,
    /// What it asks now; null when it is gone, or not for the reader to see.
    question: Option<String>,
}

/// `recorded` as the record has it; `None` when nobody asked for any.
pub(super) async fn given(
    state: &AppState,
    caller: &Caller,
    recorded: Option<&str>,
) -> Result<Option<KnowledgeGiven>, ApiError> {
    let Some(recorded) = recorded.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if !recorded.starts_with(PAIR) {
        return Ok(Some(KnowledgeGiven {
            outcome: recorded.to_owned(),
            pairs: Vec::new(),
        }));
    }
    let ids: Vec<String> = recorded.split(',').map(str::to_owned).collect();
    let mut questions = questions(state, caller, &ids).await?;
    let pairs = ids.into_iter().map(|id| PairGiven {
        question: questions.remove(&id),
        id,
    });
    Ok(Some(KnowledgeGiven {
        outcome: "used".to_owned(),
        pairs: pairs.collect(),
    }))
}

async fn questions(
    state: &AppState,
    caller: &Caller,
    ids: &[String],
) -> Result<HashMap<String, String>, ApiError> {
    let may = ReadKnowledge::NAME.is_none_or(|name| caller.operator.permissions.allow(name));
    if !may {
        return Ok(HashMap::new());
    }
    let filter = qa_pair::Filter {
        public_ids: Some(ids.to_vec()),
        ..qa_pair::Filter::default()
    };
    let page = Page {
        after: None,
        limit: ids.len() as u64,
    };
    let scope = caller.operator.scope();
    let rows = qa_pair::list(&state.databases.control_read, scope, &filter, page).await?;
    let each = rows.into_iter().map(|row| (row.public_id, row.question));
    Ok(each.collect())
}
