//! Feedback: what people think of answers, told by applications; read, dealt with and counted by operators.
//!
//! | method | path | permission |
//! |---|---|---|
//! | POST | `/feedback` | token or user token |
//! | OPTIONS | `/feedback` | everybody |
//! | GET | `/feedback` | `read:feedback` |
//! | GET | `/feedback/stats` | `read:feedback` |
//! | GET | `/feedback/{id}` | `read:feedback` |
//! | POST | `/feedback/{id}/resolve` | `write:feedback` |
//! | POST | `/feedback/{id}/approve` | `write:feedback` |
//! | POST | `/feedback/{id}/reject` | `write:feedback` |
//! | POST | `/feedback/{id}/reopen` | `write:feedback` |
//!
//! What was said in the call is not told here: `GET /conversations/{id}` does, to those who may read it. Approved
//! feedback is learned from by `root/learning/feedback_learner`; nothing here does.

mod give;
mod stats;
#[cfg(test)]
mod tests;
mod view;

use actix_web::{get, post, web};
use sea_orm::ActiveValue::Set;
use serde::{Deserialize, Serialize};
use steward_actors::domain::rid::RecordId;
use steward_entities::feedback::{self, Filter, Status};
use steward_entities::scope::Scope;
use steward_entities::{tenant, token};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change, refused};
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadFeedback, WriteFeedback};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::{RangeQuery, TimeRange};
use crate::state::AppState;

pub(crate) use give::Author;
use view::{FeedbackDetail, FeedbackView};

const NOTE_MAX: usize = 2_000;
/// A key that no row has.
const NOBODY: i64 = -1;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(give::submit).map(|plain| {
        plain.route(
            "/feedback",
            web::method(actix_web::http::Method::OPTIONS).to(give::preflight),
        )
    });
    config
        .service(stats::stats)
        .service(show)
        .service(resolve)
        .service(approve)
        .service(reject)
        .service(reopen);
}

/// What came of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FeedbackStatus {
    /// Nobody has dealt with it.
    Open,
    /// To be learned from.
    Approved,
    /// Not to be learned from.
    Rejected,
    /// Dealt with otherwise.
    Resolved,
}

impl From<FeedbackStatus> for Status {
    fn from(status: FeedbackStatus) -> Self {
        match status {
            FeedbackStatus::Open => Self::Open,
            FeedbackStatus::Approved => Self::Approved,
            FeedbackStatus::Rejected => Self::Rejected,
            FeedbackStatus::Resolved => Self::Resolved,
        }
    }
}

impl From<Status> for FeedbackStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Open => Self::Open,
            Status::Approved => Self::Approved,
            Status::Rejected => Self::Rejected,
            Status::Resolved => Self::Resolved,
        }
    }
}

/// Filters; all that are given must hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    #[param(inline)]
    status: Option<FeedbackStatus>,
    /// At least so good.
    #[param(minimum = 1, maximum = 5)]
    rating_min: Option<i64>,
    /// At most so good.
    #[param(minimum = 1, maximum = 5)]
    rating_max: Option<i64>,
    category: Option<String>,
    /// Model asked for.
    model: Option<String>,
    app: Option<String>,
    /// Name of the end user.
    user: Option<String>,
    tenant_id: Option<String>,
    token_id: Option<String>,
    /// Name of a prompt, or `name@number` for one of its versions.
    prompt: Option<String>,
    /// Whether a correction was given.
    has_correction: Option<bool>,
    /// The call it is about.
    request_id: Option<String>,
    /// Part of comment, correction or note.
    q: Option<String>,
}

impl Which {
    /// The finder's filter. Ids that nobody has find nothing; so does another tenant's id for an operator who sees one
    /// tenant only.
    async fn filter(
        self,
        state: &AppState,
        scope: Scope,
        range: TimeRange,
    ) -> Result<Filter, ApiError> {
        let read = &state.databases.control_read;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let tenant_id = match given(self.tenant_id) {
            None => None,
            Some(id) => Some(
                tenant::by_public_id(read, scope, &id)
                    .await?
                    .map_or(NOBODY, |row| row.id),
            ),
        };
        let token_id = match given(self.token_id) {
            None => None,
            Some(id) => Some(
                token::by_public_id(read, scope, &id)
                    .await?
                    .map_or(NOBODY, |row| row.id),
            ),
        };
        let (prompt_name, prompt_number) = match given(self.prompt) {
            None => (None, None),
            Some(text) => match text.rsplit_once('@') {
                Some((name, number)) => (
                    Some(name.to_owned()),
                    Some(number.parse().unwrap_or(NOBODY)),
                ),
                None => (Some(text), None),
            },
        };
        let rid = given(self.request_id).map(|id| {
            let id = Uuid::parse_str(&id).ok().and_then(RecordId::from_uuid);
            id.map_or(NOBODY, |id| id.rid.0)
        });
        Ok(Filter {
            status: self.status.map(Status::from),
            rating_min: check::bounded("rating_min", self.rating_min, 1, 5)?,
            rating_max: check::bounded("rating_max", self.rating_max, 1, 5)?,
            category: given(self.category),
            model: given(self.model),
            app: given(self.app),
            end_user: given(self.user),
            tenant_id,
            token_id,
            prompt_name,
            prompt_number,
            is_corrected: self.has_correction,
            rid,
            search: given(self.q),
            from: range.from,
            to: range.to,
        })
    }
}

