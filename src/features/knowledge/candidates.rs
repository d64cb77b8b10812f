//! What feedback taught: candidates for pairs, taken or discarded by a person.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/knowledge/candidates` | `read:knowledge` |
//! | POST | `/ops/knowledge/candidates/{id}/take` | `write:knowledge` |
//! | POST | `/ops/knowledge/candidates/{id}/discard` | `write:knowledge` |
//! | POST | `/ops/knowledge/learn` | `write:knowledge` |
//! | GET | `/ops/knowledge/learn/status` | `read:knowledge` |
//!
//! What makes them is `root/learning/feedback_learner`. A candidate says what it came from and which pairs of its tenant
//! ask the same; whoever takes it may say it in other words, and instead of one of those pairs. What is decided here
//! leaves the feedback as it is.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use actix_web::{HttpResponse, get, post, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::domain::rid::{RecordId, Rid};
use steward_actors::tree::learning::feedback_learner::LearnNow;
use steward_entities::qa_candidate::{self, Missing, Origin, Status};
use steward_entities::qa_pair::{self, Source};
use steward_entities::scope::Scope;
use steward_entities::{feedback, tenant};
use utoipa::{IntoParams, ToSchema};

use super::quality;
use super::view::{self, PairView};
use super::{ANSWER_MAX, CATEGORY_MAX, QUESTION_MAX, find, in_scope, score, whose};
use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{prose, text};
use crate::http::extract::{Json, Query};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadKnowledge, WriteKnowledge};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// What has become of a candidate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CandidateStatus {
    /// For somebody to decide.
    Waiting,
    /// It lacks something; whoever takes it supplies it.
    Incomplete,
    /// A pair says it.
    Taken,
    /// No pair is to say it.
    Discarded,
    /// A pair or another candidate says the same; it is counted there.
    Merged,
}

impl From<CandidateStatus> for Status {
    fn from(status: CandidateStatus) -> Self {
        match status {
            CandidateStatus::Waiting => Self::Waiting,
            CandidateStatus::Incomplete => Self::Incomplete,
            CandidateStatus::Taken => Self::Taken,
            CandidateStatus::Discarded => Self::Discarded,
            CandidateStatus::Merged => Self::Merged,
        }
    }
}

impl From<Status> for CandidateStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Waiting => Self::Waiting,
            Status::Incomplete => Self::Incomplete,
            Status::Taken => Self::Taken,
            Status::Discarded => Self::Discarded,
            Status::Merged => Self::Merged,
        }
    }
}

/// Where a candidate's question is from.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CandidateOrigin {
    /// The call's kept conversation.
    Conversation,
    /// The feedback's comment.
    Comment,
    /// Nowhere: there is none.
    None,
}

impl From<Origin> for CandidateOrigin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Conversation => Self::Conversation,
            Origin::Comment => Self::Comment,
            Origin::None => Self::None,
        }
    }
}

/// What an incomplete candidate lacks.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CandidateLack {
    Tenant,
    Question,
    Answer,
}

impl From<Missing> for CandidateLack {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Tenant => Self::Tenant,
            Missing::Question => Self::Question,
            Missing::Answer => Self::Answer,
        }
    }
}

/// Filters; all that are given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// All but the merged ones unless given.
    #[param(inline)]
    status: Option<CandidateStatus>,
    tenant_id: Option<String>,
    /// Part of question or answer.
    q: Option<String>,
}

/// What a piece of approved feedback taught.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QaCandidate)]
struct CandidateView {
    id: String,
    /// Null when the call was nobody's.
    tenant_id: Option<String>,
    tenant_name: Option<String>,
    feedback_id: String,
    /// The call.
    request_id: String,
    /// 1 to 5.
    rating: i64,
    /// Empty when it is missing.
    question: String,
    /// Empty when it is missing.
    answer: String,
    #[schema(inline)]
    origin: CandidateOrigin,
    #[schema(inline)]
    status: CandidateStatus,
    #[schema(inline)]
    missing: Option<CandidateLack>,
    /// What can be checked of it without asking anybody comes to so much, 0 to 1; null of an incomplete one.
    suggested_score: Option<f64>,
    /// Pairs of the tenant that ask the same, oldest first.
    same: Vec<PairView>,
    /// A pair of the tenant that asks nearly the same, found when it was learnt: why it was not taken by itself.
    alike: Option<PairView>,
    /// Pieces of approved feedback that say this, its own included.
    feedback_count: usize,
    /// Of a taken one: the pair, unless it was removed since. Of a merged one: the pair that says the same.
    pair_id: Option<String>,
    /// Null while nobody decided, and of one that was taken by itself.
    decided_by: Option<String>,
    decided_at: Option<String>,
    created_at: String,
    version: i64,
}

