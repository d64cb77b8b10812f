//! Whose user tokens the gateway takes, and what proves them: values only.
//!
//! An issuer's callers have what one of Steward's tokens has: its tenant, limits, allowed models, budgets and choice about
//! conversations. Verifying is the gateway's (`src/gateway/user_token.rs`); key material never shows in `Debug`.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::snapshot::TokenView;

/// How a token is signed. Nothing else is ever accepted, `none` least of all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Algorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}

impl Algorithm {
    /// As a token's header names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// What proves a signature.
#[derive(Clone, Eq, PartialEq)]
pub enum Proof {
    /// HS256: the secret itself.
    Secret(Vec<u8>),
    /// RS256: modulus and exponent, as a JWK has them.
    Rsa { n: String, e: String },
    /// ES256: the point on P-256, as a JWK has it.
    P256 { x: String, y: String },
    /// EdDSA: the 32 bytes of an Ed25519 public key.
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(…)",
            Self::Rsa { .. } => "Rsa",
            Self::P256 { .. } => "P256",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

impl Proof {
    /// The one algorithm this key is for.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::HS256,
            Self::Rsa { .. } => Algorithm::RS256,
            Self::P256 { .. } => Algorithm::ES256,
            Self::Ed25519(_) => Algorithm::EdDSA,
        }
    }
}

/// A key that tokens may be signed with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuerKey {
    /// `None`: of the issuer's only key, when it gives keys no ids.
    pub kid: Option<String>,
    pub proof: Proof,
    /// Of a key that was rotated out: until when tokens signed with it are taken, microseconds since the Unix epoch.
    pub valid_until: Option<i64>,
}

/// Who vouches for users.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerView {
    pub public_id: String,
    /// As operators call it.
    pub name: String,
    /// Steward itself signs.
    pub is_own: bool,
    /// The `iss` of its tokens, to the letter.
    pub issuer: String,
    /// Must be among a token's `aud`.
    pub audience: String,
    /// What its callers have.
    pub token: Arc<TokenView>,
    /// Where its keys are fetched, when they are another's.
    pub jwks_url: Option<String>,
    pub keys: Vec<IssuerKey>,
}

impl IssuerView {
    /// The key that a token's header asks for. Without a `kid` there must be no choice.
    pub fn key(&self, kid: Option<&str>) -> Option<&IssuerKey> {
        match kid {
            Some(kid) => {
                let named = self.keys.iter().find(|key| key.kid.as_deref() == Some(kid));
                // A shared secret has no id here, whatever the issuer calls it.
                named.or_else(|| self.only().filter(|key| key.kid.is_none()))
            }
            None => self.only(),
        }
    }

    fn only(&self) -> Option<&IssuerKey> {
        match self.keys.as_slice() {
            [key] => Some(key),
            _ => None,
        }
    }
}

/// A key of an issuer of our own, as it lies sealed in its row.
#[derive(Clone, Deserialize, Serialize)]
pub struct StoredKey {
    pub kid: String,
    pub algorithm: Algorithm,
    /// HS256: the secret; EdDSA: the seed. Base64, URL-safe, unpadded.
    pub secret: String,
    /// EdDSA: the public key, likewise.
    pub public: Option<String>,
    /// Set once another signs: until when tokens signed with it are taken, microseconds since the Unix epoch.
    pub valid_until: Option<i64>,
}

impl StoredKey {
    /// What proves tokens signed with it; `None` when what is stored is no key.
    pub fn proving(&self) -> Option<IssuerKey> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let proof = match self.algorithm {
            Algorithm::HS256 => Proof::Secret(bytes(&self.secret)?),
            Algorithm::EdDSA => Proof::Ed25519(bytes(self.public.as_deref()?)?),
            Algorithm::RS256 | Algorithm::ES256 => return None,
        };
        Some(IssuerKey {
            kid: Some(self.kid.clone()),
            proof,
            valid_until: self.valid_until,
        })
    }
}

/// Keys of a set beyond so many are not looked at.
const KEYS_MAX: usize = 64;
/// What an RSA modulus may have: shorter ones are broken, longer ones cost too much to check.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
const P256_BYTES: usize = 32;
const ED25519_BYTES: usize = 32;

