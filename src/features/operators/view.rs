//! How an operator is told and made.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_entities::scope::Scope;
use steward_entities::{operator, tenant};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::range::rfc3339;

/// An operator.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperatorShown {
    pub(super) id: String,
    pub(super) username: String,
    pub(super) display_name: String,
    pub(super) role: String,
    /// The one tenant that they see; null when they see the whole installation.
    pub(super) tenant_id: Option<String>,
    /// What that tenant is called.
    pub(super) tenant_name: Option<String>,
    pub(super) enabled: bool,
    pub(super) must_change_password: bool,
    #[schema(format = DateTime)]
    pub(super) last_login_at: Option<String>,
    #[schema(format = DateTime)]
    pub(super) created_at: String,
    #[schema(format = DateTime)]
    pub(super) updated_at: String,
    pub(super) version: i64,
}

impl OperatorShown {
    pub(super) fn of(row: operator::Model, tenants: &HashMap<i64, tenant::Model>) -> Self {
        let tenant = row.tenant_id.and_then(|id| tenants.get(&id));
        Self {
            tenant_id: tenant.map(|tenant| tenant.public_id.clone()),
            tenant_name: tenant.map(|tenant| tenant.name.clone()),
            id: row.public_id,
            username: row.username,
            display_name: row.display_name,
            role: row.role,
            enabled: row.enabled,
            must_change_password: row.must_change_password,
            last_login_at: row.last_login_at.map(rfc3339),
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// An operator just made.
#[derive(Serialize, ToSchema)]
pub(super) struct OperatorCreated {
    #[serde(flatten)]
    pub(super) operator: OperatorShown,
    /// Only when it was generated, and only here.
    pub(super) password: Option<String>,
}

/// An operator to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorNew {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._@-]+$")]
    pub(super) username: String,
    /// Generated and shown once when absent.
    #[schema(min_length = 8)]
    pub(super) password: Option<String>,
    /// Name of a role.
    pub(super) role: String,
    #[schema(max_length = 128)]
    pub(super) display_name: Option<String>,
    /// The one tenant that they will see; an operator of a tenant makes operators of that tenant only.
    pub(super) tenant_id: Option<String>,
    pub(super) enabled: Option<bool>,
    /// Whether the password opens nothing but its change; true of a generated one unless said otherwise.
    pub(super) must_change_password: Option<bool>,
}

/// What to change of an operator; absent fields stay.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorChanges {
    #[schema(max_length = 128)]
    pub(super) display_name: Option<String>,
    /// Name of a role.
    pub(super) role: Option<String>,
    pub(super) enabled: Option<bool>,
}

/// A password for somebody else.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordReset {
    /// Generated and shown once when absent.
    #[schema(min_length = 8)]
    pub(super) password: Option<String>,
    /// Whether the password opens nothing but its change; true of a generated one unless said otherwise.
    pub(super) must_change_password: Option<bool>,
}

/// The outcome of a reset.
#[derive(Serialize, ToSchema)]
pub(super) struct PasswordWasReset {
    /// Only when it was generated, and only here.
    pub(super) password: Option<String>,
}

/// The tenants that these people belong to, by key.
pub(super) async fn tenants_of(
    connection: &impl ConnectionTrait,
    rows: &[operator::Model],
) -> Result<HashMap<i64, tenant::Model>, ApiError> {
    let ids = rows.iter().filter_map(|row| row.tenant_id);
    // The rows were found in the caller's scope, and so are their tenants.
    let found = tenant::by_ids(connection, Scope::All, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}
