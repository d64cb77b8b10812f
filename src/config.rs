//! Boot configuration: the embedded default, a file, the environment — in that order, validated once.
//!
//! The default file is also the schema: a key it does not have is an error that names the nearest one it
//! has. What changes at run time is a *setting*, not configuration, and is not here.

mod check;
mod layers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use steward_actors::domain::setting::{Defaults, Written};
use steward_actors::knowledge::store;
use toml::{Table, Value};

/// The documented defaults, as shipped.
pub const DEFAULT_TOML: &str = include_str!("../config/default.toml");
/// Prefix of environment overrides; sections and keys are joined by two underscores.
pub const ENVIRONMENT_PREFIX: &str = "STEWARD__";

/// The whole boot configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub data: Data,
    pub database: Database,
    pub node: Node,
    pub gateway: Gateway,
    pub spool: Spool,
    pub ledger: Ledger,
    pub stats: Stats,
    pub prices: Prices,
    pub conversations: Conversations,
    pub auth: Auth,
    pub api: Api,
    pub push: Push,
    pub feedback: Feedback,
    pub supervision: Supervision,
    pub operations: Operations,
    pub health: Health,
    pub retention: Retention,
    pub archive: Archive,
    pub scheduler: Scheduler,
    pub rag: Rag,
    pub vector_store: VectorStore,
    pub egress: Egress,
    pub alerts: Alerts,
    pub smtp: Smtp,
    pub log: Log,
    /// Keys that the environment set, such as `prices.usd_cny`.
    #[serde(skip)]
    pub from_environment: BTreeSet<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    pub workers: usize,
    pub request_head_timeout_ms: u64,
    pub max_connections: usize,
    pub drain_timeout_ms: u64,
    pub allowed_origins: String,
    pub heartbeat_ms: u64,
    pub trusted_proxies: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: String,
    pub backup_before_migrating: bool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("url", &mask_url(&self.url))
            .field("backup_before_migrating", &self.backup_before_migrating)
            .finish()
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub id: u8,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    pub connect_timeout_ms: u64,
    pub first_byte_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub max_body_bytes: usize,
    pub max_attempts: usize,
    pub record_client_ip: bool,
    pub breaker_failures: u32,
    pub breaker_open_ms: u64,
    pub breaker_open_max_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fsync {
    Interval,
    Always,
    Never,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    pub segment_bytes: u64,
    pub fsync: Fsync,
    pub fsync_interval_ms: u64,
    pub min_free_bytes: u64,
    pub max_bytes: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    Refuse,
    DropOldest,
    ServeUnrecorded,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    pub overflow: Overflow,
    pub queue_capacity: usize,
    pub batch_size: usize,
    pub flush_interval_ms: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    pub time_zone: String,
    pub aggregation_interval_s: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub currency: String,
    pub usd_cny: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Conversations {
    pub enabled: bool,
    pub max_bytes_per_side: usize,
    pub max_memory_bytes: usize,
    pub spool_max_bytes: u64,
    pub compress_after_days: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub access_token_ttl_s: u64,
    pub refresh_token_ttl_s: u64,
    pub login_attempts: u32,
    pub login_window_s: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    pub rate_limit_per_operator: u32,
    pub rate_limit_per_address: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    pub per_minute: u32,
    pub allowed_origins: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Supervision {
    pub silence_max_ms: u64,
    pub fault_drills: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Operations {
    pub metrics_public: bool,
    pub health_details_public: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub interval_ms: u64,
    pub accounts: bool,
    pub deadline_ms: u64,
    pub failures: u32,
    pub successes: u32,
    pub outposts: String,
}

impl Health {
    /// The addresses one by one.
    pub fn outposts(&self) -> Vec<String> {
        self.outposts
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    pub request_logs_days: u32,
    pub contents_days: u32,
    pub system_logs_days: u32,
    pub health_checks_days: u32,
    pub metrics_snapshots_days: u32,
    pub deliveries_days: u32,
    pub alerts_days: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    pub enabled: String,
    pub after_days: u32,
    pub dir: PathBuf,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduler {
    pub process_interval: u32,
    pub auto_learn_enabled: bool,
    pub sync_interval: u32,
    pub batch_size: u32,
    pub auto_sync_enabled: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rag {
    pub top_k: u32,
    pub min_score: f64,
    pub embedding_model: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VectorStoreKind {
    Embedded,
    Qdrant,
    Pgvector,
    Pinecone,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VectorStore {
    pub kind: VectorStoreKind,
    pub url: String,
    pub api_key: String,
    pub collection: String,
}

impl VectorStore {
    /// Where it is; none for the embedded one.
    pub fn place(&self) -> Option<store::Place> {
        Some(store::Place {
            kind: match self.kind {
                VectorStoreKind::Embedded => return None,
                VectorStoreKind::Qdrant => store::Kind::Qdrant,
                VectorStoreKind::Pgvector => store::Kind::Pgvector,
                VectorStoreKind::Pinecone => store::Kind::Pinecone,
            },
            url: self.url.clone(),
            api_key: self.api_key.clone(),
            prefix: self.collection.clone(),
        })
    }
}

impl std::fmt::Debug for VectorStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VectorStore")
            .field("kind", &self.kind)
            .field("url", &mask_url(&self.url))
            .field("collection", &self.collection)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    pub allow_private: bool,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    pub interval_ms: u64,
    pub group_window_s: u64,
    pub mails_per_hour: u64,
    pub console_url: String,
    pub heartbeat_url: String,
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alerts")
            .field("interval_ms", &self.interval_ms)
            .field("group_window_s", &self.group_window_s)
            .field("mails_per_hour", &self.mails_per_hour)
            .field("console_url", &self.console_url)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    pub interval_ms: u64,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    pub url: String,
    pub from: String,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp")
            .field("url", &mask_url(&self.url))
            .field("from", &self.from)
            .finish()
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
    pub stored_level: String,
}

/// Why the configuration cannot be used. The text says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}: {cause}")]
    Read {
        path: PathBuf,
        cause: std::io::Error,
    },
    // The message alone: the error's own text quotes the line, which may hold a password.
    #[error("{origin} is not valid TOML{place}: {message}")]
    Parse {
        origin: String,
        place: String,
        message: String,
    },
    #[error(
        "{origin}: unknown key `{key}`; did you mean `{nearest}`? (`steward config print` shows every key)"
    )]
    UnknownKey {
        origin: String,
        key: String,
        nearest: String,
    },
    #[error("{origin}: `{key}` must be {expected}, got {got}")]
    Type {
        origin: String,
        key: String,
        expected: &'static str,
        got: String,
    },
    #[error("`{key}` {problem}")]
    Invalid { key: &'static str, problem: String },
}

impl Config {
    /// Default < `file` < environment, validated.
    ///
    /// # Errors
    /// An unreadable file, bad TOML, an unknown key or a value outside its range; the message names the key.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut merged = layers::parse("the built-in default", DEFAULT_TOML)?;
        let schema = merged.clone();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
                path: path.to_owned(),
                cause,
            })?;
            let origin = path.display().to_string();
            layers::overlay(
                &mut merged,
                layers::parse(&origin, &text)?,
                &schema,
                &origin,
            )?;
        }
        let overrides: BTreeMap<String, String> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        let mut from_environment = BTreeSet::new();
        for (name, text) in overrides {
            let key = layers::set_from_environment(&mut merged, &schema, &name, &text)?;
            from_environment.insert(key);
        }
        let mut config: Self = Value::Table(merged)
            .try_into()
            .map_err(|cause| layers::refused("the configuration", "", &cause))?;
        config.from_environment = from_environment;
        check::validate(&config)?;
        Ok(config)
    }

    /// Where archived months go.
    pub fn archive_dir(&self) -> PathBuf {
        match self.archive.dir.as_os_str().is_empty() {
            true => self.data.dir.join("archive"),
            false => self.archive.dir.clone(),
        }
    }

    /// What it says of the settings that operators change at run time.
    ///
    /// # Errors
    /// The first key whose value cannot be.
    pub fn setting_defaults(&self) -> Result<Defaults, ConfigError> {
        let written = Table::try_from(self).map_err(|cause| ConfigError::Parse {
            origin: "the configuration".to_owned(),
            place: String::new(),
            message: cause.to_string(),
        })?;
        let text = |key: &str| {
            let (section, name) = key.split_once('.')?;
            Some(match written.get(section)?.get(name)? {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
        };
        let defaults = Defaults::new(|key| Written {
            text: text(key).unwrap_or_default(),
            is_locked: self.from_environment.contains(key),
        });
        defaults.map_err(|(key, problem)| ConfigError::Invalid { key, problem })
    }

    /// The configuration as TOML with secrets masked; what `steward config print` shows.
    pub fn print(&self) -> String {
        let mut shown = self.clone();
        shown.database.url = mask_url(&shown.database.url);
        shown.smtp.url = mask_url(&shown.smtp.url);
        shown.vector_store.url = mask_url(&shown.vector_store.url);
        if !shown.vector_store.api_key.is_empty() {
            shown.vector_store.api_key = "***".into();
        }
        if !shown.alerts.heartbeat_url.is_empty() {
            // Whoever knows it can keep silence from being noticed.
            shown.alerts.heartbeat_url = "***".into();
        }
        toml::to_string_pretty(&shown).unwrap_or_default()
    }
}

/// Hides the password of a database URL; anything that does not parse is hidden whole.
pub fn mask_url(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".into();
    };
    // The query may carry a password too (?password=…), so only its presence is shown.
    let (rest, query) = rest
        .split_once('?')
        .map_or((rest, ""), |(rest, _)| (rest, "?***"));
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user
                .split_once(':')
                .map_or_else(|| user.to_owned(), |(name, _)| format!("{name}:***"));
            format!("{scheme}://{user}@{host}{query}")
        }
        None => format!("{scheme}://{rest}{query}"),
    }
}
