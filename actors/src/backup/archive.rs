//! A section on its way into a depot and back: records, one zstd stream, sealed parts.
//!
//! Every part is sealed (XChaCha20-Poly1305, a random nonce) and bound to its backup, section, number and to whether it
//! is the section's last: none can be changed, exchanged, repeated or left out unnoticed, at the end neither.

use std::io::Write;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zstd::stream::write::{Decoder, Encoder};

use super::{BackupError, MANIFEST, Manifest, Part, damaged};
use crate::depot::{Depot, DepotError};
use crate::vault::{DATABASE_BACKUP, Vault, VaultError};

/// Of the zstd stream, sealed at a time.
const PART_BYTES: usize = 8 << 20;
/// Of a part, unpacked at a time.
const STEP_BYTES: usize = 64 << 10;
const NONCE_BYTES: usize = 24;
const LEVEL: i32 = 3;
/// A longer record is none of ours: a kept conversation is bounded, a row's largest column as well.
const RECORD_MAX: usize = 128 << 20;
const MANIFEST_PURPOSE: &str = "database-backup-manifest";

/// Seals and opens the parts of one backup.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    name: String,
}

impl Seal {
    pub(super) fn new(vault: &Vault, key_id: &str, name: &str) -> Result<Self, VaultError> {
        let subkey = vault.subkey_of(key_id, DATABASE_BACKUP)?;
        Ok(Self {
            cipher: XChaCha20Poly1305::new((&*subkey.bytes).into()),
            name: name.to_owned(),
        })
    }

    fn place(&self, section: &str, number: u32, is_last: bool) -> Vec<u8> {
        let mut place = Vec::new();
        for part in ["steward/backup/1", &self.name, section] {
            place.extend_from_slice(&(part.len() as u64).to_be_bytes());
            place.extend_from_slice(part.as_bytes());
        }
        place.extend_from_slice(&number.to_be_bytes());
        place.push(u8::from(is_last));
        place
    }

    fn seal(
        &self,
        section: &str,
        number: u32,
        is_last: bool,
        plain: &[u8],
    ) -> Result<Vec<u8>, BackupError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
        let payload = Payload {
            msg: plain,
            aad: &self.place(section, number, is_last),
        };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| VaultError::DoesNotOpen)?;
        let mut bytes = Vec::with_capacity(NONCE_BYTES + sealed.len());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    fn open(
        &self,
        section: &str,
        number: u32,
        is_last: bool,
        sealed: &[u8],
    ) -> Result<Vec<u8>, BackupError> {
        let closed = || damaged(format!("part {number} of {section} does not open"));
        let (nonce, rest) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(closed)?;
        let payload = Payload {
            msg: rest,
            aad: &self.place(section, number, is_last),
        };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        opened.map_err(|_| closed())
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Takes records, and puts parts.
pub(super) struct SectionWriter<'a> {
    depot: &'a dyn Depot,
    seal: &'a Seal,
    section: &'a str,
    encoder: Encoder<'static, Vec<u8>>,
    parts: Vec<Part>,
}

impl<'a> SectionWriter<'a> {
    pub(super) fn new(
        depot: &'a dyn Depot,
        seal: &'a Seal,
        section: &'a str,
    ) -> Result<Self, BackupError> {
        Ok(Self {
            depot,
            seal,
            section,
            encoder: Encoder::new(Vec::new(), LEVEL).map_err(packing)?,
            parts: Vec::new(),
        })
    }

    /// Takes a record; parts that are full by then are put.
    pub(super) async fn record(&mut self, tag: u8, body: &[u8]) -> Result<(), BackupError> {
        let size = u32::try_from(body.len())
            .ok()
            .filter(|size| *size as usize <= RECORD_MAX)
            .ok_or_else(|| BackupError::Refused("a row is too large for a backup".to_owned()))?;
        self.encoder.write_all(&[tag]).map_err(packing)?;
        self.encoder
            .write_all(&size.to_le_bytes())
            .map_err(packing)?;
        self.encoder.write_all(body).map_err(packing)?;
        while self.encoder.get_ref().len() >= PART_BYTES {
            let rest = self.encoder.get_mut().split_off(PART_BYTES);
            let full = std::mem::replace(self.encoder.get_mut(), rest);
            self.put(&full, false).await?;
        }
        Ok(())
    }

    /// Puts what is left, the last part at least, and answers all of them.
    pub(super) async fn finish(mut self) -> Result<Vec<Part>, BackupError> {
        self.encoder.do_finish().map_err(packing)?;
        let rest = std::mem::take(self.encoder.get_mut());
        let mut chunks = rest.chunks(PART_BYTES).peekable();
        while let Some(chunk) = chunks.next() {
            self.put(chunk, chunks.peek().is_none()).await?;
        }
        Ok(self.parts)
    }

    async fn put(&mut self, plain: &[u8], is_last: bool) -> Result<(), BackupError> {
        let number = number_of(self.parts.len());
        let sealed = self.seal.seal(self.section, number, is_last, plain)?;
        let part = Part {
            name: format!("{}/{}-{number:05}.part", self.seal.name, self.section),
            bytes: sealed.len() as u64,
            sha256: sha256(&sealed),
        };
        self.depot.put(&part.name, sealed.into()).await?;
        self.parts.push(part);
        Ok(())
    }
}

fn number_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn packing(error: std::io::Error) -> BackupError {
    damaged(format!("it does not pack or unpack: {error}"))
}

