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
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;
    use steward_actors::domain::issuer::{IssuerKey, keys_of_jwks};
    use steward_actors::domain::redaction::RedactionMode;
    use steward_actors::domain::snapshot::TokenView;

    use super::*;

    const NOW_S: i64 = 1_773_599_400;
    const NOW: i64 = NOW_S * 1_000_000;
    const SHARED: &[u8] = b"a secret of at least thirty-two bytes";
    /// Made by OpenSSL, so that two implementations have to agree.
    const RSA_N: &str = "uriOuTYAvgkJX-bKRAmuUZMaWqLBpitYNwu0a9icHRRLobRP8KPdn8m5TRgdsiMOHUSMgKe6bhs5iRnISu-1NwpIhqzqaIw6zUyWg05QV09U0n8HBPSEM7Q0dNIo7dlhde4yQrznrMBs27TlqX1eXbLCD1mKmkAuErn5irwesBAK7msqpc8tqw9XgQPN1m0h2IAaKcEMeJM17i_fFReAMNXYue-Y-C5Q9ERWdf6H9104Ft_W4h08yzBkm4gj2lOaihMDS6SgGNgYDUHtarAKAOALaExWXdVcIQ41wHZOutBFJKuBzI7JkNS-hZOnWQ9UfLuqFGMQUtlqJxc1bc3NYQ";
    const EC_X: &str = "7VqhAxQC1MJijoDuSyD0-6SsIMk4oJuc3FG6-i8L7Cs";
    const EC_Y: &str = "kRKVl836BdLftUS5iwe7tftVhcUIjx9UD6kcF3Rxnhw";
    const RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoic3Rld2FyZCIsInN1YiI6InVzZXItMSIsImV4cCI6MTc3MzYwMDAwMH0.KxTwU___EPnhdKOiMp8b-40K-8xvzuhP9ZtZOCWSjo0YqZDe5uaQ2YKVUUNj5hYWL1AAhIv0HmPyKcQJuexi8usMLc932JhsQ3EdLMpK7dBVfaUg4KGtREmA3yPWutpbN9Yfvr7B32bRXnzGdyoFLEnhxkTS0DzgMFbZuUwrbx8YcQn_Wj8PnhNK-TXlqomxkamDUolckBjNNAPklkUv4hePMekNLtdjUvssN8klMAqYR0H6reLv6QYL-okXgE0xhe89z8XnND81sTryP0pFvygyRtwBTGsZ8YQ_4GkUGcD-CLXnGSVB01NvIrTR7KUKySfff9QBIzZKWSE-v4j5QQ";
    const ES256: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImVjIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoic3Rld2FyZCIsInN1YiI6InVzZXItMSIsImV4cCI6MTc3MzYwMDAwMH0.S_5JMDHuSIwgj-quQlo7NaID3CC49juDNsRcSI6GgkcPYQycCv_gNNGGfZ8hqujgkGgIJjZIpBTZuGdbIrZLQQ";

    fn snapshot(keys: Vec<IssuerKey>) -> Snapshot {
        let token = TokenView {
            id: 1,
            public_id: "tok_1".into(),
            name: "web users".into(),
            tenant_id: 0,
            tenant_public_id: String::new(),
            tenant_name: String::new(),
            tenant_suspended: false,
            app: String::new(),
            enabled: true,
            expires_at: None,
            allowed_models: None,
            rpm: None,
            tpm: None,
            concurrency: None,
            token_quota: None,
            budget: Default::default(),
            tenant_budget: Default::default(),
            enable_conversation_logging: false,
            redaction: RedactionMode::Redact,
        };
        let issuer = IssuerView {
            public_id: "iss_1".into(),
            name: "id".into(),
            is_own: false,
            issuer: "https://id.example.com".into(),
            audience: "steward".into(),
            token: Arc::new(token),
            jwks_url: None,
            keys,
        };
        Snapshot {
            issuers: HashMap::from([(issuer.issuer.clone(), Arc::new(issuer))]),
            ..Snapshot::default()
        }
    }

    fn of_secret() -> Snapshot {
        snapshot(vec![IssuerKey {
            kid: None,
            proof: Proof::Secret(SHARED.to_vec()),
            valid_until: None,
        }])
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example.com", "aud": "steward", "sub": "user-1", "exp": NOW_S + 600})
    }

    fn signed(header: &Header, claims: &Value, key: &[u8]) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key)).unwrap()
    }

    fn raw(header: &Value, claims: &str, signature: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{signature}", part(&header.to_string()), part(claims))
    }

    #[test]
    fn public_keys_verify_what_another_signed_and_nothing_is_signed_with_them() {
        let set = json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "n": RSA_N, "e": "AQAB", "alg": "RS256", "use": "sig"},
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": EC_X, "y": EC_Y},
        ]});
        let snapshot = snapshot(keys_of_jwks(&set));
        for token in [RS256, ES256] {
            assert_eq!(&*check(&snapshot, token, NOW).unwrap().user, "user-1");
            let (message, signature) = token.rsplit_once('.').unwrap();
            let first = if signature.starts_with('A') { "B" } else { "A" };
            let forged = format!("{message}.{first}{}", &signature[1..]);
            let refused = check(&snapshot, &forged, NOW).unwrap_err();
            assert_eq!(refused, Fault::SignatureInvalid);
        }
        // What everybody knows is no secret: HMAC with the public key in any of its forms.
        for known in [
            RSA_N.as_bytes(),
            &URL_SAFE_NO_PAD.decode(RSA_N).unwrap(),
            set.to_string().as_bytes(),
        ] {
            let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
            header.kid = Some("rsa".into());
            let refused = check(&snapshot, &signed(&header, &claims(), known), NOW).unwrap_err();
            assert_eq!(refused, Fault::AlgorithmRefused);
        }
        // A key of one kind is not used for the other's algorithm.
        let swapped = RS256.replacen(
            RS256.split('.').next().unwrap(),
            &URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"ec"}"#),
            1,
        );
        assert_eq!(
            check(&snapshot, &swapped, NOW).unwrap_err(),
            Fault::AlgorithmRefused
        );
        // With several keys a token says which.
        let nameless = RS256.replacen(
            RS256.split('.').next().unwrap(),
            &URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
            1,
        );
        assert_eq!(
            check(&snapshot, &nameless, NOW).unwrap_err(),
            Fault::KeyUnknown
        );
    }

    #[test]
    fn every_fault_has_its_name() {
        let snapshot = of_secret();
        let hs = Header::new(jsonwebtoken::Algorithm::HS256);
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            signed(&hs, &claims, SHARED)
        };
        let without = |name: &str| {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            signed(&hs, &claims, SHARED)
        };
        let good = signed(&hs, &claims(), SHARED);
        let message = good.rsplit_once('.').unwrap().0;
        let head = json!({"alg": "HS256"});
        let text = claims().to_string();
        let twice = text.replacen("{", r#"{"sub":"user-2","#, 1);
        let table = [
            (
                signed(&hs, &claims(), b"another secret of thirty-two bytes"),
                Fault::SignatureInvalid,
            ),
            (
                signed(
                    &Header::new(jsonwebtoken::Algorithm::HS512),
                    &claims(),
                    SHARED,
                ),
                Fault::AlgorithmRefused,
            ),
            (
                raw(&json!({"alg": "none"}), &text, ""),
                Fault::AlgorithmRefused,
            ),
            (
                raw(&json!({"alg": "None"}), &text, ""),
                Fault::AlgorithmRefused,
            ),
            (
                raw(&json!({"alg": "hs256"}), &text, ""),
                Fault::AlgorithmRefused,
            ),
            (
                raw(
                    &json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
                    &text,
                    "",
                ),
                Fault::AlgorithmRefused,
            ),
            (raw(&json!({"alg": ["HS256"]}), &text, ""), Fault::Malformed),
            (format!("{message}."), Fault::SignatureInvalid),
            (raw(&head, &text, "not base64!"), Fault::SignatureInvalid),
            (raw(&head, &twice, "AAAA"), Fault::Malformed),
            (raw(&head, "[]", "AAAA"), Fault::Malformed),
            (raw(&head, &"[".repeat(4_000), "AAAA"), Fault::Malformed),
            ("ey.ey.ey".to_owned(), Fault::Malformed),
            ("ey..".to_owned(), Fault::Malformed),
            (
                with("iss", json!("https://evil.example.com")),
                Fault::IssuerUnknown,
            ),
            (
                with("iss", json!("https://id.example.com/")),
                Fault::IssuerUnknown,
            ),
            (with("aud", json!("other")), Fault::AudienceWrong),
            (with("aud", json!([])), Fault::AudienceWrong),
            (without("aud"), Fault::Malformed),
            (without("sub"), Fault::Malformed),
            (with("sub", json!(7)), Fault::Malformed),
            (with("sub", json!(" ")), Fault::UserInvalid),
            (with("sub", json!("x".repeat(161))), Fault::UserInvalid),
            (with("sub", json!("a\u{0}b")), Fault::UserInvalid),
            (without("exp"), Fault::Malformed),
            (with("exp", json!("soon")), Fault::Malformed),
            (with("exp", json!(-1)), Fault::Malformed),
            (with("exp", json!(1e300)), Fault::Malformed),
            (with("exp", json!(NOW_S)), Fault::Expired),
            (with("exp", json!(NOW_S - 1)), Fault::Expired),
            (with("nbf", json!(NOW_S + 61)), Fault::NotYetValid),
            (
                with("padding", json!("x".repeat(LENGTH_MAX))),
                Fault::TooLong,
            ),
        ];
        for (token, fault) in table {
            let refused = check(&snapshot, &token, NOW).unwrap_err();
            assert_eq!(refused, fault, "{token}");
            assert_eq!(refused.code().status(), 401);
        }
        for good in [
            good,
            with("aud", json!(["a", "steward"])),
            with("nbf", json!(NOW_S + 59)),
            with("exp", json!(NOW_S as f64 + 0.5)),
            with("padding", json!("x".repeat(4_000))),
        ] {
            assert!(check(&snapshot, &good, NOW).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_was_verified_is_remembered_within_bounds_and_no_longer_than_it_holds() {
        let hs = Header::new(jsonwebtoken::Algorithm::HS256);
        let of_secret = of_secret();
        let mut first = String::new();
        for number in 0..REMEMBERED + 10 {
            let mut claims = claims();
            claims["sub"] = json!(format!("user-{number}"));
            first = signed(&hs, &claims, SHARED);
            verify(&of_secret, &first, NOW).unwrap();
            assert!(SEEN.with_borrow(HashMap::len) <= REMEMBERED);
        }
        assert!(SEEN.with_borrow(|seen| seen.contains_key(&hash(&first))));
        verify(&of_secret, &first, NOW + 599_000_000).unwrap();
        let over = verify(&of_secret, &first, NOW + 600_000_000).unwrap_err();
        assert_eq!(over, Fault::Expired);
        // The issuer has another secret now, or is gone: what was remembered of it is worth nothing.
        let other = snapshot(vec![IssuerKey {
            kid: None,
            proof: Proof::Secret(b"another secret of thirty-two bytes".to_vec()),
            valid_until: None,
        }]);
        assert_eq!(
            verify(&other, &first, NOW).unwrap_err(),
            Fault::SignatureInvalid
        );
        assert_eq!(
            verify(&Snapshot::default(), &first, NOW).unwrap_err(),
            Fault::IssuerUnknown
        );
    }
}