/// What the pair is to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Taking {
    #[schema(min_length = 1, max_length = 1000)]
    question: String,
    #[schema(min_length = 1, max_length = 20000)]
    answer: String,
    #[serde(default)]
    #[schema(max_length = 64)]
    category: String,
    /// 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    quality_score: Option<f64>,
    /// Whose it becomes, where the candidate is nobody's.
    tenant_id: Option<String>,
    /// A pair of the same tenant that is to say it instead of what it says.
    replaces: Option<String>,
    /// Adds it although the tenant has a pair that asks the same.
    #[serde(default)]
    allow_duplicate: bool,
}

/// How learning stands.
#[derive(Debug, Serialize, ToSchema)]
struct LearnStatus {
    /// Whether candidates become pairs by themselves (`scheduler.auto_learn_enabled`).
    auto: bool,
    /// Seconds between two looks (`scheduler.process_interval`).
    process_interval_seconds: u64,
    /// Approved feedback that was not looked at yet.
    unprocessed_count: u64,
    waiting_count: i64,
    incomplete_count: i64,
    taken_count: i64,
    discarded_count: i64,
}

/// Candidates, newest first.
#[utoipa::path(
    tag = "knowledge",
    params(Which, PageQuery),
    responses((status = 200, body = Page<CandidateView>))
)]
#[get("/ops/knowledge/candidates")]
pub(super) async fn candidates(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<CandidateView>>, ApiError> {
    let read = &state.databases.control_read;
    let Query(which) = which;
    let scope = in_scope(read, caller.operator.scope(), which.tenant_id.as_deref()).await?;
    let filter = qa_candidate::Filter {
        status: which.status.map(Status::from),
        search: which.q.filter(|text| !text.is_empty()),
    };
    let rows = qa_candidate::list(read, scope, &filter, page.rows()?).await?;
    let total = qa_candidate::count(read, scope, &filter).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: shown(read, scope, page.items).await?,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// Makes a pair of a candidate, in these words; or has a pair that asks the same say it. Where the tenant has such a pair and
/// `replaces` names none it is refused (409), unless `allow_duplicate` is true.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = CandidateView)))]
#[post("/ops/knowledge/candidates/{id}/take")]
pub(super) async fn take_candidate(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(new): Json<Taking>,
) -> Result<Tagged<CandidateView>, ApiError> {
    let scope = caller.operator.scope();
    let question = prose("question", &new.question, 1, QUESTION_MAX)?;
    let answer = prose("answer", &new.answer, 1, ANSWER_MAX)?;
    let category = text("category", &new.category, 0, CATEGORY_MAX)?;
    let quality_score = score("quality_score", new.quality_score)?;
    let change = Change::begin(&state, &caller).await?;
    let row = undecided(&change, scope, &id, if_match).await?;
    let tenant_id = match row.tenant_id {
        Some(tenant_id) => tenant_id,
        None => whose(&*change, scope, new.tenant_id.as_deref()).await?,
    };
    let pair = match &new.replaces {
        Some(pair) => {
            let old = find(&*change, Scope::Tenant(tenant_id), pair)
                .await
                .map_err(|_| ApiError::invalid("replaces", "is no pair of this tenant"))?;
            let changes = super::saying([&question, &answer, &category], Some(quality_score))?;
            qa_pair::update(&change, &old, changes, change.now)
                .await
                .map_err(refused("replaces"))?
        }
        None => {
            if !new.allow_duplicate {
                super::unasked(&*change, tenant_id, &question).await?;
            }
            let pair = qa_pair::New {
                tenant_id,
                question,
                answer,
                category,
                source: Source::Feedback,
                template_id: None,
                quality_score,
                created_by: caller.operator.username.clone(),
            };
            qa_pair::insert(&change, pair, change.now).await?
        }
    };
    let by = Some(caller.operator.username.clone());
    let taken = qa_candidate::decide(&change, &row, Status::Taken, Some(pair.id), by, change.now)
        .await
        .map_err(refused("id"))?;
    let view = one(&*change, scope, taken).await?;
    let audit = Audit::of("knowledge.learn", "qa_candidate", &view.id)
        .with("pair_id", &pair.public_id)
        .with("question", &pair.question)
        .with("replaced", new.replaces.is_some());
    let version = view.version;
    let answer = change.answered(audit, version, view).await?;
    state.tree.knowledge.news.tell();
    Ok(answer)
}

/// Has no pair say it. It stays in the list of what was discarded.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = CandidateView)))]
#[post("/ops/knowledge/candidates/{id}/discard")]
pub(super) async fn discard_candidate(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<Tagged<CandidateView>, ApiError> {
    let scope = caller.operator.scope();
    let change = Change::begin(&state, &caller).await?;
    let row = undecided(&change, scope, &id, if_match).await?;
    if row.status == Status::Discarded {
        return Err(ApiError::new(ErrorCode::Conflict).detail("It was discarded already."));
    }
    let by = Some(caller.operator.username.clone());
    let discarded = qa_candidate::decide(&change, &row, Status::Discarded, None, by, change.now)
        .await
        .map_err(refused("id"))?;
    let view = one(&*change, scope, discarded).await?;
    let audit =
        Audit::of("knowledge.discard", "qa_candidate", &view.id).with("question", &view.question);
    let version = view.version;
    change.answered(audit, version, view).await
}

/// Learns from approved feedback now, and answers how it stands.
#[utoipa::path(tag = "knowledge", responses((status = 202, body = LearnStatus)))]
#[post("/ops/knowledge/learn")]
pub(super) async fn learn(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
) -> Result<HttpResponse, ApiError> {
    let scope = caller.operator.scope();
    let change = Change::begin(&state, &caller).await?;
    change
        .commit(Audit::of("knowledge.learn_now", "knowledge", ""))
        .await?;
    // It looks by itself too; that it cannot be told is no failure.
    let _ = state.tree.feedback_learner.try_send(LearnNow);
    Ok(HttpResponse::Accepted().json(told(&state, scope).await?))
}

/// How learning stands.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = LearnStatus)))]
#[get("/ops/knowledge/learn/status")]
pub(super) async fn learn_status(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
) -> Result<Json<LearnStatus>, ApiError> {
    Ok(Json(told(&state, caller.operator.scope()).await?))
}

async fn told(state: &AppState, scope: Scope) -> Result<LearnStatus, ApiError> {
    let read = &state.databases.control_read;
    let sums = qa_candidate::sums(read, scope).await?;
    let settings = state.settings.load();
    Ok(LearnStatus {
        auto: settings.learns,
        process_interval_seconds: settings.learn_every.as_secs(),
        unprocessed_count: qa_candidate::due_count(read, scope).await?,
        waiting_count: sums.waiting,
        incomplete_count: sums.incomplete,
        taken_count: sums.taken,
        discarded_count: sums.discarded,
    })
}

/// One that no pair was made of. A discarded one may still be taken: people change their minds.
async fn undecided(
    change: &Change<'_>,
    scope: Scope,
    id: &str,
    if_match: IfMatch,
) -> Result<qa_candidate::Model, ApiError> {
    let row = qa_candidate::by_public_id(&**change, scope, id).await?;
    let row = row.ok_or_else(|| ApiError::not_found("candidate"))?;
    if_match
        .check(row.version, &**change, "qa_candidate", &row.public_id)
        .await?;
    if row.status == Status::Taken {
        let whom = match &row.decided_by {
            Some(name) => format!("{name} has taken it already."),
            None => "It became a pair by itself.".to_owned(),
        };
        return Err(ApiError::new(ErrorCode::Conflict).detail(whom));
    }
    if row.status == Status::Merged {
        let why = "A pair or another candidate says the same: decide on that one.";
        return Err(ApiError::new(ErrorCode::Conflict).detail(why));
    }
    Ok(row)
}

async fn one(
    connection: &impl ConnectionTrait,
    scope: Scope,
    row: qa_candidate::Model,
) -> Result<CandidateView, ApiError> {
    let view = shown(connection, scope, vec![row]).await?.pop();
    view.ok_or_else(|| ApiError::not_found("candidate"))
}

/// Rows with their tenants, their feedback, and the pairs that ask the same.
async fn shown(
    connection: &impl ConnectionTrait,
    scope: Scope,
    rows: Vec<qa_candidate::Model>,
) -> Result<Vec<CandidateView>, ApiError> {
    let ids: BTreeSet<i64> = rows.iter().filter_map(|row| row.tenant_id).collect();
    let tenants = match ids.is_empty() {
        true => Vec::new(),
        false => tenant::by_ids(connection, scope, ids).await?,
    };
    let tenants: HashMap<i64, tenant::Model> =
        tenants.into_iter().map(|row| (row.id, row)).collect();
    let given = rows.iter().map(|row| row.feedback_id).collect();
    let given = feedback::by_ids(connection, scope, given).await?;
    let given: HashMap<i64, feedback::Model> = given.into_iter().map(|row| (row.id, row)).collect();
    let made: Vec<i64> = rows
        .iter()
        .flat_map(|row| [row.pair_id, row.alike_pair_id])
        .flatten()
        .collect();
    let of_rows = rows.iter().map(|row| row.id).collect();
    let merged = qa_candidate::merged(connection, of_rows, made.clone()).await?;
    let made = qa_pair::by_ids(connection, scope, made).await?;
    let keys: BTreeSet<&String> = rows
        .iter()
        .filter(|row| row.status != Status::Taken && !row.question_key.is_empty())
        .map(|row| &row.question_key)
        .collect();
    let asking = keys.into_iter().cloned().collect();
    let asking = qa_pair::asking(connection, scope, asking).await?;
    let mut views = Vec::new();
    for row in rows {
        let Some(of) = given.get(&row.feedback_id) else {
            continue;
        };
        let same: Vec<qa_pair::Model> = asking
            .iter()
            .filter(|pair| {
                row.status != Status::Taken
                    && Some(pair.tenant_id) == row.tenant_id
                    && pair.question_key == row.question_key
            })
            .cloned()
            .collect();
        let suggested_score = row.missing.is_none().then(|| {
            quality::suggested(&quality::factors(&quality::Pair {
                question: &row.question,
                answer: &row.answer,
                category: "",
                others: same.len(),
                age_micros: 0,
            }))
        });
        let alike = row.alike_pair_id.filter(|_| row.status != Status::Taken);
        let alike = alike.and_then(|id| made.iter().find(|pair| pair.id == id));
        let alike = match alike {
            Some(pair) => Some(view::one(connection, scope, pair.clone()).await?),
            None => None,
        };
        let says_so = |other: &&qa_candidate::Model| {
            let is_into = other.merged_into == Some(row.id);
            other.id != row.id
                && (is_into || (row.pair_id.is_some() && other.pair_id == row.pair_id))
        };
        let feedback_count = 1 + merged.iter().filter(says_so).count();
        let tenant = row.tenant_id.and_then(|id| tenants.get(&id));
        let id = RecordId {
            rid: Rid(of.rid),
            tail: of.id_tail.cast_unsigned(),
        };
        views.push(CandidateView {
            id: row.public_id,
            tenant_id: tenant.map(|tenant| tenant.public_id.clone()),
            tenant_name: tenant.map(|tenant| tenant.name.clone()),
            feedback_id: of.public_id.clone(),
            request_id: id.to_string(),
            rating: of.rating,
            question: row.question,
            answer: row.answer,
            origin: row.origin.into(),
            status: row.status.into(),
            missing: row.missing.map(CandidateLack::from),
            suggested_score,
            same: view::of(connection, scope, same).await?,
            alike,
            feedback_count,
            pair_id: row
                .pair_id
                .and_then(|id| made.iter().find(|pair| pair.id == id))
                .map(|pair| pair.public_id.clone()),
            decided_by: row.decided_by,
            decided_at: row.decided_at.map(rfc3339),
            created_at: rfc3339(row.created_at),
            version: row.version,
        });
    }
    Ok(views)
}
