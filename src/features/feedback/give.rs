//! Giving feedback: by an application with its token, or by a signed-in user with theirs.
//!
//! Of one call every end user has one opinion. Sent again it changes nothing; sent with something else it replaces what
//! was said, until an operator has dealt with it. There is no audit row: the audit tells what operators do, and the row
//! itself says who gave it and when. A browser of another origin may send it where `feedback.allowed_origins` says
//! so; it has to hold a credential, since none is sent by itself.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::domain::redaction::{Hits, RedactionMode};
use steward_actors::domain::rid::{RecordId, Rid};
use steward_actors::domain::snapshot::TokenView;
use steward_entities::change::ChangeError;
use steward_entities::database::begin_write;
use steward_entities::feedback::{self, New, Status};
use steward_entities::ledger::request_log::{self, RequestRow};
use steward_entities::{prompt, prompt_label, prompt_version};
use utoipa::ToSchema;
use uuid::Uuid;

use super::FeedbackStatus;
use crate::error::{ApiError, ErrorCode};
use crate::gateway::Who;
use crate::http::check;
use crate::http::extract::Json;
use crate::http::range::rfc3339;
use crate::state::AppState;

const CATEGORY_MAX: usize = 64;
const COMMENT_MAX: usize = 4_000;
const CORRECTION_MAX: usize = 20_000;
const USER_MAX: usize = 160;
/// A call this young may be on its way to the books.
const ON_ITS_WAY_MS: i64 = 600_000;
/// How long to wait before each further look at the books.
const LOOKS_AFTER_MS: [u64; 5] = [50, 100, 200, 400, 800];
/// How long a browser may remember what it may send.
const PREFLIGHT_MAX_AGE_S: &str = "7200";

/// Whose feedback is counted against the limit: a token's, or a user's.
pub(crate) type Author = (i64, Option<std::sync::Arc<str>>);

/// How good an answer was.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum Rating {
    /// 1, very bad, to 5, very good.
    Stars(i64),
    Thumb(Thumb),
}

/// `up` is 5, `down` is 1.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Thumb {
    Up,
    Down,
}

/// What somebody thinks of an answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFeedback {
    /// The `x-request-id` of the answer it is about.
    request_id: String,
    /// 1 to 5, or `up` (5) and `down` (1).
    rating: Rating,
    /// What it is about, in the application's own words: `wrong`, `incomplete`, … Left out, it stays as it was.
    #[schema(max_length = 64)]
    category: Option<String>,
    /// Left out, it stays as it was.
    #[schema(max_length = 4000)]
    comment: Option<String>,
    /// What the answer should have been. Left out, it stays as it was.
    #[schema(max_length = 20000)]
    correction: Option<String>,
    /// Who thinks so; without it the end user of the call. With a user token it is that user, whatever stands here.
    #[schema(max_length = 160)]
    user: Option<String>,
    /// The prompt the call was made with: `name@number`, `name@label`, or a name for its newest version. Left out, the version
    /// that the call named (`x-prompt`).
    #[schema(max_length = 200)]
    prompt: Option<String>,
}

/// What was taken.
#[derive(Debug, Serialize, ToSchema)]
struct FeedbackTaken {
    id: String,
    request_id: String,
    rating: i64,
    status: FeedbackStatus,
    /// When it was first given.
    created_at: String,
    /// When it was last given otherwise.
    updated_at: String,
}

/// Says what somebody thinks of an answer, signed in with a token or as a user. Sent again it is taken once (200); sent
/// with something else it replaces what was said (200), until somebody has dealt with it (409).
#[utoipa::path(
    tag = "feedback",
    security(("token" = []), ("token_as_key" = [])),
    request_body = NewFeedback,
    responses((status = 201, body = FeedbackTaken), (status = 200, body = FeedbackTaken))
)]
#[post("/feedback")]
pub(super) async fn submit(
    request: HttpRequest,
    state: web::Data<AppState>,
    body: Result<Json<NewFeedback>, ApiError>,
) -> HttpResponse {
    let mut answer = match take(&request, &state, body).await {
        Ok((taken, true)) => HttpResponse::Created().json(taken),
        Ok((taken, false)) => Json(taken).respond_to(&request),
        Err(error) => error.error_response(),
    };
    if let Some(origin) = allowed_origin(&state, request.headers()) {
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = header::HeaderValue::from_static("x-request-id, retry-after");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        headers.append(header::VARY, header::HeaderValue::from_static("origin"));
    }
    answer
}

/// Tells a browser whether pages of its origin may give feedback.
pub(super) async fn preflight(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let Some(origin) = allowed_origin(&state, request.headers()) else {
        return ApiError::new(ErrorCode::OriginRefused)
            .detail("`feedback.allowed_origins` does not name this origin.")
            .error_response();
    };
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST"))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, x-api-key",
        ))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE_S))
        .insert_header((header::VARY, "origin"))
        .finish()
}

