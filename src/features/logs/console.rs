//! The request log as the token console's document knows it: the latest calls, in its words.

use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use steward_actors::domain::record::Operation;
use steward_entities::ledger::request_log::RequestRow;
use steward_entities::ledger::request_page::{self, RequestSort};
use utoipa::{IntoParams, ToSchema};

use super::{Can, Json, Query, ReadLogs, RecordId, Rid, TimeRange, Which, rfc3339};
use crate::error::ApiError;
use crate::state::AppState;

const LIMIT: u64 = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HowMany {
    /// 1 to 1,000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// One call.
#[derive(Debug, Serialize, ToSchema)]
struct ConsoleLog {
    id: String,
    #[schema(format = DateTime)]
    timestamp: String,
    method: &'static str,
    /// The endpoint that its operation belongs to.
    path: &'static str,
    model: Option<String>,
    status_code: i32,
    /// Model tokens.
    tokens_used: i64,
    duration_ms: i64,
    /// Stable code of what went wrong.
    error: Option<String>,
}

/// The latest calls, newest first.
#[utoipa::path(tag = "token console", params(HowMany), responses((status = 200, body = Vec<ConsoleLog>)))]
#[get("/logs")]
pub(crate) async fn latest(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    how_many: Query<HowMany>,
) -> Result<Json<Vec<ConsoleLog>>, ApiError> {
    let limit = how_many.limit.unwrap_or(LIMIT);
    if !(1..=request_page::LIMIT_MAX).contains(&limit) {
        let message = format!("must lie between 1 and {}", request_page::LIMIT_MAX);
        return Err(ApiError::invalid("limit", message));
    }
    let read = &state.databases.ledger_read;
    let (which, scope) = (Which::default(), caller.operator.scope());
    let filter = which.filter(read, scope, TimeRange::default()).await?;
    let found = request_page::list(read, &filter, RequestSort::Newest, None, limit).await?;
    Ok(Json(found.rows.into_iter().map(ConsoleLog::from).collect()))
}

impl From<RequestRow> for ConsoleLog {
    fn from(row: RequestRow) -> Self {
        let id = RecordId {
            rid: Rid(row.rid),
            tail: row.id_tail.cast_unsigned(),
        };
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            id: id.to_string(),
            timestamp: rfc3339(row.request_at),
            method: "POST",
            path: path(row.operation.into()),
            model: given(row.model),
            status_code: row.status_code,
            tokens_used: row.total_tokens,
            duration_ms: row.duration_ms,
            error: given(row.error_code),
        }
    }
}

fn path(operation: i32) -> &'static str {
    match Operation::try_from(operation) {
        Ok(Operation::Chat) => "/v1/chat/completions",
        Ok(Operation::Responses) => "/v1/responses",
        Ok(Operation::Completion) => "/v1/completions",
        Ok(Operation::Embedding) => "/v1/embeddings",
        Ok(Operation::Messages) => "/v1/messages",
        Ok(Operation::CountTokens) => "/v1/messages/count_tokens",
        Ok(Operation::VectorQuery | Operation::Unknown) | Err(_) => "",
    }
}
