//! The process itself: databases, spool, disk, groups of actors, and the signing of tokens.

use std::sync::Weak;
use std::time::Instant;

use async_trait::async_trait;
use sea_orm::ConnectionTrait;
use steward_actors::domain::health::{Component, Finding, Kind, Seen};
pub use steward_actors::health::JWT;
use steward_actors::health::Probe;
use steward_actors::spool::Admission;
use steward_actors::supervision::{Node, NodeKind, State};

use crate::http::range::rfc3339;
use crate::state::AppState;

const DATABASE: &str = "database";
const SPOOL: &str = "spool";
const DISK: &str = "disk";
const GROUP: &str = "group:";

pub(super) struct Own(pub(super) Weak<AppState>);

#[async_trait]
impl Probe for Own {
    fn components(&self) -> Vec<Component> {
        let Some(state) = self.0.upgrade() else {
            return Vec::new();
        };
        let mut components = vec![
            Component::own(DATABASE, Kind::Database),
            Component::own(DISK, Kind::Disk),
            Component::own(SPOOL, Kind::Spool).below(DISK),
            Component::own(JWT, Kind::Jwt),
        ];
        let tree = state.tree.supervisor.tree_now();
        for group in &tree.children {
            if group.kind == NodeKind::Group {
                let name = group.id.rsplit('/').next().unwrap_or(&group.id);
                components.push(Component::own(format!("{GROUP}{name}"), Kind::Group));
            }
        }
        components
    }

    async fn look(&self, component: &Component) -> Finding {
        let Some(state) = self.0.upgrade() else {
            return Finding::of(Seen::Nothing);
        };
        match component.id.as_str() {
            DATABASE => database(&state).await,
            SPOOL => spool(&state),
            DISK => disk(&state),
            JWT => jwt(&state),
            other => match other.strip_prefix(GROUP) {
                Some(name) => group(&state.tree.supervisor.tree_now(), name),
                None => Finding::of(Seen::Nothing),
            },
        }
    }
}

pub(super) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Every database answers a question; the slowest answer counts.
async fn database(state: &AppState) -> Finding {
    let begun = Instant::now();
    let databases = &state.databases;
    for (name, connection) in [
        ("control", &databases.control_read),
        ("ledger", &databases.ledger_read),
        ("events", &databases.events_read),
    ] {
        if connection.execute_unprepared("SELECT 1").await.is_err() {
            return Finding::of(Seen::Down)
                .because(
                    "database_silent",
                    format!("The {name} tables cannot be read."),
                )
                .after_ms(millis(begun));
        }
    }
    let found = Finding::up().after_ms(millis(begun));
    let since = state.tree.ledger_condition().borrow().unavailable_since;
    match since {
        None => found,
        Some(since) => Finding {
            seen: Seen::Impaired,
            ..found.because(
                "ledger_unavailable",
                format!(
                    "The ledger takes no records since {}; they wait in the spool.",
                    rfc3339(since)
                ),
            )
        },
    }
}

fn spool(state: &AppState) -> Finding {
    match state.spool.admits() {
        Admission::Refuse(_) => Finding::of(Seen::Down).because(
            "ledger_full",
            "It takes no further record; calls are refused.",
        ),
        Admission::Open if !state.spool.ledger().balances() => {
            Finding::of(Seen::Impaired).because("books_unbalanced", "The books do not balance.")
        }
        Admission::Open => Finding::up(),
    }
}

fn disk(state: &AppState) -> Finding {
    let (free, floor) = (
        state.spool.stats().free_bytes,
        state.config.spool.min_free_bytes,
    );
    let mib = |bytes: u64| bytes >> 20;
    if free == 0 && floor > 0 {
        // Nobody has measured it yet.
        return Finding::of(Seen::Nothing);
    }
    let told = |seen, code| {
        Finding::of(seen).because(
            code,
            format!(
                "{} MiB are free, {} MiB are kept free.",
                mib(free),
                mib(floor)
            ),
        )
    };
    if free < floor {
        told(Seen::Down, "disk_full")
    } else if free < floor.saturating_mul(2) {
        told(Seen::Impaired, "disk_low")
    } else {
        Finding::up()
    }
}

/// A token for nobody, signed and read back as any other.
fn jwt(state: &AppState) -> Finding {
    const NOBODY: &str = "op_health";
    let begun = Instant::now();
    let now = state.clock.now_micros();
    let issued = state.access.issue(NOBODY, 0, "", "ses_health", now);
    let failed = |code, reason: &str| Finding::of(Seen::Down).because(code, reason);
    let finding = match issued {
        Err(_) => failed("jwt_not_issued", "A token cannot be signed."),
        Ok(token) => match state.access.read(&token, now) {
            Ok(claims) if claims.sub == NOBODY => Finding::up(),
            _ => failed("jwt_not_verified", "A token just signed is not accepted."),
        },
    };
    finding.after_ms(millis(begun))
}

/// The actors of a group: one that is down for good, or between two starts.
fn group(tree: &Node, name: &str) -> Finding {
    let of_name = |node: &&Node| node.id.rsplit('/').next() == Some(name);
    let Some(group) = tree.children.iter().find(of_name) else {
        return Finding::of(Seen::Nothing);
    };
    let mut impaired = None;
    for actor in group.walk() {
        let reason = actor.last_exit.as_ref().map_or("", |exit| exit.reason);
        match actor.state {
            State::Failed => {
                return Finding::of(Seen::Down)
                    .because("actor_failed", format!("{} is down ({reason}).", actor.id));
            }
            State::BackingOff => {
                impaired = Some(format!("{} is being restarted ({reason}).", actor.id));
            }
            _ => {}
        }
    }
    match impaired {
        Some(reason) => Finding::of(Seen::Impaired).because("actor_restarting", reason),
        None => Finding::up(),
    }
}
