//! The segments: where each entry stands, the one being written, and how a failed write is left behind.
//!
//! Segments are numbered; where two hold the same entry, the higher number is right (an entry is written
//! twice only when its first segment could not be synced or its write failed). Within one segment entries
//! ascend. The journal neither syncs nor deletes nor counts: `sync`, `upkeep` and the book do.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::format::{CURRENT, Layout, RECORD_HEADER};
use super::storage::{SegmentFile, Storage, write_all_at};

const PREFIX: &str = "segment-";
const SUFFIX: &str = ".spool";

pub(super) fn segment_name(id: u64) -> String {
    format!("{PREFIX}{id:010}{SUFFIX}")
}

/// The number in a segment's file name.
pub(super) fn segment_id(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    (digits.len() >= 10).then(|| digits.parse().ok())?
}

/// One file of records; shared with whoever reads or syncs it.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn SegmentFile>,
    pub(super) layout: Layout,
}

/// A run of entries in one segment, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) last_seq: u64,
    pub(super) segment: u64,
    /// Where the run begins, in bytes.
    pub(super) offset: u64,
}

pub(super) struct SegmentState {
    pub(super) segment: Arc<Segment>,
    /// Last entry written.
    pub(super) last_seq: u64,
    /// End of what is written, in bytes.
    pub(super) written: u64,
    /// End of what is known to be on the platter, and the last entry of it.
    pub(super) synced: u64,
    pub(super) synced_seq: u64,
    /// A sync failed: what is beyond `synced` must be written elsewhere, this file never synced again.
    pub(super) needs_rescue: bool,
    /// The preallocated rest has been given back.
    pub(super) trimmed: bool,
}

pub(super) struct Journal {
    pub(super) dir: PathBuf,
    pub(super) node: u8,
    pub(super) segment_bytes: u64,
    pub(super) next_id: u64,
    /// The segment being written, a key of `segments`.
    pub(super) active: Option<u64>,
    /// Created ahead of need, not yet in `segments`.
    pub(super) spare: Option<Arc<Segment>>,
    pub(super) segments: BTreeMap<u64, SegmentState>,
    /// First entry → its run.
    pub(super) extents: BTreeMap<u64, Extent>,
    /// Sum of `written` over all segments.
    pub(super) used_bytes: u64,
    scratch: Vec<u8>,
}

/// Makes a segment file, complete and durable but empty. On failure nothing is left.
pub(super) fn create_segment(
    storage: &dyn Storage,
    path: PathBuf,
    layout: Layout,
    bytes: u64,
) -> io::Result<Arc<Segment>> {
    let file = storage.create(&path, bytes)?;
    let ready = write_all_at(&*file, &layout.header_block(), 0)
        .and_then(|()| file.sync())
        .and_then(|()| path.parent().map_or(Ok(()), |dir| storage.sync_dir(dir)));
    if let Err(error) = ready {
        // Best effort: a segment without entries is removed at the next start as well.
        let _ = storage.remove(&path);
        return Err(error);
    }
    Ok(Arc::new(Segment { path, file, layout }))
}

