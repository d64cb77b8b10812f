//! The chain of versions: what every change of a prompt goes through, and the proof that nothing was changed behind it.
//!
//! Whoever changes a prompt holds its row, so versions come one after the other; what they say, and how it is hashed, is
//! [`content`](super::content)'s.

use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use steward_entities::{prompt, prompt_version};

use super::content::{Signed, content_hash};
use super::view::{self, PromptView};
use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check;
use crate::http::permission::{Can, WritePrompts};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

/// Versions read at once when a chain is walked.
pub(super) const CHAIN_STEP: u64 = 200;

/// A version about to be kept.
pub(super) struct Saved {
    pub(super) content: String,
    pub(super) message: String,
    pub(super) author: String,
    pub(super) restores: Option<i64>,
}

pub(super) async fn add_version(
    change: &Change<'_>,
    row: &prompt::Model,
    parent: Option<&prompt_version::Model>,
    saved: Saved,
) -> Result<(), ApiError> {
    let content_hash = content_hash(&saved.content);
    let number = parent.map_or(1, |parent| parent.number + 1);
    let hash = Signed {
        parent_hash: parent.map_or("", |parent| parent.hash.as_str()),
        number,
        author: &saved.author,
        created_at: change.now,
        message: &saved.message,
        content_hash: &content_hash,
    }
    .hash();
    let new = prompt_version::New {
        prompt_id: row.id,
        number,
        parent: parent.map(|parent| parent.number),
        restores: saved.restores,
        content: saved.content,
        content_hash,
        hash,
        message: saved.message,
        author: saved.author,
        created_at: change.now,
    };
    prompt_version::insert(change, new).await?;
    Ok(())
}

/// Adds a version after `head` and makes it the newest.
pub(super) async fn advance(
    change: &Change<'_>,
    row: prompt::Model,
    head: &prompt_version::Model,
    saved: Saved,
) -> Result<prompt::Model, ApiError> {
    add_version(change, &row, Some(head), saved).await?;
    let changes = prompt::ActiveModel {
        head: Set(head.number + 1),
        ..Default::default()
    };
    prompt::write(change, &row, changes)
        .await
        .map_err(refused("name"))
}

pub(super) async fn committed(
    state: &AppState,
    change: Change<'_>,
    row: prompt::Model,
    action: &'static str,
) -> Result<Tagged<PromptView>, ApiError> {
    let view = shown(&*change, row).await?;
    let audit = Audit::of(action, "prompt", &view.id)
        .with("head", view.head)
        .with("message", &view.newest.message);
    change.commit(audit).await?;
    state.announce_to_gateway().await;
    Ok(Tagged::ok(view.version, view))
}

/// The prompt's row, held for this change.
pub(super) async fn taken(
    change: &Change<'_>,
    caller: &Can<WritePrompts>,
    id: &str,
    if_match: IfMatch,
) -> Result<prompt::Model, ApiError> {
    check::whole_installation(caller)?;
    let row = prompt::take(change, id, change.now)
        .await?
        .ok_or_else(|| ApiError::not_found("prompt"))?;
    if_match
        .check(row.version - 1, &**change, "prompt", id)
        .await?;
    Ok(row)
}

pub(super) async fn find(
    connection: &impl ConnectionTrait,
    id: &str,
) -> Result<prompt::Model, ApiError> {
    prompt::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("prompt"))
}

pub(super) async fn version_of(
    connection: &impl ConnectionTrait,
    row: &prompt::Model,
    number: i64,
) -> Result<prompt_version::Model, ApiError> {
    prompt_version::by_number(connection, row.id, number)
        .await?
        .ok_or_else(|| ApiError::not_found("version"))
}

pub(super) async fn shown(
    connection: &impl ConnectionTrait,
    row: prompt::Model,
) -> Result<PromptView, ApiError> {
    view::of(connection, vec![row])
        .await?
        .pop()
        .ok_or_else(|| ApiError::not_found("prompt"))
}

/// Whether every version's hash is that of what it says and of what came before it. The number of the version it brings back
/// is in no hash; it holds when the two say the same.
pub(super) async fn chain_holds(
    connection: &impl ConnectionTrait,
    row: &prompt::Model,
) -> Result<bool, ApiError> {
    let mut parent_hash = String::new();
    let mut number = 0;
    // Of the versions so far, the first one first.
    let mut contents: Vec<String> = Vec::new();
    loop {
        let step = prompt_version::after(connection, row.id, number, CHAIN_STEP).await?;
        if step.is_empty() {
            return Ok(number == row.head);
        }
        for version in step {
            let hashed = content_hash(&version.content);
            let signed = Signed {
                parent_hash: &parent_hash,
                number: number + 1,
                author: &version.author,
                created_at: version.created_at,
                message: &version.message,
                content_hash: &hashed,
            };
            let parent = (number > 0).then_some(number);
            if signed.hash() != version.hash
                || version.parent != parent
                || version.content_hash != hashed
                || !brings_back(version.restores, &hashed, &contents)
            {
                return Ok(false);
            }
            contents.push(hashed);
            number += 1;
            parent_hash = version.hash;
        }
    }
}

/// Whether a version that says it brings an earlier one back says what that one said; `earlier` are the hashes of what those
/// before it say, the first one first. One that brings nothing back does.
pub(super) fn brings_back<T: AsRef<str>>(
    restores: Option<i64>,
    content_hash: &str,
    earlier: &[T],
) -> bool {
    let Some(number) = restores else {
        return true;
    };
    let at = usize::try_from(number - 1).ok();
    at.and_then(|at| earlier.get(at))
        .is_some_and(|said| said.as_ref() == content_hash)
}
