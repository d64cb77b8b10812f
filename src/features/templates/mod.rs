//! Templates: questions with their answers that operators keep for all tenants, and hand out.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/templates` | `read:templates` |
//! | POST | `/ops/templates` | `write:templates` |
//! | GET | `/ops/templates/categories` | `read:templates` |
//! | POST | `/ops/templates/distribute` | `write:templates` |
//! | POST | `/ops/templates/distribute/preview` | `write:templates` |
//! | GET | `/ops/templates/{id}` | `read:templates` |
//! | PUT | `/ops/templates/{id}` | `write:templates` |
//! | DELETE | `/ops/templates/{id}` | `write:templates` |
//! | GET | `/ops/templates/{id}/tenants` | `read:templates` |
//!
//! A template becomes a pair of the tenant's own knowledge, which the tenant may edit and remove; what then becomes of it
//! is [`plan`]'s to say, and [`distribute`]'s to do. Templates are the installation's: operators of one tenant do not see them.

mod distribute;
mod plan;
#[cfg(test)]
mod tests;
mod view;

use actix_web::{HttpResponse, delete, get, post, put, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_entities::scope::Scope;
use steward_entities::{template, tenant};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, prose, text};
use crate::http::extract::{Json, Query};
use crate::http::job::JobAccepted;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadTemplates, WriteTemplates};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

pub(crate) use distribute::Distribute;
use distribute::{Asked, Decision};
use plan::OnConflict;
use view::{Preview, TemplateTenant, TemplateView};

const QUESTION_MAX: usize = 1_000;
const ANSWER_MAX: usize = 20_000;
const CATEGORY_MAX: usize = 64;
/// Templates of one distribution.
const TEMPLATES_MAX: usize = 500;
/// Tenants named in one distribution; all of them needs no names.
const TENANTS_MAX: usize = 1_000;
const DECISIONS_MAX: usize = 2_000;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        // Before those that take any id.
        .service(categories)
        .service(distribute_some)
        .service(preview_some)
        .service(show)
        .service(update)
        .service(remove)
        .service(standings);
}

/// What a template says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TemplateText {
    /// No two templates ask the same, whatever case, blanks and punctuation.
    #[schema(min_length = 1, max_length = 1000)]
    question: String,
    #[schema(min_length = 1, max_length = 20000)]
    answer: String,
    #[serde(default)]
    #[schema(max_length = 64)]
    category: String,
}

impl TemplateText {
    fn checked(self) -> Result<template::Text, ApiError> {
        Ok(template::Text {
            question: prose("question", &self.question, 1, QUESTION_MAX)?,
            answer: prose("answer", &self.answer, 1, ANSWER_MAX)?,
            category: text("category", &self.category, 0, CATEGORY_MAX)?,
        })
    }
}

/// What to hand out, and to whom: to `tenant_ids`, or to all with `all_tenants`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Distribution {
    /// At most 500.
    template_ids: Vec<String>,
    /// At most 1,000.
    tenant_ids: Option<Vec<String>>,
    #[serde(default)]
    all_tenants: bool,
    /// What becomes of words that are a tenant's own: `skip` leaves them and asks again next time, `keep` leaves them
    /// until the template changes again, `replace` overwrites them.
    #[serde(default)]
    on_conflict: OnConflict,
    /// The same for single ones; at most 2,000.
    #[serde(default)]
    decisions: Vec<Decision>,
}

