//! Prompts, kept as git keeps text: every save is a new version that is never changed, going back is a version too, and
//! a label says which version applications get.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/prompts` | `read:prompts` |
//! | POST | `/prompts` | `write:prompts` |
//! | GET | `/prompts/export` | `read:prompts` |
//! | POST | `/prompts/import` | `write:prompts` |
//! | GET | `/prompts/{id}` | `read:prompts` |
//! | PUT | `/prompts/{id}` | `write:prompts` |
//! | DELETE | `/prompts/{id}` | `write:prompts` |
//! | GET | `/prompts/{id}/versions` | `read:prompts` |
//! | GET | `/prompts/{id}/versions/{number}` | `read:prompts` |
//! | GET | `/prompts/{id}/versions/{a}/diff/{b}` | `read:prompts` |
//! | POST | `/prompts/{id}/versions/{number}/fill` | `read:prompts` |
//! | POST | `/prompts/{id}/rollback` | `write:prompts` |
//! | POST | `/prompts/{id}/run` | `write:prompts` |
//! | GET | `/prompts/{id}/runs` | `read:prompts` |
//! | DELETE | `/prompts/{id}/runs/{run}` | `write:prompts` |
//! | PUT, DELETE | `/prompts/{id}/labels/{label}` | `write:prompts` |
//! | GET | `/v1/prompts/{name}` | token or user token |
//!
//! Everybody who changes a prompt takes its row first, so two people who save at once get two versions, one after the
//! other; who wants to be told instead sends `If-Match`. How a version is hashed is [`content`]'s.

mod content;
mod file;
mod keep;
mod run;
mod runs;
mod serve;
#[cfg(test)]
mod tests;
mod transfer;
mod view;

use actix_web::{HttpResponse, delete, get, post, put, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use steward_entities::{prompt, prompt_label, prompt_version};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::caller::Caller;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, text};
use crate::http::extract::{Json, Query};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadPrompts, WritePrompts};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

use content::{Content, Message, Role};
use keep::{Saved, add_version, advance, chain_holds, committed, find, shown, taken, version_of};
pub use serve::Texts;
use view::{PromptDiff, PromptView, VersionView};

const DESCRIPTION_MAX: usize = 2_000;
const MESSAGE_MAX: usize = 500;

/// `GET /v1/prompts/{name}`, beside the gateway's paths: to be mounted before them.
pub(crate) fn beside_gateway(config: &mut web::ServiceConfig) {
    // The prefix first: what is no prompt's, every call of the gateway, is spared the pattern.
    config.service(
        web::scope("/v1/prompts")
            .service(
                web::resource("/{name:.+}")
                    .route(web::get().to(serve::show))
                    .default_service(web::to(serve::wrong_method)),
            )
            .default_service(web::to(serve::nothing)),
    );
}

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        // Before the one that takes any id.
        .service(transfer::export)
        .service(transfer::import)
        .service(show)
        .service(save)
        .service(remove)
        .service(versions)
        .service(show_version)
        .service(diff)
        .service(fill)
        .service(rollback)
        .service(run::run_version)
        .service(runs::runs)
        .service(runs::remove_run)
        .service(point_label)
        .service(remove_label);
}

/// A prompt to make, with its first version. Send `messages`, or `content` for a single system message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPrompt {
    /// What applications ask for: letters, digits, `-`, `_`, `.` and `/`.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9][A-Za-z0-9_./-]*$"
    )]
    name: String,
    #[serde(default)]
    #[schema(max_length = 2000)]
    description: String,
    messages: Option<Vec<Message>>,
    content: Option<String>,
    model: Option<String>,
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// What this version is about.
    #[serde(default)]
    #[schema(max_length = 500)]
    message: String,
}

/// A version to save. Send `messages`, or `content` for a single system message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewVersion {
    messages: Option<Vec<Message>>,
    content: Option<String>,
    model: Option<String>,
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// What changed, and why.
    #[serde(default)]
    #[schema(max_length = 500)]
    message: String,
    /// Replaces the prompt's description; versions do not carry it.
    #[schema(max_length = 2000)]
    description: Option<String>,
}

/// Which version to bring back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rollback {
    /// Number of the version whose content becomes the newest.
    #[schema(minimum = 1)]
    version: i64,
    #[serde(default)]
    #[schema(max_length = 500)]
    message: String,
}

