//! Knowledge: the questions and answers that tenants' assistants answer from, seen and kept by operators.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/knowledge/overview` | `read:knowledge` |
//! | GET | `/ops/knowledge/qa-pairs` | `read:knowledge` |
//! | POST | `/ops/knowledge/qa-pairs` | `write:knowledge` |
//! | POST | `/ops/knowledge/qa-pairs/bulk` | `write:knowledge` |
//! | GET | `/ops/knowledge/qa-pairs/{id}` | `read:knowledge` |
//! | PUT | `/ops/knowledge/qa-pairs/{id}` | `write:knowledge` |
//! | DELETE | `/ops/knowledge/qa-pairs/{id}` | `write:knowledge` |
//! | GET | `/ops/knowledge/export` | `read:knowledge` |
//!
//! What is done with pairs that ask the same stands in [`duplicates`], those that nearly do are found by [`similar`], what brings files of pairs in in [`import`], what
//! feedback teaches in [`candidates`], how pairs are embedded in [`sync`], and how they are found by what they mean in [`search`].
//!
//! Operators of one tenant see and keep that tenant's. A pair that came from a template is the tenant's own: it may be
//! edited and removed, and `features::templates` asks before it touches it again.

mod bulk;
mod bulk_sync;
mod candidates;
mod duplicates;
mod export;
pub(crate) mod import;
mod quality;
mod search;
mod similar;
mod sync;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use actix_web::{HttpResponse, delete, get, post, put, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::tree::upkeep::job_runner::Wake;
use steward_entities::qa_pair::{self, Source};
use steward_entities::scope::Scope;
use steward_entities::{job, tenant};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{prose, text};
use crate::http::extract::{Json, Query};
use crate::http::job::JobAccepted;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::patch::nullable;
use crate::http::permission::{Can, ReadKnowledge, WriteKnowledge};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

pub(crate) use bulk::ChangeMany;
use bulk::{Asked, BulkAction};
pub(crate) use bulk_sync::SyncMany;
pub(crate) use quality::judge;
use view::PairView;

const QUESTION_MAX: usize = 1_000;
const ANSWER_MAX: usize = 20_000;
const CATEGORY_MAX: usize = 64;
/// Pairs that one bulk request may name; a filter names any number.
const IDS_MAX: usize = 1_000;
const CATEGORIES_MAX: u64 = 200;
/// A key that no row has.
const NOBODY: i64 = -1;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(overview)
        .service(list)
        .service(create)
        // Before those that take any id.
        .service(change_many)
        .service(show)
        .service(update)
        .service(remove)
        .service(duplicates::duplicates)
        .service(duplicates::merge)
        .service(duplicates::explain)
        .service(candidates::candidates)
        .service(candidates::take_candidate)
        .service(candidates::discard_candidate)
        .service(candidates::learn)
        .service(candidates::learn_status)
        .service(export::export)
        .service(sync::status)
        .service(sync::sync)
        .service(similar::similar)
        .service(search::search);
    import::routes(config);
}

/// Where a pair came from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PairSource {
    Manual,
    Import,
    Template,
    Feedback,
}

impl From<PairSource> for Source {
    fn from(source: PairSource) -> Self {
        match source {
            PairSource::Manual => Self::Manual,
            PairSource::Import => Self::Import,
            PairSource::Template => Self::Template,
            PairSource::Feedback => Self::Feedback,
        }
    }
}

impl From<Source> for PairSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Manual => Self::Manual,
            Source::Import => Self::Import,
            Source::Template => Self::Template,
            Source::Feedback => Self::Feedback,
        }
    }
}

/// Filters; all that are given must hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, Serialize, ToSchema)]
#[into_params(parameter_in = Query)]
#[schema(as = QaPairFilter)]
struct Which {
    tenant_id: Option<String>,
    /// Part of question or answer.
    keyword: Option<String>,
    /// The same as `keyword`.
    q: Option<String>,
    category: Option<String>,
    #[param(inline)]
    #[schema(inline)]
    source: Option<PairSource>,
    /// Whether the vector store has it as it is.
    is_synced: Option<bool>,
    /// Of those that were judged.
    #[param(minimum = 0, maximum = 1)]
    quality_min: Option<f64>,
    #[param(minimum = 0, maximum = 1)]
    quality_max: Option<f64>,
}

