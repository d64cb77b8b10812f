//! Pairs as the API shows them.

use std::collections::{BTreeSet, HashMap};

use sea_orm::ConnectionTrait;
use serde::Serialize;
use steward_entities::scope::Scope;
use steward_entities::{qa_pair, tenant};
use utoipa::ToSchema;

use super::PairSource;
use crate::error::ApiError;
use crate::http::range::rfc3339;

/// A question and its answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QaPair)]
pub(super) struct PairView {
    pub(super) id: String,
    pub(super) tenant_id: String,
    tenant_name: String,
    pub(super) question: String,
    answer: String,
    category: String,
    #[schema(inline)]
    source: PairSource,
    /// 0 to 1; null while nobody judged it.
    quality_score: Option<f64>,
    /// Whether the vector store has it as it is.
    is_synced: bool,
    synced_at: Option<String>,
    created_by: String,
    created_at: String,
    updated_at: String,
    pub(super) version: i64,
}

/// Rows with their tenants.
pub(super) async fn of(
    connection: &impl ConnectionTrait,
    scope: Scope,
    rows: Vec<qa_pair::Model>,
) -> Result<Vec<PairView>, ApiError> {
    let ids: BTreeSet<i64> = rows.iter().map(|row| row.tenant_id).collect();
    let tenants = if ids.is_empty() {
        Vec::new()
    } else {
        tenant::by_ids(connection, scope, ids).await?
    };
    let tenants: HashMap<i64, (String, String)> = tenants
        .into_iter()
        .map(|row| (row.id, (row.public_id, row.name)))
        .collect();
    let views = rows.into_iter().map(|row| {
        let (tenant_id, tenant_name) = tenants.get(&row.tenant_id).cloned().unwrap_or_default();
        PairView {
            id: row.public_id,
            tenant_id,
            tenant_name,
            question: row.question,
            answer: row.answer,
            category: row.category,
            source: row.source.into(),
            quality_score: row.quality_score,
            is_synced: row.is_synced,
            synced_at: row.synced_at.map(rfc3339),
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    });
    Ok(views.collect())
}

/// One row.
pub(super) async fn one(
    connection: &impl ConnectionTrait,
    scope: Scope,
    row: qa_pair::Model,
) -> Result<PairView, ApiError> {
    let view = of(connection, scope, vec![row]).await?.pop();
    view.ok_or_else(|| ApiError::not_found("pair"))
}
