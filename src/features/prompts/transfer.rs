//! Prompts out and in, as files. That somebody imported one is in the audit. What happens to a prompt that is here already is told by comparing
//! the two chains, as git would: one that only goes on is taken on, one that went another way is a conflict.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, get, post};
use futures_util::{StreamExt, TryStreamExt, stream};
use sea_orm::ActiveValue::Set;
use sea_orm::{DatabaseConnection, DbErr};
use serde::{Deserialize, Serialize};
use steward_entities::{prompt, prompt_label, prompt_version};
use utoipa::{IntoParams, ToSchema};

use super::file::{FORMAT, FiledPrompt, FiledVersion, PromptFile, verified};
use super::keep::{CHAIN_STEP, Saved, advance, find, version_of};
use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check;
use crate::http::download::TicketParam;
use crate::http::extract::{Json, LargeJson, Query};
use crate::http::permission::{Can, ReadPrompts, WritePrompts};
use crate::state::AppState;

/// Longest name of a prompt.
const NAME_MAX: usize = 128;

/// Which prompts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// One prompt; all of them unless given.
    id: Option<String>,
}

/// Prompts with all their versions, as a file. An answer that breaks off is a file that is not whole.
#[utoipa::path(tag = "prompts", params(Which, TicketParam), responses(
    (status = 200, body = PromptFile),
    (status = 404, description = "There is no such prompt.", body = crate::error::problem::Problem, content_type = "application/problem+json"),
))]
#[get("/prompts/export")]
pub(super) async fn export(
    state: web::Data<AppState>,
    _caller: Can<ReadPrompts>,
    which: Query<Which>,
) -> Result<HttpResponse, ApiError> {
    let read = state.databases.control_read.clone();
    let mut ids: Vec<i64> = match which.0.id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => vec![find(&read, id).await?.id],
        None => prompt::all(&read).await?.iter().map(|row| row.id).collect(),
    };
    ids.sort_unstable();
    let head = format!("{{\"format\":\"{FORMAT}\",\"prompts\":[");
    let begun = stream::once(async move { Ok(Bytes::from(head)) });
    let each = stream::try_unfold(
        (read, ids.into_iter(), true),
        |(read, mut ids, first)| async move {
            while let Some(id) = ids.next() {
                // One that was removed meanwhile is left out.
                if let Some(filed) = filed(&read, id).await? {
                    let mut text = if first { Vec::new() } else { b",\n".to_vec() };
                    serde_json::to_writer(&mut text, &filed)
                        .map_err(|error| DbErr::Custom(error.to_string()))?;
                    return Ok(Some((Bytes::from(text), (read, ids, false))));
                }
            }
            Ok(None)
        },
    );
    let ended = stream::once(async { Ok(Bytes::from_static(b"]}\n")) });
    let file = begun.chain(each).chain(ended).map_err(|cause: DbErr| {
        tracing::warn!(%cause, "an export of prompts broke off");
        actix_web::error::ErrorInternalServerError("broken off")
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"prompts.json\""))
        .streaming(Box::pin(file)))
}

async fn filed(read: &DatabaseConnection, id: i64) -> Result<Option<FiledPrompt>, DbErr> {
    let Some(row) = prompt::by_id(read, id).await? else {
        return Ok(None);
    };
    let labels = prompt_label::of(read, [id]).await?;
    let mut versions: Vec<FiledVersion> = Vec::new();
    loop {
        let after = versions.last().map_or(0, |version| version.number);
        let step = prompt_version::after(read, id, after, CHAIN_STEP).await?;
        if step.is_empty() {
            break;
        }
        versions.extend(step.into_iter().map(FiledVersion::from));
    }
    Ok(Some(FiledPrompt {
        name: row.name,
        description: row.description,
        labels: labels
            .into_iter()
            .map(|row| (row.label, row.number))
            .collect(),
        versions,
    }))
}

