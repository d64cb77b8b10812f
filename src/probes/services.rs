//! What works for Steward from outside, or in rounds of its own: the mail relay, the remote that statistics are pushed to, the
//! vector store, and learning from feedback. A component is there as long as it is wanted: without a relay there is none that could be down.
//!
//! Pushing and learning say themselves how their latest round went. The relay is greeted, which signs in and sends nothing;
//! since relays count those who sign in, one that answered is left alone for a while. A vector store is asked for what costs
//! nothing, where it has that, and judged by how pushing to it stands.

use std::sync::Weak;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use steward_actors::domain::alert::machine::micros;
use steward_actors::domain::health::{Component, Finding, Kind, Seen};
use steward_actors::health::{Probe, Round, UPLINK};
use steward_actors::knowledge::outage::{self, Outage};
use steward_actors::knowledge::shelf::Shelves;
use steward_actors::knowledge::store::VectorStore;
use steward_actors::tree::upkeep::remote_backup::Standing;
use steward_entities::qa_vector;
use steward_entities::scope::Scope;

use super::accounts::outside;
use super::own::millis;
use crate::state::AppState;

const SMTP: &str = "smtp";
const REMOTE_BACKUP: &str = "remote_backup";
const VECTOR_STORE: &str = "vector_store";
const LEARNING: &str = "scheduler:learning";
/// A relay that answered is not greeted again for so long.
const GREETED_EVERY: Duration = Duration::from_secs(600);
/// So many pushes that fail in a row are no hiccup; so of either.
const DOWN_AFTER: i64 = 3;
/// Rounds that may be late before one is missed, and how long one may take.
const ROUNDS_LATE: u32 = 3;
const ROUND_TAKES: Duration = Duration::from_secs(60);

pub(super) struct Services {
    state: Weak<AppState>,
    /// When the relay last answered, and after how many milliseconds.
    greeted: Mutex<Option<(Instant, u64)>>,
}

impl Services {
    pub(super) fn new(state: Weak<AppState>) -> Self {
        Self {
            state,
            greeted: Mutex::default(),
        }
    }

    async fn relay(&self, state: &AppState) -> Finding {
        let lately = *self.greeted.lock();
        if let Some((at, latency_ms)) = lately
            && at.elapsed() < GREETED_EVERY
        {
            return Finding::up().after_ms(latency_ms);
        }
        let begun = Instant::now();
        let greeted = state.tree.courier.greet_relay().await;
        let latency_ms = millis(begun);
        *self.greeted.lock() = greeted.is_ok().then_some((begun, latency_ms));
        let finding = match greeted {
            Ok(()) => Finding::up(),
            Err(why) => Finding::of(Seen::Down).because("mail_relay_unavailable", why),
        };
        finding.after_ms(latency_ms)
    }
}

#[async_trait]
impl Probe for Services {
    fn components(&self) -> Vec<Component> {
        let Some(state) = self.state.upgrade() else {
            return Vec::new();
        };
        let mut components = vec![Component::own(LEARNING, Kind::Scheduler)];
        if let Some(relay) = state.tree.courier.relay() {
            let component = Component {
                outside: outside(&format!("smtp://{relay}")),
                ..Component::own(SMTP, Kind::Smtp)
            };
            components.push(match component.outside {
                Some(_) => component.below(UPLINK),
                None => component,
            });
        }
        if state.tree.knowledge.store.is_some() {
            let component = Component {
                outside: outside(&state.config.vector_store.url),
                ..Component::own(VECTOR_STORE, Kind::VectorStore)
            };
            components.push(match component.outside {
                Some(_) => component.below(UPLINK),
                None => component,
            });
        }
        // Before it is known whether anything is pushed, it is not gone: what was known of it stands.
        let standing = state.tree.remote.standing.load();
        let version = match standing.as_deref() {
            None => Some(0),
            Some(pushed) => pushed.as_ref().map(|standing| standing.version),
        };
        if let Some(version) = version {
            components.push(Component {
                version,
                ..Component::own(REMOTE_BACKUP, Kind::RemoteBackup)
            });
        }
        components
    }

    async fn look(&self, component: &Component) -> Finding {
        let Some(state) = self.state.upgrade() else {
            return Finding::of(Seen::Nothing);
        };
        match component.id.as_str() {
            SMTP => self.relay(&state).await,
            REMOTE_BACKUP => {
                let standing = state.tree.remote.standing.load();
                pushing(standing.as_deref().and_then(Option::as_ref))
            }
            VECTOR_STORE => match &state.tree.knowledge.store {
                Some(store) => vector_store(&state, &**store).await,
                None => Finding::of(Seen::Nothing),
            },
            LEARNING => {
                let every = state.settings.load().learn_every;
                let rounds = &state.tree.learning;
                let standing = (rounds.get(), rounds.begun());
                learning(standing, every, state.clock.now_micros())
            }
            _ => Finding::of(Seen::Nothing),
        }
    }
}

/// Nothing is lost while pushes fail: rows wait.
fn pushing(standing: Option<&Standing>) -> Finding {
    let Some(standing) = standing else {
        return Finding::of(Seen::Nothing);
    };
    let seen = match standing.attempts {
        0 => return Finding::up(),
        attempts if attempts < DOWN_AFTER => Seen::Impaired,
        _ => Seen::Down,
    };
    let why = standing
        .last_error
        .as_deref()
        .unwrap_or("it is not said why");
    let reason = format!(
        "{} pushes in a row failed; rows wait: {why}",
        standing.attempts
    );
    Finding::of(seen).because("remote_backup_failing", reason)
}