impl Journal {
    pub(super) fn new(dir: PathBuf, node: u8, segment_bytes: u64) -> Self {
        Self {
            dir,
            node,
            segment_bytes,
            next_id: 1,
            active: None,
            spare: None,
            segments: BTreeMap::new(),
            extents: BTreeMap::new(),
            used_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Number, path and header of a segment to be created.
    pub(super) fn plan_segment(&mut self, storage: &dyn Storage) -> (PathBuf, Layout) {
        let id = self.next_id;
        self.next_id += 1;
        let layout = Layout::new(CURRENT, self.node, id, storage.random());
        (self.dir.join(segment_name(id)), layout)
    }

    /// Leaves the active segment; the next write begins another one.
    pub(super) fn roll(&mut self) {
        self.active = None;
    }

    /// Writes one entry, in another segment if this one is full or fails once.
    ///
    /// # Errors
    /// Two segments failed in a row, or none could be created. The entry is in neither.
    pub(super) fn write(
        &mut self,
        storage: &dyn Storage,
        seq: u64,
        kind: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let mut first_error = None;
        for _ in 0..2 {
            match self.try_write(storage, seq, kind, payload) {
                Ok(()) => return Ok(()),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| io::ErrorKind::Other.into()))
    }

    fn try_write(
        &mut self,
        storage: &dyn Storage,
        seq: u64,
        kind: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let len = (RECORD_HEADER + payload.len()) as u64;
        let id = self.active_for(storage, len)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let written = self.segments.get(&id).map_or_else(
            || Err(io::ErrorKind::NotFound.into()),
            |state| {
                state
                    .segment
                    .layout
                    .encode(&mut scratch, kind, seq, payload);
                write_all_at(&*state.segment.file, &scratch, state.written).inspect_err(|_| {
                    // What half arrived must not look like a record; if this fails as well, the same
                    // entry in a later segment outvotes it.
                    let blank = [0; RECORD_HEADER];
                    let _ = write_all_at(&*state.segment.file, &blank, state.written);
                })
            },
        );
        if scratch.capacity() <= 1 << 20 {
            self.scratch = scratch;
        }
        match written {
            Ok(()) => {
                self.note(id, seq, len);
                Ok(())
            }
            Err(error) => {
                self.roll();
                Err(error)
            }
        }
    }

    fn note(&mut self, id: u64, seq: u64, len: u64) {
        let Some(state) = self.segments.get_mut(&id) else {
            return;
        };
        let offset = state.written;
        state.written += len;
        state.last_seq = seq;
        self.used_bytes += len;
        match self.extents.range_mut(..=seq).next_back() {
            Some((_, extent)) if extent.segment == id && extent.last_seq < seq => {
                extent.last_seq = seq;
            }
            _ => {
                self.extents.insert(
                    seq,
                    Extent {
                        last_seq: seq,
                        segment: id,
                        offset,
                    },
                );
            }
        }
    }

    /// The segment to write `len` bytes to.
    fn active_for(&mut self, storage: &dyn Storage, len: u64) -> io::Result<u64> {
        if let Some(id) = self.active
            && let Some(state) = self.segments.get(&id)
            && state.written + len <= self.segment_bytes
        {
            return Ok(id);
        }
        self.roll();
        let segment = match self.spare.take() {
            Some(spare) => spare,
            None => {
                let (path, layout) = self.plan_segment(storage);
                create_segment(storage, path, layout, self.segment_bytes)?
            }
        };
        let id = segment.layout.id;
        let start = segment.layout.data_start();
        self.used_bytes += start;
        self.segments.insert(
            id,
            SegmentState {
                segment,
                last_seq: 0,
                written: start,
                synced: start,
                synced_seq: 0,
                needs_rescue: false,
                trimmed: false,
            },
        );
        self.active = Some(id);
        Ok(id)
    }

    /// Offers a segment created ahead. Refused (and to be deleted) if one is there or a later one exists:
    /// numbers must ascend in the order of writing.
    pub(super) fn offer_spare(&mut self, segment: Arc<Segment>) -> Result<(), Arc<Segment>> {
        let newest = self.segments.keys().next_back().copied().unwrap_or(0);
        if self.spare.is_some() || segment.layout.id < newest {
            return Err(segment);
        }
        self.spare = Some(segment);
        Ok(())
    }

    /// Forgets a segment whose file is going away.
    pub(super) fn forget(&mut self, id: u64) -> Option<Arc<Segment>> {
        let state = self.segments.remove(&id)?;
        self.used_bytes = self.used_bytes.saturating_sub(state.written);
        self.extents.retain(|_, extent| extent.segment != id);
        if self.active == Some(id) {
            self.active = None;
        }
        Some(state.segment)
    }

    /// First and last entry of each run a segment holds.
    pub(super) fn runs_of(&self, id: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.extents
            .iter()
            .filter(move |(_, extent)| extent.segment == id)
            .map(|(first, extent)| (*first, extent.last_seq))
    }

    /// The extents that hold any of `first..=last`, in order, each with its first entry.
    pub(super) fn extents_within(&self, first: u64, last: u64) -> Vec<(u64, Extent)> {
        if first > last {
            return Vec::new();
        }
        let start = self
            .extents
            .range(..=first)
            .next_back()
            .map_or(first, |(start, _)| *start);
        self.extents
            .range(start..=last)
            .filter(|(_, extent)| extent.last_seq >= first)
            .map(|(start, extent)| (*start, *extent))
            .collect()
    }

    /// Takes one entry out of a segment's runs; what to hand to `put_back` to undo it.
    pub(super) fn carve(&mut self, id: u64, seq: u64) -> Option<Extent> {
        let (first, extent) = self
            .extents
            .range(..=seq)
            .next_back()
            .map(|(first, extent)| (*first, *extent))
            .filter(|(_, extent)| extent.segment == id && extent.last_seq >= seq)?;
        self.extents.remove(&first);
        if first < seq {
            let before = Extent {
                last_seq: seq - 1,
                ..extent
            };
            self.extents.insert(first, before);
        }
        if seq < extent.last_seq {
            self.extents.insert(seq + 1, extent);
        }
        Some(Extent {
            last_seq: seq,
            ..extent
        })
    }

    pub(super) fn put_back(&mut self, seq: u64, carved: Option<Extent>) {
        if let Some(extent) = carved {
            self.extents.insert(seq, extent);
        }
    }

    /// The entries of a segment from `from` on are to be found elsewhere, or nowhere.
    pub(super) fn cut_runs(&mut self, id: u64, from: u64) {
        self.extents
            .retain(|first, extent| extent.segment != id || *first < from);
        for extent in self.extents.values_mut() {
            if extent.segment == id && extent.last_seq >= from {
                extent.last_seq = from - 1;
            }
        }
    }
}
