//! The secrets Steward issues: how they are made, recognised, hashed and shown.
//!
//! `sk-stw-` + 32 random base62 characters (190 bits) + 6 characters of checksum. The checksum lets garbage
//! be turned away before any lookup and lets a leak scanner be sure of a find; it protects nothing. Only
//! the SHA-256 is stored: 190 random bits need no slow hash.

use std::sync::Arc;

use rand::{Rng, RngExt};
use sha2::{Digest, Sha256};
use steward_actors::domain::record::Mode;
use steward_actors::domain::snapshot::{Secret, Snapshot, TokenKey, TokenView};
use subtle::ConstantTimeEq;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
/// Characters of the random part that a shown prefix keeps.
const SHOWN_CHARS: usize = 4;

/// SHA-256 of a secret.
pub type KeyHash = [u8; 32];

/// A family of secrets, told apart by its prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyFormat {
    prefix: &'static str,
}

/// Tokens of applications.
pub const TOKEN: KeyFormat = KeyFormat { prefix: "sk-stw-" };
/// Long-lived keys of operators.
pub const OPERATOR_KEY: KeyFormat = KeyFormat { prefix: "ok-stw-" };

/// A secret just made. The secret is shown once and forgotten; the rest is stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub secret: Secret,
    pub hash: KeyHash,
    /// Its beginning, for lists.
    pub prefix: String,
    /// Its last four characters, for lists.
    pub last4: String,
}

/// Why a presented secret is none of ours, without a look at any table.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyFault {
    /// No credential in the request.
    #[error("no credential was sent")]
    Missing,
    /// Not of this format, or its checksum does not hold.
    #[error("the credential is not a Steward key")]
    Malformed,
}

impl KeyFormat {
    /// The family's prefix.
    pub const fn prefix(self) -> &'static str {
        self.prefix
    }

    /// Makes a secret from the thread's generator (seeded by the operating system).
    pub fn generate(self) -> NewKey {
        self.generate_with(&mut rand::rng())
    }

    /// Makes a secret from `rng`, which must be fit for keys outside tests.
    pub fn generate_with(self, rng: &mut impl Rng) -> NewKey {
        let mut secret = String::with_capacity(self.len());
        secret.push_str(self.prefix);
        for _ in 0..RANDOM_CHARS {
            secret.push(char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
        }
        secret.extend(checksum(secret.as_bytes()).map(char::from));
        NewKey {
            hash: hash(&secret),
            prefix: secret[..self.prefix.len() + SHOWN_CHARS].to_owned(),
            last4: secret[secret.len() - 4..].to_owned(),
            secret: Secret::new(secret),
        }
    }

    /// Checks form and checksum and answers the hash to look up.
    ///
    /// # Errors
    /// [`KeyFault::Malformed`].
    pub fn parse(self, presented: &str) -> Result<KeyHash, KeyFault> {
        if presented.len() != self.len()
            || !presented.starts_with(self.prefix)
            || !presented
                .bytes()
                .skip(self.prefix.len())
                .all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(KeyFault::Malformed);
        }
        let (body, sum) = presented.split_at(presented.len() - CHECKSUM_CHARS);
        if checksum(body.as_bytes()) != sum.as_bytes() {
            return Err(KeyFault::Malformed);
        }
        Ok(hash(presented))
    }

    const fn len(self) -> usize {
        self.prefix.len() + RANDOM_CHARS + CHECKSUM_CHARS
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let mut rest = crc32fast::hash(body) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % ALPHABET.len()];
        rest /= ALPHABET.len();
    }
    digits
}

/// SHA-256 of a secret.
pub fn hash(secret: &str) -> KeyHash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Compares two hashes in constant time.
pub fn same(left: &KeyHash, right: &KeyHash) -> bool {
    left.ct_eq(right).into()
}