fn allowed_origin(state: &AppState, headers: &HeaderMap) -> Option<header::HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let allowed = state.config.feedback.allowed_origins.split(',');
    allowed
        .map(str::trim)
        .any(|one| one == "*" || (!one.is_empty() && one.eq_ignore_ascii_case(text)))
        .then(|| origin.clone())
}

async fn take(
    request: &HttpRequest,
    state: &AppState,
    body: Result<Json<NewFeedback>, ApiError>,
) -> Result<(FeedbackTaken, bool), ApiError> {
    let Who { token, user } = state
        .gateway
        .who(request.headers())
        .map_err(|(code, detail)| match detail {
            detail if detail.is_empty() => ApiError::new(code),
            detail => ApiError::new(code).detail(detail),
        })?;
    let limit = state.settings.load().feedback_per_minute;
    let author = (token.id, user.clone());
    if let Err(seconds) = state.rates.feedback.take(author, limit) {
        return Err(ApiError::new(ErrorCode::TooManyRequests).retry_after_s(seconds));
    }
    let Json(told) = body?;
    let told = Told::checked(told, state, &token)?;
    let call = call(state, &told.request_id, &token, user.as_deref()).await?;
    let end_user = match (&user, &told.user) {
        (Some(user), _) => user.to_string(),
        (None, Some(named)) => named.clone(),
        (None, None) => call.user_name.clone().unwrap_or_default(),
    };
    let prompt = match &told.prompt {
        Some(prompt) => Some(version_of(&state.databases.control_read, prompt).await?),
        // What the call itself named.
        None => call.prompt.as_deref().and_then(named),
    };
    // Two at once for the same call: the one that comes second replaces what the first said.
    match keep(state, &call, &end_user, &told, prompt.clone()).await {
        Err(Unkept::Overtaken) => keep(state, &call, &end_user, &told, prompt).await,
        kept => kept,
    }
    .map_err(|unkept| match unkept {
        Unkept::Overtaken => ApiError::new(ErrorCode::Conflict).retry_after_s(1),
        Unkept::Refused(error) => error,
    })
}

/// Feedback whose fields make sense.
struct Told {
    request_id: RecordId,
    rating: i64,
    category: Option<String>,
    comment: Option<String>,
    correction: Option<String>,
    user: Option<String>,
    prompt: Option<String>,
}

impl Told {
    fn checked(new: NewFeedback, state: &AppState, token: &TokenView) -> Result<Self, ApiError> {
        let request_id = Uuid::parse_str(new.request_id.trim())
            .ok()
            .and_then(RecordId::from_uuid)
            .ok_or_else(|| {
                ApiError::invalid("request_id", "must be the x-request-id of an answer")
            })?;
        let rating = match new.rating {
            Rating::Thumb(Thumb::Up) => 5,
            Rating::Thumb(Thumb::Down) => 1,
            Rating::Stars(stars @ 1..=5) => stars,
            Rating::Stars(_) => {
                return Err(ApiError::invalid(
                    "rating",
                    "must lie between 1 and 5, or be up or down",
                ));
            }
        };
        // What people write about an answer holds what the answer held: the same rules apply to it.
        let snapshot = state.snapshot.load();
        let clean = |text: String| {
            if token.redaction == RedactionMode::None {
                return text;
            }
            let found = match snapshot.redactor.text(&text, &mut Hits::default()) {
                Cow::Borrowed(_) => None,
                Cow::Owned(clean) => Some(clean),
            };
            found.unwrap_or(text)
        };
        let prose = |field, text: Option<String>, max| {
            let checked = text.map(|text| check::prose(field, &text, 0, max));
            Ok::<_, ApiError>(checked.transpose()?.map(clean))
        };
        let line = |field, text: Option<String>, max| {
            let checked = text.map(|text| check::text(field, &text, 0, max));
            checked.transpose()
        };
        Ok(Self {
            request_id,
            rating,
            category: line("category", new.category, CATEGORY_MAX)?,
            comment: prose("comment", new.comment, COMMENT_MAX)?,
            correction: prose("correction", new.correction, CORRECTION_MAX)?,
            user: line("user", new.user, USER_MAX)?.filter(|user| !user.is_empty()),
            prompt: line("prompt", new.prompt, 200)?.filter(|prompt| !prompt.is_empty()),
        })
    }
}

/// The call, if it is theirs: of the token or its tenant, and of the user who signed in. A call that has just ended may
/// not be on the books yet: it is waited for, a little.
async fn call(
    state: &AppState,
    id: &RecordId,
    token: &TokenView,
    user: Option<&str>,
) -> Result<RequestRow, ApiError> {
    let read = &state.databases.ledger_read;
    let now_ms = state.clock.now_micros() / 1_000;
    let ms = Rid(id.rid.0).ms();
    let may_come = (now_ms - ON_ITS_WAY_MS..=now_ms + 1_000).contains(&ms);
    let mut looks = LOOKS_AFTER_MS.into_iter();
    loop {
        let found = request_log::find(read, id.rid.0, id.tail.cast_signed()).await?;
        if let Some(found) = found {
            let row = found.row;
            let of_token = row.token_id == token.id
                || (token.tenant_id != 0 && row.tenant_id == token.tenant_id);
            let of_user = user.is_none_or(|user| row.user_name.as_deref() == Some(user));
            return match of_token && of_user {
                true => Ok(row),
                false => Err(ApiError::not_found("call")),
            };
        }
        if !may_come {
            return Err(ApiError::not_found("call"));
        }
        match looks.next() {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => return Err(ApiError::new(ErrorCode::CallNotBooked).retry_after_s(2)),
        }
    }
}

