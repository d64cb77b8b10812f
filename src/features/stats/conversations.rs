//! How many conversations there were: the dashboard's count. It reads the log, since ids are not rolled up; days gone by are
//! counted once and kept, and what the dashboard asks for again and again is remembered for a minute.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{get, web};
use arc_swap::ArcSwapOption;
use chrono::Days;
use serde::Serialize;
use steward_actors::domain::calendar;
use steward_actors::domain::rid::Rid;
use steward_entities::ledger::conversation_count::{self, CALLS_LOOKED_AT, ConversationCount};
use steward_entities::scope::Scope;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

use super::stretch::Stretch;

/// How old the dashboard's count may be.
const REMEMBERED_US: i64 = 60_000_000;
/// Longer stretches are not counted call by call.
const COUNTED_MAX_US: i64 = 48 * 3_600_000_000;

/// Conversations and calls in a stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationNumbers {
    /// Beginning of what was counted.
    #[schema(format = DateTime)]
    from: String,
    /// End of what was counted (exclusive).
    #[schema(format = DateTime)]
    to: String,
    /// Distinct conversations, where calls carry an id, and calls that carry none, each for itself. Embeddings, counted tokens
    /// and queries to a vector store are none.
    conversations: i64,
    /// The distinct conversations among them.
    with_id: i64,
    /// The calls that talk to a model and carry no id.
    without_id: i64,
    /// All calls, of whatever kind.
    calls: i64,
    /// False when there were so many calls that only the newest 500,000 were counted, and when days were added up: a
    /// conversation is then one of each of its days.
    is_exact: bool,
}

/// How many conversations there were: the last 24 hours unless asked otherwise. An id is what a call carries as
/// `x-conversation-id` or in its body; calls belong to the moment they were accepted. A stretch of more than 48 hours is told in
/// whole days, added up as each was counted; `from` and `to` say what was counted.
#[utoipa::path(tag = "stats", params(RangeQuery), responses((status = 200, body = ConversationNumbers)))]
#[get("/stats/conversations")]
pub(super) async fn conversations(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    range: TimeRange,
) -> Result<Json<ConversationNumbers>, ApiError> {
    let asked = Stretch::asked(range, state.clock.now_micros())?;
    let scope = caller.operator.scope();
    let (stretch, counted, is_exact) = if asked.to - asked.from > COUNTED_MAX_US {
        let days = asked.days(state.time_zone);
        (days, add_up(&state, scope, days).await?, false)
    } else {
        let counted = count(&state, scope, asked).await?;
        (asked, counted, is_exact(counted))
    };
    Ok(Json(ConversationNumbers {
        from: rfc3339(stretch.from),
        to: rfc3339(stretch.to),
        conversations: counted.with_id + counted.without_id,
        with_id: counted.with_id,
        without_id: counted.without_id,
        calls: counted.calls,
        is_exact,
    }))
}

/// The sum of days as they were counted.
async fn add_up(
    state: &AppState,
    scope: Scope,
    days: Stretch,
) -> Result<ConversationCount, ApiError> {
    let own = match scope {
        Scope::All => None,
        Scope::Tenant(own) => Some([own]),
    };
    let read = &state.databases.ledger_read;
    let between = (days.from, days.to);
    let mut sum = ConversationCount::default();
    for day in conversation_count::days(read, between, own.as_ref().map(|own| &own[..])).await? {
        sum.with_id += day.with_id;
        sum.without_id += day.without_id;
        sum.calls += day.calls;
    }
    Ok(sum)
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

fn is_exact(counted: ConversationCount) -> bool {
    counted.calls < CALLS_LOOKED_AT
}

/// What the whole installation's dashboard tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lately {
    /// When it was counted, microseconds since the Unix epoch.
    at: i64,
    /// Since midnight.
    pub(super) today: DayCount,
    /// Those of the last seven days, today included.
    pub(super) week: i64,
    /// Those of the last thirty.
    pub(super) month: i64,
    pub(super) is_exact: bool,
}

/// The conversations of a day.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DayCount {
    /// Distinct ones, where calls carry an id.
    pub(super) with_id: i64,
    /// Calls that carry none.
    pub(super) without_id: i64,
}

impl DayCount {
    /// Both.
    pub(super) fn all(self) -> i64 {
        self.with_id + self.without_id
    }
}

/// The latest count of the dashboard's. One per process.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    latest: ArcSwapOption<Lately>,
    /// Who comes while it is being counted waits for that count instead of making the database count it again.
    counting: Mutex<()>,
}

impl Remembered {
    /// What was counted today and is not old yet.
    fn fresh(&self, today: i64, now: i64) -> Option<Lately> {
        let latest = self.latest.load();
        let known = latest.as_deref()?;
        ((today..=now).contains(&known.at) && now - known.at < REMEMBERED_US).then_some(*known)
    }
}

/// Conversations of days that begin in `[from, to)`, as they were counted, by the start of the day: of these tenants or
/// of all and nobody.
pub(super) async fn of_days(
    state: &AppState,
    days: (i64, i64),
    tenants: Option<&[i64]>,
) -> Result<BTreeMap<i64, DayCount>, ApiError> {
    let read = &state.databases.ledger_read;
    let mut found: BTreeMap<i64, DayCount> = BTreeMap::new();
    for row in conversation_count::days(read, days, tenants).await? {
        let day = found.entry(row.bucket).or_default();
        day.with_id += row.with_id;
        day.without_id += row.without_id;
    }
    Ok(found)
}

/// Conversations of today, counted within the last minute, and of days before it, as they were counted.
pub(super) async fn lately(state: &AppState) -> Result<Lately, ApiError> {
    let now = state.clock.now_micros();
    let today = calendar::day_of(state.time_zone, now);
    let remembered = &state.conversations_lately;
    if let Some(known) = remembered.fresh(today, now) {
        return Ok(known);
    }
    let _counting = remembered.counting.lock().await;
    if let Some(known) = remembered.fresh(today, state.clock.now_micros()) {
        return Ok(known);
    }
    let since_midnight = Stretch {
        from: today,
        to: now,
        is_open: true,
    };
    let counted = count(state, Scope::All, since_midnight).await?;
    let date = calendar::date_of(state.time_zone, now);
    let days_ago = |days| {
        let first = date.checked_sub_days(Days::new(days)).unwrap_or(date);
        calendar::start_of(state.time_zone, first)
    };
    let (week, month) = (days_ago(6), days_ago(29));
    let days = of_days(state, (month, now), None).await?;
    let live = DayCount {
        with_id: counted.with_id,
        without_id: counted.without_id,
    };
    // So many calls that only the newest were looked at: what was last counted of the whole day may be more.
    let of_today = match days.get(&today) {
        Some(kept) if !is_exact(counted) && kept.all() > live.all() => *kept,
        _ => live,
    };
    let before = |from: i64| -> i64 {
        let earlier = days.range(from..today);
        earlier.map(|(_, day)| day.all()).sum::<i64>() + of_today.all()
    };
    let lately = Lately {
        at: now,
        today: of_today,
        week: before(week),
        month: before(month),
        is_exact: is_exact(counted),
    };
    remembered.latest.store(Some(Arc::new(lately)));
    Ok(lately)
}
