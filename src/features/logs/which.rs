//! Which calls somebody asks for: the query's words, turned into the ledger's numbers.

use sea_orm::DatabaseConnection;
use serde::Deserialize;
use steward_actors::domain::record::Mode;
use steward_actors::domain::rid::Rid;
use steward_entities::ledger::name::{self, Dimension};
use steward_entities::ledger::request_filter::RequestFilter;
use steward_entities::ledger::request_page::{RequestSort, SortColumn};
use steward_entities::scope::Scope;
use utoipa::{IntoParams, ToSchema};

use crate::error::{ApiError, ErrorCode};
use crate::http::page::{Direction, Sort};
use crate::http::range::TimeRange;

/// A key that no row has.
const NOBODY: i64 = -1;
/// Versions of a prompt looked for at most, the newest of them.
const VERSIONS_MAX: u64 = 500;
/// The last millisecond a rid can hold.
const LAST_MS: i64 = i64::MAX >> 20;

/// How a caller signed in.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CallMode {
    /// With a token.
    Api,
    /// With a signed-in user's JWT.
    Web,
}

/// Filters of the request log; all that are given must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    token_id: Option<String>,
    account_id: Option<String>,
    tenant_id: Option<String>,
    /// Name of the calling application.
    app: Option<String>,
    /// Name of the end user.
    user: Option<String>,
    /// The same as `user`.
    user_name: Option<String>,
    #[param(inline)]
    mode: Option<CallMode>,
    provider: Option<String>,
    /// Model asked for.
    model: Option<String>,
    /// A prompt's name, or `name@number` for one of its versions.
    prompt: Option<String>,
    success: Option<bool>,
    #[param(minimum = 0, maximum = 999)]
    status_code: Option<i32>,
    #[param(minimum = 0)]
    min_duration_ms: Option<i64>,
    /// Part of a user's, app's, model's or token's name, of the error, or a whole conversation id.
    q: Option<String>,
}

impl Which {
    /// The ledger's filter. Ids that no record names find nothing; so does another tenant's id for an
    /// operator who sees one tenant only.
    pub(super) async fn filter(
        self,
        ledger: &DatabaseConnection,
        scope: Scope,
        range: TimeRange,
    ) -> Result<RequestFilter, ApiError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let user = match (given(self.user), given(self.user_name)) {
            (Some(a), Some(b)) if a != b => {
                return Err(
                    ApiError::new(ErrorCode::RequestInvalid).field("user_name", "contradicts user")
                );
            }
            (a, b) => a.or(b),
        };
        let tenant_id = key(ledger, Dimension::Tenant, given(self.tenant_id)).await?;
        let tenant_id = match (scope, tenant_id) {
            (Scope::All, asked) => asked,
            (Scope::Tenant(own), Some(asked)) if asked != own => Some(NOBODY),
            (Scope::Tenant(own), _) => Some(own),
        };
        let rid = |micros: i64| Rid::floor_of_ms(micros.div_euclid(1_000).clamp(0, LAST_MS)).0;
        Ok(RequestFilter {
            token_id: key(ledger, Dimension::Token, given(self.token_id)).await?,
            account_id: key(ledger, Dimension::Account, given(self.account_id)).await?,
            tenant_id,
            app: given(self.app),
            user,
            mode: self.mode.map(|mode| match mode {
                CallMode::Api => Mode::Api as i16,
                CallMode::Web => Mode::Web as i16,
            }),
            provider: given(self.provider),
            model: given(self.model),
            prompt_versions: match given(self.prompt) {
                Some(text) => Some(versions(ledger, &text).await?),
                None => None,
            },
            success: self.success,
            status_code: self.status_code,
            min_duration_ms: self.min_duration_ms,
            q: given(self.q),
            rid_from: range.from.map(rid),
            rid_to: range.to.map(rid),
        })
    }
}

/// Versions that a text means; one that nobody is, where it means none.
async fn versions(ledger: &DatabaseConnection, text: &str) -> Result<Vec<i64>, ApiError> {
    let mut found = name::prompt_versions(ledger, text, VERSIONS_MAX).await?;
    if found.is_empty() {
        found.push(NOBODY);
    }
    Ok(found)
}

async fn key(
    ledger: &DatabaseConnection,
    dimension: Dimension,
    public_id: Option<String>,
) -> Result<Option<i64>, ApiError> {
    match public_id {
        None => Ok(None),
        Some(id) => {
            let found = name::id_of(ledger, dimension, &id).await?;
            Ok(Some(found.unwrap_or(NOBODY)))
        }
    }
}

/// The order asked for.
pub(super) fn order(sort: &Sort) -> Result<RequestSort, ApiError> {
    let fields = ["request_at", "status_code", "total_tokens", "duration_ms"];
    let (field, direction) = sort.among(&fields, ("request_at", Direction::Down))?;
    let descending = direction == Direction::Down;
    let by = |column| RequestSort::By { column, descending };
    Ok(match field {
        "status_code" => by(SortColumn::StatusCode),
        "total_tokens" => by(SortColumn::TotalTokens),
        "duration_ms" => by(SortColumn::DurationMs),
        _ if descending => RequestSort::Newest,
        _ => RequestSort::Oldest,
    })
}

pub(super) fn mode_word<E>(mode: Result<Mode, E>) -> &'static str {
    match mode {
        Ok(Mode::Web) => "web",
        Ok(Mode::Api) | Err(_) => "api",
    }
}
