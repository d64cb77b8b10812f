//! Prompts as a file: with every version and its hash, so that a chain taken elsewhere is still the same chain. Pure.
//!
//! A file is believed as far as its hashes hold: what a version says, who wrote it when, and what it followed. They are no
//! signature.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use steward_entities::prompt_version;
use utoipa::ToSchema;

use super::content::{Content, Signed, content_hash};
use super::keep::brings_back;
use super::{DESCRIPTION_MAX, MESSAGE_MAX, is_label, is_name};
use crate::error::ApiError;
use crate::http::check::text;

/// What a file says it is.
pub(super) const FORMAT: &str = "steward.prompts.v1";
const AUTHOR_MAX: usize = 160;
/// The end of the year 9999.
const MICROS_MAX: i64 = 253_402_300_799_999_999;

/// Prompts with all their versions.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PromptFile {
    /// `steward.prompts.v1`.
    format: String,
    prompts: Vec<FiledPrompt>,
}

/// A prompt in a file.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FiledPrompt {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    /// Labels and the version each points at.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, i64>)]
    pub(super) labels: BTreeMap<String, i64>,
    /// All of them, the first one first.
    pub(super) versions: Vec<FiledVersion>,
}

/// A version in a file.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FiledVersion {
    pub(super) number: i64,
    pub(super) parent: Option<i64>,
    pub(super) restores: Option<i64>,
    /// Canonical JSON as text: what `content_hash` is the SHA-256 of.
    pub(super) content: String,
    pub(super) content_hash: String,
    pub(super) hash: String,
    pub(super) message: String,
    pub(super) author: String,
    /// Microseconds since the Unix epoch, as they are hashed.
    pub(super) created_at: i64,
}

impl From<prompt_version::Model> for FiledVersion {
    fn from(row: prompt_version::Model) -> Self {
        Self {
            number: row.number,
            parent: row.parent,
            restores: row.restores,
            content: row.content,
            content_hash: row.content_hash,
            hash: row.hash,
            message: row.message,
            author: row.author,
            created_at: row.created_at,
        }
    }
}

/// The prompts of a file whose hashes hold, in the order of their names: two imports at once wait for each other instead of
/// for ever.
pub(super) fn verified(file: PromptFile) -> Result<Vec<FiledPrompt>, ApiError> {
    if file.format != FORMAT {
        return Err(ApiError::invalid("format", format!("must be {FORMAT}")));
    }
    let mut names = HashSet::new();
    for (at, prompt) in file.prompts.iter().enumerate() {
        let place = format!("prompts[{at}]");
        if !is_name(&prompt.name) {
            return Err(ApiError::invalid(
                format!("{place}.name"),
                "is no name of a prompt",
            ));
        }
        if !names.insert(prompt.name.as_str()) {
            return Err(ApiError::invalid(
                format!("{place}.name"),
                "stands in the file twice",
            ));
        }
        text(
            &format!("{place}.description"),
            &prompt.description,
            0,
            DESCRIPTION_MAX,
        )?;
        chain(&place, &prompt.versions)?;
        let last = prompt.versions.len() as i64;
        for (label, number) in &prompt.labels {
            if !is_label(label) || !(1..=last).contains(number) {
                return Err(ApiError::invalid(
                    format!("{place}.labels.{label}"),
                    "must be a label that points at a version of the file",
                ));
            }
        }
    }
    let mut prompts = file.prompts;
    prompts.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(prompts)
}

/// Whether versions are a whole chain, from the first on.
fn chain(place: &str, versions: &[FiledVersion]) -> Result<(), ApiError> {
    if versions.is_empty() {
        return Err(ApiError::invalid(
            format!("{place}.versions"),
            "must be at least one",
        ));
    }
    let mut parent: Option<&FiledVersion> = None;
    for (at, version) in versions.iter().enumerate() {
        let wrong = |field: &str, why: &str| {
            Err(ApiError::invalid(
                format!("{place}.versions[{at}].{field}"),
                why,
            ))
        };
        if version.number != at as i64 + 1 || version.parent != parent.map(|parent| parent.number) {
            return wrong("number", "must follow the one before it");
        }
        let content = Content::stored(&version.content).and_then(Content::checked);
        if content.is_err() {
            return wrong("content", "is not what a version says");
        }
        let said = [
            ("author", &version.author, AUTHOR_MAX),
            ("message", &version.message, MESSAGE_MAX),
        ];
        for (field, value, most) in said {
            if text(field, value, 0, most).ok().as_ref() != Some(value) {
                return wrong(
                    field,
                    "is too long, or holds control characters or blanks around it",
                );
            }
        }
        if !(0..=MICROS_MAX).contains(&version.created_at) {
            return wrong("created_at", "must be microseconds since the Unix epoch");
        }
        if content_hash(&version.content) != version.content_hash {
            return wrong("content_hash", "is not the hash of the content");
        }
        let earlier: Vec<&str> = versions[..at]
            .iter()
            .map(|earlier| earlier.content_hash.as_str())
            .collect();
        if !brings_back(version.restores, &version.content_hash, &earlier) {
            return wrong("restores", "must be an earlier version that says the same");
        }
        let signed = Signed {
            parent_hash: parent.map_or("", |parent| parent.hash.as_str()),
            number: version.number,
            author: &version.author,
            created_at: version.created_at,
            message: &version.message,
            content_hash: &version.content_hash,
        };
        if signed.hash() != version.hash {
            return wrong(
                "hash",
                "does not hold: the version, or one before it, was changed",
            );
        }
        parent = Some(version);
    }
    Ok(())
}
