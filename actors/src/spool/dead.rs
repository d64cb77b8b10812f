//! The `dead/` segments: entries a table refused, kept with the reason for a later replay.
//!
//! Same format as the spool's own segments, but written rarely and synced each time, and never deleted by
//! the spool: an operator decides.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::Entry;
use super::error::{AppendError, OpenError, ReadError};
use super::format::{CURRENT, Layout, RECORD_HEADER};
use super::journal::{Segment, create_segment, segment_id, segment_name};
use super::ranges::Ranges;
use super::recovery::{io_error, open_segment};
use super::scan::Scanner;
use super::storage::{Storage, is_full, write_all_at};

const LONGEST_REASON: usize = 4096;

/// An entry that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub entry: Entry,
    pub reason: String,
}

pub(super) struct DeadLetters {
    dir: PathBuf,
    node: u8,
    segment_bytes: u64,
    segments: Vec<Arc<Segment>>,
    next_id: u64,
    /// End of what is written to the last segment, if it is this process's.
    active_end: Option<u64>,
    /// Entries that are here already.
    pub(super) seqs: Ranges,
}

impl DeadLetters {
    pub(super) fn open(
        storage: &dyn Storage,
        dir: PathBuf,
        node: u8,
        segment_bytes: u64,
    ) -> Result<Self, OpenError> {
        storage
            .create_dir(&dir)
            .map_err(|error| io_error(&dir, error))?;
        let mut dead = Self {
            dir,
            node,
            segment_bytes,
            segments: Vec::new(),
            next_id: 1,
            active_end: None,
            seqs: Ranges::default(),
        };
        let names = storage
            .list(&dead.dir)
            .map_err(|error| io_error(&dead.dir, error))?;
        for name in names {
            let Some(id) = segment_id(&name) else {
                continue;
            };
            dead.next_id = dead.next_id.max(id + 1);
            let path = dead.dir.join(&name);
            // A damaged header is left alone: nobody but an operator deletes dead letters.
            let Ok(segment) = open_segment(storage, &path, node)? else {
                continue;
            };
            let failed = |error| io_error(&path, error);
            let end = segment.file.len().map_err(failed)?;
            let mut scanner = Scanner::new(&*segment.file, &segment.layout, 0, end).lenient();
            while let Some(found) = scanner.next().map_err(failed)? {
                dead.seqs.insert(found.header.seq, found.header.seq);
            }
            dead.segments.push(segment);
        }
        Ok(dead)
    }

    /// Appends and syncs. An entry that is here already is not written twice.
    pub(super) fn append(
        &mut self,
        storage: &dyn Storage,
        entry: &Entry,
        reason: &str,
    ) -> Result<(), AppendError> {
        if self.seqs.contains(entry.seq) {
            return Ok(());
        }
        let mut reason_len = reason.len().min(LONGEST_REASON);
        while !reason.is_char_boundary(reason_len) {
            reason_len -= 1;
        }
        let mut payload = Vec::with_capacity(2 + reason_len + entry.payload.len());
        payload.extend_from_slice(&(reason_len as u16).to_le_bytes());
        payload.extend_from_slice(&reason.as_bytes()[..reason_len]);
        payload.extend_from_slice(&entry.payload);
        let mut record = Vec::new();
        let written = self.segment_for(storage, (RECORD_HEADER + payload.len()) as u64);
        let written = written.and_then(|(segment, at)| {
            segment
                .layout
                .encode(&mut record, entry.kind, entry.seq, &payload);
            write_all_at(&*segment.file, &record, at)?;
            segment.file.sync()?;
            Ok(at + record.len() as u64)
        });
        match written {
            Ok(end) => {
                self.active_end = Some(end);
                self.seqs.insert(entry.seq, entry.seq);
                Ok(())
            }
            Err(error) => {
                self.active_end = None; // The next one begins another file.
                Err(if is_full(&error) {
                    AppendError::Full(error)
                } else {
                    AppendError::Io(error)
                })
            }
        }
    }

    fn segment_for(&mut self, storage: &dyn Storage, len: u64) -> io::Result<(Arc<Segment>, u64)> {
        if let (Some(end), Some(segment)) = (self.active_end, self.segments.last())
            && end + len <= self.segment_bytes
        {
            return Ok((segment.clone(), end));
        }
        let layout = Layout::new(CURRENT, self.node, self.next_id, storage.random());
        let path = self.dir.join(segment_name(self.next_id));
        self.next_id += 1;
        // Not preallocated: there is hardly ever more than a handful.
        let segment = create_segment(storage, path, layout, 0)?;
        let start = segment.layout.data_start();
        self.segments.push(segment.clone());
        Ok((segment, start))
    }

    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.clone()
    }
}

/// The dead letters of a segment, read whole: these files are small.
pub(super) fn read_letters(segment: &Segment) -> Vec<Result<DeadLetter, ReadError>> {
    let mut letters = Vec::new();
    let failed = |source| ReadError::Io {
        path: segment.path.clone(),
        source,
    };
    let end = match segment.file.len() {
        Ok(end) => end,
        Err(error) => return vec![Err(failed(error))],
    };
    let mut scanner = Scanner::new(&*segment.file, &segment.layout, 0, end);
    loop {
        match scanner.next() {
            Ok(Some(found)) => letters.push(Ok(parse(
                found.header.seq,
                found.header.kind,
                &found.payload,
            ))),
            Ok(None) => return letters,
            Err(error) => {
                letters.push(Err(failed(error)));
                return letters;
            }
        }
    }
}

fn parse(seq: u64, kind: u8, bytes: &Bytes) -> DeadLetter {
    let reason_len = match bytes.first_chunk::<2>() {
        Some(len) => usize::from(u16::from_le_bytes(*len)),
        None => 0,
    };
    let split = (2 + reason_len).min(bytes.len());
    DeadLetter {
        entry: Entry {
            seq,
            kind,
            payload: bytes.slice(split..),
        },
        reason: String::from_utf8_lossy(bytes.get(2..split).unwrap_or_default()).into_owned(),
    }
}