impl Which {
    /// The finder's filter, and whose pairs it is about. A tenant that nobody has, or that an operator of another may not
    /// see, finds nothing.
    async fn found(
        self,
        connection: &impl ConnectionTrait,
        scope: Scope,
    ) -> Result<(Scope, qa_pair::Filter), ApiError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let scope = in_scope(connection, scope, self.tenant_id.as_deref()).await?;
        Ok((
            scope,
            qa_pair::Filter {
                search: given(self.keyword).or(given(self.q)),
                category: self.category,
                source: self.source.map(Source::from),
                is_synced: self.is_synced,
                quality_min: score("quality_min", self.quality_min)?,
                quality_max: score("quality_max", self.quality_max)?,
                ..qa_pair::Filter::default()
            },
        ))
    }
}

/// Knowledge at a glance.
#[derive(Debug, Serialize, ToSchema)]
struct KnowledgeOverview {
    total_qa_pairs: i64,
    /// Pairs by the id of their tenant.
    by_tenant: BTreeMap<String, i64>,
    /// Pairs by category, the empty one for those that have none; the 200 with the most.
    by_category: BTreeMap<String, i64>,
    /// Pairs by `manual`, `import`, `template` and `feedback`.
    by_source: BTreeMap<String, i64>,
    /// Those that the vector store has as they are.
    synced_count: i64,
    unsynced_count: i64,
    /// 0 to 1, of those that were judged; null while none was.
    avg_quality_score: Option<f64>,
}

/// A pair to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPair {
    /// Whose it is; an operator of one tenant may leave it out.
    tenant_id: Option<String>,
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
    /// Adds it although the tenant has a pair that asks the same.
    #[serde(default)]
    allow_duplicate: bool,
}

/// What a pair is to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PairText {
    #[schema(min_length = 1, max_length = 1000)]
    question: String,
    #[schema(min_length = 1, max_length = 20000)]
    answer: String,
    #[serde(default)]
    #[schema(max_length = 64)]
    category: String,
    /// 0 to 1; null takes it away, left out it stays.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    quality_score: Option<Option<f64>>,
}

/// What to do to many pairs: to those of `ids`, or to all that `filter` finds now.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Bulk {
    #[schema(inline)]
    action: BulkAction,
    /// With `change_category`: the new one; empty for none.
    #[schema(max_length = 64)]
    category: Option<String>,
    /// At most 1,000.
    ids: Option<Vec<String>>,
    filter: Option<Which>,
}

/// How much knowledge there is, and of what.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = KnowledgeOverview)))]
#[get("/ops/knowledge/overview")]
async fn overview(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
) -> Result<Json<KnowledgeOverview>, ApiError> {
    let read = &state.databases.control_read;
    let scope = caller.operator.scope();
    let sums = qa_pair::sums(read, scope, &qa_pair::Filter::default()).await?;
    let by_tenant = qa_pair::by_tenant(read, scope).await?;
    let names = tenant::by_ids(read, scope, by_tenant.iter().map(|(id, _)| *id)).await?;
    let names: BTreeMap<i64, String> = names
        .into_iter()
        .map(|row| (row.id, row.public_id))
        .collect();
    Ok(Json(KnowledgeOverview {
        total_qa_pairs: sums.total,
        by_tenant: by_tenant
            .into_iter()
            .filter_map(|(id, pairs)| Some((names.get(&id)?.clone(), pairs)))
            .collect(),
        by_category: qa_pair::by_category(read, scope, CATEGORIES_MAX)
            .await?
            .into_iter()
            .collect(),
        by_source: qa_pair::by_source(read, scope).await?.into_iter().collect(),
        synced_count: sums.synced,
        unsynced_count: sums.total - sums.synced,
        avg_quality_score: sums.avg_quality,
    }))
}

/// Pairs, newest first.
#[utoipa::path(tag = "knowledge", params(Which, PageQuery), responses((status = 200, body = Page<PairView>)))]
#[get("/ops/knowledge/qa-pairs")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<PairView>>, ApiError> {
    let read = &state.databases.control_read;
    let (scope, filter) = which.0.found(read, caller.operator.scope()).await?;
    let rows = qa_pair::list(read, scope, &filter, page.rows()?).await?;
    let total = qa_pair::count(read, scope, &filter).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: view::of(read, scope, page.items).await?,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// Adds a pair. One that asks what the tenant has a pair for already is refused (409), unless `allow_duplicate` is true.
