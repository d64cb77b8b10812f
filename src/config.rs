//! Boot configuration: the embedded default, a file, the environment — in that order, validated once.
//!
//! The default file is also the schema: a key it does not have is an error that names the nearest one it
//! has. What changes at run time is a *setting*, not configuration, and is not here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
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
    pub auth: Auth,
    pub api: Api,
    pub operations: Operations,
    pub egress: Egress,
    pub log: Log,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    pub workers: usize,
    pub request_head_timeout_ms: u64,
    pub max_connections: usize,
    pub drain_timeout_ms: u64,
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
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("url", &mask_url(&self.url))
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
pub struct Operations {
    pub metrics_public: bool,
    pub health_details_public: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    pub allow_private: bool,
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
}

/// Why the configuration cannot be used. The text says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}: {cause}")]
    Read {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error("{origin} is not valid TOML: {cause}")]
    Parse {
        origin: String,
        cause: Box<toml::de::Error>,
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
        let mut merged = parse("the built-in default", DEFAULT_TOML)?;
        let schema = merged.clone();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
                path: path.to_owned(),
                cause,
            })?;
            let origin = path.display().to_string();
            overlay(&mut merged, parse(&origin, &text)?, &schema, &origin)?;
        }
        let overrides: BTreeMap<String, String> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        for (name, text) in overrides {
            set_from_environment(&mut merged, &schema, &name, &text)?;
        }
        let config: Self = Value::Table(merged)
            .try_into()
            .map_err(|cause| ConfigError::Parse {
                origin: "the configuration".into(),
                cause: Box::new(cause),
            })?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let invalid = |key, problem: &str| {
            Err(ConfigError::Invalid {
                key,
                problem: problem.to_owned(),
            })
        };
        if !self.database.url.is_empty()
            && !self.database.url.starts_with("postgres://")
            && !self.database.url.starts_with("postgresql://")
        {
            return invalid(
                "database.url",
                "must be empty (SQLite in data.dir) or start with postgres://",
            );
        }
        if !(8 << 20..=64 << 20).contains(&self.spool.segment_bytes) {
            return invalid(
                "spool.segment_bytes",
                "must lie between 8388608 (8 MiB) and 67108864 (64 MiB)",
            );
        }
        if !(1..=100_000).contains(&self.ledger.batch_size) {
            return invalid("ledger.batch_size", "must lie between 1 and 100000");
        }
        if self.ledger.queue_capacity == 0 {
            return invalid("ledger.queue_capacity", "must be at least 1");
        }
        if !(1..=60_000).contains(&self.ledger.flush_interval_ms) {
            return invalid("ledger.flush_interval_ms", "must lie between 1 and 60000");
        }
        if !(1..=60_000).contains(&self.spool.fsync_interval_ms) {
            return invalid("spool.fsync_interval_ms", "must lie between 1 and 60000");
        }
        if self.gateway.max_attempts == 0 || self.gateway.max_attempts > 8 {
            return invalid("gateway.max_attempts", "must lie between 1 and 8");
        }
        if self.gateway.max_body_bytes < 1024 {
            return invalid("gateway.max_body_bytes", "must be at least 1024");
        }
        if !self.stats.time_zone.is_empty()
            && self.stats.time_zone.parse::<chrono_tz::Tz>().is_err()
        {
            return invalid(
                "stats.time_zone",
                "must be an IANA name such as Asia/Shanghai, or empty",
            );
        }
        Ok(())
    }

    /// The configuration as TOML with secrets masked; what `steward config print` shows.
    pub fn print(&self) -> String {
        let mut shown = self.clone();
        shown.database.url = mask_url(&shown.database.url);
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

fn parse(origin: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|cause| ConfigError::Parse {
        origin: origin.to_owned(),
        cause: Box::new(cause),
    })
}

fn overlay(
    target: &mut Table,
    source: Table,
    schema: &Table,
    origin: &str,
) -> Result<(), ConfigError> {
    for (section, value) in source {
        let (Some(Value::Table(known)), Some(Value::Table(slot))) =
            (schema.get(&section), target.get_mut(&section))
        else {
            return Err(unknown(origin, &section, schema));
        };
        let Value::Table(keys) = value else {
            return Err(ConfigError::Type {
                origin: origin.to_owned(),
                key: section,
                expected: "a section",
                got: value.type_str().to_owned(),
            });
        };
        for (key, value) in keys {
            let path = format!("{section}.{key}");
            let Some(default) = known.get(&key) else {
                return Err(unknown(origin, &path, schema));
            };
            if !default.same_type(&value) {
                return Err(ConfigError::Type {
                    origin: origin.to_owned(),
                    key: path,
                    expected: type_name(default),
                    got: value.type_str().to_owned(),
                });
            }
            slot.insert(key, value);
        }
    }
    Ok(())
}

