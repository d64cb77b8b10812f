//! The bytes of a segment: its header and its records. Pure.
//!
//! A segment opens with `magic | version | header length | node | id | salt | crc`. That prefix (magic,
//! version, header length, crc at the header's end) is promised to every later version, so that an older
//! program can tell "newer than me" from "damaged". Version 2 keeps two copies of the header, in two disk
//! sectors, and starts each record's checksum from the segment's random salt: bytes left over from
//! elsewhere, or smuggled in by a payload, never pass for a record. Version 1 had one copy and no salt.
//!
//! A record is `magic | version | kind | node | 0 | len | crc32 | seq` and its payload, little-endian;
//! the checksum covers everything but magic and itself.

use crc32fast::Hasher;

pub(super) const CURRENT: u16 = 2;
pub(super) const OLDEST: u16 = 1;

pub(super) const RECORD_HEADER: usize = 24;
/// The first byte occurs in no UTF-8 text, so a search for it rarely stops in vain.
pub(super) const RECORD_MAGIC: [u8; 4] = [0xF5, b'S', b'T', b'W'];
const SEGMENT_MAGIC: [u8; 8] = *b"STWSPOOL";
const V1_HEADER: usize = 28;
const V2_HEADER: usize = 36;
const V2_COPY_AT: usize = 2048;
/// How much of a file [`parse_header`] wants to see.
pub(super) const HEADER_BLOCK: usize = 4096;
const LONGEST_HEADER: usize = 512;

/// Everything one needs to read or write the records of one segment.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) version: u16,
    pub(super) node: u8,
    pub(super) id: u64,
    salt: u64,
    seeded: Hasher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) kind: u8,
    pub(super) node: u8,
    pub(super) len: u32,
    pub(super) seq: u64,
    crc: u32,
    version: u8,
    zero: u8,
}

#[derive(Debug)]
pub(super) enum HeaderError {
    /// Valid, but of a version this program does not know.
    Newer(u16),
    /// Never written: nothing but zeros.
    Blank,
    /// No copy has a right checksum.
    Damaged,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let mut raw = [0; 2];
    raw.copy_from_slice(&bytes[at..at + 2]);
    u16::from_le_bytes(raw)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

impl Layout {
    pub(super) fn new(version: u16, node: u8, id: u64, salt: u64) -> Self {
        let mut seeded = Hasher::new();
        if version >= 2 {
            seeded.update(&salt.to_le_bytes());
            seeded.update(&id.to_le_bytes());
        }
        Self {
            version,
            node,
            id,
            salt,
            seeded,
        }
    }

    /// Where the first record stands, in bytes from the file's start.
    pub(super) fn data_start(&self) -> u64 {
        if self.version == 1 {
            64
        } else {
            HEADER_BLOCK as u64
        }
    }

    /// The block a segment opens with, `data_start` bytes long.
    pub(super) fn header_block(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(V2_HEADER);
        let header_len = if self.version == 1 {
            V1_HEADER
        } else {
            V2_HEADER
        };
        header.extend_from_slice(&SEGMENT_MAGIC);
        header.extend_from_slice(&self.version.to_le_bytes());
        header.extend_from_slice(&(header_len as u16).to_le_bytes());
        header.extend_from_slice(&[self.node, 0, 0, 0]);
        header.extend_from_slice(&self.id.to_le_bytes());
        if self.version >= 2 {
            header.extend_from_slice(&self.salt.to_le_bytes());
        }
        let crc = crc32fast::hash(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        let mut block = vec![0; self.data_start() as usize];
        block[..header.len()].copy_from_slice(&header);
        if self.version >= 2 {
            block[V2_COPY_AT..V2_COPY_AT + header.len()].copy_from_slice(&header);
        }
        block
    }

    fn crc(&self, checked_header: [&[u8]; 2], payload: &[u8]) -> u32 {
        let mut hasher = self.seeded.clone();
        hasher.update(checked_header[0]);
        hasher.update(checked_header[1]);
        hasher.update(payload);
        hasher.finalize()
    }

    /// Replaces `buffer` with the bytes of one record.
    pub(super) fn encode(&self, buffer: &mut Vec<u8>, kind: u8, seq: u64, payload: &[u8]) {
        buffer.clear();
        buffer.extend_from_slice(&RECORD_MAGIC);
        buffer.extend_from_slice(&[self.version as u8, kind, self.node, 0]);
        buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&seq.to_le_bytes());
        let crc = self.crc([&buffer[4..12], &buffer[16..24]], payload);
        buffer[12..16].copy_from_slice(&crc.to_le_bytes());
        buffer.extend_from_slice(payload);
    }

    /// The header at the start of `bytes`, if these look like a record; its checksum is not looked at.
    pub(super) fn peek(&self, bytes: &[u8]) -> Option<RecordHeader> {
        if bytes.len() < RECORD_HEADER || bytes[..4] != RECORD_MAGIC {
            return None;
        }
        let header = RecordHeader {
            version: bytes[4],
            kind: bytes[5],
            node: bytes[6],
            zero: bytes[7],
            len: u32_at(bytes, 8),
            crc: u32_at(bytes, 12),
            seq: u64_at(bytes, 16),
        };
        (u16::from(header.version) == self.version && header.zero == 0 && header.seq != 0)
            .then_some(header)
    }

    /// Whether the whole record in `bytes` (header and payload) is what was written.
    pub(super) fn verify(&self, header: &RecordHeader, record: &[u8]) -> bool {
        self.crc([&record[4..12], &record[16..24]], &record[RECORD_HEADER..]) == header.crc
    }
}

/// Reads a segment's header from the first [`HEADER_BLOCK`] bytes of its file (fewer if it is shorter).
pub(super) fn parse_header(block: &[u8]) -> Result<Layout, HeaderError> {
    let mut newer = None;
    for at in [0, V2_COPY_AT] {
        let Some(copy) = block.get(at..) else {
            continue;
        };
        if copy.len() < V1_HEADER || copy[..8] != SEGMENT_MAGIC {
            continue;
        }
        let version = u16_at(copy, 8);
        let header_len = usize::from(u16_at(copy, 10));
        if !(16..=LONGEST_HEADER).contains(&header_len) || copy.len() < header_len {
            continue;
        }
        let body = header_len - 4;
        if crc32fast::hash(&copy[..body]) != u32_at(copy, body) {
            continue;
        }
        match (version, header_len) {
            (1, V1_HEADER) => return Ok(Layout::new(1, copy[12], u64_at(copy, 16), 0)),
            (2, V2_HEADER) => {
                return Ok(Layout::new(2, copy[12], u64_at(copy, 16), u64_at(copy, 24)));
            }
            (version, _) if version > CURRENT => newer = Some(version),
            _ => {}
        }
    }
    if let Some(version) = newer {
        return Err(HeaderError::Newer(version));
    }
    if block.iter().all(|byte| *byte == 0) {
        return Err(HeaderError::Blank);
    }
    Err(HeaderError::Damaged)
}