/// A version as the books name it: `name@number`.
fn named(text: &str) -> Option<(String, i64)> {
    let (name, number) = text.rsplit_once('@')?;
    Some((name.to_owned(), number.parse().ok()?))
}

/// Name and number of the version that `text` names.
async fn version_of(
    connection: &impl ConnectionTrait,
    text: &str,
) -> Result<(String, i64), ApiError> {
    let unknown = || ApiError::invalid("prompt", "names no version of a prompt");
    let (name, which) = text.rsplit_once('@').unwrap_or((text, "latest"));
    let row = prompt::by_name(connection, name).await?;
    let row = row.ok_or_else(unknown)?;
    let number = match which.parse::<i64>() {
        Ok(number) => {
            let version = prompt_version::by_number(connection, row.id, number).await?;
            version.ok_or_else(unknown)?.number
        }
        Err(_) if which == "latest" => row.head,
        Err(_) => {
            let labels = prompt_label::of(connection, [row.id]).await?;
            let label = labels.into_iter().find(|label| label.label == which);
            label.ok_or_else(unknown)?.number
        }
    };
    Ok((row.name, number))
}

enum Unkept {
    /// Somebody else wrote the same row at this moment.
    Overtaken,
    Refused(ApiError),
}

impl From<ChangeError> for Unkept {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Duplicate | ChangeError::Stale => Self::Overtaken,
            ChangeError::InUse => Self::Refused(ApiError::not_found("tenant")),
            ChangeError::Database(error) => Self::Refused(error.into()),
        }
    }
}

/// Keeps what was told; whether it is the first of this user on this call.
async fn keep(
    state: &AppState,
    call: &RequestRow,
    end_user: &str,
    told: &Told,
    prompt: Option<(String, i64)>,
) -> Result<(FeedbackTaken, bool), Unkept> {
    let refused = |error: sea_orm::DbErr| Unkept::Refused(error.into());
    let now = state.clock.now_micros();
    let txn = begin_write(&state.databases.control)
        .await
        .map_err(refused)?;
    let known = feedback::of_call(&txn, call.rid, end_user).await;
    let Some(known) = known.map_err(refused)? else {
        let new = New {
            rid: call.rid,
            id_tail: call.id_tail,
            token_id: call.token_id,
            tenant_id: Some(call.tenant_id).filter(|id| *id != 0),
            app: call.app.clone().unwrap_or_default(),
            end_user: end_user.to_owned(),
            model: call.model.clone().unwrap_or_default(),
            conversation_id: call.conversation_id.clone().unwrap_or_default(),
            prompt,
            rating: told.rating,
            category: told.category.clone().unwrap_or_default(),
            comment: told.comment.clone().unwrap_or_default(),
            correction: told.correction.clone().unwrap_or_default(),
        };
        let row = feedback::insert(&txn, new, now).await?;
        txn.commit().await.map_err(refused)?;
        return Ok((taken(&told.request_id, row), true));
    };
    let mut changes = feedback::ActiveModel::default();
    let mut changed = known.rating != told.rating;
    changes.rating = Set(told.rating);
    for (new, old, field) in [
        (&told.category, &known.category, &mut changes.category),
        (&told.comment, &known.comment, &mut changes.comment),
        (&told.correction, &known.correction, &mut changes.correction),
    ] {
        if let Some(new) = new.as_ref().filter(|new| *new != old) {
            *field = Set(new.clone());
            changed = true;
        }
    }
    if let Some((name, number)) = prompt
        && (name != known.prompt_name || known.prompt_number != Some(number))
    {
        changes.prompt_name = Set(name);
        changes.prompt_number = Set(Some(number));
        changed = true;
    }
    if !changed {
        return Ok((taken(&told.request_id, known), false));
    }
    if known.status != Status::Open {
        return Err(Unkept::Refused(ApiError::new(ErrorCode::FeedbackHandled)));
    }
    let row = feedback::update(&txn, &known, changes, now).await?;
    txn.commit().await.map_err(refused)?;
    Ok((taken(&told.request_id, row), false))
}

fn taken(request_id: &RecordId, row: feedback::Model) -> FeedbackTaken {
    FeedbackTaken {
        id: row.public_id,
        request_id: request_id.to_string(),
        rating: row.rating,
        status: row.status.into(),
        created_at: rfc3339(row.created_at),
        updated_at: rfc3339(row.updated_at),
    }
}
