//! Reads a compressed answer piece by piece, so that it can be metered while its bytes go on untouched.
//!
//! Bounded: whatever a bomb unpacks to, no more than [`STEP_MAX_BYTES`] is in memory and no more than
//! [`TOTAL_MAX_BYTES`] is ever unpacked; then the reader gives up and the call is estimated. It never fails
//! a call.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Most bytes unpacked from one step of input.
pub const STEP_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Most bytes unpacked from one answer.
pub const TOTAL_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Input is fed in steps of this size.
const STEP_INPUT_BYTES: usize = 4 * 1024;
/// An output buffer larger than this is given back after use.
const KEPT_BYTES: usize = 64 * 1024;

/// A content coding we can read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
}

impl Coding {
    /// Reads a `content-encoding` value; `None` when it cannot be read here (zstd, or several in a row).
    pub fn parse(content_encoding: Option<&str>) -> Option<Self> {
        let name = content_encoding.unwrap_or("").trim();
        [
            ("", Self::Identity),
            ("identity", Self::Identity),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("br", Self::Brotli),
        ]
        .into_iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
        .map(|(_, coding)| coding)
    }
}

/// The `accept-encoding` to send upstream: of what the client accepts, what we can read too. `identity` when
/// nothing is left.
pub fn accept_encoding(client: &str) -> String {
    let readable = |item: &&str| {
        let name = item.split(';').next().unwrap_or("").trim();
        ["gzip", "x-gzip", "deflate", "br", "identity"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    };
    let refused = |item: &str| {
        item.split_once(';')
            .map(|(_, weight)| weight.trim())
            .is_some_and(|weight| {
                weight
                    .strip_prefix("q=")
                    .and_then(|q| q.trim().parse::<f32>().ok())
                    == Some(0.0)
            })
    };
    let kept: Vec<&str> = client.split(',').map(str::trim).filter(readable).collect();
    if kept.iter().any(|item| !refused(item)) {
        return kept.join(", ");
    }
    let any = client.split(',').map(str::trim).any(|item| {
        item.split(';')
            .next()
            .is_some_and(|name| name.trim() == "*")
            && !refused(item)
    });
    if any && kept.is_empty() {
        "gzip, deflate, br".to_owned()
    } else {
        "identity".to_owned()
    }
}

/// Collects what a decoder writes, up to a bound.
#[derive(Debug, Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > STEP_MAX_BYTES {
            return Err(io::Error::other("unpacks to too much"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Inner {
    Identity,
    Gzip(Box<MultiGzDecoder<Bounded>>),
    Zlib(Box<ZlibDecoder<Bounded>>),
    Deflate(Box<DeflateDecoder<Bounded>>),
    /// `deflate` may come with or without a zlib header; the first two bytes tell.
    DeflateUnknown(Vec<u8>),
    Brotli(Box<brotli::DecompressorWriter<Bounded>>),
    GivenUp,
}

/// Unpacks one answer.
pub struct Decoder {
    inner: Inner,
    total: u64,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("total", &self.total)
            .field("given_up", &self.given_up())
            .finish()
    }
}

impl Decoder {
    /// At the start of an answer.
    pub fn new(coding: Coding) -> Self {
        let inner = match coding {
            Coding::Identity => Inner::Identity,
            Coding::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(Bounded::default()))),
            Coding::Deflate => Inner::DeflateUnknown(Vec::new()),
            Coding::Brotli => Inner::Brotli(Box::new(brotli::DecompressorWriter::new(
                Bounded::default(),
                16 * 1024,
            ))),
        };
        Self { inner, total: 0 }
    }

    /// Whether it has stopped reading: the data was broken, or too much.
    pub fn given_up(&self) -> bool {
        matches!(self.inner, Inner::GivenUp)
    }

    /// Takes the next piece and shows `sink` what it unpacks to, as far as that can be known now.
    pub fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) {
        if matches!(self.inner, Inner::Identity) {
            if !bytes.is_empty() {
                sink(bytes);
            }
            return;
        }
        for step in bytes.chunks(STEP_INPUT_BYTES) {
            match self.step(step) {
                Ok(()) => {}
                Err(_) => {
                    // What was unpacked before the fault is still good.
                    self.drain(&mut sink);
                    self.inner = Inner::GivenUp;
                    return;
                }
            }
            self.drain(&mut sink);
            if self.total > TOTAL_MAX_BYTES {
                self.inner = Inner::GivenUp;
                return;
            }
        }
    }

    fn step(&mut self, bytes: &[u8]) -> io::Result<()> {
        fn feed(decoder: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
            decoder.write_all(bytes)?;
            decoder.flush()
        }
        match &mut self.inner {
            Inner::Identity | Inner::GivenUp => Ok(()),
            Inner::Gzip(decoder) => feed(decoder, bytes),
            Inner::Zlib(decoder) => feed(decoder, bytes),
            Inner::Deflate(decoder) => feed(decoder, bytes),
            Inner::Brotli(decoder) => feed(decoder, bytes),
            Inner::DeflateUnknown(head) => {
                head.extend_from_slice(bytes);
                let &[first, second, ..] = &head[..] else {
                    return Ok(());
                };
                let zlib =
                    first & 0x0f == 8 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0;
                let head = std::mem::take(head);
                self.inner = if zlib {
                    Inner::Zlib(Box::new(ZlibDecoder::new(Bounded::default())))
                } else {
                    Inner::Deflate(Box::new(DeflateDecoder::new(Bounded::default())))
                };
                self.step(&head)
            }
        }
    }

    fn drain(&mut self, sink: &mut impl FnMut(&[u8])) {
        let out = match &mut self.inner {
            Inner::Identity | Inner::GivenUp | Inner::DeflateUnknown(_) => return,
            Inner::Gzip(decoder) => decoder.get_mut(),
            Inner::Zlib(decoder) => decoder.get_mut(),
            Inner::Deflate(decoder) => decoder.get_mut(),
            Inner::Brotli(decoder) => decoder.get_mut(),
        };
        if !out.0.is_empty() {
            self.total += out.0.len() as u64;
            sink(&out.0);
        }
        if out.0.capacity() > KEPT_BYTES {
            out.0 = Vec::new();
        } else {
            out.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use proptest::prelude::*;

    use super::*;

    fn packed(coding: &str, text: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut out = Vec::new();
                {
                    let mut encoder = brotli::CompressorWriter::new(&mut out, 4_096, 4, 20);
                    encoder.write_all(text).unwrap();
                }
                out
            }
        }
    }

    fn unpack(coding: &str, bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
        let coding = Coding::parse(Some(if coding == "zlib" { "deflate" } else { coding }));
        let mut decoder = Decoder::new(coding.unwrap());
        let mut out = Vec::new();
        for part in bytes.chunks(piece.max(1)) {
            decoder.push(part, |bytes| out.extend_from_slice(bytes));
        }
        (out, decoder.given_up())
    }

    #[test]
    fn what_a_flushed_stream_has_sent_is_readable_at_once() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"data: [DONE]\n\n").unwrap();
        encoder.flush().unwrap();
        let (out, _) = unpack("gzip", &encoder.get_ref().clone(), 7);
        assert_eq!(out, b"data: [DONE]\n\n");

        let mut packed = Vec::new();
        let mut encoder = brotli::CompressorWriter::new(&mut packed, 4_096, 4, 20);
        encoder.write_all(b"data: [DONE]\n\n").unwrap();
        encoder.flush().unwrap();
        let sent = encoder.get_ref().to_vec();
        let (out, _) = unpack("br", &sent, 5);
        assert_eq!(out, b"data: [DONE]\n\n");
    }

    #[test]
    fn a_bomb_is_given_up_on_within_bounds() {
        let zeros = vec![0; 300 * 1024 * 1024];
        for coding in ["gzip", "br"] {
            let bomb = packed(coding, &zeros);
            let mut decoder = Decoder::new(Coding::parse(Some(coding)).unwrap());
            let mut total = 0;
            for part in bomb.chunks(10_000) {
                decoder.push(part, |bytes| {
                    assert!(bytes.len() <= STEP_MAX_BYTES);
                    total += bytes.len() as u64;
                });
            }
            assert!(decoder.given_up(), "{coding}");
            assert!(total <= TOTAL_MAX_BYTES + STEP_MAX_BYTES as u64);
        }
    }

    #[test]
    fn only_what_both_sides_read_is_asked_for() {
        for (client, asked) in [
            ("gzip, deflate, br, zstd", "gzip, deflate, br"),
            ("zstd", "identity"),
            ("", "identity"),
            ("identity", "identity"),
            ("*", "gzip, deflate, br"),
            ("gzip;q=0.5, zstd;q=1", "gzip;q=0.5"),
            ("gzip;q=0", "identity"),
            ("GZIP", "GZIP"),
        ] {
            assert_eq!(accept_encoding(client), asked, "{client}");
        }
    }

    #[test]
    fn unknown_codings_are_not_read() {
        assert_eq!(Coding::parse(Some("zstd")), None);
        assert_eq!(Coding::parse(Some("gzip, br")), None);
        assert_eq!(Coding::parse(None), Some(Coding::Identity));
        assert_eq!(Coding::parse(Some(" GZip ")), Some(Coding::Gzip));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_coding_in_any_pieces_gives_the_text(text in prop::collection::vec(any::<u8>(), 0..20_000), repeat in 1usize..4, piece in 1usize..5_000, coding in prop::sample::select(vec!["gzip", "zlib", "deflate", "br"])) {
            let text = text.repeat(repeat);
            let (out, given_up) = unpack(coding, &packed(coding, &text), piece);
            prop_assert_eq!(out, text);
            prop_assert!(!given_up);
        }

        #[test]
        fn garbage_is_survived(bytes: Vec<u8>, piece in 1usize..50, coding in prop::sample::select(vec!["gzip", "deflate", "br", "identity"])) {
            let _ = unpack(coding, &bytes, piece);
        }
    }
}