/// Which version a label points at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Pointing {
    /// Number of the version.
    #[schema(minimum = 1)]
    version: i64,
}

/// What to fill a version's variables in with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Filling {
    /// Values by variable; what is no text is written as JSON.
    #[serde(default)]
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
}

/// A version as a model would get it.
#[derive(Debug, Serialize, ToSchema)]
struct Filled {
    messages: Vec<Message>,
    /// Variables that got no value and stand as they are written.
    missing: Vec<String>,
}

/// Which prompts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Part of the name or of the description.
    q: Option<String>,
}

/// Prompts, newest first, each with its newest version.
#[utoipa::path(tag = "prompts", params(Which, PageQuery), responses((status = 200, body = Page<PromptView>)))]
#[get("/prompts")]
async fn list(
    state: web::Data<AppState>,
    _caller: Can<ReadPrompts>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<PromptView>>, ApiError> {
    let read = &state.databases.control_read;
    let search = which.0.q.as_deref().filter(|text| !text.is_empty());
    let rows = prompt::list(read, search, page.rows()?).await?;
    let total = prompt::count(read, search).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: view::of(read, page.items).await?,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// Makes a prompt with its first version.
#[utoipa::path(tag = "prompts", responses((status = 201, body = PromptView)))]
#[post("/prompts")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WritePrompts>,
    Json(new): Json<NewPrompt>,
) -> Result<Tagged<PromptView>, ApiError> {
    check::whole_installation(&caller)?;
    if !is_name(&new.name) {
        return Err(ApiError::invalid(
            "name",
            "must have 1 to 128 letters, digits, -, _, . and /, a letter or digit first",
        ));
    }
    let description = text("description", &new.description, 0, DESCRIPTION_MAX)?;
    let message = text("message", &new.message, 0, MESSAGE_MAX)?;
    let content = said(new.messages, new.content, new.model, new.parameters)?;
    let change = Change::begin(&state, &caller).await?;
    let author = caller.operator.username.clone();
    let row = prompt::insert(&change, new.name, description, author.clone(), change.now)
        .await
        .map_err(refused("name"))?;
    let first = Saved {
        content: content.canonical()?,
        message,
        author,
        restores: None,
    };
    add_version(&change, &row, None, first).await?;
    let view = shown(&*change, row).await?;
    let audit = Audit::of("prompts.create", "prompt", &view.id).with("name", &view.name);
    let version = view.version;
    let made = change.created(audit, version, view).await?;
    state.announce_to_gateway().await;
    Ok(made)
}

/// One prompt, with its newest version.
#[utoipa::path(tag = "prompts", responses((status = 200, body = PromptView)))]
#[get("/prompts/{id}")]
async fn show(
    state: web::Data<AppState>,
    _caller: Can<ReadPrompts>,
    id: web::Path<String>,
) -> Result<Tagged<PromptView>, ApiError> {
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let holds = chain_holds(read, &row).await?;
    let mut view = shown(read, row).await?;
    view.chain_holds = Some(holds);
    Ok(Tagged::ok(view.version, view))
}

/// Saves a new version. What says the same as the newest version makes none.
#[utoipa::path(tag = "prompts", responses((status = 200, body = PromptView)))]
#[put("/prompts/{id}")]
async fn save(
    state: web::Data<AppState>,
    caller: Can<WritePrompts>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(new): Json<NewVersion>,
) -> Result<Tagged<PromptView>, ApiError> {
    let message = text("message", &new.message, 0, MESSAGE_MAX)?;
    let description = match &new.description {
        Some(description) => Some(text("description", description, 0, DESCRIPTION_MAX)?),
        None => None,
    };
    let content = said(new.messages, new.content, new.model, new.parameters)?;
    let change = Change::begin(&state, &caller).await?;
    let mut row = taken(&change, &caller, &id, if_match).await?;
    let head = version_of(&*change, &row, row.head).await?;
    if let Some(description) = description {
        let changes = prompt::ActiveModel {
            description: Set(description),
            ..Default::default()
        };
        row = prompt::write(&change, &row, changes)
            .await
            .map_err(refused("name"))?;
    }
    let canonical = content.canonical()?;
    if canonical != head.content {
        let next = Saved {
            content: canonical,
            message,
            author: caller.operator.username.clone(),
            restores: None,
        };
        row = advance(&change, row, &head, next).await?;
    }
    committed(&state, change, row, "prompts.save").await
}

/// Removes a prompt with all its versions. Applications that ask for it get 404 from then on.
#[utoipa::path(tag = "prompts", responses((status = 204)))]
#[delete("/prompts/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WritePrompts>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    let change = Change::begin(&state, &caller).await?;
    let row = taken(&change, &caller, &id, if_match).await?;
    prompt::remove(&change, &row).await?;
    let audit = Audit::of("prompts.remove", "prompt", &row.public_id)
        .with("name", &row.name)
        .with("versions", row.head);
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A prompt's versions, newest first.
#[utoipa::path(tag = "prompts", params(PageQuery), responses((status = 200, body = Page<VersionView>)))]
#[get("/prompts/{id}/versions")]
async fn versions(
    state: web::Data<AppState>,
    caller: Can<ReadPrompts>,
    id: web::Path<String>,
    page: PageRequest,
) -> Result<Json<Page<VersionView>>, ApiError> {
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let rows = prompt_version::list(read, row.id, page.rows()?).await?;
    let total = prompt_version::count(read, row.id).await?;
    let labels = prompt_label::of(read, [row.id]).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.number, |row| row);
    let items: Result<Vec<VersionView>, ApiError> = page
        .items
        .into_iter()
        .map(|version| VersionView::of(version, &labels))
        .collect();
    let mut items = items?;
    judged(read, &caller, &row, &mut items).await?;
    Ok(Json(Page {
        items,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// One version.
#[utoipa::path(tag = "prompts", responses((status = 200, body = VersionView)))]
#[get("/prompts/{id}/versions/{number}")]
async fn show_version(
    state: web::Data<AppState>,
    caller: Can<ReadPrompts>,
    path: web::Path<(String, i64)>,
) -> Result<Json<VersionView>, ApiError> {
    let read = &state.databases.control_read;
    let row = find(read, &path.0).await?;
    let version = version_of(read, &row, path.1).await?;
    let labels = prompt_label::of(read, [row.id]).await?;
    let mut view = VersionView::of(version, &labels)?;
    judged(read, &caller, &row, std::slice::from_mut(&mut view)).await?;
    Ok(Json(view))
}

/// Puts feedback beside versions, for who may read it.
async fn judged(
    connection: &impl ConnectionTrait,
    caller: &Caller,
    row: &prompt::Model,
    shown: &mut [VersionView],
) -> Result<(), ApiError> {
    if !caller.operator.permissions.allow("read:feedback") {
        return Ok(());
    }
    view::with_feedback(connection, caller.operator.scope(), row, shown).await
}

/// What differs between two versions, line by line and word by word.
#[utoipa::path(tag = "prompts", responses((status = 200, body = PromptDiff)))]
#[get("/prompts/{id}/versions/{a}/diff/{b}")]
async fn diff(
    state: web::Data<AppState>,
    _caller: Can<ReadPrompts>,
    path: web::Path<(String, i64, i64)>,
) -> Result<Json<PromptDiff>, ApiError> {
    let (id, a, b) = path.into_inner();
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let before = version_of(read, &row, a).await?;
    let after = version_of(read, &row, b).await?;
    let (before, after) = (
        Content::stored(&before.content)?.as_text(),
        Content::stored(&after.content)?.as_text(),
    );
    // Comparing two long texts takes its time, which the worker has not.
    let lines = web::block(move || content::diff(&before, &after))
        .await
        .map_err(ApiError::internal)?;
    Ok(Json(PromptDiff { a, b, lines }))
}

/// A version with its variables filled in. Nothing is called and nothing is kept.
#[utoipa::path(tag = "prompts", responses((status = 200, body = Filled)))]
#[post("/prompts/{id}/versions/{number}/fill")]
async fn fill(
    state: web::Data<AppState>,
    _caller: Can<ReadPrompts>,
    path: web::Path<(String, i64)>,
    Json(filling): Json<Filling>,
) -> Result<Json<Filled>, ApiError> {
    let read = &state.databases.control_read;
    let row = find(read, &path.0).await?;
    let version = version_of(read, &row, path.1).await?;
    let content = Content::stored(&version.content)?;
    let mut missing: Vec<String> = content.variables().into_iter().collect();
    missing.retain(|name| !filling.variables.contains_key(name));
    Ok(Json(Filled {
        messages: content.filled(&filling.variables),
        missing,
    }))
}

/// Brings an earlier version back: its content becomes a new version, so that this too can be gone back on.
#[utoipa::path(tag = "prompts", responses((status = 200, body = PromptView)))]
#[post("/prompts/{id}/rollback")]
async fn rollback(
    state: web::Data<AppState>,
    caller: Can<WritePrompts>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(back): Json<Rollback>,
) -> Result<Tagged<PromptView>, ApiError> {
    let message = text("message", &back.message, 0, MESSAGE_MAX)?;
    let change = Change::begin(&state, &caller).await?;
    let row = taken(&change, &caller, &id, if_match).await?;
    let head = version_of(&*change, &row, row.head).await?;
    let earlier = version_of(&*change, &row, back.version).await?;
    let next = Saved {
        content: earlier.content,
        message: if message.is_empty() {
            format!("Back to version {}", earlier.number)
        } else {
            message
        },
        author: caller.operator.username.clone(),
        restores: Some(earlier.number),
    };
    let row = advance(&change, row, &head, next).await?;
    committed(&state, change, row, "prompts.rollback").await
}

/// Points a label at a version: from the next request on, applications that ask for the label get it.
#[utoipa::path(tag = "prompts", responses((status = 200, body = PromptView)))]
#[put("/prompts/{id}/labels/{label}")]
async fn point_label(
    state: web::Data<AppState>,
    caller: Can<WritePrompts>,
    path: web::Path<(String, String)>,
    if_match: IfMatch,
    Json(to): Json<Pointing>,
) -> Result<Tagged<PromptView>, ApiError> {
    let (id, label) = path.into_inner();
    if !is_label(&label) {
        return Err(ApiError::invalid(
            "label",
            "must have 1 to 64 lower-case letters, digits, - and _, a letter first; latest always is the newest",
        ));
    }
    let change = Change::begin(&state, &caller).await?;
    let row = taken(&change, &caller, &id, if_match).await?;
    let version = version_of(&*change, &row, to.version).await?;
    let before = prompt_label::of(&*change, [row.id]).await?;
    let before = before.iter().find(|known| known.label == label);
    let audit = Audit::of("prompts.label", "prompt", &row.public_id)
        .with("label", &label)
        .with(
            "version",
            (before.map(|known| known.number), version.number),
        );
    prompt_label::point(&change, row.id, label, version.number, change.now).await?;
    let view = shown(&*change, row).await?;
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(Tagged::ok(view.version, view))
}

/// Takes a label away.
#[utoipa::path(tag = "prompts", responses((status = 204)))]
#[delete("/prompts/{id}/labels/{label}")]
async fn remove_label(
    state: web::Data<AppState>,
    caller: Can<WritePrompts>,
    path: web::Path<(String, String)>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    let (id, label) = path.into_inner();
    let change = Change::begin(&state, &caller).await?;
    let row = taken(&change, &caller, &id, if_match).await?;
    if !prompt_label::remove(&change, row.id, &label).await? {
        return Err(ApiError::not_found("label"));
    }
    let audit = Audit::of("prompts.unlabel", "prompt", &row.public_id).with("label", &label);
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The content as a caller sent it, checked.
fn said(
    messages: Option<Vec<Message>>,
    plain: Option<String>,
    model: Option<String>,
    parameters: Map<String, Value>,
) -> Result<Content, ApiError> {
    let messages = match (messages, plain) {
        (Some(messages), None) => messages,
        (None, Some(content)) => vec![Message {
            content,
            role: Role::System,
        }],
        _ => {
            return Err(ApiError::new(ErrorCode::ValidationFailed)
                .field("messages", "send either messages or content"));
        }
    };
    Content {
        messages,
        model: model.filter(|model| !model.is_empty()),
        parameters,
    }
    .checked()
}

fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte))
        && !name.split('/').any(|step| step.is_empty() || step == "..")
}

fn is_label(label: &str) -> bool {
    (1..=64).contains(&label.len())
        && label != "latest"
        && label.starts_with(|first: char| first.is_ascii_lowercase())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}
