//! What operators say of a token, read and checked. Nothing is written here.

use sea_orm::ActiveValue::Set;
use serde::Deserialize;
use steward_entities::column::TextList;
use steward_entities::token;
use utoipa::ToSchema;

use super::view::Redaction;
use crate::error::ApiError;
use crate::http::check::{self, bounded, text};
use crate::http::money::{self, CurrencyCode};
use crate::http::patch::nullable;
use crate::http::range::parse_time;

const NAME_MAX: usize = 160;
const DESCRIPTION_MAX: usize = 1_000;
const MODELS_MAX: usize = 200;

/// A token to make.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    #[schema(min_length = 1, max_length = 160)]
    pub(super) name: String,
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub(super) description: String,
    pub(super) tenant_id: Option<String>,
    #[schema(max_length = 160)]
    pub(super) app: Option<String>,
    /// RFC 3339, in the future.
    pub(super) expires_at: Option<String>,
    pub(super) enabled: Option<bool>,
    #[schema(max_items = 200)]
    pub(super) allowed_models: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 1000000)]
    pub(super) rpm: Option<i64>,
    #[schema(minimum = 1, maximum = 1000000000000_i64)]
    pub(super) tpm: Option<i64>,
    #[schema(minimum = 1, maximum = 100000)]
    pub(super) concurrency: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000000000000_i64)]
    pub(super) token_quota: Option<i64>,
    /// What it may spend a day: a decimal in `budget_currency`.
    #[schema(example = "20.00")]
    pub(super) daily_budget: Option<String>,
    /// What it may spend a month.
    #[schema(example = "400.00")]
    pub(super) monthly_budget: Option<String>,
    /// Of both budgets; `USD` unless given.
    #[serde(default)]
    #[schema(inline)]
    pub(super) budget_currency: CurrencyCode,
    #[serde(default)]
    pub(super) enable_conversation_logging: bool,
    /// Its chat calls get the best of its tenant's pairs as context.
    #[serde(default)]
    pub(super) knowledge: bool,
    /// `redact` unless said otherwise.
    pub(super) redaction: Option<Redaction>,
}

/// What a token may do. Missing or null means: no limit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenSettings)]
pub(super) struct Settings {
    #[schema(max_items = 200)]
    allowed_models: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 1000000)]
    rpm: Option<i64>,
    #[schema(minimum = 1, maximum = 1000000000000_i64)]
    tpm: Option<i64>,
    #[schema(minimum = 1, maximum = 100000)]
    concurrency: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000000000000_i64)]
    token_quota: Option<i64>,
    /// What it may spend a day: a decimal in `budget_currency`.
    #[schema(example = "20.00")]
    daily_budget: Option<String>,
    /// What it may spend a month.
    #[schema(example = "400.00")]
    monthly_budget: Option<String>,
    /// Of both budgets; `USD` unless given.
    #[serde(default)]
    #[schema(inline)]
    budget_currency: CurrencyCode,
    #[serde(default)]
    enable_conversation_logging: bool,
    /// Its chat calls get the best of its tenant's pairs as context.
    #[serde(default)]
    knowledge: bool,
    /// `redact` unless said otherwise.
    redaction: Option<Redaction>,
}

/// What to change of a token. A field that is missing stays; null takes a limit away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenChanges {
    #[schema(min_length = 1, max_length = 160)]
    name: Option<String>,
    #[schema(max_length = 1000)]
    description: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 160)]
    app: Option<Option<String>>,
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>, max_items = 200)]
    allowed_models: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000000)]
    rpm: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000000000000_i64)]
    tpm: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 100000)]
    concurrency: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1000000000000000_i64)]
    token_quota: Option<Option<i64>>,
    /// What it may spend a day: a decimal in `budget_currency`.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    daily_budget: Option<Option<String>>,
    /// What it may spend a month.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    monthly_budget: Option<Option<String>>,
    /// Of both budgets, which keep their numbers.
    #[schema(inline)]
    budget_currency: Option<CurrencyCode>,
    enable_conversation_logging: Option<bool>,
    /// Its chat calls get the best of its tenant's pairs as context.
    knowledge: Option<bool>,
    redaction: Option<Redaction>,
}

