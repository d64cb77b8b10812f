//! What callers send about an account, and what of it is taken. Where it leads to (its address) is checked by
//! the handlers: that takes time.

use std::collections::BTreeMap;

use sea_orm::ActiveValue::Set;
use serde::{Deserialize, Serialize};
use steward_actors::domain::snapshot::Protocol;
use steward_entities::account;
use steward_entities::column::{TextList, TextMap};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::check::{self, bounded, text};
use crate::http::patch::nullable;

pub(super) const NAME_MAX: usize = 160;
pub(super) const PROVIDER_MAX: usize = 64;
const SECRET_MAX: usize = 4_096;
/// A shorter secret would be told by its last four characters.
const LAST4_FROM: usize = 12;
pub(super) const MODELS_MAX: usize = 500;
const ALIASES_MAX: usize = 500;
pub(super) const PRIORITY_MAX: i64 = 1_000_000;
pub(super) const WEIGHT_MAX: i64 = 1_000_000;
pub(super) const CONCURRENCY_MAX: i64 = 1_000_000;

/// What an account's provider speaks on the wire.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AccountProtocol {
    #[serde(rename = "openai")]
    OpenAi,
    Anthropic,
}

impl AccountProtocol {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => Protocol::OpenAi.as_str(),
            Self::Anthropic => Protocol::Anthropic.as_str(),
        }
    }
}

/// An account to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    #[schema(min_length = 1, max_length = 160)]
    pub(super) name: String,
    #[schema(min_length = 1, max_length = 64)]
    pub(super) provider: String,
    pub(super) protocol: AccountProtocol,
    /// What the provider's SDK calls base URL, such as `https://api.openai.com/v1`.
    #[schema(min_length = 8, max_length = 500)]
    pub(super) base_url: String,
    #[schema(min_length = 1, max_length = 4096)]
    pub(super) api_key: String,
    /// `*` unless said otherwise.
    #[schema(max_items = 500)]
    pub(super) models: Option<Vec<String>>,
    #[serde(default)]
    pub(super) aliases: BTreeMap<String, String>,
    #[schema(minimum = 0, maximum = 1000000, default = 0)]
    pub(super) priority: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000, default = 1)]
    pub(super) weight: Option<i64>,
    #[schema(minimum = 1, maximum = 1000000)]
    pub(super) concurrency: Option<i64>,
    #[schema(default = true)]
    pub(super) enabled: Option<bool>,
}

/// What to change of an account. A field that is missing stays; null takes the limit of concurrency away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountChanges {
    #[schema(min_length = 1, max_length = 160)]
    pub(super) name: Option<String>,
    #[schema(min_length = 1, max_length = 64)]
    pub(super) provider: Option<String>,
    pub(super) protocol: Option<AccountProtocol>,
    #[schema(min_length = 8, max_length = 500)]
    pub(super) base_url: Option<String>,
    /// Replaces the secret.
    #[schema(min_length = 1, max_length = 4096)]
    pub(super) api_key: Option<String>,
    #[schema(max_items = 500)]
    pub(super) models: Option<Vec<String>>,
    pub(super) aliases: Option<BTreeMap<String, String>>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub(super) priority: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub(super) weight: Option<i64>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000000)]
    pub(super) concurrency: Option<Option<i64>>,
    pub(super) enabled: Option<bool>,
}

/// Checks everything but the address and the secret, and sets it.
pub(super) fn checked(
    row: &mut account::ActiveModel,
    changes: &AccountChanges,
) -> Result<(), ApiError> {
    if let Some(name) = &changes.name {
        row.name = Set(text("name", name, 1, NAME_MAX)?);
    }
    if let Some(provider) = &changes.provider {
        row.provider = Set(text("provider", provider, 1, PROVIDER_MAX)?);
    }
    if let Some(protocol) = changes.protocol {
        row.protocol = Set(protocol.as_str().to_owned());
    }
    if let Some(models) = &changes.models {
        let models = check::models("models", models.clone(), MODELS_MAX)?;
        row.models = Set(TextList(models));
    }
    if let Some(given) = &changes.aliases {
        row.aliases = Set(aliases(given.clone())?);
    }
    if let Some(priority) = bounded("priority", changes.priority, 0, PRIORITY_MAX)? {
        row.priority = Set(priority);
    }
    if let Some(weight) = bounded("weight", changes.weight, 0, WEIGHT_MAX)? {
        row.weight = Set(weight);
    }
    if let Some(concurrency) = changes.concurrency {
        row.concurrency = Set(bounded("concurrency", concurrency, 1, CONCURRENCY_MAX)?);
    }
    if let Some(enabled) = changes.enabled {
        row.enabled = Set(enabled);
    }
    Ok(())
}

/// What can be sent in a header.
pub(super) fn secret(text: String) -> Result<String, ApiError> {
    let text = text.trim().to_owned();
    if !(1..=SECRET_MAX).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(ApiError::invalid(
            "api_key",
            format!("must have 1 to {SECRET_MAX} visible ASCII characters"),
        ));
    }
    Ok(text)
}

pub(super) fn last4(secret: &str) -> String {
    match secret.len().checked_sub(4) {
        Some(from) if secret.len() >= LAST4_FROM => secret[from..].to_owned(),
        _ => String::new(),
    }
}

pub(super) fn aliases(given: BTreeMap<String, String>) -> Result<TextMap, ApiError> {
    if given.len() > ALIASES_MAX {
        return Err(ApiError::invalid(
            "aliases",
            format!("must be at most {ALIASES_MAX}"),
        ));
    }
    for (alias, model) in &given {
        if !check::is_model(alias) || !check::is_model(model) {
            return Err(ApiError::invalid(
                "aliases",
                "must lead from one model's name to another",
            ));
        }
    }
    Ok(TextMap(given))
}
