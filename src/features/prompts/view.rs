//! Prompts and versions as the API shows them.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde_json::{Map, Value};
use steward_entities::scope::Scope;
use steward_entities::{feedback, prompt, prompt_label, prompt_version};
use utoipa::ToSchema;

use super::content::{Content, DiffLine, Message};
use crate::error::ApiError;
use crate::http::range::rfc3339;

/// A prompt with its newest version.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PromptView {
    pub(super) id: String,
    pub(super) name: String,
    description: String,
    /// Number of the newest version.
    pub(super) head: i64,
    /// Labels and the version each points at.
    #[schema(value_type = std::collections::HashMap<String, i64>)]
    labels: BTreeMap<String, i64>,
    pub(super) newest: VersionView,
    /// Whether the hashes of all versions hold; told of a single prompt only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chain_holds: Option<bool>,
    created_by: String,
    created_at: String,
    updated_at: String,
    pub(super) version: i64,
}

/// A version: never changed once it is there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PromptVersion)]
pub(super) struct VersionView {
    number: i64,
    /// The version it was made from; null for the first.
    parent: Option<i64>,
    /// The earlier version that it brought back.
    restores: Option<i64>,
    messages: Vec<Message>,
    model: Option<String>,
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// Names in double braces that callers fill in.
    variables: Vec<String>,
    /// Labels that point at it.
    labels: Vec<String>,
    pub(super) message: String,
    author: String,
    created_at: String,
    /// SHA-256 of the content.
    content_hash: String,
    /// SHA-256 over content, message, author, time and the parent's hash.
    hash: String,
    /// Null while there is none; told where versions are asked for, to those who may read feedback.
    feedback: Option<VersionFeedback>,
}

/// What people thought of answers that applications said were made with a version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct VersionFeedback {
    total: i64,
    /// Rated 4 or 5.
    good: i64,
    /// Rated 1 or 2.
    bad: i64,
    /// 1 to 5.
    avg_rating: f64,
}

/// What differs between versions `a` and `b`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PromptDiff {
    pub(super) a: i64,
    pub(super) b: i64,
    pub(super) lines: Vec<DiffLine>,
}

impl VersionView {
    pub(super) fn of(
        row: prompt_version::Model,
        labels: &[prompt_label::Model],
    ) -> Result<Self, ApiError> {
        let content = Content::stored(&row.content)?;
        let labels = labels
            .iter()
            .filter(|label| label.prompt_id == row.prompt_id && label.number == row.number)
            .map(|label| label.label.clone())
            .collect();
        Ok(Self {
            number: row.number,
            parent: row.parent,
            restores: row.restores,
            variables: content.variables().into_iter().collect(),
            messages: content.messages,
            model: content.model,
            parameters: content.parameters,
            labels,
            message: row.message,
            author: row.author,
            created_at: rfc3339(row.created_at),
            content_hash: row.content_hash,
            hash: row.hash,
            feedback: None,
        })
    }
}

/// Puts beside versions of a prompt what people thought of them.
pub(super) async fn with_feedback(
    connection: &impl ConnectionTrait,
    scope: Scope,
    row: &prompt::Model,
    versions: &mut [VersionView],
) -> Result<(), ApiError> {
    let numbers: Vec<i64> = versions.iter().map(|version| version.number).collect();
    for part in
        feedback::of_versions(connection, scope, &row.name, row.created_at, &numbers).await?
    {
        let mut all = versions.iter_mut();
        if let Some(version) = all.find(|version| Some(version.number) == part.number) {
            let mean = part.rating_sum as f64 / part.total.max(1) as f64;
            version.feedback = Some(VersionFeedback {
                total: part.total,
                good: part.good,
                bad: part.bad,
                avg_rating: (mean * 100.0).round() / 100.0,
            });
        }
    }
    Ok(())
}

/// Rows with their newest versions and labels.
pub(super) async fn of(
    connection: &impl ConnectionTrait,
    rows: Vec<prompt::Model>,
) -> Result<Vec<PromptView>, ApiError> {
    let labels = prompt_label::of(connection, rows.iter().map(|row| row.id)).await?;
    let wanted: Vec<(i64, i64)> = rows.iter().map(|row| (row.id, row.head)).collect();
    let mut heads: BTreeMap<i64, prompt_version::Model> =
        prompt_version::heads(connection, &wanted)
            .await?
            .into_iter()
            .map(|version| (version.prompt_id, version))
            .collect();
    // A prompt removed between the queries is left out.
    rows.into_iter()
        .filter_map(|row| heads.remove(&row.id).map(|head| (row, head)))
        .map(|(row, head)| {
            Ok(PromptView {
                labels: labels
                    .iter()
                    .filter(|label| label.prompt_id == row.id)
                    .map(|label| (label.label.clone(), label.number))
                    .collect(),
                newest: VersionView::of(head, &labels)?,
                chain_holds: None,
                id: row.public_id,
                name: row.name,
                description: row.description,
                head: row.head,
                created_by: row.created_by,
                created_at: rfc3339(row.created_at),
                updated_at: rfc3339(row.updated_at),
                version: row.version,
            })
        })
        .collect()
}
