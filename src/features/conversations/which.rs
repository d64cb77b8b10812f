//! Which kept calls somebody asks for: the query's words, turned into the store's filter.

use serde::{Deserialize, Serialize};
use steward_actors::contents::store::ContentFilter;
use steward_actors::domain::rid::Rid;
use steward_entities::scope::Scope;
use steward_entities::{tenant, token};
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;
use crate::http::range::TimeRange;
use crate::state::AppState;

/// A key that no row has.
const NOBODY: i64 = -1;
/// The last millisecond a rid can hold.
const LAST_MS: i64 = i64::MAX >> 20;

/// Filters; all that are given must hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, Serialize, ToSchema)]
#[into_params(parameter_in = Query)]
#[schema(as = ConversationFilter)]
pub(super) struct Which {
    token_id: Option<String>,
    tenant_id: Option<String>,
    /// Name of the end user.
    user: Option<String>,
    /// Name of the calling application.
    app: Option<String>,
    /// Model asked for.
    model: Option<String>,
    /// Gathers a thread.
    conversation_id: Option<String>,
}

impl Which {
    pub(super) fn of(
        token_id: Option<String>,
        tenant_id: Option<String>,
        user: Option<String>,
    ) -> Self {
        Self {
            token_id,
            tenant_id,
            user,
            ..Self::default()
        }
    }

    /// The store's filter. Ids that nobody has find nothing; so does another tenant's id for an operator who sees one
    /// tenant only.
    pub(super) async fn filter(
        self,
        state: &AppState,
        scope: Scope,
        range: TimeRange,
    ) -> Result<ContentFilter, ApiError> {
        let read = &state.databases.control_read;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let token_id = match given(self.token_id) {
            None => None,
            Some(id) => Some(
                token::by_public_id(read, scope, &id)
                    .await?
                    .map_or(NOBODY, |row| row.id),
            ),
        };
        let asked = match given(self.tenant_id) {
            None => None,
            Some(id) => Some(
                tenant::by_public_id(read, scope, &id)
                    .await?
                    .map_or(NOBODY, |row| row.id),
            ),
        };
        let tenant_id = match scope {
            Scope::All => asked,
            Scope::Tenant(own) => Some(asked.unwrap_or(own)),
        };
        let rid = |micros: i64| Rid::floor_of_ms(micros.div_euclid(1_000).clamp(0, LAST_MS)).0;
        Ok(ContentFilter {
            rid_from: range.from.map(rid),
            rid_to: range.to.map(rid),
            token_id,
            tenant_id,
            end_user: given(self.user),
            app: given(self.app),
            model: given(self.model),
            conversation_id: given(self.conversation_id),
        })
    }
}

/// Whether a row of this tenant (0: of none) is for these eyes.
pub(super) fn may_see(scope: Scope, tenant_id: i64) -> bool {
    match scope {
        Scope::All => true,
        Scope::Tenant(own) => own == tenant_id,
    }
}
