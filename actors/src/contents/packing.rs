//! How what was said lies on the disk: zstd, with a dictionary trained on the month's own conversations.
//!
//! Short texts have little to repeat in themselves; a dictionary lends them what they share with the others. Written
//! fast; what has grown old is packed again at a high level.

use std::sync::OnceLock;

use prost::Message;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::Said;

/// How hard it is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effort {
    /// When a content arrives.
    Fast,
    /// When it is packed for good.
    Cold,
}

impl Effort {
    const fn level(self) -> i32 {
        match self {
            Self::Fast => 3,
            Self::Cold => 19,
        }
    }
}

/// Size of a trained dictionary.
const DICTIONARY_BYTES: usize = 112 * 1024;
/// Fewer samples train nothing worth having.
pub const SAMPLES_MIN: usize = 64;
/// What unpacks to more is no content of ours.
const UNPACKED_MAX_BYTES: usize = 64 << 20;

/// A dictionary, by its number in its month; 0 is none. Made ready once for all that is packed and unpacked with it.
pub struct Dictionary {
    pub id: i64,
    bytes: Vec<u8>,
    unpacks: DecoderDictionary<'static>,
    packs_fast: OnceLock<EncoderDictionary<'static>>,
    packs_cold: OnceLock<EncoderDictionary<'static>>,
}

impl Dictionary {
    /// From what [`train`] made.
    pub fn new(id: i64, bytes: Vec<u8>) -> Self {
        Self {
            id,
            unpacks: DecoderDictionary::copy(&bytes),
            bytes,
            packs_fast: OnceLock::new(),
            packs_cold: OnceLock::new(),
        }
    }

    fn packs(&self, effort: Effort) -> &EncoderDictionary<'static> {
        let ready = match effort {
            Effort::Fast => &self.packs_fast,
            Effort::Cold => &self.packs_cold,
        };
        ready.get_or_init(|| EncoderDictionary::copy(&self.bytes, effort.level()))
    }
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary")
            .field("id", &self.id)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Why something is not packed or unpacked.
#[derive(Debug, thiserror::Error)]
#[error("a conversation does not {what}: {cause}")]
pub struct PackingError {
    what: &'static str,
    cause: String,
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> PackingError {
    move |cause| PackingError {
        what,
        cause: cause.to_string(),
    }
}

/// Packs bytes. CPU-bound.
///
/// # Errors
/// When the library refuses.
pub fn pack(
    bytes: &[u8],
    effort: Effort,
    dictionary: Option<&Dictionary>,
) -> Result<Vec<u8>, PackingError> {
    match dictionary {
        Some(dictionary) => Compressor::with_prepared_dictionary(dictionary.packs(effort)),
        None => Compressor::new(effort.level()),
    }
    .and_then(|mut packer| packer.compress(bytes))
    .map_err(failed("pack"))
}

/// Unpacks bytes.
///
/// # Errors
/// When they are damaged, or belong to another dictionary.
pub fn unpack(bytes: &[u8], dictionary: Option<&Dictionary>) -> Result<Vec<u8>, PackingError> {
    let size = zstd::zstd_safe::get_frame_content_size(bytes)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| *size <= UNPACKED_MAX_BYTES)
        .unwrap_or(0);
    match dictionary {
        Some(dictionary) => Decompressor::with_prepared_dictionary(&dictionary.unpacks),
        None => Decompressor::new(),
    }
    .and_then(|mut packer| packer.decompress(bytes, size))
    .map_err(failed("unpack"))
}

/// Unpacks and reads.
///
/// # Errors
/// As [`unpack`], and when it is not what was said.
pub fn open(bytes: &[u8], dictionary: Option<&Dictionary>) -> Result<Said, PackingError> {
    let plain = unpack(bytes, dictionary)?;
    Said::decode(plain.as_slice()).map_err(|cause| PackingError {
        what: "read",
        cause: cause.to_string(),
    })
}

/// Trains a dictionary. CPU-bound, a second or so. `None` when the samples do not make one.
pub fn train(samples: &[Vec<u8>]) -> Option<Vec<u8>> {
    if samples.len() < SAMPLES_MIN {
        return None;
    }
    // A dictionary larger than a tenth of what it learns from would only repeat it.
    let total: usize = samples.iter().map(Vec::len).sum();
    let size = DICTIONARY_BYTES.min((total / 10).max(4 * 1024));
    zstd::dict::from_samples(samples, size).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(number: usize) -> Vec<u8> {
        Said {
            system_prompt: "You are the assistant of the finance department. Answer briefly."
                .into(),
            prompt: format!("What does invoice {number} say about the due date?"),
            completion: format!(
                "Invoice {number} is due on day {} of the month.",
                number % 28
            ),
            ..Said::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn what_is_packed_unpacks_with_its_dictionary_only() {
        let samples: Vec<Vec<u8>> = (0..500).map(sample).collect();
        let bytes = train(&samples).unwrap();
        let dictionary = Dictionary::new(1, bytes);
        let one = sample(1_000);
        let bare = pack(&one, Effort::Fast, None).unwrap();
        let packed = pack(&one, Effort::Cold, Some(&dictionary)).unwrap();
        assert!(
            packed.len() * 2 < bare.len(),
            "{} {}",
            packed.len(),
            bare.len()
        );
        assert_eq!(unpack(&packed, Some(&dictionary)).unwrap(), one);
        assert!(unpack(&packed, None).is_err());
        assert_eq!(unpack(&bare, None).unwrap(), one);
        assert!(train(&samples[..10]).is_none());
        // Of metadata only there is nothing to pack.
        let nothing = pack(&[], Effort::Fast, Some(&dictionary)).unwrap();
        assert_eq!(open(&nothing, Some(&dictionary)).unwrap(), Said::default());
        assert!(unpack(b"damaged", Some(&dictionary)).is_err());
    }
}