/// What to do with a prompt that is here already and went another way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PromptOnConflict)]
enum OnConflict {
    /// It stays as it is.
    #[default]
    Skip,
    /// The file's newest content becomes its next version.
    Append,
    /// The file's prompt is kept beside it, under another name.
    Copy,
}

/// How to import.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct How {
    #[serde(default)]
    #[param(inline)]
    on_conflict: OnConflict,
    /// Only tell what would come of it.
    #[serde(default)]
    dry_run: bool,
}

/// What came of a file.
#[derive(Debug, Serialize, ToSchema)]
struct ImportedPrompts {
    /// Nothing was kept.
    dry_run: bool,
    prompts: Vec<ImportedPrompt>,
}

/// What came of one prompt.
#[derive(Debug, Serialize, ToSchema)]
struct ImportedPrompt {
    /// As the file names it.
    name: String,
    outcome: PromptImportOutcome,
    /// Under which name it is here now.
    kept_as: String,
    /// Versions that are new here.
    versions_added: usize,
    /// Number of its newest version here.
    head: i64,
}

/// What became of a prompt of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PromptImportOutcome {
    /// It was not here; it came with its versions and labels.
    Created,
    /// All of its versions were here.
    Unchanged,
    /// It goes on where this one ended: the later versions were added. Labels stay where they are.
    Forwarded,
    /// It went another way and was left.
    Skipped,
    /// It went another way; its newest content is the next version here.
    Appended,
    /// It went another way; it is kept under another name.
    Copied,
}

/// Takes in a file of prompts: all of it, or nothing when something is wrong with it. Every hash is checked. Importing it
/// again changes nothing.
#[utoipa::path(
    tag = "prompts",
    params(How),
    request_body = PromptFile,
    responses((status = 200, body = ImportedPrompts))
)]
#[post("/prompts/import")]
pub(super) async fn import(
    state: web::Data<AppState>,
    caller: Can<WritePrompts>,
    how: Query<How>,
    file: LargeJson<PromptFile>,
) -> Result<Json<ImportedPrompts>, ApiError> {
    check::whole_installation(&caller)?;
    let Query(How {
        on_conflict,
        dry_run,
    }) = how;
    // Hashing a large file takes its time, which the worker has not.
    let prompts = web::block(move || verified(file.0))
        .await
        .map_err(ApiError::internal)??;
    let change = Change::begin(&state, &caller).await?;
    let author = &caller.operator.username;
    let mut told = Vec::with_capacity(prompts.len());
    for filed in prompts {
        told.push(take_in(&change, filed, on_conflict, author).await?);
    }
    if !dry_run {
        let count =
            |which: PromptImportOutcome| told.iter().filter(|one| one.outcome == which).count();
        let names: Vec<&str> = told
            .iter()
            .map(|one| one.kept_as.as_str())
            .take(100)
            .collect();
        let audit = Audit::of("prompts.import", "prompt", "")
            .with("prompts", told.len())
            .with("created", count(PromptImportOutcome::Created))
            .with("forwarded", count(PromptImportOutcome::Forwarded))
            .with("appended", count(PromptImportOutcome::Appended))
            .with("copied", count(PromptImportOutcome::Copied))
            .with("skipped", count(PromptImportOutcome::Skipped))
            .with("names", names);
        change.commit(audit).await?;
        state.announce_to_gateway().await;
    }
    Ok(Json(ImportedPrompts {
        dry_run,
        prompts: told,
    }))
}