/// Gives the records of a section back.
pub(super) struct SectionReader<'a> {
    depot: &'a dyn Depot,
    seal: &'a Seal,
    section: &'a str,
    parts: &'a [Part],
    next: usize,
    decoder: Decoder<'static, Vec<u8>>,
    /// A part, opened, and how far it is unpacked.
    packed: (Vec<u8>, usize),
    /// Unpacked, and how far it is read.
    plain: (Vec<u8>, usize),
}

impl<'a> SectionReader<'a> {
    pub(super) fn new(
        depot: &'a dyn Depot,
        seal: &'a Seal,
        section: &'a str,
        parts: &'a [Part],
    ) -> Result<Self, BackupError> {
        Ok(Self {
            depot,
            seal,
            section,
            parts,
            next: 0,
            decoder: Decoder::new(Vec::new()).map_err(packing)?,
            packed: (Vec::new(), 0),
            plain: (Vec::new(), 0),
        })
    }

    /// The next record; `None` after the last.
    pub(super) async fn record(&mut self) -> Result<Option<(u8, Vec<u8>)>, BackupError> {
        loop {
            let unread = &self.plain.0[self.plain.1..];
            if let [tag, a, b, c, d, rest @ ..] = unread {
                let size = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
                if size > RECORD_MAX {
                    return Err(damaged(format!("a record of {} is too long", self.section)));
                }
                if let Some(body) = rest.get(..size) {
                    let record = (*tag, body.to_vec());
                    self.plain.1 += 5 + size;
                    return Ok(Some(record));
                }
            }
            if !self.more().await? {
                return match self.plain.0.len() == self.plain.1 {
                    true => Ok(None),
                    false => Err(damaged(format!("{} breaks off", self.section))),
                };
            }
        }
    }

    /// Unpacks a little more; false when there is none.
    async fn more(&mut self) -> Result<bool, BackupError> {
        if self.packed.1 >= self.packed.0.len() {
            let Some(part) = self.parts.get(self.next) else {
                return Ok(false);
            };
            let sealed = fetched(self.depot, part).await?;
            let is_last = self.next + 1 == self.parts.len();
            let number = number_of(self.next);
            let opened = self.seal.open(self.section, number, is_last, &sealed)?;
            self.packed = (opened, 0);
            self.next += 1;
        }
        self.plain.0.drain(..self.plain.1);
        self.plain.1 = 0;
        let end = (self.packed.1 + STEP_BYTES).min(self.packed.0.len());
        self.decoder
            .write_all(&self.packed.0[self.packed.1..end])
            .and_then(|()| self.decoder.flush())
            .map_err(packing)?;
        self.packed.1 = end;
        self.plain.0.append(self.decoder.get_mut());
        Ok(true)
    }
}

async fn fetched(depot: &dyn Depot, part: &Part) -> Result<Bytes, BackupError> {
    let sealed = depot.get(&part.name).await.map_err(|error| match error {
        DepotError::Missing(name) => damaged(format!("{name} is missing")),
        other => other.into(),
    })?;
    if sealed.len() as u64 != part.bytes || sha256(&sealed) != part.sha256 {
        return Err(damaged(format!("{} is not as it was written", part.name)));
    }
    Ok(sealed)
}

/// Puts the manifest: JSON for people to read, and under it what proves that it is ours.
pub(super) async fn put_manifest(
    depot: &dyn Depot,
    vault: &Vault,
    manifest: &Manifest,
) -> Result<(), BackupError> {
    let text = serde_json::to_string_pretty(manifest)
        .map_err(|error| BackupError::Refused(error.to_string()))?;
    let mut mac = authenticator(vault, &manifest.key_id)?;
    mac.update(text.as_bytes());
    let proof: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = format!("{}/{MANIFEST}", manifest.name);
    depot
        .put(&name, format!("{text}\n{proof}\n").into())
        .await?;
    Ok(())
}

/// Reads the manifest of a backup and proves it.
pub(super) async fn get_manifest(
    depot: &dyn Depot,
    vault: &Vault,
    name: &str,
) -> Result<Manifest, BackupError> {
    let file = depot.get(&format!("{name}/{MANIFEST}")).await?;
    let text = std::str::from_utf8(&file).map_err(|_| damaged("its manifest is no text"))?;
    let (text, proof) = text
        .trim_end()
        .rsplit_once('\n')
        .ok_or_else(|| damaged("its manifest is not whole"))?;
    let manifest: Manifest = serde_json::from_str(text)
        .map_err(|error| damaged(format!("its manifest cannot be read: {error}")))?;
    let mut mac = authenticator(vault, &manifest.key_id)?;
    mac.update(text.as_bytes());
    let proof: Option<Vec<u8>> = (0..proof.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(proof.get(at..at + 2)?, 16).ok())
        .collect();
    mac.verify_slice(&proof.unwrap_or_default())
        .map_err(|_| damaged("its manifest was changed"))?;
    if manifest.format != super::FORMAT {
        return Err(BackupError::Refused(format!(
            "the backup has format {}, which this release does not know",
            manifest.format
        )));
    }
    match manifest.name == name {
        true => Ok(manifest),
        false => Err(damaged("its manifest belongs to another backup")),
    }
}

fn authenticator(vault: &Vault, key_id: &str) -> Result<Hmac<Sha256>, BackupError> {
    let subkey = vault.subkey_of(key_id, MANIFEST_PURPOSE)?;
    <Hmac<Sha256> as KeyInit>::new_from_slice(subkey.bytes.as_slice())
        .map_err(|_| damaged("the key has no length"))
}