impl Distribution {
    /// What is asked, if every id is one.
    async fn checked(
        self,
        connection: &impl ConnectionTrait,
    ) -> Result<(Asked, Vec<template::Model>, Vec<tenant::Model>), ApiError> {
        if self.template_ids.is_empty() || self.template_ids.len() > TEMPLATES_MAX {
            return Err(ApiError::invalid(
                "template_ids",
                format!("must name 1 to {TEMPLATES_MAX} templates"),
            ));
        }
        if self.decisions.len() > DECISIONS_MAX {
            return Err(ApiError::invalid(
                "decisions",
                format!("must be at most {DECISIONS_MAX}"),
            ));
        }
        let mut tenants = match (&self.tenant_ids, self.all_tenants) {
            (None, true) => tenant::all(connection).await?,
            (Some(ids), false) if (1..=TENANTS_MAX).contains(&ids.len()) => {
                let mut rows = tenant::all(connection).await?;
                rows.retain(|row| ids.contains(&row.public_id));
                if let Some(unknown) = ids
                    .iter()
                    .position(|id| !rows.iter().any(|row| row.public_id == *id))
                {
                    return Err(ApiError::invalid(
                        format!("tenant_ids[{unknown}]"),
                        "is no tenant",
                    ));
                }
                rows
            }
            _ => {
                return Err(ApiError::invalid(
                    "tenant_ids",
                    format!("must name 1 to {TENANTS_MAX} tenants, unless all_tenants is true"),
                ));
            }
        };
        tenants.sort_by_key(|row| row.id);
        let templates = template::by_public_ids(connection, &self.template_ids).await?;
        if let Some(unknown) = self
            .template_ids
            .iter()
            .position(|id| !templates.iter().any(|row| row.public_id == *id))
        {
            return Err(ApiError::invalid(
                format!("template_ids[{unknown}]"),
                "is no template",
            ));
        }
        let asked = Asked {
            template_ids: templates.iter().map(|row| row.public_id.clone()).collect(),
            tenant_ids: self.tenant_ids,
            on_conflict: self.on_conflict,
            decisions: self.decisions,
        };
        Ok((asked, templates, tenants))
    }
}

/// Which templates.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    category: Option<String>,
    /// Part of question or answer.
    keyword: Option<String>,
    /// The same as `keyword`.
    q: Option<String>,
    /// Whether some tenant has what an older revision of it said.
    outdated: Option<bool>,
}

/// A category of templates.
#[derive(Debug, Serialize, ToSchema)]
struct TemplateCategory {
    /// Empty for those that have none.
    category: String,
    templates: i64,
}

/// Every category of templates, by name.
#[derive(Debug, Serialize, ToSchema)]
struct TemplateCategories {
    items: Vec<TemplateCategory>,
}

/// Templates, newest first.
#[utoipa::path(tag = "templates", params(Which, PageQuery), responses((status = 200, body = Page<TemplateView>)))]
#[get("/ops/templates")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadTemplates>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<TemplateView>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let Query(which) = which;
    let filter = template::Filter {
        category: which.category,
        search: which.keyword.or(which.q).filter(|text| !text.is_empty()),
        is_outdated: which.outdated,
    };
    let rows = template::list(read, &filter, page.rows()?).await?;
    let total = template::count(read, &filter).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: view::of(read, page.items).await?,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// The categories there are.
#[utoipa::path(tag = "templates", responses((status = 200, body = TemplateCategories)))]
#[get("/ops/templates/categories")]
async fn categories(
    state: web::Data<AppState>,
    caller: Can<ReadTemplates>,
) -> Result<Json<TemplateCategories>, ApiError> {
    check::whole_installation(&caller)?;
    let found = template::categories(&state.databases.control_read).await?;
    let items = found
        .into_iter()
        .map(|(category, templates)| TemplateCategory {
            category,
            templates,
        });
    Ok(Json(TemplateCategories {
        items: items.collect(),
    }))
}

/// Makes a template. No tenant has it until it is handed out.
#[utoipa::path(tag = "templates", responses((status = 201, body = TemplateView)))]
#[post("/ops/templates")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteTemplates>,
    Json(new): Json<TemplateText>,
) -> Result<Tagged<TemplateView>, ApiError> {
    check::whole_installation(&caller)?;
    let text = new.checked()?;
    let change = Change::begin(&state, &caller).await?;
    let author = caller.operator.username.clone();
    let row = template::insert(&change, text, author, change.now)
        .await
        .map_err(refused("question"))?;
    let view = view::one(&*change, row).await?;
    let audit =
        Audit::of("templates.create", "template", &view.id).with("question", &view.question);
    let version = view.version;
    change.created(audit, version, view).await
}

