//! Signing keys of issuers of user tokens: made, opened, and used. For issuers of our own, and for those whose secret we
//! share; what such a token then opens is the gateway's to say (`gateway/user_token.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use steward_actors::domain::issuer::{Algorithm, StoredKey};
use steward_actors::snapshot_source::{issuer_keys, seal_issuer_keys};
use steward_actors::vault::{Sealed, Vault};
use steward_entities::{jwt_issuer, public_id};

use crate::error::ApiError;

/// PKCS #8 of an Ed25519 key is this and its seed.
const ED25519_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

/// A secret that another signs with too, HS256.
pub(crate) fn shared(secret: &str) -> StoredKey {
    StoredKey {
        kid: String::new(),
        algorithm: Algorithm::HS256,
        secret: URL_SAFE_NO_PAD.encode(secret),
        public: None,
        valid_until: None,
    }
}

/// A key of 32 random bytes.
pub(crate) fn new_key(algorithm: Algorithm) -> Result<StoredKey, ApiError> {
    let bytes: [u8; 32] = rand::random();
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    let public = match algorithm {
        Algorithm::EdDSA => {
            let key = EncodingKey::from_ed_der(&pkcs8(&bytes));
            let jwk = Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::EdDSA);
            match jwk.map_err(ApiError::internal)?.algorithm {
                AlgorithmParameters::OctetKeyPair(pair) => Some(pair.x),
                _ => None,
            }
        }
        _ => None,
    };
    Ok(StoredKey {
        kid: public_id::new("kid"),
        algorithm,
        secret,
        public,
        valid_until: None,
    })
}

/// A seed of an Ed25519 key as the signer takes it.
pub(crate) fn pkcs8(seed: &[u8]) -> Vec<u8> {
    [ED25519_PREFIX.as_slice(), seed].concat()
}

/// Seals keys for their row.
pub(crate) fn seal(vault: &Vault, id: &str, keys: &[StoredKey]) -> Result<Sealed, ApiError> {
    seal_issuer_keys(vault, id, keys).map_err(ApiError::internal)
}

/// The keys that lie sealed in a row; none where they are another's.
pub(crate) fn open(vault: &Vault, row: &jwt_issuer::Model) -> Result<Vec<StoredKey>, ApiError> {
    issuer_keys(vault, row).map_err(ApiError::internal)
}

/// A token for `user`, signed with the key in force.
pub(crate) fn sign(
    row: &jwt_issuer::Model,
    keys: &[StoredKey],
    user: &str,
    now_s: i64,
    ttl_s: i64,
) -> Result<String, ApiError> {
    let key = keys.iter().find(|key| key.valid_until.is_none());
    let key = key.ok_or_else(|| ApiError::internal("an issuer without a key in force"))?;
    let bytes = URL_SAFE_NO_PAD
        .decode(&key.secret)
        .map_err(ApiError::internal)?;
    let (encoding, algorithm) = match key.algorithm {
        Algorithm::EdDSA => (
            EncodingKey::from_ed_der(&pkcs8(&bytes)),
            jsonwebtoken::Algorithm::EdDSA,
        ),
        _ => (
            EncodingKey::from_secret(&bytes),
            jsonwebtoken::Algorithm::HS256,
        ),
    };
    let claims = Claims {
        iss: &row.issuer,
        aud: &row.audience,
        sub: user,
        iat: now_s,
        exp: now_s.saturating_add(ttl_s),
        jti: public_id::new("jti"),
    };
    let mut header = Header::new(algorithm);
    // A shared secret has no id of ours.
    header.kid = Some(key.kid.clone()).filter(|kid| !kid.is_empty());
    jsonwebtoken::encode(&header, &claims, &encoding).map_err(ApiError::internal)
}
