//! What the gateway may decide by without asking a database: tokens, accounts and prices as they stand now.
//!
//! Rebuilt by `snapshot_keeper` after every change and swapped in whole; a request holds the `Arc` it
//! started with. Counters that must survive a swap (limits, breakers) are kept elsewhere, keyed by id.

use std::collections::HashMap;
use std::sync::Arc;

use super::issuer::IssuerView;
use super::price::{Currency, PriceBook};
use super::prompt::PromptBook;
use super::redaction::{RedactionMode, Redactor};

/// Wire protocol an upstream speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

impl Protocol {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "openai" => Some(Self::OpenAi),
            "anthropic" => Some(Self::Anthropic),
            _ => None,
        }
    }
}

/// A secret in memory: never printed by `Debug`.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself; call it only where it leaves for its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What may be spent a day and a month; `None` is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Billionths of `currency`; so is the next.
    pub daily_nano: Option<i64>,
    pub monthly_nano: Option<i64>,
    pub currency: Currency,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            daily_nano: None,
            monthly_nano: None,
            currency: Currency::Usd,
        }
    }
}

impl Budget {
    /// As a table has it. One in a currency nobody knows allows nothing rather than everything.
    pub fn stored(daily_nano: Option<i64>, monthly_nano: Option<i64>, currency: &str) -> Self {
        let known = Currency::parse(currency);
        let held = |nano: Option<i64>| nano.map(|nano| known.map_or(0, |_| nano.max(0)));
        Self {
            daily_nano: held(daily_nano),
            monthly_nano: held(monthly_nano),
            currency: known.unwrap_or(Currency::Usd),
        }
    }

    /// Whether it limits anything.
    pub fn is_limited(&self) -> bool {
        self.daily_nano.is_some() || self.monthly_nano.is_some()
    }
}

/// A token as the gateway needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// 0 when it belongs to no tenant.
    pub tenant_id: i64,
    pub tenant_public_id: String,
    pub tenant_name: String,
    pub tenant_suspended: bool,
    /// What the tenant's tokens together may spend.
    pub tenant_budget: Budget,
    /// Empty when the token names none.
    pub app: String,
    pub enabled: bool,
    /// Microseconds since the Unix epoch.
    pub expires_at: Option<i64>,
    /// `None`: every model. Entries may end in `*`.
    pub allowed_models: Option<Vec<String>>,
    /// Requests per minute.
    pub rpm: Option<u32>,
    /// Model tokens per minute.
    pub tpm: Option<u64>,
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    /// Model tokens it may use in its life.
    pub token_quota: Option<u64>,
    /// What it may spend.
    pub budget: Budget,
    pub enable_conversation_logging: bool,
    /// Its chat calls get its tenant's own answers as context.
    pub knowledge: bool,
    /// What of its conversations is kept, if any.
    pub redaction: RedactionMode,
}

/// What one presented secret opens.
#[derive(Clone, Debug)]
pub struct TokenKey {
    pub token: Arc<TokenView>,
    /// Set on the previous secret of a rotated token: microseconds since the Unix epoch.
    pub valid_until: Option<i64>,
}

/// An upstream account as the gateway needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    pub id: i64,
    pub public_id: String,
    pub name: String,
    pub provider: String,
    pub protocol: Protocol,
    /// Without a trailing slash.
    pub base_url: String,
    pub secret: Secret,
    /// Entries may end in `*`.
    pub models: Vec<String>,
    /// Name the caller uses → name the upstream knows.
    pub aliases: HashMap<String, String>,
    /// Lower is tried first.
    pub priority: i32,
    /// Share among accounts of the same priority; 0 never gets a call while another can.
    pub weight: u32,
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    pub enabled: bool,
}

impl AccountView {
    /// Whether this account serves `model` (as the caller names it).
    pub fn serves(&self, model: &str) -> bool {
        self.aliases.contains_key(model)
            || self.models.iter().any(|pattern| matches(pattern, model))
    }

    /// What this account calls `model`.
    pub fn upstream_model<'a>(&'a self, model: &'a str) -> &'a str {
        self.aliases.get(model).map_or(model, String::as_str)
    }
}

/// Whether a model pattern (a name, or a prefix followed by `*`) covers `model`.
pub fn matches(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => model.starts_with(prefix),
        None => pattern == model,
    }
}

/// Everything the gateway decides by.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// SHA-256 of a secret → what it opens.
    pub tokens: HashMap<[u8; 32], TokenKey>,
    /// Whose user tokens are taken, by `iss`: those enabled.
    pub issuers: HashMap<String, Arc<IssuerView>>,
    /// Enabled or not, by id.
    pub accounts: Vec<Arc<AccountView>>,
    /// Takes personal data and secrets out of what is kept.
    pub redactor: Arc<Redactor>,
    /// What calls cost.
    pub prices: Arc<PriceBook>,
    /// Which versions of prompts there are.
    pub prompts: Arc<PromptBook>,
}
