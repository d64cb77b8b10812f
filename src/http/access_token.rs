//! Access tokens of operators: short-lived JWTs, signed with a key derived from the installation's key file.
//!
//! A token only says who signed in and when; whether that still holds is looked up (see `directory`). The
//! clock is passed in, so expiry is checked here rather than by the JWT library.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What an access token says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Claims {
    /// Public id of the operator.
    pub sub: String,
    /// The operator's epoch when it was issued; a later epoch ends it.
    pub epoch: i64,
    /// Role when it was issued. For clients; permissions are looked up.
    pub role: String,
    /// Public id of the session it was issued for.
    pub sid: String,
    /// Its own id.
    pub jti: String,
    /// Seconds since the Unix epoch.
    pub iat: i64,
    /// Seconds since the Unix epoch.
    pub exp: i64,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenError {
    /// Not one of ours.
    Invalid,
    /// Was good once.
    Expired,
}

/// Issues and reads access tokens.
pub struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    ttl_s: i64,
}

impl AccessTokens {
    /// `key` belongs to this purpose alone; tokens live `ttl_s` seconds.
    pub fn new(key: &[u8; 32], ttl_s: u64) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation,
            ttl_s: i64::try_from(ttl_s).unwrap_or(i64::MAX / 2),
        }
    }

    /// Seconds a token lives.
    pub fn ttl_s(&self) -> i64 {
        self.ttl_s
    }

    /// A token for `operator` (public id) in `session` (public id).
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue(
        &self,
        operator: &str,
        epoch: i64,
        role: &str,
        session: &str,
        now_micros: i64,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now_s = now_micros.div_euclid(1_000_000);
        let claims = Claims {
            sub: operator.to_owned(),
            epoch,
            role: role.to_owned(),
            sid: session.to_owned(),
            jti: Uuid::new_v4().to_string(),
            iat: now_s,
            exp: now_s.saturating_add(self.ttl_s),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// What `token` says, when we signed it and it has not expired.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(&self, token: &str, now_micros: i64) -> Result<Claims, TokenError> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if claims.exp <= now_micros.div_euclid(1_000_000) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    #[test]
    fn a_token_reads_back_until_it_expires() {
        let tokens = AccessTokens::new(&[7; 32], 900);
        let token = tokens.issue("opr_1", 3, "ops_admin", "ses_1", NOW).unwrap();
        let claims = tokens.read(&token, NOW + 899_000_000).unwrap();
        assert_eq!(
            (claims.sub.as_str(), claims.epoch, claims.sid.as_str()),
            ("opr_1", 3, "ses_1")
        );
        assert_eq!(
            tokens.read(&token, NOW + 900_000_000),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn another_key_another_algorithm_and_garbage_are_refused() {
        let tokens = AccessTokens::new(&[7; 32], 900);
        let foreign = AccessTokens::new(&[8; 32], 900);
        let token = foreign
            .issue("opr_1", 3, "ops_admin", "ses_1", NOW)
            .unwrap();
        assert_eq!(tokens.read(&token, NOW), Err(TokenError::Invalid));
        let mine = tokens.issue("opr_1", 3, "ops_admin", "ses_1", NOW).unwrap();
        let payload = mine.split('.').nth(1).unwrap();
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        for bad in [unsigned.as_str(), "", "a.b.c", "…"] {
            assert_eq!(tokens.read(bad, NOW), Err(TokenError::Invalid), "{bad}");
        }
    }
}