impl NewToken {
    pub(super) fn checked(
        self,
        tenant_id: Option<i64>,
        created_by: String,
        now: i64,
    ) -> Result<token::NewToken, ApiError> {
        Ok(token::NewToken {
            tenant_id,
            app: text("app", &self.app.unwrap_or_default(), 0, NAME_MAX)?,
            name: text("name", &self.name, 1, NAME_MAX)?,
            description: text("description", &self.description, 0, DESCRIPTION_MAX)?,
            enabled: self.enabled.unwrap_or(true),
            expires_at: future(self.expires_at.as_deref(), now)?,
            allowed_models: models(self.allowed_models)?,
            rpm: bounded("rpm", self.rpm, 1, 1_000_000)?,
            tpm: bounded("tpm", self.tpm, 1, 1_000_000_000_000)?,
            concurrency: bounded("concurrency", self.concurrency, 1, 100_000)?,
            token_quota: bounded("token_quota", self.token_quota, 0, 1_000_000_000_000_000)?,
            daily_budget_nano: money::budget("daily_budget", self.daily_budget.as_deref())?,
            monthly_budget_nano: money::budget("monthly_budget", self.monthly_budget.as_deref())?,
            budget_currency: self.budget_currency.stored(),
            enable_conversation_logging: self.enable_conversation_logging,
            knowledge: self.knowledge,
            redaction: Redaction::stored(self.redaction),
            created_by,
        })
    }
}

impl Settings {
    pub(super) fn checked(self) -> Result<token::ActiveModel, ApiError> {
        Ok(token::ActiveModel {
            allowed_models: Set(models(self.allowed_models)?.map(TextList)),
            rpm: Set(bounded("rpm", self.rpm, 1, 1_000_000)?),
            tpm: Set(bounded("tpm", self.tpm, 1, 1_000_000_000_000)?),
            concurrency: Set(bounded("concurrency", self.concurrency, 1, 100_000)?),
            token_quota: Set(bounded(
                "token_quota",
                self.token_quota,
                0,
                1_000_000_000_000_000,
            )?),
            daily_budget_nano: Set(money::budget("daily_budget", self.daily_budget.as_deref())?),
            monthly_budget_nano: Set(money::budget(
                "monthly_budget",
                self.monthly_budget.as_deref(),
            )?),
            budget_currency: Set(self.budget_currency.stored()),
            enable_conversation_logging: Set(self.enable_conversation_logging),
            knowledge: Set(self.knowledge),
            redaction: Set(Redaction::stored(self.redaction)),
            ..Default::default()
        })
    }
}

impl TokenChanges {
    pub(super) fn checked(self, now: i64) -> Result<token::ActiveModel, ApiError> {
        let mut row = token::ActiveModel::default();
        if let Some(name) = self.name {
            row.name = Set(text("name", &name, 1, NAME_MAX)?);
        }
        if let Some(description) = self.description {
            row.description = Set(text("description", &description, 0, DESCRIPTION_MAX)?);
        }
        if let Some(app) = self.app {
            row.app = Set(text("app", &app.unwrap_or_default(), 0, NAME_MAX)?);
        }
        if let Some(enabled) = self.enabled {
            row.enabled = Set(enabled);
        }
        if let Some(expires_at) = self.expires_at {
            row.expires_at = Set(future(expires_at.as_deref(), now)?);
        }
        if let Some(allowed) = self.allowed_models {
            row.allowed_models = Set(models(allowed)?.map(TextList));
        }
        if let Some(rpm) = self.rpm {
            row.rpm = Set(bounded("rpm", rpm, 1, 1_000_000)?);
        }
        if let Some(tpm) = self.tpm {
            row.tpm = Set(bounded("tpm", tpm, 1, 1_000_000_000_000)?);
        }
        if let Some(concurrency) = self.concurrency {
            row.concurrency = Set(bounded("concurrency", concurrency, 1, 100_000)?);
        }
        if let Some(quota) = self.token_quota {
            row.token_quota = Set(bounded("token_quota", quota, 0, 1_000_000_000_000_000)?);
        }
        if let Some(daily) = self.daily_budget {
            row.daily_budget_nano = Set(money::budget("daily_budget", daily.as_deref())?);
        }
        if let Some(monthly) = self.monthly_budget {
            row.monthly_budget_nano = Set(money::budget("monthly_budget", monthly.as_deref())?);
        }
        if let Some(currency) = self.budget_currency {
            row.budget_currency = Set(currency.stored());
        }
        if let Some(enabled) = self.enable_conversation_logging {
            row.enable_conversation_logging = Set(enabled);
        }
        if let Some(knowledge) = self.knowledge {
            row.knowledge = Set(knowledge);
        }
        if let Some(redaction) = self.redaction {
            row.redaction = Set(Redaction::stored(Some(redaction)));
        }
        Ok(row)
    }
}

fn future(value: Option<&str>, now: i64) -> Result<Option<i64>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let at = parse_time(value, "expires_at")?;
    if at <= now {
        return Err(ApiError::invalid("expires_at", "must lie in the future"));
    }
    Ok(Some(at))
}

fn models(patterns: Option<Vec<String>>) -> Result<Option<Vec<String>>, ApiError> {
    patterns
        .map(|patterns| check::models("allowed_models", patterns, MODELS_MAX))
        .transpose()
}