#[utoipa::path(tag = "knowledge", responses((status = 201, body = PairView)))]
#[post("/ops/knowledge/qa-pairs")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    Json(new): Json<NewPair>,
) -> Result<Tagged<PairView>, ApiError> {
    let scope = caller.operator.scope();
    let question = prose("question", &new.question, 1, QUESTION_MAX)?;
    let answer = prose("answer", &new.answer, 1, ANSWER_MAX)?;
    let category = text("category", &new.category, 0, CATEGORY_MAX)?;
    let quality_score = score("quality_score", new.quality_score)?;
    let change = Change::begin(&state, &caller).await?;
    let tenant_id = whose(&*change, scope, new.tenant_id.as_deref()).await?;
    if !new.allow_duplicate {
        unasked(&*change, tenant_id, &question).await?;
    }
    let pair = qa_pair::New {
        tenant_id,
        question,
        answer,
        category,
        source: Source::Manual,
        template_id: None,
        quality_score,
        created_by: caller.operator.username.clone(),
    };
    let row = qa_pair::insert(&change, pair, change.now).await?;
    let view = view::one(&*change, scope, row).await?;
    let audit = Audit::of("knowledge.create", "qa_pair", &view.id)
        .with("tenant_id", &view.tenant_id)
        .with("question", &view.question);
    let version = view.version;
    let answer = change.created(audit, version, view).await?;
    state.tree.knowledge.news.tell();
    Ok(answer)
}

/// One pair.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = PairView)))]
#[get("/ops/knowledge/qa-pairs/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    id: web::Path<String>,
) -> Result<Tagged<PairView>, ApiError> {
    let read = &state.databases.control_read;
    let scope = caller.operator.scope();
    let view = view::one(read, scope, find(read, scope, &id).await?).await?;
    Ok(Tagged::ok(view.version, view))
}

/// Has a pair say something else.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = PairView)))]
#[put("/ops/knowledge/qa-pairs/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(new): Json<PairText>,
) -> Result<Tagged<PairView>, ApiError> {
    let scope = caller.operator.scope();
    let changes = saying(
        [&new.question, &new.answer, &new.category],
        new.quality_score,
    )?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, scope, &id).await?;
    if_match
        .check(row.version, &*change, "qa_pair", &row.public_id)
        .await?;
    let changed = qa_pair::update(&change, &row, changes, change.now)
        .await
        .map_err(refused("question"))?;
    let before = view::one(&*change, scope, row).await?;
    let after = view::one(&*change, scope, changed).await?;
    let audit = Audit::of("knowledge.update", "qa_pair", &after.id).diff(&before, &after);
    change.commit(audit).await?;
    state.tree.knowledge.news.tell();
    Ok(Tagged::ok(after.version, after))
}

/// Removes a pair.
#[utoipa::path(tag = "knowledge", responses((status = 204)))]
#[delete("/ops/knowledge/qa-pairs/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, caller.operator.scope(), &id).await?;
    if_match
        .check(row.version, &*change, "qa_pair", &row.public_id)
        .await?;
    qa_pair::remove(&change, &row).await?;
    let audit =
        Audit::of("knowledge.delete", "qa_pair", &row.public_id).with("question", &row.question);
    change.commit(audit).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Removes many pairs, puts them into another category, or has them synchronised, as a job. Pairs that are added after this request are not meant.
#[utoipa::path(tag = "knowledge", responses((status = 202, body = JobAccepted)))]
#[post("/ops/knowledge/qa-pairs/bulk")]
async fn change_many(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    Json(bulk): Json<Bulk>,
) -> Result<HttpResponse, ApiError> {
    let category = match (bulk.action, &bulk.category) {
        (BulkAction::ChangeCategory, Some(category)) => {
            Some(text("category", category, 0, CATEGORY_MAX)?)
        }
        (BulkAction::ChangeCategory, None) => {
            return Err(ApiError::invalid("category", "must be given"));
        }
        (BulkAction::Sync, _) if state.tree.knowledge.model.is_empty() => {
            let detail = "No model is configured to embed by: set rag.embedding_model to one that an account serves.";
            return Err(ApiError::new(ErrorCode::Conflict).detail(detail));
        }
        (BulkAction::Delete | BulkAction::Sync, _) => None,
    };
    let change = Change::begin(&state, &caller).await?;
    let scope = caller.operator.scope();
    let (scope, filter) = match (bulk.ids.clone(), bulk.filter.clone()) {
        (Some(ids), None) if (1..=IDS_MAX).contains(&ids.len()) => (
            scope,
            qa_pair::Filter {
                public_ids: Some(ids),
                ..qa_pair::Filter::default()
            },
        ),
        (None, Some(which)) => which.found(&*change, scope).await?,
        _ => {
            return Err(ApiError::invalid(
                "ids",
                format!("must name 1 to {IDS_MAX} pairs, or send a filter instead"),
            ));
        }
    };
    let asked = Asked {
        action: bulk.action,
        category,
        tenant_key: match scope {
            Scope::All => None,
            Scope::Tenant(id) => Some(id),
        },
        ids: filter.public_ids,
        search: filter.search,
        of_category: filter.category,
        source: filter.source.map(PairSource::from),
        is_synced: filter.is_synced,
        quality_min: filter.quality_min,
        quality_max: filter.quality_max,
        upto_key: qa_pair::newest(&*change).await?,
    };
    let params = serde_json::to_value(&asked).map_err(ApiError::internal)?;
    let author = caller.operator.public_id.clone();
    let kind = match bulk.action {
        BulkAction::Sync => bulk_sync::KIND,
        BulkAction::Delete | BulkAction::ChangeCategory => bulk::KIND,
    };
    let row = job::insert(&change, kind, params, author, change.now).await?;
    let audit = Audit::of("knowledge.bulk", "job", &row.public_id).with("asked", &bulk);
    let answer = change
        .accepted(audit, JobAccepted { job: row.into() })
        .await?;
    // It would look by itself in a second; that it cannot be told is no failure.
    let _ = state.tree.job_runner.try_send(Wake);
    Ok(answer)
}

