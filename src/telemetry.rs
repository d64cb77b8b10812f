//! The process's own log: where it goes and how much of it.
//!
//! Two copies: standard error, for whoever runs the process, and the feed, for whoever reads it in the console. Neither
//! has what looks like a secret.
//! Metrics are not here: they are read from the parts that count, when `/metrics` is asked for.

mod feed;

use std::io::{self, IsTerminal, Stderr, Write};
use std::sync::{Arc, LazyLock};

use steward_actors::log_feed::LogFeed;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{Log, LogFormat};
use crate::gateway::redact::scrub;
use feed::FeedLayer;

/// As there is one log in a process, whoever writes it: the subscriber is the process's too.
static FEED: LazyLock<Arc<LogFeed>> = LazyLock::new(Arc::default);

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("`log.filter` is not a valid filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("logging is set up already: {0}")]
    Installed(String),
}

/// What is logged, for reading it elsewhere. Empty unless [`install`] was called.
pub fn feed() -> Arc<LogFeed> {
    Arc::clone(&FEED)
}

/// Sends the process's log to standard error, as the configuration asks, and to [`feed`]. Call once, first thing.
///
/// # Errors
/// A filter that does not parse, or a second call.
pub fn install(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&log.filter)?;
    let stderr = fmt::layer().with_writer(|| Scrubbed(io::stderr()));
    let stderr = match log.format {
        LogFormat::Text => stderr.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => stderr.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(stderr)
        .with(FeedLayer(feed()))
        .try_init()
        .map_err(|cause| TelemetryError::Installed(cause.to_string()))
}

/// Standard error without what looks like a secret. An event comes as one piece.
struct Scrubbed(Stderr);

impl Write for Scrubbed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(scrub(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