/// What to say about it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    /// For those who look at it later.
    #[serde(default)]
    #[schema(max_length = 2000)]
    note: String,
}

/// Feedback, newest first.
#[utoipa::path(
    tag = "feedback",
    params(Which, RangeQuery, PageQuery),
    responses((status = 200, body = Page<FeedbackView>))
)]
#[get("/feedback")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadFeedback>,
    which: Query<Which>,
    range: TimeRange,
    page: PageRequest,
) -> Result<Json<Page<FeedbackView>>, ApiError> {
    let read = &state.databases.control_read;
    let scope = caller.operator.scope();
    let filter = which.0.filter(&state, scope, range).await?;
    let rows = feedback::list(read, scope, &filter, page.rows()?).await?;
    let total = feedback::count(read, scope, &filter).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: view::of(read, page.items).await?,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// One piece of feedback.
#[utoipa::path(tag = "feedback", responses((status = 200, body = FeedbackDetail)))]
#[get("/feedback/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadFeedback>,
    id: web::Path<String>,
) -> Result<Tagged<FeedbackDetail>, ApiError> {
    let read = &state.databases.control_read;
    let row = feedback::by_public_id(read, caller.operator.scope(), &id).await?;
    let row = row.ok_or_else(|| ApiError::not_found("feedback"))?;
    let kept = state.contents.find(row.rid, row.id_tail).await;
    let conversation_kept = kept.map_err(|cause| ApiError::internal(cause.to_string()))?;
    let view = view::one(read, row).await?;
    Ok(Tagged::ok(
        view.version,
        FeedbackDetail {
            view,
            conversation_kept: conversation_kept.is_some(),
        },
    ))
}

/// Closes it with a note on what was done.
#[utoipa::path(tag = "feedback", responses((status = 200, body = FeedbackView)))]
#[post("/feedback/{id}/resolve")]
async fn resolve(
    state: web::Data<AppState>,
    caller: Can<WriteFeedback>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(note): Json<Note>,
) -> Result<Tagged<FeedbackView>, ApiError> {
    let act = ("feedback.resolve", Status::Resolved);
    settle(&state, caller, &id, if_match, act, note).await
}

/// Lets it be learned from.
#[utoipa::path(tag = "feedback", responses((status = 200, body = FeedbackView)))]
#[post("/feedback/{id}/approve")]
async fn approve(
    state: web::Data<AppState>,
    caller: Can<WriteFeedback>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(note): Json<Note>,
) -> Result<Tagged<FeedbackView>, ApiError> {
    let act = ("feedback.approve", Status::Approved);
    settle(&state, caller, &id, if_match, act, note).await
}

/// Keeps it from being learned from.
#[utoipa::path(tag = "feedback", responses((status = 200, body = FeedbackView)))]
#[post("/feedback/{id}/reject")]
async fn reject(
    state: web::Data<AppState>,
    caller: Can<WriteFeedback>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(note): Json<Note>,
) -> Result<Tagged<FeedbackView>, ApiError> {
    let act = ("feedback.reject", Status::Rejected);
    settle(&state, caller, &id, if_match, act, note).await
}

/// Takes back what was decided: it waits for somebody again.
#[utoipa::path(tag = "feedback", responses((status = 200, body = FeedbackView)))]
#[post("/feedback/{id}/reopen")]
async fn reopen(
    state: web::Data<AppState>,
    caller: Can<WriteFeedback>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<Tagged<FeedbackView>, ApiError> {
    let act = ("feedback.reopen", Status::Open);
    let note = Note {
        note: String::new(),
    };
    settle(&state, caller, &id, if_match, act, note).await
}

/// One decision, with its audit row. A decision may be changed; taken again it is refused, so that two people who decide
/// at once learn of each other.
async fn settle(
    state: &AppState,
    caller: Can<WriteFeedback>,
    id: &str,
    if_match: IfMatch,
    (action, status): (&'static str, Status),
    Note { note }: Note,
) -> Result<Tagged<FeedbackView>, ApiError> {
    let note = check::prose("note", &note, 0, NOTE_MAX)?;
    let change = Change::begin(state, &caller).await?;
    let row = feedback::by_public_id(&*change, caller.operator.scope(), id).await?;
    let row = row.ok_or_else(|| ApiError::not_found("feedback"))?;
    if_match
        .check(row.version, &*change, "feedback", &row.public_id)
        .await?;
    if row.status == status {
        return Err(
            ApiError::new(ErrorCode::Conflict).detail(match &row.handled_by {
                Some(name) => format!("{name} has decided so already."),
                None => "It is open already.".to_owned(),
            }),
        );
    }
    let open = status == Status::Open;
    let changes = feedback::ActiveModel {
        status: Set(status),
        resolution: Set(Some(note).filter(|note| !note.is_empty())),
        handled_by: Set((!open).then(|| caller.operator.username.clone())),
        handled_at: Set((!open).then_some(change.now)),
        ..Default::default()
    };
    let changed = feedback::update(&change, &row, changes, change.now)
        .await
        .map_err(refused("id"))?;
    let after = view::one(&*change, changed).await?;
    let before = FeedbackStatus::from(row.status);
    let audit = Audit::of(action, "feedback", &after.id)
        .with("status", [before, after.status])
        .with("note", &after.resolution);
    let version = after.version;
    change.answered(audit, version, after).await
}
