//! Which calls statistics are asked of, and which rollups know them.

use sea_orm::DatabaseConnection;
use serde::{Deserialize, Serialize};
use steward_actors::domain::record::Mode;
use steward_entities::ledger::name::{self, Dimension};
use steward_entities::ledger::rollup::{self, Grain, ROLLUPS, RollupTable, USAGE_STATS_HOURLY};
use steward_entities::scope::Scope;
use utoipa::{IntoParams, ToSchema};

use crate::error::{ApiError, ErrorCode};

/// An id that no row has.
const NOBODY: i64 = -1;

/// Filters. Any stretch is told for `provider` and `model` together; any of `token_id`, `account_id`, `mode` and `model`
/// together; `user` and `mode` together; and `tenant_id` or `app` alone. Other filters together are counted from the log:
/// of a stretch with at most 20,000 calls, or with that many of the token or account among the filters.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    pub(super) provider: Option<String>,
    /// Model asked for.
    pub(super) model: Option<String>,
    pub(super) token_id: Option<String>,
    pub(super) account_id: Option<String>,
    pub(super) tenant_id: Option<String>,
    /// Name of the calling application.
    pub(super) app: Option<String>,
    /// Name of the end user.
    pub(super) user: Option<String>,
    /// How the caller signed in.
    #[param(inline)]
    pub(super) mode: Option<ModeName>,
}

/// How a caller signed in.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModeName {
    /// With a token.
    Api,
    /// With a user's JWT.
    Web,
}

/// Who tells what calls came to in hours or days.
#[derive(Clone, Copy, Debug)]
pub(super) enum Teller {
    Rollup(&'static RollupTable),
    /// No rollup knows them: they are counted from the log, if they are few.
    Log(Grain),
}

/// Who knows the calls asked for, and the keys of these calls.
pub(super) struct Chosen {
    /// Hours that are kept for good, with histograms.
    pub(super) hourly: Option<&'static RollupTable>,
    pub(super) daily: Teller,
    /// The log has an index on the key: a day's calls of one are few enough to be counted there.
    pub(super) is_indexed: bool,
    keys: Vec<(&'static str, [i64; 1])>,
}

/// The rollup that has all of these keys; one with histograms if there is one.
fn table(grain: Grain, keys: &[&str]) -> Option<&'static RollupTable> {
    let has_all = |table: &&RollupTable| {
        // One that does not have all days is for who asks which it has.
        table.grain == grain
            && table.whole_where.is_none()
            && keys.iter().all(|key| table.keys.contains(key))
    };
    let mut fit = ROLLUPS.into_iter().filter(has_all);
    let first = fit.next()?;
    if first.has_histograms {
        return Some(first);
    }
    Some(fit.find(|table| table.has_histograms).unwrap_or(first))
}

impl Chosen {
    fn of(keys: Vec<(&'static str, [i64; 1])>) -> Self {
        let names: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        let hourly = table(Grain::Hour, &names).filter(|table| table.has_histograms);
        Self {
            hourly,
            daily: table(Grain::Day, &names).map_or(Teller::Log(Grain::Day), Teller::Rollup),
            is_indexed: names
                .iter()
                .any(|key| matches!(*key, "token_id" | "account_id")),
            keys,
        }
    }

    pub(super) fn only(&self) -> Vec<(&str, &[i64])> {
        let each = self.keys.iter();
        each.map(|(key, value)| (*key, &value[..])).collect()
    }

    /// Who tells hours, and whether they are forgotten; `None` where days only are kept.
    pub(super) fn hours(&self) -> Option<(Teller, bool)> {
        if let Teller::Log(_) = self.daily {
            return Some((Teller::Log(Grain::Hour), false));
        }
        let names: Vec<&str> = self.keys.iter().map(|(key, _)| *key).collect();
        let found = self.hourly.or_else(|| table(Grain::Hour, &names))?;
        Some((Teller::Rollup(found), found.name == USAGE_STATS_HOURLY.name))
    }

    /// Who tells days of these calls, told apart by `keys` too.
    pub(super) fn days_by(&self, keys: &[&str]) -> Teller {
        let own = self.keys.iter().map(|(key, _)| *key);
        let all: Vec<&str> = own.chain(keys.iter().copied()).collect();
        table(Grain::Day, &all).map_or(Teller::Log(Grain::Day), Teller::Rollup)
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
        let mut keys = Vec::new();
        let mut fields = Vec::new();
        for (field, key, dimension, value) in [
            ("token_id", "token_id", Dimension::Token, self.token_id),
            (
                "account_id",
                "account_id",
                Dimension::Account,
                self.account_id,
            ),
            ("tenant_id", "tenant_id", Dimension::Tenant, self.tenant_id),
        ] {
            if let Some(value) = given(value) {
                let id = name::id_of(ledger, dimension, &value).await?;
                keys.push((key, [id.unwrap_or(NOBODY)]));
                fields.push(field);
            }
        }
        for (field, key, table, value) in [
            ("app", "app_id", "apps", self.app),
            ("user", "end_user_id", "end_users", self.user),
            ("model", "model_id", "models", self.model),
            ("provider", "provider_id", "providers", self.provider),
        ] {
            if let Some(value) = given(value) {
                let id = rollup::id_of_name(ledger, table, &value).await?;
                keys.push((key, [id.unwrap_or(NOBODY)]));
                fields.push(field);
            }
        }
        if let Some(mode) = self.mode {
            let mode = match mode {
                ModeName::Api => Mode::Api,
                ModeName::Web => Mode::Web,
            };
            keys.push(("mode", [i64::from(mode as i32)]));
            fields.push("mode");
        }
        if let Scope::Tenant(own) = scope {
            keys = match (fields.as_slice(), keys.as_slice()) {
                ([], _) => vec![("tenant_id", [own])],
                (["tenant_id"], [(key, [asked])]) => {
                    vec![(*key, [if *asked == own { own } else { NOBODY }])]
                }
                _ => {
                    return Err(ApiError::new(ErrorCode::Forbidden)
                        .detail("These numbers span tenants; yours are told without a filter."));
                }
            };
        }
        Ok(Chosen::of(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who tells days and hours.
    fn names(keys: &[&'static str]) -> (&'static str, Option<&'static str>) {
        let chosen = Chosen::of(keys.iter().map(|key| (*key, [1])).collect());
        let name = |teller: Teller| match teller {
            Teller::Rollup(table) => table.name,
            Teller::Log(_) => "the log",
        };
        let hours = chosen.hours();
        (name(chosen.daily), hours.map(|(teller, _)| name(teller)))
    }

    #[test]
    fn every_filter_finds_the_rollup_that_knows_most() {
        assert_eq!(names(&[]), ("total_daily", Some("total_hourly")));
        assert_eq!(
            names(&["provider_id", "model_id"]),
            ("model_daily", Some("model_hourly"))
        );
        assert_eq!(
            names(&["token_id"]),
            ("token_daily", Some("usage_stats_hourly"))
        );
        assert_eq!(names(&["tenant_id"]), ("tenant_daily", None));
        assert_eq!(names(&["end_user_id", "mode"]), ("user_daily", None));
        assert_eq!(
            names(&["token_id", "model_id"]),
            ("usage_stats_daily", Some("usage_stats_hourly"))
        );
        assert_eq!(names(&["mode"]), ("user_daily", Some("usage_stats_hourly")));
        for crossing in [
            ["tenant_id", "model_id"],
            ["app_id", "end_user_id"],
            ["tenant_id", "provider_id"],
        ] {
            assert_eq!(names(&crossing), ("the log", Some("the log")));
        }
    }
}
