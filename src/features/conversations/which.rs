//! Which kept calls somebody asks for: the query's words, turned into the store's filter.

use serde::{Deserialize, Serialize};
use steward_actors::contents::store::ContentFilter;
use steward_actors::domain::record::{NAME_MAX_BYTES, cut};
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

/// What an id that nobody has means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unknown {
    /// It finds nothing.
    Nothing,
    /// It is refused: an answer that something is being deleted would not be true.
    Refused,
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
        self.resolved(state, scope, range, Unknown::Nothing).await
    }

    /// The same, of ids that are known only.
    ///
    /// # Errors
    /// `validation_failed`, naming the field.
    pub(super) async fn known(
        self,
        state: &AppState,
        scope: Scope,
        range: TimeRange,
    ) -> Result<ContentFilter, ApiError> {
        self.resolved(state, scope, range, Unknown::Refused).await
    }

    async fn resolved(
        self,
        state: &AppState,
        scope: Scope,
        range: TimeRange,
        unknown: Unknown,
    ) -> Result<ContentFilter, ApiError> {
        let read = &state.databases.control_read;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        // As long as names are stored: a longer one is found by its beginning.
        let name = |text: Option<String>| {
            given(text).map(|mut text| {
                cut(&mut text, NAME_MAX_BYTES);
                text
            })
        };
        let key = |field: &'static str, found: Option<i64>| match (found, unknown) {
            (Some(key), _) => Ok(key),
            (None, Unknown::Nothing) => Ok(NOBODY),
            (None, Unknown::Refused) => Err(ApiError::invalid(field, "is not known here")),
        };
        let token_id = match given(self.token_id) {
            None => None,
            Some(id) => {
                let found = token::by_public_id(read, scope, &id).await?;
                Some(key("token_id", found.map(|row| row.id))?)
            }
        };
        let asked = match given(self.tenant_id) {
            None => None,
            Some(id) => {
                let found = tenant::by_public_id(read, scope, &id).await?;
                Some(key("tenant_id", found.map(|row| row.id))?)
            }
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
            end_user: name(self.user),
            app: name(self.app),
            model: name(self.model),
            conversation_id: name(self.conversation_id),
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
