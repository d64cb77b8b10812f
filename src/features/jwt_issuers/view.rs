//! Issuers as they are asked for and shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use steward_actors::domain::issuer::{Algorithm, IssuerView, Proof, StoredKey, keys_of_jwks};
use steward_entities::{jwt_issuer, token};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::gateway::user_token::{Fault, Verified};
use crate::http::range::rfc3339;

/// Who signs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IssuerKind {
    /// Steward itself.
    Own,
    /// Another, whose public keys are fetched.
    Jwks,
    /// Another, by HS256 with a secret that both know.
    Secret,
}

/// How an issuer of our own signs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(super) enum IssuerAlgorithm {
    EdDSA,
    HS256,
}

impl From<IssuerAlgorithm> for Algorithm {
    fn from(algorithm: IssuerAlgorithm) -> Self {
        match algorithm {
            IssuerAlgorithm::EdDSA => Self::EdDSA,
            IssuerAlgorithm::HS256 => Self::HS256,
        }
    }
}

/// An issuer to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewIssuer {
    #[schema(min_length = 1, max_length = 64)]
    pub(super) name: String,
    pub(super) kind: IssuerKind,
    /// The `iss` of its tokens, to the letter.
    #[schema(min_length = 1, max_length = 300)]
    pub(super) issuer: String,
    /// Must be among their `aud`.
    #[schema(min_length = 1, max_length = 300)]
    pub(super) audience: String,
    /// The API key whose tenant, limits, models, budgets and choice about conversations its callers have.
    pub(super) token_id: String,
    /// Of an issuer of our own; EdDSA unless given.
    pub(super) algorithm: Option<IssuerAlgorithm>,
    /// Of the kind `jwks`.
    #[schema(max_length = 500)]
    pub(super) jwks_url: Option<String>,
    /// Of the kind `secret`.
    #[schema(min_length = 32, max_length = 512)]
    pub(super) secret: Option<String>,
    /// Seconds that a token of ours holds unless asked otherwise; 3600 unless given.
    #[schema(minimum = 60, maximum = 2592000)]
    pub(super) ttl_s: Option<i64>,
    pub(super) enabled: Option<bool>,
}

impl NewIssuer {
    /// Refuses what belongs to another kind of issuer: somebody meant something else.
    pub(super) fn expect_only_its_kinds(&self) -> Result<(), ApiError> {
        let given = [
            ("algorithm", self.algorithm.is_some(), IssuerKind::Own),
            ("jwks_url", self.jwks_url.is_some(), IssuerKind::Jwks),
            ("secret", self.secret.is_some(), IssuerKind::Secret),
        ];
        match given.iter().find(|(_, is, of)| *is && *of != self.kind) {
            Some((field, ..)) => Err(ApiError::invalid(*field, "belongs to another kind")),
            None => Ok(()),
        }
    }
}

/// What to change of an issuer. A field that is missing stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerChanges {
    #[schema(min_length = 1, max_length = 64)]
    pub(super) name: Option<String>,
    #[schema(min_length = 1, max_length = 300)]
    pub(super) audience: Option<String>,
    pub(super) token_id: Option<String>,
    #[schema(max_length = 500)]
    pub(super) jwks_url: Option<String>,
    #[schema(min_length = 32, max_length = 512)]
    pub(super) secret: Option<String>,
    #[schema(minimum = 60, maximum = 2592000)]
    pub(super) ttl_s: Option<i64>,
    pub(super) enabled: Option<bool>,
}

/// How to rotate.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Seconds that tokens of the key before are still taken; a day unless given.
    #[schema(minimum = 0, maximum = 2592000)]
    pub(super) grace_s: Option<i64>,
    /// Of the new key; the same as before unless given.
    pub(super) algorithm: Option<IssuerAlgorithm>,
}

/// Whose token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenWish {
    /// The user.
    #[schema(min_length = 1, max_length = 160)]
    pub(super) sub: String,
    /// Seconds that it holds; the issuer's unless given.
    #[schema(minimum = 60, maximum = 2592000)]
    pub(super) ttl_s: Option<i64>,
}

/// A token just issued.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedUserToken {
    pub(super) token: String,
    /// `Bearer`.
    pub(super) token_type: &'static str,
    pub(super) expires_at: String,
    /// Seconds.
    pub(super) expires_in: i64,
}

/// What to try an issuer with.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestWish {
    /// A token to look at; kept nowhere. Without one the issuer itself is tried.
    #[schema(max_length = 8192)]
    pub(super) token: Option<String>,
}

/// What came of trying an issuer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuerTest {
    pub(super) ok: bool,
    pub(super) latency_ms: u64,
    /// Stable name of what is wrong, such as `signature_invalid` or `timed_out`.
    pub(super) code: Option<&'static str>,
    /// The same for people.
    message: Option<String>,
    /// The user of the token that was looked at.
    user: Option<String>,
    /// When that token ends.
    expires_at: Option<String>,
    /// Keys that were found at its address.
    keys: Option<usize>,
}

