//! The cookie that renews a session: `<session id>.<random>.<tag>`, of which only the hash of the random part is
//! stored.
//!
//! The id tells which session an old secret belonged to, so that its reuse is noticed however old it is. Ids are
//! no secret, so the tag proves that the cookie was made here: whoever only knows an id ends nobody's session.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const NAME: &str = "steward_session";
const PATH: &str = "/api/v1/auth";
const RANDOM_BYTES: usize = 32;

/// Tells cookies that were made here from made-up ones.
pub struct CookieKey([u8; 32]);

impl CookieKey {
    /// `key` belongs to this purpose alone.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(*key)
    }

    fn mac(&self, session: &str, random: &str) -> Option<Hmac<Sha256>> {
        // A key of any length will do for HMAC.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        mac.update(session.as_bytes());
        mac.update(b".");
        mac.update(random.as_bytes());
        Some(mac)
    }

    fn tag(&self, session: &str, random: &str) -> String {
        let mac = self.mac(session, random);
        mac.map_or_else(String::new, |mac| {
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        })
    }
}

/// What a session's cookie holds. Never printed.
pub(super) struct RefreshSecret {
    session: String,
    random: String,
    /// As presented; what is sent gets its own.
    tag: String,
}

impl RefreshSecret {
    /// The next secret of `session` (public id).
    pub(super) fn generate(session: &str) -> Self {
        Self::new(session, Self::random())
    }

    /// Of a session and a random part made before it had its id.
    pub(super) fn new(session: &str, random: String) -> Self {
        Self {
            session: session.to_owned(),
            random,
            tag: String::new(),
        }
    }

    /// 256 random bits.
    pub(super) fn random() -> String {
        URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>())
    }

    /// The one that came with the request.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let cookie = request.cookie(NAME)?;
        let (session, rest) = cookie.value().split_once('.')?;
        let (random, tag) = rest.split_once('.').unwrap_or((rest, ""));
        Some(Self {
            tag: tag.to_owned(),
            ..Self::new(session, random.to_owned())
        })
    }

    /// Whether it was made here, for this session. In constant time.
    pub(super) fn is_ours(&self, key: &CookieKey) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(&self.tag).unwrap_or_default();
        key.mac(&self.session, &self.random)
            .is_some_and(|mac| mac.verify_slice(&tag).is_ok())
    }

    /// Public id of its session.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// What is stored of it.
    pub(super) fn hash(&self) -> Vec<u8> {
        Self::hash_of(&self.random)
    }

    /// What is stored of a random part.
    pub(super) fn hash_of(random: &str) -> Vec<u8> {
        Sha256::digest(random.as_bytes()).to_vec()
    }

    /// The cookie to send, living `ttl_s` seconds.
    pub(super) fn into_cookie(
        self,
        request: &HttpRequest,
        key: &CookieKey,
        ttl_s: u64,
    ) -> Cookie<'static> {
        let tag = key.tag(&self.session, &self.random);
        let value = format!("{}.{}.{tag}", self.session, self.random);
        let seconds = i64::try_from(ttl_s).unwrap_or(i64::MAX);
        cookie(request, value, Duration::seconds(seconds))
    }
}

/// Takes the cookie away.
pub(super) fn removal(request: &HttpRequest) -> Cookie<'static> {
    cookie(request, String::new(), Duration::ZERO)
}

fn cookie(request: &HttpRequest, value: String, max_age: Duration) -> Cookie<'static> {
    // Behind a proxy that ends TLS the browser must not send it in the clear; without TLS, as on a
    // loopback address, it would not send it at all.
    let secure = request.connection_info().scheme() == "https";
    Cookie::build(NAME, value)
        .path(PATH)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(secure)
        .max_age(max_age)
        .finish()
}
