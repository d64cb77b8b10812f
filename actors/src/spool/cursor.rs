//! The cursor file: what is settled, and the totals that go with it.
//!
//! Written to a temporary file, synced, renamed, directory synced. The temporary file is allocated in
//! advance, so that a full disk can still acknowledge and thereby free itself. It is never needed for
//! safety: an old cursor only means delivering twice.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::book::Settlement;
use super::error::OpenError;
use super::ranges::Ranges;
use super::storage::{SegmentFile, Storage, read_up_to, write_all_at};

const MAGIC: [u8; 8] = *b"STWCURSR";
const VERSION: u16 = 1;
/// Magic and version: promised to every later version, with the checksum at the end, so that an older program can tell
/// "newer than me" from "damaged".
const PREFIX: usize = 8 + 2;
const FIXED: usize = 8 + 2 + 1 + 1 + 6 * 8;
const SPARE_BYTES: u64 = 4096;
pub(super) const FILE: &str = "cursor";
const NEXT_FILE: &str = "cursor.next";

pub(super) struct CursorFile {
    dir: PathBuf,
    node: u8,
    spare: Option<Arc<dyn SegmentFile>>,
}

pub(super) enum Loaded {
    Absent,
    Sound(Settlement),
    /// Not usable, and why.
    Damaged(String),
}

pub(super) fn encode(node: u8, settlement: &Settlement) -> Vec<u8> {
    let ranges: Vec<(u64, u64)> = settlement.beyond.iter().collect();
    let mut bytes = Vec::with_capacity(FIXED + ranges.len() * 16 + 4);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[node, 0]);
    for number in [
        settlement.last_seq,
        settlement.acked,
        settlement.stored,
        settlement.dead_lettered,
        settlement.dropped,
        ranges.len() as u64,
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for (first, last) in ranges {
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&last.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

enum DecodeError {
    Newer(u16),
    OtherNode(u8),
    Damaged(&'static str),
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

fn decode(bytes: &[u8], node: u8) -> Result<Settlement, DecodeError> {
    if bytes.len() < PREFIX + 4 || bytes[..8] != MAGIC {
        return Err(DecodeError::Damaged("it is not a cursor"));
    }
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    if crc32fast::hash(body).to_le_bytes() != crc {
        return Err(DecodeError::Damaged("its checksum is wrong"));
    }
    let version = u16::from_le_bytes([body[8], body[9]]);
    if version > VERSION {
        return Err(DecodeError::Newer(version));
    }
    if body.len() < FIXED {
        return Err(DecodeError::Damaged("its length is wrong"));
    }
    if body[10] != node {
        return Err(DecodeError::OtherNode(body[10]));
    }
    let ranges = usize::try_from(number(body, 52)).unwrap_or(usize::MAX);
    if body.len() != FIXED.saturating_add(ranges.saturating_mul(16)) {
        return Err(DecodeError::Damaged("its length is wrong"));
    }
    let beyond: Ranges = body[FIXED..]
        .chunks_exact(16)
        .map(|pair| (number(pair, 0), number(pair, 8)))
        .collect();
    let settlement = Settlement {
        last_seq: number(body, 12),
        acked: number(body, 20),
        stored: number(body, 28),
        dead_lettered: number(body, 36),
        dropped: number(body, 44),
        beyond,
    };
    let settled = settlement.acked + settlement.beyond.len();
    if settlement.stored + settlement.dead_lettered + settlement.dropped != settled
        || settlement.acked > settlement.last_seq
        || settlement.beyond.last().unwrap_or(0) > settlement.last_seq
    {
        return Err(DecodeError::Damaged("its totals contradict each other"));
    }
    Ok(settlement)
}

impl CursorFile {
    /// Reads the cursor of a directory.
    pub(super) fn load(
        storage: &dyn Storage,
        dir: &Path,
        node: u8,
    ) -> Result<(Self, Loaded), OpenError> {
        let path = dir.join(FILE);
        let failed = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        let cursor = Self {
            dir: dir.to_owned(),
            node,
            spare: None,
        };
        let file = match storage.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((cursor, Loaded::Absent));
            }
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = vec![
            0;
            usize::try_from(file.len().map_err(failed)?)
                .unwrap_or(0)
                .min(16 << 20)
        ];
        let read = read_up_to(&*file, &mut bytes, 0).map_err(failed)?;
        bytes.truncate(read);
        match decode(&bytes, node) {
            Ok(settlement) => Ok((cursor, Loaded::Sound(settlement))),
            Err(DecodeError::Damaged(why)) => Ok((
                cursor,
                Loaded::Damaged(format!("{}: {why}", path.display())),
            )),
            Err(DecodeError::Newer(found)) => Err(OpenError::NewerVersion {
                path,
                found,
                oldest: VERSION,
                newest: VERSION,
            }),
            Err(DecodeError::OtherNode(found)) => Err(OpenError::OtherNode {
                path,
                found,
                configured: node,
            }),
        }
    }

    /// Puts a settlement in force, durably.
    pub(super) fn store(
        &mut self,
        storage: &dyn Storage,
        settlement: &Settlement,
    ) -> io::Result<()> {
        let next = self.dir.join(NEXT_FILE);
        let file = match self.spare.take() {
            Some(file) => file,
            None => allocate(storage, &next)?,
        };
        let bytes = encode(self.node, settlement);
        write_all_at(&*file, &bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        file.sync()?;
        storage.rename(&next, &self.dir.join(FILE))?;
        storage.sync_dir(&self.dir)?;
        // Without it the next store allocates for itself.
        self.spare = allocate(storage, &next).ok();
        Ok(())
    }
}

fn allocate(storage: &dyn Storage, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    storage.create(path, SPARE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, decode, encode};
    use crate::spool::book::Settlement;

    fn sample() -> Settlement {
        Settlement {
            last_seq: 40,
            acked: 10,
            beyond: [(15, 20), (30, 31)].into_iter().collect(),
            stored: 15,
            dead_lettered: 1,
            dropped: 2,
        }
    }

    #[test]
    fn comes_back_as_it_went() {
        let Ok(back) = decode(&encode(3, &sample()), 3) else {
            panic!("a cursor just written must be readable");
        };
        assert_eq!(back, sample());
    }

    #[test]
    fn any_flipped_bit_or_cut_is_noticed() {
        let bytes = encode(3, &sample());
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&bad, 3), Err(DecodeError::Damaged(_))));
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], 3).is_err());
        }
    }

    #[test]
    fn totals_that_contradict_each_other_are_not_believed() {
        let mut settlement = sample();
        settlement.stored += 1;
        assert!(matches!(
            decode(&encode(3, &settlement), 3),
            Err(DecodeError::Damaged(_))
        ));
    }
}
