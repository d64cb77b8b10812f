//! Whether values make sense: one table of bounds, and what a number cannot express.

use steward_actors::knowledge::store;

use super::{Config, ConfigError};
use crate::courier;
use crate::http::egress;
use crate::http::proxies::TrustedProxies;

/// Refuses the first value outside its bounds.
pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    const DAY_MS: u64 = 86_400_000;
    let whole = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let Config {
        server,
        gateway,
        spool,
        ledger,
        conversations,
        auth,
        supervision,
        health,
        ..
    } = config;
    let bounds = [
        (
            "server.request_head_timeout_ms",
            server.request_head_timeout_ms,
            1,
            DAY_MS,
        ),
        (
            "server.max_connections",
            whole(server.max_connections),
            1,
            10_000_000,
        ),
        (
            "server.drain_timeout_ms",
            server.drain_timeout_ms,
            0,
            DAY_MS,
        ),
        (
            "conversations.max_memory_bytes",
            whole(conversations.max_memory_bytes),
            1 << 20,
            1 << 40,
        ),
        (
            "conversations.spool_max_bytes",
            conversations.spool_max_bytes,
            32 << 20,
            1 << 50,
        ),
        ("server.heartbeat_ms", server.heartbeat_ms, 100, DAY_MS),
        (
            "supervision.silence_max_ms",
            supervision.silence_max_ms,
            100,
            DAY_MS,
        ),
        ("health.interval_ms", health.interval_ms, 100, DAY_MS),
        ("health.deadline_ms", health.deadline_ms, 10, 600_000),
        ("health.failures", health.failures.into(), 1, 100),
        ("health.successes", health.successes.into(), 1, 100),
        (
            "gateway.connect_timeout_ms",
            gateway.connect_timeout_ms,
            1,
            DAY_MS,
        ),
        (
            "gateway.first_byte_timeout_ms",
            gateway.first_byte_timeout_ms,
            1,
            DAY_MS,
        ),
        (
            "gateway.idle_timeout_ms",
            gateway.idle_timeout_ms,
            1,
            DAY_MS,
        ),
        (
            "gateway.max_body_bytes",
            whole(gateway.max_body_bytes),
            1_024,
            1 << 32,
        ),
        ("gateway.max_attempts", whole(gateway.max_attempts), 1, 8),
        (
            "gateway.breaker_failures",
            gateway.breaker_failures.into(),
            1,
            1_000_000,
        ),
        (
            "gateway.breaker_open_ms",
            gateway.breaker_open_ms,
            1,
            DAY_MS,
        ),
        (
            "gateway.breaker_open_max_ms",
            gateway.breaker_open_max_ms,
            gateway.breaker_open_ms,
            DAY_MS,
        ),
        (
            "spool.segment_bytes",
            spool.segment_bytes,
            8 << 20,
            64 << 20,
        ),
        (
            "spool.fsync_interval_ms",
            spool.fsync_interval_ms,
            1,
            60_000,
        ),
        (
            "ledger.queue_capacity",
            whole(ledger.queue_capacity),
            1,
            10_000_000,
        ),
        ("ledger.batch_size", whole(ledger.batch_size), 1, 100_000),
        (
            "ledger.flush_interval_ms",
            ledger.flush_interval_ms,
            1,
            60_000,
        ),
        (
            "auth.access_token_ttl_s",
            auth.access_token_ttl_s,
            10,
            86_400,
        ),
        (
            "auth.refresh_token_ttl_s",
            auth.refresh_token_ttl_s,
            60,
            31_536_000,
        ),
        (
            "auth.login_attempts",
            auth.login_attempts.into(),
            1,
            1_000_000,
        ),
        ("auth.login_window_s", auth.login_window_s, 1, 86_400),
        (
            "alerts.interval_ms",
            config.alerts.interval_ms,
            100,
            3_600_000,
        ),
    ];
    for (key, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            return invalid(
                key,
                format!("must lie between {least} and {most}, got {value}"),
            );
        }
    }
    let url = &config.database.url;
    if !(url.is_empty() || url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return invalid(
            "database.url",
            "must be empty (SQLite in data.dir) or start with postgres://".into(),
        );
    }
    if let Err(item) = server.trusted_proxies.parse::<TrustedProxies>() {
        return invalid(
            "server.trusted_proxies",
            format!("must list addresses and networks such as 10.0.0.0/8, got {item:?}"),
        );
    }
    let outposts = config.health.outposts();
    let is_address = |text: &String| {
        text.rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if let Some(item) = outposts.iter().find(|item| !is_address(item)) {
        return invalid(
            "health.outposts",
            format!("must list addresses such as 1.1.1.1:443, got {item:?}"),
        );
    }
    config.setting_defaults()?;
    let urls = [
        ("alerts.console_url", &config.alerts.console_url),
        ("alerts.heartbeat_url", &config.alerts.heartbeat_url),
    ];
    for (key, url) in urls {
        if !url.is_empty() && egress::whole_url(key, url).is_err() {
            return invalid(
                key,
                "must be empty or begin with https:// or http://".into(),
            );
        }
    }
    if let Some((key, problem)) = courier::refuse(&config.smtp) {
        return invalid(key, problem);
    }
    if let Some((key, problem)) = config
        .vector_store
        .place()
        .and_then(|place| store::refuse(&place))
    {
        return invalid(key, problem);
    }
    let zone = &config.stats.time_zone;
    if !zone.is_empty() && zone.parse::<chrono_tz::Tz>().is_err() {
        return invalid(
            "stats.time_zone",
            "must be an IANA name such as Asia/Shanghai, or empty".into(),
        );
    }
    Ok(())
}

fn invalid(key: &'static str, problem: String) -> Result<(), ConfigError> {
    Err(ConfigError::Invalid { key, problem })
}
