//! Which calls statistics are asked of, and which rollups know them.

use sea_orm::DatabaseConnection;
use serde::Deserialize;
use steward_entities::ledger::name::{self, Dimension};
use steward_entities::ledger::rollup::{
    self, ACCOUNT_DAILY, APP_DAILY, MODEL_DAILY, MODEL_HOURLY, RollupTable, TENANT_DAILY,
    TOKEN_DAILY,
};
use steward_entities::scope::Scope;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorCode};

/// An id that no row has.
const NOBODY: i64 = -1;

/// Filters: `provider` and `model` together, or one of the others.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    provider: Option<String>,
    /// Model asked for.
    model: Option<String>,
    token_id: Option<String>,
    account_id: Option<String>,
    tenant_id: Option<String>,
    /// Name of the calling application.
    app: Option<String>,
}

/// The rollups that know the calls asked for, and the keys of these calls.
pub(super) struct Chosen {
    pub(super) hourly: Option<&'static RollupTable>,
    pub(super) daily: &'static RollupTable,
    /// The log has an index on the key: a day's calls of one are few enough to be counted there.
    pub(super) is_indexed: bool,
    keys: Vec<(&'static str, [i64; 1])>,
}

impl Chosen {
    fn model(keys: Vec<(&'static str, [i64; 1])>) -> Self {
        Self {
            hourly: Some(&MODEL_HOURLY),
            daily: &MODEL_DAILY,
            is_indexed: false,
            keys,
        }
    }

    fn by_day(daily: &'static RollupTable, id: Option<i64>, is_indexed: bool) -> Self {
        Self {
            hourly: None,
            daily,
            is_indexed,
            keys: vec![(daily.keys[0], [id.unwrap_or(NOBODY)])],
        }
    }

    pub(super) fn only(&self) -> Vec<(&str, &[i64])> {
        let each = self.keys.iter();
        each.map(|(key, value)| (*key, &value[..])).collect()
    }
}

impl Which {
    /// An operator who sees one tenant only is given that tenant's numbers.
    pub(super) async fn chosen(
        self,
        ledger: &DatabaseConnection,
        scope: Scope,
    ) -> Result<Chosen, ApiError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (provider, model) = (given(self.provider), given(self.model));
        let mut others = [
            ("token_id", given(self.token_id)),
            ("account_id", given(self.account_id)),
            ("tenant_id", given(self.tenant_id)),
            ("app", given(self.app)),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field, value?)));
        let (other, second) = (others.next(), others.next());
        let is_model = provider.is_some() || model.is_some();
        if let Some((field, _)) = second.or_else(|| other.clone().filter(|_| is_model)) {
            return Err(ApiError::invalid(
                field,
                "cannot be combined with another filter; statistics are kept for one of them at a time",
            ));
        }
        if let Scope::Tenant(own) = scope {
            let asked = match other {
                None if !is_model => Some(own),
                Some(("tenant_id", id)) => name::id_of(ledger, Dimension::Tenant, &id).await?,
                _ => {
                    return Err(ApiError::new(ErrorCode::Forbidden)
                        .detail("These numbers span tenants; yours are told without a filter."));
                }
            };
            let seen = asked.filter(|asked| *asked == own);
            return Ok(Chosen::by_day(&TENANT_DAILY, seen, false));
        }
        Ok(match other {
            Some(("token_id", id)) => {
                let id = name::id_of(ledger, Dimension::Token, &id).await?;
                Chosen::by_day(&TOKEN_DAILY, id, true)
            }
            Some(("account_id", id)) => {
                let id = name::id_of(ledger, Dimension::Account, &id).await?;
                Chosen::by_day(&ACCOUNT_DAILY, id, true)
            }
            Some(("tenant_id", id)) => {
                let id = name::id_of(ledger, Dimension::Tenant, &id).await?;
                Chosen::by_day(&TENANT_DAILY, id, false)
            }
            Some((_, app)) => {
                let id = rollup::id_of_name(ledger, "apps", &app).await?;
                Chosen::by_day(&APP_DAILY, id, false)
            }
            None => {
                let mut keys = Vec::new();
                for (table, key, value) in [
                    ("models", "model_id", model),
                    ("providers", "provider_id", provider),
                ] {
                    if let Some(value) = value {
                        let id = rollup::id_of_name(ledger, table, &value).await?;
                        keys.push((key, [id.unwrap_or(NOBODY)]));
                    }
                }
                Chosen::model(keys)
            }
        })
    }
}
