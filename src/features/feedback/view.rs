//! Feedback as operators see it.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;
use serde::Serialize;
use steward_actors::domain::rid::{RecordId, Rid};
use steward_entities::scope::Scope;
use steward_entities::{feedback, tenant};
use utoipa::ToSchema;

use super::FeedbackStatus;
use crate::error::ApiError;
use crate::http::range::rfc3339;

/// A version of a prompt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FeedbackPrompt {
    pub(super) name: String,
    /// Number of the version.
    pub(super) version: i64,
}

/// What somebody thought of an answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Feedback)]
pub(super) struct FeedbackView {
    pub(super) id: String,
    /// The call it is about: its id in the log.
    request_id: String,
    tenant_id: Option<String>,
    tenant_name: Option<String>,
    app: Option<String>,
    /// Who gave it.
    user_name: Option<String>,
    /// Model asked for.
    model: Option<String>,
    conversation_id: Option<String>,
    /// The prompt that the application said it used.
    prompt: Option<FeedbackPrompt>,
    /// 1, very bad, to 5, very good.
    rating: i64,
    category: Option<String>,
    comment: String,
    /// What the answer should have been.
    correction: String,
    pub(super) status: FeedbackStatus,
    /// Note of the person who dealt with it.
    pub(super) resolution: Option<String>,
    /// Name of that person.
    handled_by: Option<String>,
    handled_at: Option<String>,
    created_at: String,
    updated_at: String,
    pub(super) version: i64,
}

/// One piece of feedback, and whether there is more to read about its call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FeedbackDetail {
    #[serde(flatten)]
    pub(super) view: FeedbackView,
    /// Whether `GET /conversations/{request_id}` tells what was said.
    pub(super) conversation_kept: bool,
}

impl FeedbackView {
    fn of(row: feedback::Model, tenants: &HashMap<i64, (String, String)>) -> Self {
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let id = RecordId {
            rid: Rid(row.rid),
            tail: row.id_tail.cast_unsigned(),
        };
        let tenant = row.tenant_id.and_then(|id| tenants.get(&id)).cloned();
        let (tenant_id, tenant_name) = tenant.unzip();
        Self {
            id: row.public_id,
            request_id: id.to_string(),
            tenant_id,
            tenant_name,
            app: given(row.app),
            user_name: given(row.end_user),
            model: given(row.model),
            conversation_id: given(row.conversation_id),
            prompt: row.prompt_number.map(|version| FeedbackPrompt {
                name: row.prompt_name,
                version,
            }),
            rating: row.rating,
            category: given(row.category),
            comment: row.comment,
            correction: row.correction,
            status: row.status.into(),
            resolution: row.resolution,
            handled_by: row.handled_by,
            handled_at: row.handled_at.map(rfc3339),
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// Rows with the names of their tenants. That the caller may see the rows has been settled; so may they their tenants.
pub(super) async fn of(
    connection: &impl ConnectionTrait,
    rows: Vec<feedback::Model>,
) -> Result<Vec<FeedbackView>, ApiError> {
    let ids: std::collections::BTreeSet<i64> =
        rows.iter().filter_map(|row| row.tenant_id).collect();
    let tenants = if ids.is_empty() {
        Vec::new()
    } else {
        tenant::by_ids(connection, Scope::All, ids).await?
    };
    let tenants = tenants
        .into_iter()
        .map(|row| (row.id, (row.public_id, row.name)))
        .collect();
    let views = rows.into_iter().map(|row| FeedbackView::of(row, &tenants));
    Ok(views.collect())
}

/// One row.
pub(super) async fn one(
    connection: &impl ConnectionTrait,
    row: feedback::Model,
) -> Result<FeedbackView, ApiError> {
    let view = of(connection, vec![row]).await?.pop();
    view.ok_or_else(|| ApiError::not_found("feedback"))
}