/// The credential of a request, from the values of its `authorization` and `x-api-key` headers. A bearer
/// token wins when both are there, unless only the other one is of our making.
///
/// # Errors
/// [`KeyFault::Missing`] when neither holds one.
pub fn presented<'a>(
    authorization: Option<&'a str>,
    x_api_key: Option<&'a str>,
) -> Result<&'a str, KeyFault> {
    let bearer = authorization
        .and_then(|value| {
            let (scheme, rest) = value.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
        })
        .filter(|value| !value.is_empty());
    let key = x_api_key.map(str::trim).filter(|value| !value.is_empty());
    match (bearer, key) {
        (Some(bearer), Some(key))
            if !bearer.starts_with(TOKEN.prefix) && key.starts_with(TOKEN.prefix) =>
        {
            Ok(key)
        }
        (Some(bearer), _) => Ok(bearer),
        (None, Some(key)) => Ok(key),
        (None, None) => Err(KeyFault::Missing),
    }
}

/// Looks a hash up. The map finds it by hash, of which an attacker controls no prefix; the comparison that
/// decides is constant-time all the same.
pub fn find<'a>(snapshot: &'a Snapshot, presented: &KeyHash) -> Option<&'a TokenKey> {
    let (stored, key) = snapshot.tokens.get_key_value(presented)?;
    same(stored, presented).then_some(key)
}

/// Who makes a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Caller {
    /// By a token that Steward issued.
    Token(Arc<TokenView>),
    /// By a user whom an issuer vouches for, with the issuer's token.
    User(Arc<TokenView>, Arc<str>),
}

impl Caller {
    /// The user's call, where there is one; the token's own otherwise.
    pub fn of(token: Arc<TokenView>, user: Option<Arc<str>>) -> Self {
        match user {
            Some(user) => Self::User(token, user),
            None => Self::Token(token),
        }
    }

    /// Who signed in.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Token(_) => None,
            Self::User(_, user) => Some(user),
        }
    }

    /// The token that is charged.
    pub fn token(&self) -> &Arc<TokenView> {
        match self {
            Self::Token(token) | Self::User(token, _) => token,
        }
    }

    /// As recorded.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Token(_) => Mode::Api,
            Self::User(..) => Mode::Web,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_key_is_recognised_and_shown_without_its_middle() {
        let key = TOKEN.generate();
        let secret = key.secret.reveal();
        assert!(secret.starts_with("sk-stw-"));
        assert_eq!(secret.len(), 45);
        assert_eq!(TOKEN.parse(secret), Ok(key.hash));
        assert_eq!(OPERATOR_KEY.parse(secret), Err(KeyFault::Malformed));
        assert_eq!(key.prefix.len(), 11);
        assert!(secret.ends_with(&key.last4));
        assert!(!format!("{key:?}").contains(secret));
    }

    #[test]
    fn no_two_keys_are_equal() {
        let all: HashSet<KeyHash> = (0..1_000).map(|_| TOKEN.generate().hash).collect();
        assert_eq!(all.len(), 1_000);
    }

    #[test]
    fn credentials_are_found_where_the_sdks_put_them() {
        assert_eq!(presented(Some("Bearer sk-1"), None), Ok("sk-1"));
        assert_eq!(presented(Some("bearer  sk-1 "), None), Ok("sk-1"));
        assert_eq!(presented(None, Some("sk-2")), Ok("sk-2"));
        assert_eq!(
            presented(Some("Bearer other"), Some("sk-stw-x")),
            Ok("sk-stw-x")
        );
        assert_eq!(
            presented(Some("Bearer sk-stw-y"), Some("sk-stw-x")),
            Ok("sk-stw-y")
        );
        for nothing in [
            (None, None),
            (Some("Bearer "), None),
            (Some("Basic abc"), None),
            (None, Some(" ")),
        ] {
            assert_eq!(presented(nothing.0, nothing.1), Err(KeyFault::Missing));
        }
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_noticed(at in 7usize..45, other in 0usize..62) {
            let key = TOKEN.generate();
            let mut secret = key.secret.reveal().as_bytes().to_vec();
            let changed = ALPHABET[other];
            prop_assume!(secret[at] != changed);
            secret[at] = changed;
            prop_assert_eq!(TOKEN.parse(std::str::from_utf8(&secret).unwrap()), Err(KeyFault::Malformed));
        }

        #[test]
        fn garbage_is_refused_without_a_panic(text in "\\PC*") {
            prop_assert!(TOKEN.parse(&text).is_err());
            prop_assert!(TOKEN.parse(&["sk-stw-", &text].concat()).is_err());
        }
    }
}
