//! The configuration in the words of the parts that are made from it.

use std::sync::Arc;
use std::time::Duration;

use steward_actors::domain::health::damping::Damping;
use steward_actors::health::HealthSettings;
use steward_actors::knowledge::store;
use steward_actors::spool::{self, FsyncPolicy, SpoolConfig};
use steward_actors::tree::watch::AlertSettings;

use super::StartError;
use crate::config::{Config, ConfigError, Fsync, Overflow};
use crate::courier::Outgoing;
use crate::gateway;
use crate::vector_store::Booked;

const SPOOL_DIR: &str = "spool";

pub(super) fn spool_config(config: &Config) -> SpoolConfig {
    let interval = Duration::from_millis(config.spool.fsync_interval_ms);
    SpoolConfig {
        segment_bytes: config.spool.segment_bytes,
        fsync: match config.spool.fsync {
            Fsync::Interval => FsyncPolicy::Interval(interval),
            Fsync::Always => FsyncPolicy::Always,
            Fsync::Never => FsyncPolicy::Never,
        },
        overflow: match config.ledger.overflow {
            Overflow::Refuse => spool::Overflow::Refuse,
            Overflow::DropOldest => spool::Overflow::DropOldest,
            Overflow::ServeUnrecorded => spool::Overflow::ServeUnrecorded,
        },
        min_free_bytes: config.spool.min_free_bytes,
        max_bytes: Some(config.spool.max_bytes).filter(|bytes| *bytes > 0),
        cache_capacity: config.ledger.queue_capacity,
        ..SpoolConfig::new(config.data.dir.join(SPOOL_DIR), config.node.id)
    }
}

pub(super) fn health_settings(config: &Config) -> HealthSettings {
    let health = &config.health;
    HealthSettings {
        interval: Duration::from_millis(health.interval_ms),
        deadline: Duration::from_millis(health.deadline_ms),
        damping: Damping {
            failures: health.failures,
            successes: health.successes,
        },
        outposts: health.outposts(),
    }
}

/// How notices leave, by the configuration.
pub(crate) fn alert_settings(config: &Config) -> Result<AlertSettings, rustls::Error> {
    Ok(AlertSettings {
        console_url: config.alerts.console_url.trim_end_matches('/').to_owned(),
        heartbeat_url: config.alerts.heartbeat_url.clone(),
        courier: outgoing(config)?,
    })
}

/// The vector store, if there is one.
///
/// # Errors
/// When the configuration, which has been checked, or the certificates of the machine cannot be used.
pub(super) fn vector_store(config: &Config) -> Result<Option<Arc<Booked>>, StartError> {
    let Some(place) = config.vector_store.place() else {
        return Ok(None);
    };
    let outgoing = Outgoing::new(gateway::tls_config()?, config).to_private_addresses();
    let opened = store::open(place, Arc::new(outgoing));
    let opened = opened.map_err(|(key, problem)| ConfigError::Invalid { key, problem })?;
    Ok(Some(Booked::new(opened)))
}

/// What leaves the machine by order of operators, by the configuration.
pub(crate) fn outgoing(config: &Config) -> Result<Arc<Outgoing>, rustls::Error> {
    Ok(Arc::new(Outgoing::new(gateway::tls_config()?, config)))
}
