//! Seals what this face keeps for itself: answers that may show a secret.
//!
//! XChaCha20-Poly1305 under a key derived from the installation's key file for this purpose alone. After
//! the key file is rotated old answers can no longer be opened; they are kept for a day only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

const NONCE_BYTES: usize = 24;

/// Seals and opens.
pub struct Sealer(XChaCha20Poly1305);

impl Sealer {
    /// `key` belongs to this purpose alone.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals `plain`, bound to `associated`. `None` when it is too long to be sealed.
    pub fn seal(&self, plain: &[u8], associated: &[u8]) -> Option<String> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: plain,
            aad: associated,
        };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what was sealed with the same `associated`.
    pub fn open(&self, sealed: &str, associated: &[u8]) -> Option<Vec<u8>> {
        let bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
        let (nonce, msg) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg,
            aad: associated,
        };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Sealer;

    #[test]
    fn what_is_sealed_opens_under_the_same_key_and_owner_only() {
        let sealer = Sealer::new(&[1; 32]);
        let sealed = sealer.seal(b"secret", b"owner").unwrap();
        assert_eq!(sealer.open(&sealed, b"owner").unwrap(), b"secret");
        assert_eq!(sealer.open(&sealed, b"other"), None);
        assert_eq!(Sealer::new(&[2; 32]).open(&sealed, b"owner"), None);
        assert_eq!(sealer.open("AAAA", b"owner"), None);
    }
}
