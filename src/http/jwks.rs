//! Fetching an issuer's public keys from an address that an operator typed, and keeping them: [`egress`]'s refusals hold,
//! redirects are not followed, and an answer is a key set only when there is a key in it to verify with.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use sea_orm::DbErr;
use serde_json::Value;
use steward_actors::domain::issuer::{IssuerKey, keys_of_jwks};
use steward_entities::database::begin_write;
use steward_entities::jwt_issuer;

use super::egress::{self, NoAnswer, Reach};
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// Shorter than a look of `health_prober` may take, so that it is this that tells.
const WITHIN: Duration = Duration::from_secs(8);
const ANSWER_MAX_BYTES: usize = 256 << 10;
/// How often it is written down that keys were fetched and are the same.
const TOLD_EVERY_US: i64 = 3_600_000_000;

/// Why there are no keys; no secret in it.
#[derive(Debug, thiserror::Error)]
pub enum NoKeys {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("it answered {0} instead of 200")]
    Status(u16),
    #[error("the answer is no key set with a key of RS256, ES256 or EdDSA in it")]
    NoKeySet,
}

impl NoKeys {
    /// Stable name.
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::NoAnswer(NoAnswer::Refused) => "egress_refused",
            Self::NoAnswer(NoAnswer::TimedOut(_)) => "timed_out",
            Self::NoAnswer(NoAnswer::Failed(_)) => "unreachable",
            Self::Status(_) => "status",
            Self::NoKeySet => "no_key_set",
        }
    }
}

/// Reads the address of a key set. Keys that are fetched in clear can be replaced on the way: that is for networks of
/// one's own.
///
/// # Errors
/// `validation_failed`, naming `field`.
pub fn address(field: &str, text: &str, reach: Reach) -> Result<String, ApiError> {
    let url = egress::whole_url(field, text)?;
    match reach == Reach::Public && !url.starts_with("https://") {
        true => Err(ApiError::invalid(
            field,
            "must begin with https://: keys that are fetched in clear can be replaced on the way",
        )),
        false => Ok(url),
    }
}

/// Fetches a key set that has keys to verify with.
///
/// # Errors
/// See [`NoKeys`].
pub async fn fetch(state: &AppState, url: &str) -> Result<Value, NoKeys> {
    let tls = state.gateway.tls().clone();
    let reach = Reach::of(state.config.egress.allow_private);
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json, application/jwk-set+json");
    headers.insert(header::ACCEPT, json);
    let bounds = (WITHIN, ANSWER_MAX_BYTES);
    let fetched = egress::get(tls, url, headers, bounds, reach).await?;
    if fetched.status != 200 {
        return Err(NoKeys::Status(fetched.status));
    }
    let jwks: Value = serde_json::from_slice(&fetched.body).map_err(|_| NoKeys::NoKeySet)?;
    match keys_of_jwks(&jwks).is_empty() {
        true => Err(NoKeys::NoKeySet),
        false => Ok(jwks),
    }
}

/// Brings a fetched set into force, if it holds other keys than those known. That it holds the same is written down once an
/// hour.
///
/// # Errors
/// When the database cannot be written.
pub async fn keep(
    state: &AppState,
    public_id: &str,
    known: &[IssuerKey],
    set: Value,
) -> Result<(), DbErr> {
    let now = state.clock.now_micros();
    if keys_of_jwks(&set) == known {
        let row = jwt_issuer::by_public_id(&state.databases.control_read, public_id).await?;
        let at = row.and_then(|row| row.jwks_fetched_at);
        if at.is_some_and(|at| now.saturating_sub(at) < TOLD_EVERY_US) {
            return Ok(());
        }
        let txn = begin_write(&state.databases.control).await?;
        jwt_issuer::fetched_same(&txn, public_id, now).await?;
        return txn.commit().await;
    }
    let txn = begin_write(&state.databases.control).await?;
    jwt_issuer::fetched(&txn, public_id, set, now).await?;
    txn.commit().await?;
    // When the gateway cannot be told, it sees the new revision within a second.
    let _ = state.apply_to_gateway().await;
    tracing::info!(issuer = public_id, "an issuer's keys have changed");
    Ok(())
}

/// The refusal of an address whose keys could not be fetched.
pub fn refused(field: &str, cause: &NoKeys) -> ApiError {
    match cause {
        NoKeys::NoAnswer(NoAnswer::Refused) => ApiError::new(ErrorCode::EgressRefused)
            .detail("Private addresses are called only when `egress.allow_private` says so, metadata addresses never.")
            .field(field, cause.to_string()),
        _ => ApiError::invalid(field, format!("no keys are there: {cause}")),
    }
}
