//! How many conversations there were: the dashboard's count. It reads the log, since ids are not rolled up.

use actix_web::{get, web};
use serde::Serialize;
use steward_actors::domain::rid::Rid;
use steward_entities::ledger::conversation_count::{self, CALLS_LOOKED_AT};
use steward_entities::scope::Scope;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

use super::stretch::Stretch;

/// Conversations and calls in a stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationNumbers {
    /// Beginning of what was counted.
    #[schema(format = DateTime)]
    from: String,
    /// End of what was counted (exclusive).
    #[schema(format = DateTime)]
    to: String,
    /// Distinct conversations, where calls carry an id, and calls that carry none, each for itself.
    conversations: i64,
    /// The distinct conversations among them.
    with_id: i64,
    /// The calls that carry no id.
    without_id: i64,
    /// All calls.
    calls: i64,
    /// False when there were so many calls that only the newest 500,000 were counted.
    is_exact: bool,
}

/// How many conversations there were: the last 24 hours unless asked otherwise. An id is what a call carries as
/// `x-conversation-id` or in its body; calls belong to the moment they were accepted.
#[utoipa::path(tag = "stats", params(RangeQuery), responses((status = 200, body = ConversationNumbers)))]
#[get("/stats/conversations")]
pub(super) async fn conversations(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    range: TimeRange,
) -> Result<Json<ConversationNumbers>, ApiError> {
    let asked = Stretch::asked(range, state.clock.now_micros())?;
    let tenant = match caller.operator.scope() {
        Scope::All => None,
        Scope::Tenant(own) => Some(own),
    };
    let rid = |micros: i64| Rid::floor_of_ms(micros.div_euclid(1_000)).0;
    let to = if asked.is_open {
        i64::MAX
    } else {
        rid(asked.to)
    };
    let read = &state.databases.ledger_read;
    let counted = conversation_count::count(read, rid(asked.from)..to, tenant).await?;
    Ok(Json(ConversationNumbers {
        from: rfc3339(asked.from),
        to: rfc3339(asked.to),
        conversations: counted.with_id + counted.without_id,
        with_id: counted.with_id,
        without_id: counted.without_id,
        calls: counted.calls,
        is_exact: counted.calls < CALLS_LOOKED_AT,
    }))
}