impl IssuerTest {
    pub(super) fn failed(code: &'static str, message: String) -> Self {
        Self {
            ok: false,
            latency_ms: 0,
            code: Some(code),
            message: Some(message),
            user: None,
            expires_at: None,
            keys: None,
        }
    }

    pub(super) fn of_keys(found: usize) -> Self {
        Self {
            ok: true,
            code: None,
            message: None,
            keys: Some(found),
            ..Self::failed("", String::new())
        }
    }

    /// Whether the gateway takes a token, and for one of the issuer of that public id.
    pub(super) fn of_token(issuer: &str, taken: Result<Verified, Fault>) -> Self {
        match taken {
            Err(fault) => Self::failed(fault.slug(), fault.to_string()),
            Ok(taken) if taken.issuer.public_id != issuer => Self::failed(
                "another_issuer",
                format!("It is a token of the issuer {}.", taken.issuer.name),
            ),
            Ok(taken) => Self {
                ok: true,
                code: None,
                message: None,
                user: Some(taken.user.to_string()),
                expires_at: Some(rfc3339(taken.until)),
                ..Self::failed("", String::new())
            },
        }
    }
}

/// Public keys, as RFC 7517 has them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JwkSet {
    keys: Vec<PublicJwk>,
}

/// An Ed25519 public key.
#[derive(Debug, Serialize, ToSchema)]
struct PublicJwk {
    /// `OKP`.
    kty: &'static str,
    /// `Ed25519`.
    crv: &'static str,
    /// `EdDSA`.
    alg: &'static str,
    /// `sig`.
    r#use: &'static str,
    kid: String,
    x: String,
}

impl JwkSet {
    pub(super) fn of(issuer: &IssuerView, now_micros: i64) -> Self {
        let taken = issuer
            .keys
            .iter()
            .filter(|key| key.valid_until.is_none_or(|until| until > now_micros));
        let keys = taken.filter_map(|key| match (&key.proof, &key.kid) {
            (Proof::Ed25519(point), Some(kid)) => Some(PublicJwk {
                kty: "OKP",
                crv: "Ed25519",
                alg: "EdDSA",
                r#use: "sig",
                kid: kid.clone(),
                x: URL_SAFE_NO_PAD.encode(point),
            }),
            _ => None,
        });
        Self {
            keys: keys.collect(),
        }
    }
}

/// An issuer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuerShown {
    pub(super) id: String,
    name: String,
    /// `own`, `jwks` or `secret`.
    kind: String,
    issuer: String,
    audience: String,
    /// The API key whose settings its callers have.
    token_id: Option<String>,
    token_name: Option<String>,
    /// Where its public keys are: another's, fetched from there; our own, published there (a path of this server).
    jwks_url: Option<String>,
    /// When its keys were fetched last.
    jwks_fetched_at: Option<String>,
    /// What tokens may be signed with, the one in force first.
    keys: Vec<IssuerKeyShown>,
    ttl_s: i64,
    enabled: bool,
    created_by: String,
    created_at: String,
    updated_at: String,
    pub(super) version: i64,
}

/// A key of an issuer, without what is secret of it.
#[derive(Debug, Serialize, ToSchema)]
struct IssuerKeyShown {
    /// Null where the issuer gives its keys no ids.
    kid: Option<String>,
    /// `EdDSA`, `HS256`, `RS256` or `ES256`.
    algorithm: &'static str,
    /// The public key, so that others can verify too: the `x` of a JWK. EdDSA of our own only.
    public_key: Option<String>,
    /// Until when it is taken; null while it signs.
    valid_until: Option<String>,
}

impl IssuerShown {
    pub(super) fn of(
        row: jwt_issuer::Model,
        policy: Option<token::Model>,
        stored: &[StoredKey],
    ) -> Self {
        let mut keys: Vec<IssuerKeyShown> = stored
            .iter()
            .map(|key| IssuerKeyShown {
                kid: Some(key.kid.clone()).filter(|kid| !kid.is_empty()),
                algorithm: key.algorithm.as_str(),
                public_key: key.public.clone(),
                valid_until: key.valid_until.map(rfc3339),
            })
            .collect();
        let others = row.jwks.as_ref().map(keys_of_jwks).unwrap_or_default();
        keys.extend(others.into_iter().map(|key| IssuerKeyShown {
            kid: key.kid,
            algorithm: key.proof.algorithm().as_str(),
            public_key: None,
            valid_until: None,
        }));
        let published = format!("/api/v1/jwt-issuers/{}/jwks", row.public_id);
        let jwks_url = match row.kind.as_str() {
            jwt_issuer::OWN => Some(published),
            _ => row.jwks_url,
        };
        let (token_id, token_name) = policy.map(|row| (row.public_id, row.name)).unzip();
        Self {
            id: row.public_id,
            name: row.name,
            kind: row.kind,
            issuer: row.issuer,
            audience: row.audience,
            token_id,
            token_name,
            jwks_url,
            jwks_fetched_at: row.jwks_fetched_at.map(rfc3339),
            keys,
            ttl_s: row.ttl_s,
            enabled: row.enabled,
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}