/// One template.
#[utoipa::path(tag = "templates", responses((status = 200, body = TemplateView)))]
#[get("/ops/templates/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadTemplates>,
    id: web::Path<String>,
) -> Result<Tagged<TemplateView>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let view = view::one(read, find(read, &id).await?).await?;
    Ok(Tagged::ok(view.version, view))
}

/// Has a template say something else. Tenants that have it keep what they have, outdated, until it is handed out again.
#[utoipa::path(tag = "templates", responses((status = 200, body = TemplateView)))]
#[put("/ops/templates/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteTemplates>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(new): Json<TemplateText>,
) -> Result<Tagged<TemplateView>, ApiError> {
    check::whole_installation(&caller)?;
    let text = new.checked()?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "template", &row.public_id)
        .await?;
    let changed = template::update(&change, &row, text, change.now)
        .await
        .map_err(refused("question"))?;
    let before = view::one(&*change, row).await?;
    let after = view::one(&*change, changed).await?;
    let audit = Audit::of("templates.update", "template", &after.id).diff(&before, &after);
    change.commit(audit).await?;
    Ok(Tagged::ok(after.version, after))
}

/// Removes a template. What tenants have of it stays with them, as their own.
#[utoipa::path(tag = "templates", responses((status = 204)))]
#[delete("/ops/templates/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteTemplates>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "template", &row.public_id)
        .await?;
    template::remove(&change, &row).await?;
    let audit =
        Audit::of("templates.delete", "template", &row.public_id).with("question", &row.question);
    change.commit(audit).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// How every tenant stands to a template, newest tenant first.
#[utoipa::path(tag = "templates", params(PageQuery), responses((status = 200, body = Page<TemplateTenant>)))]
#[get("/ops/templates/{id}/tenants")]
async fn standings(
    state: web::Data<AppState>,
    caller: Can<ReadTemplates>,
    id: web::Path<String>,
    page: PageRequest,
) -> Result<Json<Page<TemplateTenant>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let filter = tenant::Filter::default();
    let found = tenant::list(read, Scope::All, &filter, page.rows()?).await?;
    let total = tenant::count(read, Scope::All, &filter).await?;
    let page = Page::of(found, &page, Some(total), |row| row.id, |row| row);
    let mut items = Vec::with_capacity(page.items.len());
    for tenant in page.items {
        let case = distribute::cases(read, std::slice::from_ref(&row), tenant.id).await?;
        items.extend(
            case.into_iter()
                .map(|case| TemplateTenant::of(&tenant, case)),
        );
    }
    Ok(Json(Page {
        items,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// What handing out would do. Nothing is changed.
#[utoipa::path(tag = "templates", responses((status = 200, body = Preview)))]
#[post("/ops/templates/distribute/preview")]
async fn preview_some(
    state: web::Data<AppState>,
    caller: Can<WriteTemplates>,
    Json(asked): Json<Distribution>,
) -> Result<Json<Preview>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let (_, templates, tenants) = asked.checked(read).await?;
    let mut preview = Preview::default();
    for tenant in &tenants {
        let cases = distribute::cases(read, &templates, tenant.id).await?;
        preview.note(tenant, cases);
    }
    Ok(Json(preview))
}

/// Hands templates out, as a job whose result tells what became of each tenant. What is a tenant's own is left as it is,
/// unless it is said to be replaced.
#[utoipa::path(tag = "templates", responses((status = 202, body = JobAccepted)))]
#[post("/ops/templates/distribute")]
async fn distribute_some(
    state: web::Data<AppState>,
    caller: Can<WriteTemplates>,
    Json(asked): Json<Distribution>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let (asked, _, tenants) = asked.checked(&*change).await?;
    let params = serde_json::to_value(&asked).map_err(ApiError::internal)?;
    let row = change.queue(distribute::KIND, params).await?;
    let audit = Audit::of("templates.distribute", "job", &row.public_id)
        .with("templates", &asked.template_ids)
        .with("tenants", tenants.len())
        .with("all_tenants", asked.tenant_ids.is_none())
        .with("on_conflict", asked.on_conflict)
        .with("decisions", asked.decisions.len());
    change.queued(audit, row).await
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<template::Model, ApiError> {
    template::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("template"))
}