fn set_from_environment(
    merged: &mut Table,
    schema: &Table,
    name: &str,
    text: &str,
) -> Result<(), ConfigError> {
    let path = name[ENVIRONMENT_PREFIX.len()..]
        .to_ascii_lowercase()
        .replace("__", ".");
    let found = path.split_once('.').and_then(|(section, key)| {
        let default = schema.get(section)?.as_table()?.get(key)?;
        let slot = merged.get_mut(section)?.as_table_mut()?;
        Some((key, default, slot))
    });
    let Some((key, default, slot)) = found else {
        return Err(unknown(name, &path, schema));
    };
    let value = match default {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        _ => Some(Value::String(text.to_owned())),
    };
    let value = value.ok_or_else(|| ConfigError::Type {
        origin: name.to_owned(),
        key: path.clone(),
        expected: type_name(default),
        got: "text that does not read as one".into(),
    })?;
    slot.insert(key.to_owned(), value);
    Ok(())
}

const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Float(_) => "a number",
        Value::Table(_) => "a section",
        _ => "text",
    }
}

fn unknown(origin: &str, key: &str, schema: &Table) -> ConfigError {
    let names = schema.iter().flat_map(|(section, keys)| {
        let inner = keys.as_table().into_iter().flat_map(Table::keys);
        std::iter::once(section.clone()).chain(inner.map(move |key| format!("{section}.{key}")))
    });
    let nearest = names
        .filter(|name| name.contains('.') == key.contains('.'))
        .min_by_key(|name| strsim::damerau_levenshtein(name, key))
        .unwrap_or_default();
    ConfigError::UnknownKey {
        origin: origin.to_owned(),
        key: key.to_owned(),
        nearest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("steward.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(&path), environment)
    }

    #[test]
    fn the_shipped_default_is_valid() {
        let config = Config::load(None, []).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.ledger.batch_size, 1_000);
    }

    #[test]
    fn environment_wins_over_file_wins_over_default() {
        let config = load(
            "[ledger]\nbatch_size = 5\nflush_interval_ms = 7\n",
            &[
                ("STEWARD__LEDGER__BATCH_SIZE", "9"),
                ("STEWARD_ADMIN_PASSWORD", "not ours"),
                ("HOME", "x"),
            ],
        )
        .unwrap();
        assert_eq!(
            (config.ledger.batch_size, config.ledger.flush_interval_ms),
            (9, 7)
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let text = load("[ledger]\nbatchsize = 5\n", &[])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("`ledger.batchsize`") && text.contains("`ledger.batch_size`"),
            "{text}"
        );
        let text = load("", &[("STEWARD__SERVER__LISTNE", "x")])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("STEWARD__SERVER__LISTNE") && text.contains("`server.listen`"),
            "{text}"
        );
        let text = load("[serber]\n", &[]).unwrap_err().to_string();
        assert!(
            text.contains("`serber`") && text.contains("`server`"),
            "{text}"
        );
    }

    #[test]
    fn wrong_types_and_ranges_say_what_is_expected() {
        let text = load("[ledger]\nbatch_size = \"many\"\n", &[])
            .unwrap_err()
            .to_string();
        assert!(text.contains("a whole number"), "{text}");
        let text = load("[spool]\nsegment_bytes = 1\n", &[])
            .unwrap_err()
            .to_string();
        assert!(text.contains("8 MiB"), "{text}");
        let text = load("[database]\nurl = \"mysql://x\"\n", &[])
            .unwrap_err()
            .to_string();
        assert!(text.contains("postgres://"), "{text}");
    }

    #[test]
    fn printing_masks_the_database_password() {
        let config = load(
            "[database]\nurl = \"postgres://u:hunter2@db:5432/steward?password=hunter3\"\n",
            &[],
        )
        .unwrap();
        for shown in [config.print(), format!("{config:?}")] {
            assert!(!shown.contains("hunter"), "{shown}");
            assert!(
                shown.contains("postgres://u:***@db:5432/steward"),
                "{shown}"
            );
        }
    }
}