async fn vector_store(state: &AppState, store: &dyn VectorStore) -> Finding {
    let begun = Instant::now();
    let looked = store.look().await;
    let latency_ms = millis(begun);
    let read = &state.databases.control_read;
    let model = &*state.tree.knowledge.model;
    let known = async {
        let shelves = Shelves::of(read, store).await?;
        let upto = shelves.by_model.get(model).map_or((0, 0), |it| it.upto);
        let waiting = qa_vector::count_after(read, Scope::All, model, upto).await?;
        Ok::<_, sea_orm::DbErr>((outage::all(read).await?.remove(outage::STORE), waiting))
    };
    // Without the database there is another component to say so.
    let (outage, waiting) = known.await.unwrap_or_default();
    let is_asked = !matches!(looked, Ok(false));
    let looked = looked.map_err(|failed| failed.sentence);
    let finding = storing(looked.err(), outage.as_ref(), waiting);
    match is_asked {
        true => finding.after_ms(latency_ms),
        false => finding,
    }
}

/// While it cannot be asked questions to it fail, and vectors wait.
fn storing(refused: Option<String>, outage: Option<&Outage>, waiting: u64) -> Finding {
    let waits = match waiting {
        0 => "No vector waits to be pushed".to_owned(),
        1 => "One vector waits to be pushed".to_owned(),
        many => format!("{many} vectors wait to be pushed"),
    };
    if let Some(why) = refused {
        return Finding::of(Seen::Down)
            .because("vector_store_unavailable", format!("{waits}: {why}"));
    }
    let Some(outage) = outage else {
        return Finding::up();
    };
    let seen = match outage.attempts {
        attempts if attempts < DOWN_AFTER => Seen::Impaired,
        _ => Seen::Down,
    };
    let reason = format!(
        "{waits}; {} passes in a row failed: {}",
        outage.attempts, outage.error
    );
    Finding::of(seen).because("vector_store_failing", reason)
}

/// `latest`: the round that ended last, and when the first began, which may hang still.
fn learning(
    (latest, begun): (Option<Round>, Option<i64>),
    every: Duration,
    now_micros: i64,
) -> Finding {
    if latest.as_ref().is_some_and(|latest| latest.has_failed) {
        let reason = "Feedback cannot be read, or what it teaches not written down.";
        return Finding::of(Seen::Impaired).because("learning_fails", reason);
    }
    let Some(heard_of) = latest.as_ref().map(|latest| latest.at).or(begun) else {
        return Finding::of(Seen::Nothing);
    };
    let late = micros(
        every
            .saturating_mul(ROUNDS_LATE)
            .saturating_add(ROUND_TAKES),
    );
    if now_micros.saturating_sub(heard_of) > late {
        return Finding::of(Seen::Down).because("learning_stopped", "No round has ended for long.");
    }
    match latest {
        Some(_) => Finding::up(),
        None => Finding::of(Seen::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_that_hangs_in_its_first_round_has_stopped() {
        let every = Duration::from_secs(60);
        let late = micros(every * ROUNDS_LATE + ROUND_TAKES);
        assert_eq!(learning((None, None), every, 9).seen, Seen::Nothing);
        assert_eq!(learning((None, Some(0)), every, late).seen, Seen::Nothing);
        let hangs = learning((None, Some(0)), every, late + 1);
        assert_eq!(
            (hangs.seen, hangs.code),
            (Seen::Down, Some("learning_stopped"))
        );
        let ended = |at, has_failed| Some(Round { at, has_failed });
        let after = |round| learning((round, Some(0)), every, 2 * late).seen;
        assert_eq!(after(ended(late, false)), Seen::Up);
        assert_eq!(after(ended(late, true)), Seen::Impaired);
        assert_eq!(after(ended(late - 1, false)), Seen::Down);
    }

    #[test]
    fn a_vector_store_is_as_it_answers_and_as_pushing_to_it_goes() {
        let after = |attempts| {
            let outage = Outage {
                attempts,
                error: "503".to_owned(),
                failed_at: 1,
                next_at: 2,
            };
            storing(None, Some(&outage), 7)
        };
        assert_eq!(after(2).seen, Seen::Impaired);
        assert_eq!(after(3).seen, Seen::Down);
        assert_eq!(
            after(3).reason.as_deref(),
            Some("7 vectors wait to be pushed; 3 passes in a row failed: 503")
        );
        assert_eq!(storing(None, None, 7).seen, Seen::Up, "it is being filled");
        let refused = storing(Some("it answered 401".to_owned()), None, 0);
        assert_eq!(
            (refused.seen, refused.reason.as_deref()),
            (
                Seen::Down,
                Some("No vector waits to be pushed: it answered 401")
            )
        );
    }

    #[test]
    fn pushes_that_fail_once_are_a_hiccup_and_rows_wait() {
        let after = |attempts| {
            let standing = Standing {
                attempts,
                last_error: Some("503".to_owned()),
                version: 1,
            };
            pushing(Some(&standing))
        };
        let seen = [0, 1, 2, 3, 30].map(|attempts| after(attempts).seen);
        let expected = [
            Seen::Up,
            Seen::Impaired,
            Seen::Impaired,
            Seen::Down,
            Seen::Down,
        ];
        assert_eq!(seen, expected);
        assert_eq!(
            after(2).reason.as_deref(),
            Some("2 pushes in a row failed; rows wait: 503")
        );
        assert_eq!(pushing(None).seen, Seen::Nothing);
    }
}
