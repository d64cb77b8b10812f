//! Tokens of signed-in users: JWTs of the issuers that an operator has set up, verified from memory alone.
//!
//! Strict on what a token must say: the algorithm is its key's and no other, the issuer is one we know, the audience is
//! ours, it has a user and an end. What was verified is remembered by the hash of its bytes, per thread, bounded, until
//! it ends or the snapshot has another issuer of that name: a call with a token seen before costs one hash, no lock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;
use steward_actors::domain::issuer::{Algorithm, IssuerView, Proof};
use steward_actors::domain::snapshot::Snapshot;

use super::token_key::{KeyHash, hash};
use crate::error::catalog::ErrorCode;

/// Tokens remembered by a thread.
const REMEMBERED: usize = 1_024;
/// Longer ones are no user's.
const LENGTH_MAX: usize = 8 * 1024;
/// Longest user, in bytes: what a record keeps.
const USER_MAX_BYTES: usize = 160;
/// Clocks may differ by so much where a token says from when it is good.
const NOT_BEFORE_LEEWAY_US: i64 = 60_000_000;

/// A token that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    pub issuer: Arc<IssuerView>,
    /// The `sub`.
    pub user: Arc<str>,
    /// When it ends, microseconds since the Unix epoch.
    pub until: i64,
}

/// Why a token is not taken. Said to the caller: nothing of it helps to forge one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("It is longer than 8 KiB.")]
    TooLong,
    #[error("It is no JWT with `iss`, `sub`, `aud` and `exp` of the right types.")]
    Malformed,
    #[error("No issuer in force here has its `iss`.")]
    IssuerUnknown,
    #[error("The issuer has no key of its `kid`.")]
    KeyUnknown,
    #[error("Its `alg` is not the algorithm of the issuer's key.")]
    AlgorithmRefused,
    #[error("Its signature does not hold.")]
    SignatureInvalid,
    #[error("The issuer's audience is not among its `aud`.")]
    AudienceWrong,
    #[error("Its `sub` is empty, longer than 160 bytes, or holds control characters.")]
    UserInvalid,
    #[error("It holds only from a later time on (`nbf`).")]
    NotYetValid,
    #[error("It has expired, or the key it was signed with is no longer taken.")]
    Expired,
}