async fn take_in(
    change: &Change<'_>,
    filed: FiledPrompt,
    on_conflict: OnConflict,
    author: &str,
) -> Result<ImportedPrompt, ApiError> {
    let told = |outcome, kept_as: &str, versions_added, head| ImportedPrompt {
        name: filed.name.clone(),
        outcome,
        kept_as: kept_as.to_owned(),
        versions_added,
        head,
    };
    let (all, last) = (filed.versions.len(), filed.versions.len() as i64);
    let Some(here) = prompt::by_name(&**change, &filed.name).await? else {
        create(change, &filed, &filed.name, author).await?;
        return Ok(told(PromptImportOutcome::Created, &filed.name, all, last));
    };
    let here = prompt::take(change, &here.public_id, change.now)
        .await?
        .ok_or_else(|| ApiError::not_found("prompt"))?;
    let known = prompt_version::hashes(&**change, here.id).await?;
    let same = known
        .iter()
        .zip(&filed.versions)
        .take_while(|(known, filed)| **known == filed.hash)
        .count();
    let name = &here.name;
    if same == all {
        return Ok(told(PromptImportOutcome::Unchanged, name, 0, here.head));
    }
    if same == known.len() {
        add(change, here.id, &filed.versions[same..]).await?;
        set_head(change, &here, last).await?;
        return Ok(told(PromptImportOutcome::Forwarded, name, all - same, last));
    }
    match on_conflict {
        OnConflict::Skip => Ok(told(PromptImportOutcome::Skipped, name, 0, here.head)),
        OnConflict::Copy => {
            let free = free_name(change, &filed.name).await?;
            create(change, &filed, &free, author).await?;
            Ok(told(PromptImportOutcome::Copied, &free, all, last))
        }
        OnConflict::Append => {
            let head = version_of(&**change, &here, here.head).await?;
            let newest = &filed.versions[all - 1];
            if newest.content == head.content {
                return Ok(told(PromptImportOutcome::Unchanged, name, 0, here.head));
            }
            let saved = Saved {
                content: newest.content.clone(),
                message: newest.message.clone(),
                author: author.to_owned(),
                restores: None,
            };
            let here = advance(change, here, &head, saved).await?;
            Ok(told(
                PromptImportOutcome::Appended,
                &here.name,
                1,
                here.head,
            ))
        }
    }
}

async fn create(
    change: &Change<'_>,
    filed: &FiledPrompt,
    name: &str,
    author: &str,
) -> Result<(), ApiError> {
    let description = filed.description.trim().to_owned();
    let row = prompt::insert(
        change,
        name.to_owned(),
        description,
        author.to_owned(),
        change.now,
    )
    .await
    .map_err(refused("name"))?;
    add(change, row.id, &filed.versions).await?;
    set_head(change, &row, filed.versions.len() as i64).await?;
    for (label, number) in &filed.labels {
        prompt_label::point(change, row.id, label.clone(), *number, change.now).await?;
    }
    Ok(())
}

async fn add(
    change: &Change<'_>,
    prompt_id: i64,
    versions: &[FiledVersion],
) -> Result<(), ApiError> {
    for version in versions {
        let new = prompt_version::New {
            prompt_id,
            number: version.number,
            parent: version.parent,
            restores: version.restores,
            content: version.content.clone(),
            content_hash: version.content_hash.clone(),
            hash: version.hash.clone(),
            message: version.message.clone(),
            author: version.author.clone(),
            created_at: version.created_at,
        };
        prompt_version::insert(change, new).await?;
    }
    Ok(())
}

async fn set_head(change: &Change<'_>, row: &prompt::Model, head: i64) -> Result<(), ApiError> {
    let changes = prompt::ActiveModel {
        head: Set(head),
        ..Default::default()
    };
    prompt::write(change, row, changes)
        .await
        .map_err(refused("name"))?;
    Ok(())
}

/// A name like `name` that no prompt has.
async fn free_name(change: &Change<'_>, name: &str) -> Result<String, ApiError> {
    for n in 1_u32.. {
        let ending = match n {
            1 => "-imported".to_owned(),
            n => format!("-imported-{n}"),
        };
        // Names are ASCII.
        let begun = &name[..name.len().min(NAME_MAX - ending.len())];
        let free = format!("{begun}{ending}");
        if prompt::by_name(&**change, &free).await?.is_none() {
            return Ok(free);
        }
    }
    Err(ApiError::taken("name"))
}