/// The keys of a JWK set that tokens may be signed with. Symmetric keys, keys for encryption, weak ones and kinds nobody
/// here knows are left out: a published secret proves nothing.
pub fn keys_of_jwks(jwks: &Value) -> Vec<IssuerKey> {
    let keys = jwks.get("keys").and_then(Value::as_array);
    let keys = keys.into_iter().flatten().filter_map(key_of_jwk);
    keys.take(KEYS_MAX).collect()
}

fn key_of_jwk(jwk: &Value) -> Option<IssuerKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let number = |name: &str, is_fit: &dyn Fn(usize) -> bool| {
        let encoded = text(name)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let significant = bytes.iter().skip_while(|byte| **byte == 0).count();
        is_fit(significant).then(|| (encoded.to_owned(), bytes))
    };
    let point = |name: &str| {
        let (encoded, bytes) = number(name, &|_| true)?;
        (bytes.len() == P256_BYTES).then_some(encoded)
    };
    let proof = match (text("kty")?, text("crv")) {
        ("RSA", _) => Proof::Rsa {
            n: number("n", &|bytes| RSA_BYTES.contains(&bytes))?.0,
            e: number("e", &|bytes| (1..=4).contains(&bytes))?.0,
        },
        ("EC", Some("P-256")) => Proof::P256 {
            x: point("x")?,
            y: point("y")?,
        },
        ("OKP", Some("Ed25519")) => {
            let (_, bytes) = number("x", &|_| true)?;
            Proof::Ed25519((bytes.len() == ED25519_BYTES).then_some(bytes)?)
        }
        _ => return None,
    };
    if text("alg").is_some_and(|named| named != proof.algorithm().as_str()) {
        return None;
    }
    Some(IssuerKey {
        kid: text("kid").map(str::to_owned),
        proof,
        valid_until: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_set_gives_only_what_proves() {
        let point = URL_SAFE_NO_PAD.encode([7; 32]);
        let modulus = URL_SAFE_NO_PAD.encode([7; 256]);
        let short = URL_SAFE_NO_PAD.encode([[0; 128], [7; 128]].concat());
        let keys = keys_of_jwks(&json!({"keys": [
            {"kty": "RSA", "kid": "a", "n": modulus, "e": "AQAB", "use": "sig", "alg": "RS256"},
            {"kty": "EC", "kid": "b", "crv": "P-256", "x": point, "y": point},
            {"kty": "OKP", "kid": "c", "crv": "Ed25519", "x": point},
            {"kty": "oct", "kid": "d", "k": "c2VjcmV0"},
            {"kty": "RSA", "kid": "e", "n": modulus, "e": "AQAB", "use": "enc"},
            {"kty": "RSA", "kid": "f", "n": modulus, "e": "AQAB", "alg": "RS512"},
            {"kty": "EC", "kid": "g", "crv": "P-384", "x": point, "y": point},
            {"kty": "EC", "kid": "j", "crv": "P-256", "x": point, "y": "AA"},
            {"kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "l", "n": short, "e": "AQAB"},
            {"kty": "RSA", "kid": "m", "n": modulus, "e": ""},
            {"kty": "OKP", "kid": "h", "crv": "Ed25519", "x": "AA"},
            {"kty": "RSA", "kid": "i", "e": "AQAB"},
            "nonsense",
        ]}));
        let found: Vec<_> = keys
            .iter()
            .map(|key| (key.kid.as_deref().unwrap(), key.proof.algorithm()))
            .collect();
        assert_eq!(
            found,
            [
                ("a", Algorithm::RS256),
                ("b", Algorithm::ES256),
                ("c", Algorithm::EdDSA)
            ]
        );
        assert!(
            keys_of_jwks(&json!({"keys": 1})).is_empty() && keys_of_jwks(&json!([])).is_empty()
        );
        let many = vec![json!({"kty": "OKP", "crv": "Ed25519", "x": point}); 2 * KEYS_MAX];
        assert_eq!(keys_of_jwks(&json!({ "keys": many })).len(), KEYS_MAX);
        assert!(!format!("{:?}", Proof::Secret(b"hush".to_vec())).contains("104"));
    }
}