impl Fault {
    /// Stable name.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::IssuerUnknown => "issuer_unknown",
            Self::KeyUnknown => "key_unknown",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::SignatureInvalid => "signature_invalid",
            Self::AudienceWrong => "audience_wrong",
            Self::UserInvalid => "user_invalid",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
        }
    }

    /// What the caller is refused with.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Expired => ErrorCode::UserTokenExpired,
            _ => ErrorCode::UserTokenInvalid,
        }
    }
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn holds(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

thread_local! {
    /// What this thread has verified.
    static SEEN: RefCell<HashMap<KeyHash, Verified>> = RefCell::default();
}

/// Whether a credential could be a JWT: told from everything Steward issues by its form.
pub(super) fn looks_like_one(presented: &str) -> bool {
    presented.starts_with("ey") && presented.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Whose token it is.
///
/// # Errors
/// Why it is not taken.
pub(super) fn verify(
    snapshot: &Snapshot,
    presented: &str,
    now_micros: i64,
) -> Result<Verified, Fault> {
    if presented.len() > LENGTH_MAX {
        return Err(Fault::TooLong);
    }
    if snapshot.issuers.is_empty() {
        return Err(Fault::IssuerUnknown);
    }
    let digest = hash(presented);
    let known = SEEN.with_borrow(|seen| seen.get(&digest).cloned());
    if let Some(known) = known {
        let current = snapshot.issuers.get(&known.issuer.issuer);
        if current.is_some_and(|issuer| Arc::ptr_eq(issuer, &known.issuer)) {
            return match now_micros < known.until {
                true => Ok(known),
                false => Err(Fault::Expired),
            };
        }
    }
    let verified = check(snapshot, presented, now_micros)?;
    SEEN.with_borrow_mut(|seen| {
        if seen.len() >= REMEMBERED {
            seen.retain(|_, known| now_micros < known.until);
        }
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(digest, verified.clone());
    });
    Ok(verified)
}

/// [`verify`] with nothing remembered: what a look at an issuer and a test of it do.
///
/// # Errors
/// Why it is not taken.
pub fn check(snapshot: &Snapshot, presented: &str, now: i64) -> Result<Verified, Fault> {
    if presented.len() > LENGTH_MAX {
        return Err(Fault::TooLong);
    }
    let (message, signature) = presented.rsplit_once('.').ok_or(Fault::Malformed)?;
    let (head, claims) = message.split_once('.').ok_or(Fault::Malformed)?;
    let head: Head = read(head).ok_or(Fault::Malformed)?;
    let claims: Claims = read(claims).ok_or(Fault::Malformed)?;
    let not_before = micros(claims.nbf.unwrap_or(0.0))?;
    let expires = micros(claims.exp)?;
    let issuer = snapshot
        .issuers
        .get(&claims.iss)
        .ok_or(Fault::IssuerUnknown)?;
    let key = issuer.key(head.kid.as_deref()).ok_or(Fault::KeyUnknown)?;
    let algorithm = key.proof.algorithm();
    if head.alg != algorithm.as_str() || head.crit.is_some() {
        return Err(Fault::AlgorithmRefused);
    }
    let (decoding, algorithm) = proving(&key.proof).ok_or(Fault::KeyUnknown)?;
    let signed = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoding, algorithm);
    if !signed.unwrap_or(false) {
        return Err(Fault::SignatureInvalid);
    }
    // From here on it is the issuer who speaks.
    if !claims.aud.holds(&issuer.audience) {
        return Err(Fault::AudienceWrong);
    }
    let user = claims.sub.trim();
    if user.is_empty() || user.len() > USER_MAX_BYTES || user.chars().any(char::is_control) {
        return Err(Fault::UserInvalid);
    }
    if not_before > now.saturating_add(NOT_BEFORE_LEEWAY_US) {
        return Err(Fault::NotYetValid);
    }
    let until = expires.min(key.valid_until.unwrap_or(i64::MAX));
    if until <= now {
        return Err(Fault::Expired);
    }
    Ok(Verified {
        issuer: Arc::clone(issuer),
        user: user.into(),
        until,
    })
}

/// The issuer whose `iss` a token bears that it did not sign with a key known here, if its keys are another's: those may
/// have changed since they were fetched.
pub(super) fn stranger(snapshot: &Snapshot, presented: &str) -> Option<Arc<IssuerView>> {
    let mut parts = presented.split('.');
    let claims: Claims = read(parts.nth(1)?)?;
    let issuer = snapshot.issuers.get(&claims.iss)?;
    issuer.jwks_url.is_some().then(|| Arc::clone(issuer))
}

fn read<T: for<'a> Deserialize<'a>>(part: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Seconds since the Unix epoch, whole or not, in microseconds.
fn micros(seconds: f64) -> Result<i64, Fault> {
    const FURTHEST_S: f64 = 9_000_000_000.0;
    match seconds.is_finite() && (0.0..=FURTHEST_S).contains(&seconds) {
        true => Ok((seconds * 1e6) as i64),
        false => Err(Fault::Malformed),
    }
}

fn proving(proof: &Proof) -> Option<(DecodingKey, jsonwebtoken::Algorithm)> {
    let key = match proof {
        Proof::Secret(bytes) => DecodingKey::from_secret(bytes),
        Proof::Rsa { n, e } => DecodingKey::from_rsa_components(n, e).ok()?,
        Proof::P256 { x, y } => DecodingKey::from_ec_components(x, y).ok()?,
        Proof::Ed25519(point) => DecodingKey::from_ed_der(point),
    };
    let algorithm = match proof.algorithm() {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    };
    Some((key, algorithm))
}

#[cfg(test)]
mod tests;
