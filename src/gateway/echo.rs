//! Keeps an account's credential out of the errors that echo it.
//!
//! The body of an error is short and is held until its end; then the credential is starred out, its length
//! kept. A compressed one is unpacked to look at and packed anew only when the credential is there: every
//! other error passes byte for byte. Of a body that outgrows the bound, only as much is held as a credential
//! is long. What is metered or recorded of it is not decided here.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use memchr::memmem;
use steward_actors::domain::snapshot::AccountView;

use super::decode::Coding;

/// How much of an error is held, packed and unpacked.
const HELD_MAX_BYTES: usize = 256 * 1024;
/// Nothing shorter is looked for: it would be found in ordinary words.
const SECRET_MIN_BYTES: usize = 8;

/// See the module.
pub(super) struct Echo {
    account: Arc<AccountView>,
    coding: Coding,
    held: BytesMut,
    /// What is held, unpacked; unused when nothing is packed.
    plain: Vec<u8>,
    /// A packed body has outgrown the bound and passes unseen, but for its last frame.
    unseen: bool,
}

impl Echo {
    /// Of an error that came from `account`; `None` when nothing can be looked for.
    pub(super) fn of(account: &Arc<AccountView>, coding: Option<Coding>) -> Option<Self> {
        let coding = coding?;
        secret_of(account).map(|_| Self {
            account: Arc::clone(account),
            coding,
            held: BytesMut::new(),
            plain: Vec::new(),
            unseen: false,
        })
    }

    /// Whether the body may come out longer or shorter than it went in.
    pub(super) fn may_change_length(&self) -> bool {
        self.coding != Coding::Identity
    }

    /// What the frame to come unpacks to.
    pub(super) fn unpacked(&mut self, plain: &[u8]) {
        if self.may_change_length() && !self.unseen {
            self.plain.extend_from_slice(plain);
        }
    }

    /// Takes the next frame; answers what may go now.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Option<Bytes> {
        if self.plain.len() > HELD_MAX_BYTES {
            self.unseen = true;
            self.plain = Vec::new();
        }
        if self.unseen {
            let before = self.held.split().freeze();
            self.held.extend_from_slice(chunk);
            return (!before.is_empty()).then_some(before);
        }
        self.held.extend_from_slice(chunk);
        if self.held.len() <= HELD_MAX_BYTES {
            return None;
        }
        if self.may_change_length() {
            self.unseen = true;
            self.plain = Vec::new();
            return None;
        }
        star_out(&mut self.held, self.account.secret.reveal().as_bytes());
        let kept = self.account.secret.reveal().len();
        Some(self.held.split_to(self.held.len() - kept).freeze())
    }

    /// The body has ended: what is held, without the credential.
    pub(super) fn release(&mut self) -> Option<Bytes> {
        let secret = self.account.secret.reveal().as_bytes();
        let mut held = self.held.split();
        if !self.may_change_length() {
            star_out(&mut held, secret);
        } else if star_out(&mut self.plain, secret) {
            // Packing into memory does not fail; if it did, nothing is better than the credential.
            return pack(self.coding, &self.plain).ok().map(Bytes::from);
        }
        (!held.is_empty()).then(|| held.freeze())
    }
}

/// The credential, when it is long enough to be looked for.
pub(super) fn secret_of(account: &AccountView) -> Option<&[u8]> {
    Some(account.secret.reveal().as_bytes()).filter(|secret| secret.len() >= SECRET_MIN_BYTES)
}

/// True when it was there.
pub(super) fn star_out(text: &mut [u8], secret: &[u8]) -> bool {
    let mut found = false;
    let mut from = 0;
    while let Some(at) = memmem::find(&text[from..], secret) {
        let at = from + at;
        text[at..at + secret.len()].fill(b'*');
        from = at + secret.len();
        found = true;
    }
    found
}

fn pack(coding: Coding, plain: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Identity => Ok(plain.to_vec()),
        Coding::Gzip => {
            let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(plain)?;
            packer.finish()
        }
        Coding::Deflate => {
            let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(plain)?;
            packer.finish()
        }
        Coding::Brotli => {
            let mut packer = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 18);
            packer.write_all(plain)?;
            Ok(packer.into_inner())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use steward_actors::domain::snapshot::{Protocol, Secret};

    use super::super::decode::Decoder;
    use super::*;

    const SECRET: &str = "sk-upstream-secret";

    fn echo(coding: Coding) -> Echo {
        let account = AccountView {
            id: 1,
            public_id: "acc_1".into(),
            name: "account 1".into(),
            provider: "openai".into(),
            protocol: Protocol::OpenAi,
            base_url: String::new(),
            secret: Secret::new(SECRET.into()),
            models: Vec::new(),
            aliases: HashMap::new(),
            priority: 0,
            weight: 1,
            concurrency: None,
            enabled: true,
        };
        Echo::of(&Arc::new(account), Some(coding)).unwrap()
    }

    /// What the client gets of `body`, sent in frames of `frame` bytes.
    fn pass(coding: Coding, body: &[u8], frame: usize) -> Vec<u8> {
        let mut echo = echo(coding);
        let mut decoder = Decoder::new(coding);
        let mut out = Vec::new();
        for chunk in body.chunks(frame) {
            decoder.push(chunk, |plain| echo.unpacked(plain));
            out.extend(echo.push(chunk).into_iter().flatten());
        }
        out.extend(echo.release().into_iter().flatten());
        out
    }

    fn unpack(coding: Coding, packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        Decoder::new(coding).push(packed, |piece| plain.extend_from_slice(piece));
        plain
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_echoed_credential_goes_however_it_is_framed_and_packed(
            before in "[a-z ]{0,40}", after in "[a-z ]{0,40}", frame in 1usize..60,
            coding in prop::sample::select(vec![Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli]),
        ) {
            let body = format!("{before}{SECRET}{after}");
            let seen = pass(coding, &pack(coding, body.as_bytes()).unwrap(), frame);
            let stars = "*".repeat(SECRET.len());
            prop_assert_eq!(unpack(coding, &seen), format!("{before}{stars}{after}").into_bytes());
        }

        #[test]
        fn every_other_error_passes_byte_for_byte(
            body in "[a-z ]{0,80}", frame in 1usize..60,
            coding in prop::sample::select(vec![Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli]),
        ) {
            let packed = pack(coding, body.as_bytes()).unwrap();
            prop_assert_eq!(pass(coding, &packed, frame), packed);
        }
    }

    #[test]
    fn a_long_error_is_not_held_whole_and_still_loses_the_credential() {
        let filler = "x".repeat(HELD_MAX_BYTES);
        for at in [HELD_MAX_BYTES - 20, HELD_MAX_BYTES - 5, HELD_MAX_BYTES] {
            let body = format!("{}{SECRET}{filler}", &filler[..at]);
            let seen = pass(Coding::Identity, body.as_bytes(), 1000);
            assert_eq!(seen.len(), body.len());
            assert!(memmem::find(&seen, SECRET.as_bytes()).is_none());
        }
        let mut echo = echo(Coding::Identity);
        for _ in 0..1000 {
            echo.push(&[b'x'; 1000]);
            assert!(echo.held.len() <= HELD_MAX_BYTES + 1000);
        }
    }
}
