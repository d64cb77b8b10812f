//! One line of the log.

use chrono::{DateTime, SecondsFormat};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// How bad it is; the worse, the greater.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Every level, the worst last.
    pub const ALL: [Self; 5] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
    ];

    /// As shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }

    /// Reads what is shown, in either case; `WARNING` is the same as `WARN`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = if text.eq_ignore_ascii_case("WARNING") {
            "WARN"
        } else {
            text
        };
        Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text))
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::TRACE => Self::Trace,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::INFO => Self::Info,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::ERROR => Self::Error,
        }
    }
}

/// One line, secrets taken out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// Rises with time, from one life of the process to the next too; never less than `at`.
    pub id: i64,
    /// The node that wrote it.
    pub node: u8,
    /// Microseconds since the Unix epoch.
    pub at: i64,
    pub level: Level,
    /// The module that wrote it.
    pub target: String,
    pub message: String,
    /// User name of the operator whose request it was written in.
    pub user: Option<String>,
    /// Of the request it was written in.
    pub request_id: Option<String>,
    /// Name and value, in order.
    pub fields: Vec<(String, String)>,
}

impl Line {
    /// What it is known by, to those who read it.
    pub fn name(&self) -> String {
        format!("{}-{}", self.id, self.node)
    }

    /// Whether `target` is its module or one above it.
    pub(super) fn comes_from(&self, target: &str) -> bool {
        self.target
            .strip_prefix(target)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// Whether `word` (lower case) stands anywhere in it.
    pub(super) fn mentions(&self, word: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(word);
        has(&self.message)
            || has(&self.target)
            || self.user.as_deref().is_some_and(has)
            || self.request_id.as_deref().is_some_and(has)
            || self
                .fields
                .iter()
                .any(|(name, value)| has(name) || has(value))
    }

    /// What it weighs in the ring.
    pub(super) fn bytes(&self) -> usize {
        let fields: usize = self
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        size_of::<Self>() + self.target.len() + self.message.len() + fields
    }

    /// When it was written, RFC 3339.
    pub fn at_text(&self) -> String {
        DateTime::from_timestamp_micros(self.at)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

struct Fields<'a>(&'a [(String, String)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(8))?;
        map.serialize_entry("id", &self.name())?;
        map.serialize_entry("at", &self.at_text())?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("target", &self.target)?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("user", &self.user)?;
        map.serialize_entry("request_id", &self.request_id)?;
        map.serialize_entry("fields", &Fields(&self.fields))?;
        map.end()
    }
}
