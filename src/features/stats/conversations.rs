//! How many conversations there were: the dashboard's count. It reads the log, since ids are not rolled up; what the
//! dashboard asks for again and again is remembered for a minute.

use std::sync::Arc;

use actix_web::{get, web};
use arc_swap::ArcSwapOption;
use chrono::Days;
use serde::Serialize;
use steward_actors::domain::calendar;
use steward_actors::domain::rid::Rid;
use steward_entities::ledger::conversation_count::{self, CALLS_LOOKED_AT, ConversationCount};
use steward_entities::scope::Scope;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

use super::stretch::Stretch;

/// How old the dashboard's count may be.
const REMEMBERED_US: i64 = 60_000_000;

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
    let counted = count(&state, caller.operator.scope(), asked).await?;
    Ok(Json(ConversationNumbers {
        from: rfc3339(asked.from),
        to: rfc3339(asked.to),
        conversations: conversations_of(counted),
        with_id: counted.with_id,
        without_id: counted.without_id,
        calls: counted.calls,
        is_exact: is_exact(counted),
    }))
}

async fn count(
    state: &AppState,
    scope: Scope,
    asked: Stretch,
) -> Result<ConversationCount, ApiError> {
    let tenant = match scope {
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
    Ok(conversation_count::count(read, rid(asked.from)..to, tenant).await?)
}

fn conversations_of(counted: ConversationCount) -> i64 {
    counted.with_id + counted.without_id
}

fn is_exact(counted: ConversationCount) -> bool {
    counted.calls < CALLS_LOOKED_AT
}

/// What the whole installation's dashboard tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lately {
    /// When it was counted, microseconds since the Unix epoch.
    at: i64,
    /// Since midnight.
    pub(super) today: i64,
    /// Since the midnight before the last six days.
    pub(super) week: i64,
    pub(super) is_exact: bool,
}

/// The latest count of the dashboard's. One per process.
#[derive(Debug, Default)]
pub(crate) struct Remembered(ArcSwapOption<Lately>);

/// Conversations of today and of the last seven days, counted within the last minute.
pub(super) async fn lately(state: &AppState) -> Result<Lately, ApiError> {
    let now = state.clock.now_micros();
    let today = calendar::day_of(state.time_zone, now);
    if let Some(known) = &*state.conversations_lately.0.load()
        && (today..=now).contains(&known.at)
        && now - known.at < REMEMBERED_US
    {
        return Ok(**known);
    }
    let since = |from| Stretch {
        from,
        to: now,
        is_open: true,
    };
    let of_today = count(state, Scope::All, since(today)).await?;
    let date = calendar::date_of(state.time_zone, now);
    let first = date.checked_sub_days(Days::new(6)).unwrap_or(date);
    let first = calendar::start_of(state.time_zone, first);
    let of_week = count(state, Scope::All, since(first)).await?;
    let lately = Lately {
        at: now,
        today: conversations_of(of_today),
        week: conversations_of(of_week),
        is_exact: is_exact(of_week),
    };
    state.conversations_lately.0.store(Some(Arc::new(lately)));
    Ok(lately)
}
