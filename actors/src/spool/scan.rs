//! Reads the records of a segment in the order they stand, stepping over what is damaged.
//!
//! A record that does not check out never ends the reading: the scanner looks for the next magic whose
//! checksum is right. It holds one chunk in memory, whatever the segment's size, and decides nothing about
//! what was found.

use std::io;

use bytes::{Bytes, BytesMut};

use super::format::{Layout, RECORD_HEADER, RECORD_MAGIC, RecordHeader};
use super::storage::{SegmentFile, read_up_to};

const CHUNK: usize = 256 << 10;
const PAGE: usize = 4096;
static ZEROS: [u8; PAGE] = [0; PAGE];

pub(super) struct Found {
    pub(super) header: RecordHeader,
    /// Where the record begins, in bytes from the file's start.
    pub(super) offset: u64,
    pub(super) payload: Bytes,
}

pub(super) struct Scanner<'a> {
    file: &'a dyn SegmentFile,
    layout: &'a Layout,
    position: u64,
    end: u64,
    chunk: Bytes,
    chunk_at: u64,
    /// Unreadable pages count as damaged instead of ending the reading.
    lenient: bool,
    /// Non-zero bytes stepped over since the last record.
    pub(super) damaged_since: u64,
    /// Non-zero bytes stepped over before the last record found.
    pub(super) damaged_before: u64,
    /// End of the last record found.
    pub(super) valid_end: u64,
    /// End of the last byte that is not zero, as far as the reading went.
    pub(super) used_end: u64,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(
        file: &'a dyn SegmentFile,
        layout: &'a Layout,
        position: u64,
        end: u64,
    ) -> Self {
        let position = position.max(layout.data_start());
        Self {
            file,
            layout,
            position,
            end,
            chunk: Bytes::new(),
            chunk_at: 0,
            lenient: false,
            damaged_since: 0,
            damaged_before: 0,
            valid_end: position,
            used_end: position,
        }
    }

    pub(super) fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Where the next record is looked for.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next sound record, or nothing at the segment's end.
    ///
    /// # Errors
    /// The file could not be read (and the scanner is not lenient).
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        loop {
            let window = self.window(RECORD_HEADER)?;
            if window.is_empty() {
                return Ok(None);
            }
            if let Some(header) = self.layout.peek(&window) {
                let whole = RECORD_HEADER + header.len as usize;
                if self.position + whole as u64 <= self.end {
                    let record = self.window(whole)?;
                    if record.len() >= whole && self.layout.verify(&header, &record[..whole]) {
                        let offset = self.position;
                        self.position += whole as u64;
                        self.valid_end = self.position;
                        self.used_end = self.used_end.max(self.position);
                        self.damaged_before += std::mem::take(&mut self.damaged_since);
                        return Ok(Some(Found {
                            header,
                            offset,
                            payload: record.slice(RECORD_HEADER..whole),
                        }));
                    }
                }
            }
            self.step_over(&window);
        }
    }

    /// Moves to the next place a record may begin; at least one byte on.
    fn step_over(&mut self, window: &Bytes) {
        let mut step = 0;
        while window.len() - step >= PAGE && window[step..step + PAGE] == ZEROS {
            step += PAGE;
        }
        if step == 0 {
            let next = window[1..]
                .iter()
                .position(|byte| *byte == RECORD_MAGIC[0])
                .map_or(window.len(), |at| at + 1);
            let skipped = &window[..next];
            self.damaged_since += skipped.iter().filter(|byte| **byte != 0).count() as u64;
            if let Some(at) = skipped.iter().rposition(|byte| *byte != 0) {
                self.used_end = self.used_end.max(self.position + at as u64 + 1);
            }
            step = next;
        }
        self.position += step as u64;
    }

    /// The bytes from the position on: at least `need`, unless the segment ends before.
    fn window(&mut self, need: usize) -> io::Result<Bytes> {
        let left = self.end.saturating_sub(self.position);
        let need = need.min(usize::try_from(left).unwrap_or(usize::MAX));
        let held_end = self.chunk_at + self.chunk.len() as u64;
        if self.position < self.chunk_at || self.position + need as u64 > held_end {
            let want = need.max(CHUNK.min(usize::try_from(left).unwrap_or(usize::MAX)));
            let mut chunk = BytesMut::zeroed(want);
            match read_up_to(self.file, &mut chunk, self.position) {
                Ok(read) => chunk.truncate(read),
                Err(error) if !self.lenient => return Err(error),
                Err(_) => self.read_page_wise(&mut chunk),
            }
            self.chunk = chunk.freeze();
            self.chunk_at = self.position;
        }
        let from = usize::try_from(self.position - self.chunk_at).unwrap_or(usize::MAX);
        Ok(self.chunk.slice(from.min(self.chunk.len())..))
    }

    /// What can be had of a chunk with unreadable places, which stay zero.
    fn read_page_wise(&self, chunk: &mut BytesMut) {
        for (index, page) in chunk.chunks_mut(PAGE).enumerate() {
            let at = self.position + (index * PAGE) as u64;
            if read_up_to(self.file, page, at).is_err() {
                page.fill(0);
            }
        }
    }
}
