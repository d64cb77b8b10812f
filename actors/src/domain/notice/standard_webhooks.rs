//! Signatures by Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, the secret written `whsec_…`.
//!
//! While a secret is being changed a message carries a signature of each, separated by a space.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";
/// Bytes a secret may have.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a new secret.
const NEW_BYTES: usize = 32;

/// A receiver's secret. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Secret {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?);
        BYTES.contains(&bytes.len()).then_some(Self(bytes))
    }

    /// A new one; nothing when the system gives no random bytes.
    pub fn generate() -> Option<Self> {
        let mut bytes = Zeroizing::new(vec![0; NEW_BYTES]);
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// As [`Secret::parse`] reads it.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(&*self.0)))
    }
}

/// The value of `webhook-signature`. `timestamp` is in seconds since the Unix epoch, of this attempt.
pub fn signature(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let head = format!("{id}.{timestamp}.");
            let mac = hmac_sha256(&secret.0, &[head.as_bytes(), body]);
            format!("v1,{}", STANDARD.encode(mac))
        })
        .collect();
    signed.join(" ")
}

/// HMAC-SHA256 of the parts, one after the other.
pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of every length");
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}
