//! How a token is told: without its secret, with what the books say of it.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::domain::redaction::RedactionMode;
use steward_entities::ledger::total::{self, Total};
use steward_entities::scope::Scope;
use steward_entities::{tenant, token};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::money::{CurrencyCode, decimal};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// What of a token's conversations is kept.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TokenRedaction)]
pub(super) enum Redaction {
    /// Everything, as it was said.
    None,
    /// What was said, without personal data and secrets.
    Redact,
    /// Who, when and which model; nothing that was said.
    MetadataOnly,
}

impl Redaction {
    pub(super) fn stored(chosen: Option<Self>) -> String {
        let mode = match chosen {
            Some(Self::None) => RedactionMode::None,
            Some(Self::MetadataOnly) => RedactionMode::MetadataOnly,
            Some(Self::Redact) | None => RedactionMode::Redact,
        };
        mode.as_str().to_owned()
    }
}

impl From<RedactionMode> for Redaction {
    fn from(mode: RedactionMode) -> Self {
        match mode {
            RedactionMode::None => Self::None,
            RedactionMode::Redact => Self::Redact,
            RedactionMode::MetadataOnly => Self::MetadataOnly,
        }
    }
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    pub(super) id: String,
    name: String,
    description: String,
    tenant_id: Option<String>,
    /// What that tenant is called.
    tenant_name: Option<String>,
    /// The application it stands for; null when it names none.
    app: Option<String>,
    /// First characters of the secret.
    prefix: String,
    /// Last four characters of the secret.
    last4: String,
    enabled: bool,
    expires_at: Option<String>,
    /// Models it may use, `*` at the end covering the rest; null allows every model.
    allowed_models: Option<Vec<String>>,
    /// Requests per minute; null is unlimited.
    rpm: Option<i64>,
    /// Model tokens per minute; null is unlimited.
    tpm: Option<i64>,
    /// Calls at the same time; null is unlimited.
    concurrency: Option<i64>,
    /// Model tokens it may use in its life; null is unlimited.
    token_quota: Option<i64>,
    /// What it may spend a day, a decimal in `budget_currency`; null is unlimited.
    daily_budget: Option<String>,
    /// What it may spend a month; null is unlimited.
    monthly_budget: Option<String>,
    #[schema(inline)]
    budget_currency: CurrencyCode,
    enable_conversation_logging: bool,
    /// Its chat calls get the best of its tenant's pairs as context.
    knowledge: bool,
    /// What of its conversations is kept when they are.
    redaction: Redaction,
    /// Calls on the books.
    total_requests: i64,
    /// Model tokens on the books.
    total_tokens_used: i64,
    last_used_at: Option<String>,
    /// Until when the secret before the last rotation still works.
    previous_secret_expires_at: Option<String>,
    created_by: String,
    created_at: String,
    updated_at: String,
    revoked_at: Option<String>,
    pub(super) version: i64,
}

impl TokenView {
    pub(super) fn of(
        row: token::Model,
        tenants: &HashMap<i64, tenant::Model>,
        total: Option<&Total>,
    ) -> Self {
        let previous = row.previous_hash.as_ref().and(row.previous_expires_at);
        let tenant = row.tenant_id.and_then(|id| tenants.get(&id));
        Self {
            id: row.public_id,
            name: row.name,
            description: row.description,
            tenant_id: tenant.map(|tenant| tenant.public_id.clone()),
            tenant_name: tenant.map(|tenant| tenant.name.clone()),
            app: Some(row.app).filter(|app| !app.is_empty()),
            prefix: row.prefix,
            last4: row.last4,
            enabled: row.enabled,
            expires_at: row.expires_at.map(rfc3339),
            allowed_models: row.allowed_models.map(|models| models.0),
            rpm: row.rpm,
            tpm: row.tpm,
            concurrency: row.concurrency,
            token_quota: row.token_quota,
            daily_budget: row.daily_budget_nano.map(decimal),
            monthly_budget: row.monthly_budget_nano.map(decimal),
            budget_currency: CurrencyCode::of(&row.budget_currency),
            enable_conversation_logging: row.enable_conversation_logging,
            knowledge: row.knowledge,
            redaction: RedactionMode::parse(&row.redaction).into(),
            total_requests: total.map_or(0, |total| total.total_requests),
            total_tokens_used: total.map_or(0, |total| total.total_tokens),
            last_used_at: total.map(|total| rfc3339(total.last_at)),
            previous_secret_expires_at: previous.map(rfc3339),
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            revoked_at: row.revoked_at.map(rfc3339),
            version: row.version,
        }
    }
}

/// A token together with its secret, which is in this answer only.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuedToken {
    /// The secret: `sk-stw-…`.
    pub(super) token: String,
    #[serde(flatten)]
    pub(super) view: TokenView,
}

/// A token with everything that is told of it.
pub(super) async fn full(
    state: &AppState,
    scope: Scope,
    row: token::Model,
) -> Result<TokenView, ApiError> {
    let tenants = tenants_of(
        &state.databases.control_read,
        scope,
        std::slice::from_ref(&row),
    )
    .await?;
    let totals = total::of_tokens(&state.databases.ledger_read, &[row.id]).await?;
    let used = totals.get(&row.id);
    Ok(TokenView::of(row, &tenants, used))
}

/// The tenants that `rows` belong to, by key.
pub(super) async fn tenants_of(
    connection: &impl ConnectionTrait,
    scope: Scope,
    rows: &[token::Model],
) -> Result<HashMap<i64, tenant::Model>, ApiError> {
    let ids: Vec<i64> = rows.iter().filter_map(|row| row.tenant_id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let tenants = tenant::by_ids(connection, scope, ids).await?;
    Ok(tenants.into_iter().map(|row| (row.id, row)).collect())
}
