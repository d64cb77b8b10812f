//! The JWT test bench: tokens of an issuer are signed, verified and, if wanted, called with, as often and as many at a time
//! as is asked. A run is a job; every result of it is kept, and runs can be compared.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/jwt-tests` | `read:tokens` |
//! | POST | `/jwt-tests` | `write:tokens` |
//! | GET | `/jwt-tests/{id}` | `read:tokens` |
//!
//! Nothing here is simulated: what signs and verifies is what signs and verifies users' tokens, and a call goes through
//! the gateway's own front door, with its limits and onto its books.

mod run;
mod summary;

use std::collections::HashMap;

use actix_web::{HttpResponse, get, post, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use steward_actors::tree::upkeep::job_runner::Wake;
use steward_actors::vault::{JWT_TEST_TOKEN, Place};
use steward_entities::{job, jwt_issuer, jwt_test, jwt_test_result};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::job::JobView;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadTokens, WriteTokens};
use crate::http::range::rfc3339;
use crate::state::AppState;

pub(crate) use run::Bench;
use summary::{JwtTestSummary, Outcome};

const COUNT_MAX: i64 = 1_000;
const CONCURRENCY_MAX: i64 = 50;
const TOKEN_MAX: usize = 8 * 1024;
/// Runs that are kept; beyond them the oldest go.
const KEPT: u64 = 500;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(create).service(show);
}

/// What is called with each token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum JwtTestCall {
    /// Nothing.
    None,
    /// `GET /v1/models`: costs nothing and is not on the books.
    Models,
    /// `POST /v1/chat/completions`: a call like any other.
    Chat,
    /// `POST /v1/messages`: likewise.
    Messages,
}

impl JwtTestCall {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Models => "models",
            Self::Chat => "chat",
            Self::Messages => "messages",
        }
    }

    fn stored(word: &str) -> Self {
        let all = [Self::None, Self::Models, Self::Chat, Self::Messages];
        let found = all.into_iter().find(|call| call.as_str() == word);
        found.unwrap_or(Self::None)
    }
}

/// A run to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewJwtTest {
    issuer_id: String,
    /// How many tokens.
    #[schema(minimum = 1, maximum = 1000)]
    count: i64,
    /// How many at the same time; 1 unless given.
    #[schema(minimum = 1, maximum = 50)]
    concurrency: Option<i64>,
    /// `none` unless given.
    call: Option<JwtTestCall>,
    /// The model of calls of the kinds `chat` and `messages`.
    #[schema(max_length = 160)]
    model: Option<String>,
    /// A token to verify and call with each time instead of issuing one: the only way with an issuer whose keys are
    /// another's. Sealed until the run has ended, then forgotten.
    #[schema(max_length = 8192)]
    token: Option<String>,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
