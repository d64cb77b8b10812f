//! Silences: for a while, alerts that fit are evaluated as ever, and nobody is told.

use actix_web::{get, post, web};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use steward_actors::domain::alert::silence::Matcher;
use steward_entities::alert_silence;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, text};
use crate::http::extract::Json;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadAlerts, WriteAlerts};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

const REASON_MAX: usize = 500;
const MATCHERS_MAX: usize = 20;
const MATCHER_MAX: usize = 300;
/// Longer than this is no silence but a rule to disable.
const LENGTH_MAX_US: i64 = 90 * 86_400_000_000;

/// A silence.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SilenceShown {
    id: String,
    /// `label=value` or `label!=value`; all must fit.
    matchers: Vec<String>,
    from: String,
    to: String,
    reason: String,
    created_by: String,
    created_at: String,
    /// `waiting`, `in_force` or `over`.
    state: &'static str,
    version: i64,
}

impl SilenceShown {
    fn of(row: alert_silence::Model, now: i64) -> Self {
        Self {
            state: match now {
                now if now < row.from_at => "waiting",
                now if now < row.to_at => "in_force",
                _ => "over",
            },
            id: row.public_id,
            matchers: row.matchers.0,
            from: rfc3339(row.from_at),
            to: rfc3339(row.to_at),
            reason: row.reason,
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            version: row.version,
        }
    }
}

/// A silence to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSilence {
    /// `label=value` or `label!=value`. Besides a series' own labels there are `rule` (name) and `severity`.
    #[schema(min_items = 1, max_items = 20)]
    matchers: Vec<String>,
    /// RFC 3339; now unless said otherwise.
    from: Option<String>,
    /// RFC 3339.
    to: String,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Silences, newest first.
#[utoipa::path(tag = "alert silences", params(PageQuery), responses((status = 200, body = Page<SilenceShown>)))]
#[get("/ops/alerts/silences")]
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    page: PageRequest,
) -> Result<Json<Page<SilenceShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = alert_silence::list(read, page.rows()?).await?;
    let total = alert_silence::count(read).await?;
    let now = state.clock.now_micros();
    let shown = |row| SilenceShown::of(row, now);
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        shown,
    )))
}

/// Silences alerts that fit.
#[utoipa::path(tag = "alert silences", responses((status = 201, body = SilenceShown)))]
#[post("/ops/alerts/silences")]
pub(super) async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteAlerts>,
    Json(new): Json<NewSilence>,
) -> Result<Tagged<SilenceShown>, ApiError> {
    check::whole_installation(&caller)?;
    let mut matchers = Vec::with_capacity(new.matchers.len());
    if !(1..=MATCHERS_MAX).contains(&new.matchers.len()) {
        return Err(ApiError::invalid(
            "matchers",
            format!("must be 1 to {MATCHERS_MAX}"),
        ));
    }
    for (index, matcher) in new.matchers.iter().enumerate() {
        let field = format!("matchers[{index}]");
        let matcher = text(&field, matcher, 1, MATCHER_MAX)?;
        if Matcher::parse(&matcher).is_none() {
            return Err(ApiError::invalid(
                field,
                "must read like model=gpt-4o or rule!=x",
            ));
        }
        matchers.push(matcher);
    }
    let reason = text("reason", &new.reason, 1, REASON_MAX)?;
    let change = Change::begin(&state, &caller).await?;
    let from_at = match &new.from {
        Some(from) => moment("from", from)?,
        None => change.now,
    };
    let to_at = moment("to", &new.to)?;
    if to_at <= from_at || to_at <= change.now || to_at - from_at > LENGTH_MAX_US {
        let why = "must lie in the future, after `from`, at most 90 days later";
        return Err(ApiError::invalid("to", why));
    }
    let new = alert_silence::NewSilence {
        matchers,
        from_at,
        to_at,
        reason,
        created_by: caller.operator.username.clone(),
    };
    let row = alert_silence::insert(&change, new, change.now).await?;
    let now = change.now;
    let view = SilenceShown::of(row, now);
    let audit = Audit::of("silences.create", "silence", &view.id).with("created", &view);
    change.created(audit, view.version, view).await
}

/// Ends a silence now. What changed meanwhile is told at the next evaluation. Doing it again changes nothing.
#[utoipa::path(tag = "alert silences", responses((status = 200, body = SilenceShown)))]
#[post("/ops/alerts/silences/{id}/end")]
pub(super) async fn end(
    state: web::Data<AppState>,
    caller: Can<WriteAlerts>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<Tagged<SilenceShown>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let now = change.now;
    let row = alert_silence::by_public_id(&*change, &id)
        .await?
        .ok_or_else(|| ApiError::not_found("silence"))?;
    if row.to_at <= now {
        return Ok(Tagged::ok(row.version, SilenceShown::of(row, now)));
    }
    if_match
        .check(row.version, &*change, "silence", &row.public_id)
        .await?;
    let ended = alert_silence::end(&change, &row, now)
        .await
        .map_err(refused("id"))?;
    let audit = Audit::of("silences.end", "silence", &row.public_id).with("reason", &row.reason);
    change.commit(audit).await?;
    Ok(Tagged::ok(ended.version, SilenceShown::of(ended, now)))
}

fn moment(field: &str, text: &str) -> Result<i64, ApiError> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.timestamp_micros())
        .map_err(|_| ApiError::invalid(field, "must be a time like 2026-03-15T18:30:00Z"))
}
