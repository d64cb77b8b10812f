//! Reads a directory back: which entries are there, which were lost, where to go on.
//!
//! Every segment is read to its end; a bad record costs itself only. Nothing is truncated but zeros that
//! were never written. Deciding needs no space, so that a full disk never stops a start.

use std::path::Path;
use std::sync::Arc;

use super::book::{Book, Settlement};
use super::config::SpoolConfig;
use super::cursor::{CursorFile, Loaded};
use super::error::OpenError;
use super::format::{CURRENT, HEADER_BLOCK, HeaderError, OLDEST, parse_header};
use super::journal::{Extent, Journal, Segment, SegmentState, segment_id};
use super::ranges::Ranges;
use super::scan::Scanner;
use super::stats::Recovery;
use super::storage::{Storage, read_up_to};

/// Reported lost ranges, at most.
const LOST_RANGES: usize = 32;

struct Read {
    id: u64,
    state: SegmentState,
    /// (first, last, offset) of each run of consecutive entries.
    runs: Vec<(u64, u64, u64)>,
}

pub(super) fn io_error(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Opens a segment file and reads its header. `None` for a file no record was ever written to.
pub(super) fn open_segment(
    storage: &dyn Storage,
    path: &Path,
    node: u8,
) -> Result<Result<Arc<Segment>, HeaderError>, OpenError> {
    let file = storage.open(path).map_err(|error| io_error(path, error))?;
    let mut block = vec![0; HEADER_BLOCK];
    let read = read_up_to(&*file, &mut block, 0).map_err(|error| io_error(path, error))?;
    block.truncate(read);
    match parse_header(&block) {
        Ok(layout) if layout.node != node => Err(OpenError::OtherNode {
            path: path.to_owned(),
            found: layout.node,
            configured: node,
        }),
        Ok(layout) => Ok(Ok(Arc::new(Segment {
            path: path.to_owned(),
            file,
            layout,
        }))),
        Err(HeaderError::Newer(found)) => Err(OpenError::NewerVersion {
            path: path.to_owned(),
            found,
            oldest: OLDEST,
            newest: CURRENT,
        }),
        Err(other) => Ok(Err(other)),
    }
}

fn read_segment(
    storage: &dyn Storage,
    path: &Path,
    id: u64,
    node: u8,
    recovery: &mut Recovery,
) -> Result<Option<Read>, OpenError> {
    let segment = match open_segment(storage, path, node)? {
        Ok(segment) => segment,
        Err(HeaderError::Blank) => {
            // Its creation was interrupted; best effort, it is as good as absent.
            let _ = storage.remove(path);
            return Ok(None);
        }
        Err(_) => {
            let aside = path.with_extension("damaged");
            tracing::error!(path = %path.display(), "the header of a spool segment is damaged; the file is set aside");
            storage
                .rename(path, &aside)
                .map_err(|error| io_error(path, error))?;
            recovery.set_aside.push(aside.display().to_string());
            return Ok(None);
        }
    };
    let len = segment.file.len().map_err(|error| io_error(path, error))?;
    let mut runs: Vec<(u64, u64, u64)> = Vec::new();
    let mut scanner = Scanner::new(&*segment.file, &segment.layout, 0, len).lenient();
    while let Some(found) = scanner.next().map_err(|error| io_error(path, error))? {
        let seq = found.header.seq;
        match runs.last_mut() {
            Some((_, last, _)) if *last + 1 == seq => *last = seq,
            _ => runs.push((seq, seq, found.offset)),
        }
    }
    recovery.damaged_bytes += scanner.damaged_before;
    if scanner.damaged_since > 0 {
        recovery.torn_bytes += scanner.used_end - scanner.valid_end;
    }
    let (end, last_seq) = (
        scanner.used_end,
        runs.last().map_or(0, |(_, last, _)| *last),
    );
    if runs.is_empty() && scanner.damaged_since == 0 {
        let _ = storage.remove(path);
        return Ok(None);
    }
    if segment.layout.version < CURRENT {
        recovery.older_segments += 1;
    }
    Ok(Some(Read {
        id,
        state: SegmentState {
            segment,
            last_seq,
            written: end,
            // What a dead process wrote may be in the page cache only: the first sync covers it.
            synced: 0,
            synced_seq: 0,
            needs_rescue: false,
            trimmed: false,
        },
        runs,
    }))
}

/// What recovery hands to the spool.
pub(super) struct Recovered {
    pub(super) journal: Journal,
    pub(super) book: Book,
    pub(super) cursor: CursorFile,
    pub(super) recovery: Recovery,
}

pub(super) fn recover(
    storage: &dyn Storage,
    config: &SpoolConfig,
    dead: &Ranges,
) -> Result<Recovered, OpenError> {
    let mut recovery = Recovery::default();
    let (cursor, loaded) = CursorFile::load(storage, &config.dir, config.node)?;
    let mut names: Vec<(u64, String)> = storage
        .list(&config.dir)
        .map_err(|error| io_error(&config.dir, error))?
        .into_iter()
        .filter_map(|name| Some((segment_id(&name)?, name)))
        .collect();
    names.sort();
    // A newer version must stop the start before anything is touched.
    for (_, name) in &names {
        let _ = open_segment(storage, &config.dir.join(name), config.node)?;
    }

    let mut journal = Journal::new(config.dir.clone(), config.node, config.segment_bytes);
    let mut reads = Vec::new();
    for (id, name) in names {
        journal.next_id = journal.next_id.max(id + 1);
        let path = config.dir.join(&name);
        reads.extend(read_segment(
            storage,
            &path,
            id,
            config.node,
            &mut recovery,
        )?);
    }

    // Newest first: where two segments hold the same entry, the later one is right.
    let mut found = Ranges::default();
    for read in reads.iter().rev() {
        for (first, last, offset) in &read.runs {
            let mut fresh = Ranges::default();
            fresh.insert(*first, *last);
            fresh.remove_all(&found);
            for (from, to) in fresh.iter() {
                journal.extents.insert(
                    from,
                    Extent {
                        last_seq: to,
                        segment: read.id,
                        offset: *offset,
                    },
                );
            }
            found.insert(*first, *last);
        }
    }
    for read in reads {
        journal.used_bytes += read.state.written;
        journal.segments.insert(read.id, read.state);
    }

    let mut settlement = match loaded {
        Loaded::Sound(settlement) => settlement,
        Loaded::Absent if found.is_empty() && dead.is_empty() => Settlement::default(),
        Loaded::Absent => rebuilt(&found, dead, "there is no cursor file", &mut recovery),
        Loaded::Damaged(why) => rebuilt(&found, dead, &why, &mut recovery),
    };
    settlement.last_seq = settlement.last_seq.max(found.last().unwrap_or(0));
    let mut lost = Ranges::default();
    lost.insert(settlement.acked + 1, settlement.last_seq);
    lost.remove_all(&settlement.beyond);
    lost.remove_all(&found);
    let mut pending = found.within(settlement.acked + 1, settlement.last_seq);
    pending.remove_all(&settlement.beyond);
    settlement.dropped += lost.len();

    recovery.segments = journal.segments.len() as u64;
    recovery.last_seq = settlement.last_seq;
    recovery.unacked = pending.len();
    recovery.lost = lost.len();
    recovery.lost_ranges = lost.iter().take(LOST_RANGES).collect();
    let mut book = Book::new(settlement, pending, lost, config.cache_capacity);
    book.dropped_by[super::DropReason::Damaged as usize] = recovery.lost;
    Ok(Recovered {
        journal,
        book,
        cursor,
        recovery,
    })
}

/// Without a cursor everything on disk is delivered again, and what is gone is taken for stored: segments
/// are deleted only once their entries are.
fn rebuilt(found: &Ranges, dead: &Ranges, why: &str, recovery: &mut Recovery) -> Settlement {
    let last_seq = found.last().or(dead.last()).unwrap_or(0);
    let acked = found.first().map_or(last_seq, |first| first - 1);
    let dead_lettered = dead.within(1, acked).len();
    tracing::warn!(
        why,
        acked,
        "the spool's cursor is rebuilt from its segments; entries may be delivered twice"
    );
    recovery.cursor_rebuilt = Some(why.to_owned());
    Settlement {
        last_seq,
        acked,
        stored: acked - dead_lettered,
        dead_lettered,
        ..Settlement::default()
    }
}