struct JwtTestShown {
    id: String,
    issuer_id: String,
    issuer_name: String,
    count: i64,
    concurrency: i64,
    call: JwtTestCall,
    model: Option<String>,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`: how its job stands.
    state: &'static str,
    /// Per cent.
    progress: i64,
    /// Why it failed.
    error: Option<String>,
    job_id: String,
    /// What came of it; of a run that goes on, so far. Null until there is something.
    summary: Option<JwtTestSummary>,
    created_by: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
}

impl JwtTestShown {
    fn of(row: jwt_test::Model, job: Option<&job::Model>) -> Self {
        let ended = match row.finished_at {
            Some(_) => job::State::Succeeded,
            None => job::State::Failed,
        };
        let summary = row.summary.map(serde_json::from_value);
        Self {
            id: row.public_id,
            issuer_id: row.issuer_id,
            issuer_name: row.issuer_name,
            count: row.count,
            concurrency: row.concurrency,
            call: JwtTestCall::stored(&row.call),
            model: row.model,
            state: job.map_or(ended, |job| job.state).as_str(),
            progress: job.map_or(100, |job| job.progress),
            error: job.and_then(|job| job.error.clone()),
            job_id: row.job_id,
            summary: summary.and_then(Result::ok),
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            started_at: row.started_at.map(rfc3339),
            finished_at: row.finished_at.map(rfc3339),
        }
    }
}

/// A run with every result.
#[derive(Debug, Serialize, ToSchema)]
struct JwtTestDetail {
    #[serde(flatten)]
    test: JwtTestShown,
    /// In the order of their numbers; of a run that goes on, those there are.
    results: Vec<JwtTestResult>,
}

/// What became of one token.
#[derive(Debug, Serialize, ToSchema)]
struct JwtTestResult {
    /// From 1.
    number: i64,
    at: String,
    ok: bool,
    /// How long each step took, in microseconds; null when it was not come to.
    issue_us: Option<i64>,
    verify_us: Option<i64>,
    call_us: Option<i64>,
    /// Status of the call.
    status: Option<i64>,
    /// The call's `x-request-id`.
    request_id: Option<String>,
    /// `issue`, `verify` or `call`, when one of them failed.
    failed_at: Option<String>,
    /// Stable name of what failed.
    code: Option<String>,
    /// The same for people.
    message: Option<String>,
}

impl From<jwt_test_result::Model> for JwtTestResult {
    fn from(row: jwt_test_result::Model) -> Self {
        Self {
            number: row.number,
            at: rfc3339(row.at),
            ok: row.failed_at.is_none(),
            issue_us: row.issue_us,
            verify_us: row.verify_us,
            call_us: row.call_us,
            status: row.status,
            request_id: row.request_id,
            failed_at: row.failed_at,
            code: row.code,
            message: row.message,
        }
    }
}

/// A run that was queued.
#[derive(Debug, Serialize, ToSchema)]
struct JwtTestAccepted {
    test: JwtTestShown,
    job: JobView,
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Of this issuer.
    issuer_id: Option<String>,
}

/// Runs, newest first.
#[utoipa::path(tag = "jwt tests", params(Which, PageQuery), responses((status = 200, body = Page<JwtTestShown>)))]
#[get("/jwt-tests")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadTokens>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<JwtTestShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let Query(which) = which;
    let of = which.issuer_id.as_deref().filter(|id| !id.is_empty());
    let read = &state.databases.control_read;
    let rows = jwt_test::list(read, of, page.rows()?).await?;
    let total = jwt_test::count(read, of).await?;
    let jobs = rows.iter().map(|row| row.job_id.clone()).collect();
    let jobs = job::by_public_ids(read, jobs).await?;
    let jobs: HashMap<&str, &job::Model> = jobs
        .iter()
        .map(|job| (job.public_id.as_str(), job))
        .collect();
    let shown = |row: jwt_test::Model| {
        let job = jobs.get(row.job_id.as_str()).copied();
        JwtTestShown::of(row, job)
    };
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        shown,
    )))
}

/// Queues a run.
#[utoipa::path(tag = "jwt tests", responses((status = 202, body = JwtTestAccepted)))]
#[post("/jwt-tests")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    Json(new): Json<NewJwtTest>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let count = check::bounded("count", Some(new.count), 1, COUNT_MAX)?.unwrap_or(1);
    let concurrency = check::bounded("concurrency", new.concurrency, 1, CONCURRENCY_MAX)?;
    let call = new.call.unwrap_or(JwtTestCall::None);
    let model = model(call, new.model)?;
    let token = new.token.map(|token| token.trim().to_owned());
    if token.as_ref().is_some_and(|token| token.len() > TOKEN_MAX) {
        let why = format!("must have at most {TOKEN_MAX} bytes");
        return Err(ApiError::invalid("token", why));
    }
    let issuer = jwt_issuer::by_public_id(&state.databases.control_read, &new.issuer_id).await?;
    let issuer = issuer.ok_or_else(|| ApiError::invalid("issuer_id", "there is no such issuer"))?;
    if issuer.kind == jwt_issuer::JWKS && token.is_none() {
        let why = "is needed: only the issuer itself can sign its tokens";
        return Err(ApiError::invalid("token", why));
    }
    let public_id = jwt_test::new_id();
    let token = match token {
        Some(token) => {
            let place = Place::jwt_test_token(&public_id);
            let sealed = state.vault.seal(JWT_TEST_TOKEN, place, token.as_bytes());
            let sealed = sealed.map_err(ApiError::internal)?;
            Some((sealed.bytes, sealed.key_id))
        }
        None => None,
    };
    let author = caller.operator.public_id.clone();
    let change = Change::begin(&state, &caller).await?;
    let params = json!({ "test_id": public_id });
    let job = job::insert(&change, run::KIND, params, author.clone(), change.now).await?;
    let row = jwt_test::NewTest {
        public_id,
        issuer_id: issuer.public_id,
        issuer_name: issuer.name,
        job_id: job.public_id.clone(),
        count,
        concurrency: concurrency.unwrap_or(1),
        call: call.as_str(),
        model,
        token,
        created_by: author,
    };
    let row = jwt_test::insert(&change, row, change.now).await?;
    jwt_test::keep_newest(&change, KEPT).await?;
    let audit = Audit::of("jwt_tests.create", "jwt_test", &row.public_id)
        .with("issuer_id", &row.issuer_id)
        .with("count", row.count)
        .with("call", call);
    let test = JwtTestShown::of(row, Some(&job));
    let body = JwtTestAccepted {
        test,
        job: job.into(),
    };
    let answer = change.accepted(audit, body).await?;
    // It would look by itself in a second; that it cannot be told is no failure.
    let _ = state.tree.job_runner.try_send(Wake);
    Ok(answer)
}

/// One run, with every result.
#[utoipa::path(tag = "jwt tests", responses((status = 200, body = JwtTestDetail)))]
#[get("/jwt-tests/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadTokens>,
    id: web::Path<String>,
) -> Result<Json<JwtTestDetail>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let job = job::by_public_id(read, &row.job_id).await?;
    let results = jwt_test_result::of(read, row.id).await?;
    let so_far = match (row.started_at, row.finished_at) {
        (Some(begun), None) => {
            let took = state.clock.now_micros().saturating_sub(begun);
            Some(summary_of(&results, took))
        }
        _ => None,
    };
    let mut test = JwtTestShown::of(row, job.as_ref());
    test.summary = test.summary.or(so_far);
    Ok(Json(JwtTestDetail {
        test,
        results: results.into_iter().map(JwtTestResult::from).collect(),
    }))
}

fn summary_of(results: &[jwt_test_result::Model], took_us: i64) -> JwtTestSummary {
    let outcomes: Vec<Outcome<'_>> = results
        .iter()
        .map(|row| Outcome {
            issue_us: row.issue_us,
            verify_us: row.verify_us,
            call_us: row.call_us,
            failure: row.failed_at.as_deref().map(|step| {
                let code = row.code.as_deref().unwrap_or_default();
                (step, code, row.message.as_deref().unwrap_or_default())
            }),
        })
        .collect();
    summary::of(&outcomes, took_us)
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<jwt_test::Model, ApiError> {
    jwt_test::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("JWT test"))
}

fn model(call: JwtTestCall, named: Option<String>) -> Result<Option<String>, ApiError> {
    let named = named.filter(|model| !model.is_empty());
    match (call, named) {
        (JwtTestCall::Chat | JwtTestCall::Messages, Some(model)) if check::is_model(&model) => {
            Ok(Some(model))
        }
        (JwtTestCall::Chat | JwtTestCall::Messages, _) => {
            Err(ApiError::invalid("model", "must name the model to call"))
        }
        (_, Some(_)) => Err(ApiError::invalid(
            "model",
            "belongs to `chat` and `messages`",
        )),
        (_, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