async fn find(
    connection: &impl ConnectionTrait,
    scope: Scope,
    id: &str,
) -> Result<qa_pair::Model, ApiError> {
    qa_pair::by_public_id(connection, scope, id)
        .await?
        .ok_or_else(|| ApiError::not_found("pair"))
}

/// Whose pairs a list is about: `tenant_id`'s, where one is given. A tenant that nobody has, or that an operator of another may
/// not see, has none.
async fn in_scope(
    connection: &impl ConnectionTrait,
    scope: Scope,
    tenant_id: Option<&str>,
) -> Result<Scope, ApiError> {
    match tenant_id.filter(|id| !id.is_empty()) {
        None => Ok(scope),
        Some(id) => {
            let row = tenant::by_public_id(connection, scope, id).await?;
            Ok(Scope::Tenant(row.map_or(NOBODY, |row| row.id)))
        }
    }
}

/// Whose a pair becomes; an operator of one tenant need not say it.
async fn whose(
    connection: &impl ConnectionTrait,
    scope: Scope,
    tenant_id: Option<&str>,
) -> Result<i64, ApiError> {
    match (tenant_id, scope) {
        (None, Scope::Tenant(own)) => Ok(own),
        (None, Scope::All) => Err(ApiError::invalid("tenant_id", "must name a tenant")),
        (Some(id), scope) => {
            let row = tenant::by_public_id(connection, scope, id).await?;
            let row = row.ok_or_else(|| ApiError::invalid("tenant_id", "is no tenant"))?;
            Ok(row.id)
        }
    }
}

/// Refuses a question that a pair of the tenant asks already.
async fn unasked(
    connection: &impl ConnectionTrait,
    tenant_id: i64,
    question: &str,
) -> Result<(), ApiError> {
    let keys = vec![qa_pair::question_key(question)];
    let same = qa_pair::asking(connection, Scope::Tenant(tenant_id), keys).await?;
    match same.first() {
        None => Ok(()),
        Some(same) => Err(ApiError::new(ErrorCode::Conflict)
            .detail(format!("{} asks the same.", same.public_id))
            .field("question", "is asked already")),
    }
}

/// What a pair is to say: question, answer and category, and its score where one is given.
fn saying(
    [question, answer, category]: [&str; 3],
    quality_score: Option<Option<f64>>,
) -> Result<qa_pair::ActiveModel, ApiError> {
    let mut changes = qa_pair::ActiveModel {
        question: Set(prose("question", question, 1, QUESTION_MAX)?),
        answer: Set(prose("answer", answer, 1, ANSWER_MAX)?),
        category: Set(text("category", category, 0, CATEGORY_MAX)?),
        ..Default::default()
    };
    if let Some(given) = quality_score {
        changes.quality_score = Set(score("quality_score", given)?);
    }
    Ok(changes)
}

fn score(field: &str, score: Option<f64>) -> Result<Option<f64>, ApiError> {
    match score {
        Some(score) if !(0.0..=1.0).contains(&score) => {
            Err(ApiError::invalid(field, "must lie between 0 and 1"))
        }
        score => Ok(score),
    }
}
