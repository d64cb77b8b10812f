//! Issuers of user tokens: of our own, whether a token just signed is taken by the gateway; of others, whether their key set
//! can be fetched, and what is found anew is in force at once.
//!
//! A set that cannot be fetched leaves the one before in force: an issuer's outage signs nobody out. A token with a key id
//! that nobody knows has the set fetched now. Of a shared secret there is nothing to look at.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Instant;

use async_trait::async_trait;
use steward_actors::domain::health::{Component, Finding, Kind, Seen};
use steward_actors::domain::issuer::IssuerView;
use steward_actors::health::Probe;
use steward_actors::health::UPLINK;
use steward_entities::jwt_issuer;

use super::accounts::outside;
use super::own::{JWT, millis};
use crate::gateway::user_token;
use crate::http::egress::NoAnswer;
use crate::http::jwks::{self, NoKeys};
use crate::issuing;
use crate::state::AppState;

/// What the id of an issuer's component begins with.
pub const ISSUER: &str = "issuer:";
/// Who the token of a look is for, and for how long.
const NOBODY: &str = "steward-health";
const TTL_S: i64 = 60;

pub(super) struct Issuers(pub(super) Weak<AppState>);

impl Issuers {
    fn of(&self, component: &Component) -> Option<(Arc<AppState>, Arc<IssuerView>)> {
        let id = component.id.strip_prefix(ISSUER)?;
        let state = self.0.upgrade()?;
        let snapshot = state.snapshot.load();
        let mut issuers = snapshot.issuers.values();
        let issuer = issuers.find(|issuer| issuer.public_id == id).cloned()?;
        drop(snapshot);
        Some((state, issuer))
    }
}

#[async_trait]
impl Probe for Issuers {
    fn components(&self) -> Vec<Component> {
        let Some(state) = self.0.upgrade() else {
            return Vec::new();
        };
        let snapshot = state.snapshot.load();
        let issuers = snapshot.issuers.values();
        issuers
            .filter(|issuer| issuer.is_own || issuer.jwks_url.is_some())
            .map(|issuer| component(issuer))
            .collect()
    }

    fn is_awaited(&self, component: &Component) -> bool {
        match (self.0.upgrade(), component.id.strip_prefix(ISSUER)) {
            (Some(state), Some(id)) => state.gateway.missing_keys().take(id),
            _ => false,
        }
    }

    async fn look(&self, component: &Component) -> Finding {
        let Some((state, issuer)) = self.of(component) else {
            return Finding::of(Seen::Nothing);
        };
        let begun = Instant::now();
        let finding = match &issuer.jwks_url {
            Some(url) => fetched(&state, Arc::clone(&issuer), url).await,
            None => signed(&state, &issuer).await,
        };
        finding.after_ms(millis(begun))
    }
}

fn component(issuer: &IssuerView) -> Component {
    let id = format!("{ISSUER}{}", issuer.public_id);
    let component = Component {
        name: issuer.name.clone(),
        ..Component::own(id, Kind::Jwt)
    };
    let Some(url) = &issuer.jwks_url else {
        return component.below(JWT);
    };
    let mut hasher = DefaultHasher::new();
    url.hash(&mut hasher);
    let version = hasher.finish().cast_signed();
    match outside(url) {
        None => Component {
            version,
            ..component
        },
        outside => Component {
            version,
            outside,
            ..component.below(UPLINK)
        },
    }
}

async fn fetched(state: &Arc<AppState>, issuer: Arc<IssuerView>, url: &str) -> Finding {
    let set = match jwks::fetch(state, url).await {
        Ok(set) => set,
        Err(cause) => {
            let is_unreachable = matches!(
                &cause,
                NoKeys::NoAnswer(NoAnswer::Failed(_) | NoAnswer::TimedOut(_))
            );
            return Finding {
                is_unreachable,
                ..Finding::of(Seen::Down).because("jwks_unavailable", cause.to_string())
            };
        }
    };
    let mine = Arc::clone(state);
    let keep = async move { jwks::keep(&mine, &issuer.public_id, &issuer.keys, set).await };
    match state.databases.at_home(keep).await {
        Ok(()) => Finding::up(),
        Err(_) => Finding::of(Seen::Impaired)
            .because("jwks_not_kept", "Its new keys cannot be kept at present."),
    }
}

/// A token for nobody, signed and taken as any other.
async fn signed(state: &AppState, issuer: &IssuerView) -> Finding {
    let read = state.databases.control_read.clone();
    let id = issuer.public_id.clone();
    let find = async move { jwt_issuer::by_public_id(&read, &id).await };
    let row = match state.databases.at_home(find).await {
        Ok(Some(row)) => row,
        // Whether the database answers is another's to say.
        Ok(None) | Err(_) => return Finding::of(Seen::Nothing),
    };
    let now = state.clock.now_micros();
    let now_s = now.div_euclid(1_000_000);
    let token = issuing::open(&state.vault, &row)
        .and_then(|keys| issuing::sign(&row, &keys, NOBODY, now_s, TTL_S));
    let down = |code, reason: &str| Finding::of(Seen::Down).because(code, reason);
    match token {
        Err(_) => down("jwt_not_issued", "A token cannot be signed."),
        Ok(token) => match user_token::check(&state.snapshot.load(), &token, now) {
            Ok(_) => Finding::up(),
            Err(fault) => down(
                "jwt_not_verified",
                &format!("A token just signed is not accepted. {fault}"),
            ),
        },
    }
}
