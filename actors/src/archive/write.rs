//! Writing months that are over.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::DbErr;
use serde_json::{Value, json};
use steward_entities::database::begin_write;
use steward_entities::{archive, lease};

use super::find::new_archive;
use super::manifest::{self, FORMAT, Manifest, Part};
use super::place::{deliver, make_anew};
use super::sheet::{Cell, Columns, Row, Writing};
use super::{ArchiveError, KINDS, Parts, blocking, calls, said};
use crate::contents::store::{ContentFilter, Month};
use crate::domain::rid::Rid;
use crate::jobs::{JobContext, JobKind};
use crate::retention::Kind;

/// The kind of the job that archives what is due.
pub const WRITE: &str = "archives.write";
/// Rows of one read of calls and of conversations.
const CALLS_READ: u64 = 5_000;
const SAID_READ: u64 = 100;

/// How large groups and files become.
#[derive(Clone, Copy)]
struct Bounds {
    group_rows: usize,
    /// A group is in memory as a whole, when it is written and when it is read: so much of it or little more, whatever is
    /// said in a conversation.
    group_bytes: usize,
    /// A file that is as long as this is followed by another: with one more group it is still what a depot takes.
    file_bytes: usize,
}

const BOUNDS: Bounds = Bounds {
    group_rows: 20_000,
    group_bytes: 16 << 20,
    file_bytes: 24 << 20,
};

/// Months that are over for long enough and not in the archive, oldest first.
///
/// # Errors
/// When a database cannot be read.
pub async fn waiting(parts: &Parts) -> Result<Vec<(Kind, Month)>, ArchiveError> {
    let after = i64::try_from(parts.settings.load().archived_after.as_millis()).unwrap_or(0);
    let over_at = Rid::floor_of_ms(parts.clock.now_ms().saturating_sub(after).max(0)).0;
    let archived = archive::all(&parts.databases.control_read).await?;
    let mut waiting = Vec::new();
    for kind in KINDS {
        let Some(oldest) = oldest(parts, kind, (0, over_at)).await? else {
            continue;
        };
        let mut month = Month::of(oldest);
        while month.to() <= over_at {
            let known = archived
                .iter()
                .any(|row| row.kind == kind.name() && row.month == month.name());
            if !known && oldest_of(parts, kind, month).await?.is_some() {
                waiting.push((kind, month));
            }
            month = month.next();
        }
    }
    waiting.sort_by_key(|(_, month)| *month);
    Ok(waiting)
}

async fn oldest(parts: &Parts, kind: Kind, rids: (i64, i64)) -> Result<Option<i64>, ArchiveError> {
    Ok(match kind.table() {
        Some(table) => {
            table
                .census(&parts.databases.ledger_read, rids, 1)
                .await?
                .oldest
        }
        None => parts.contents.census(rids, 1).await?.oldest,
    })
}

async fn oldest_of(parts: &Parts, kind: Kind, month: Month) -> Result<Option<i64>, ArchiveError> {
    oldest(parts, kind, (month.from(), month.to())).await
}

/// The right to write; given back when it is dropped.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Another node may write when this one has not been heard of for so long.
const LEASE_US: i64 = 3_600_000_000;
const LEASE: &str = "archive";

/// Writes every month that waits; their names. `None` while another does. `progress` is told per cent.
///
/// # Errors
/// The first that could not be written; those before it are.
pub async fn write_all(
    parts: &Parts,
    progress: &(dyn Fn(u8) + Sync),
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Vec<String>>, ArchiveError> {
    if parts.busy.swap(true, Ordering::AcqRel) {
        return Ok(None);
    }
    let _turn = Turn(&parts.busy);
    let written = write_waiting(parts, progress, is_cancelled).await;
    let txn = begin_write(&parts.databases.control).await?;
    lease::give_back(&txn, LEASE, parts.node).await?;
    txn.commit().await?;
    written
}

async fn write_waiting(
    parts: &Parts,
    progress: &(dyn Fn(u8) + Sync),
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Vec<String>>, ArchiveError> {
    let waiting = waiting(parts).await?;
    let mut written = Vec::new();
    for (done, (kind, month)) in waiting.iter().enumerate() {
        if is_cancelled() {
            break;
        }
        if !take_lease(parts).await? {
            return Ok(None);
        }
        // Another node may have been at it while this one waited.
        let read = &parts.databases.control_read;
        if archive::of_month(read, kind.name(), &month.name())
            .await?
            .is_some()
        {
            continue;
        }
        write_month(parts, *kind, *month).await?;
        written.push(format!("{} {}", kind.name(), month.name()));
        let per_cent = (done + 1) * 100 / waiting.len();
        progress(u8::try_from(per_cent).unwrap_or(99).min(99));
    }
    Ok(Some(written))
}

/// Prolonged for every month.
async fn take_lease(parts: &Parts) -> Result<bool, ArchiveError> {
    let now = parts.clock.now_micros();
    let txn = begin_write(&parts.databases.control).await?;
    let taken = lease::take(&txn, LEASE, parts.node, now, now + LEASE_US).await?;
    txn.commit().await?;
    Ok(taken)
}

async fn write_month(parts: &Parts, kind: Kind, month: Month) -> Result<(), ArchiveError> {
    let begun = parts.making(kind, month);
    let made = begun.clone();
    blocking(move || Ok(make_anew(&made)?)).await?;
    let there = parts.current().await?;
    let files = match kind {
        Kind::Contents => write_said(parts, month, &begun).await?,
        _ => write_calls(parts, month, &begun).await?,
    };
    let main = files.first().map(|part| part.table.clone());
    let of_main = |part: &&Part| Some(&part.table) == main.as_ref();
    let rows = files.iter().filter(of_main).map(|part| part.rows).sum();
    let manifest = Manifest {
        format: FORMAT,
        kind: kind.name().to_owned(),
        month: month.name(),
        rids: (month.from(), month.to()),
        written_at: parts.clock.now_micros(),
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        owner: parts.owner().await?,
        rows,
        files,
    };
    let done = deliver(there.depot.as_ref(), &begun, (kind, month), manifest).await?;
    blocking(move || Ok(std::fs::remove_dir_all(&begun)?)).await?;
    let (manifest, sha256) = (done.manifest, done.sha256);
    let (rows, bytes) = (manifest.rows, manifest.bytes());
    let new = new_archive((kind, month), &manifest, sha256, there.id);
    let txn = begin_write(&parts.databases.control).await?;
    archive::insert(&txn, new, parts.clock.now_micros()).await?;
    txn.commit().await?;
    tracing::info!(
        kind = kind.name(),
        month = month.name(),
        rows,
        bytes,
        "a month is archived"
    );
    Ok(())
}

/// A table's files, which grow by groups of rows.
struct Growing {
    dir: PathBuf,
    table: &'static str,
    columns: Columns,
    bounds: Bounds,
    /// None: none is begun, or a group is being written.
    file: Option<Writing>,
    waiting: Vec<Row>,
    waiting_bytes: usize,
    /// Of the file that grows.
    rows: u64,
    done: Vec<Part>,
}

impl Growing {
    fn begin(dir: &Path, table: &'static str, columns: Columns) -> Self {
        Self {
            dir: dir.to_owned(),
            table,
            columns,
            bounds: BOUNDS,
            file: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            rows: 0,
            done: Vec::new(),
        }
    }

    /// The name of the file that grows: `calls.parquet`, and then `calls-0002.parquet`.
    fn name(&self) -> String {
        match self.done.len() {
            0 => format!("{}.parquet", self.table),
            many => format!("{}-{:04}.parquet", self.table, many + 1),
        }
    }

    async fn add(&mut self, rows: Vec<Row>) -> Result<(), ArchiveError> {
        for row in rows {
            self.waiting_bytes += row.iter().map(weight).sum::<usize>();
            self.waiting.push(row);
            if self.waiting.len() >= self.bounds.group_rows
                || self.waiting_bytes >= self.bounds.group_bytes
            {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ArchiveError> {
        let rows = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.rows += rows.len() as u64;
        let (path, table, columns) = (self.dir.join(self.name()), self.table, self.columns);
        let file = self.file.take();
        let grown = blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => Writing::begin(&path, table, columns)?,
            };
            file.group(&rows)?;
            Ok(file)
        })
        .await?;
        let is_full = grown.bytes() >= self.bounds.file_bytes;
        self.file = Some(grown);
        match is_full {
            true => self.close().await,
            false => Ok(()),
        }
    }

    async fn close(&mut self) -> Result<(), ArchiveError> {
        let (name, file) = (self.name(), self.file.take());
        let path = self.dir.join(&name);
        let (sha256, bytes) = blocking(move || {
            if let Some(file) = file {
                file.finish()?;
            }
            Ok(manifest::digest(&path)?)
        })
        .await?;
        self.done.push(Part {
            table: self.table.to_owned(),
            file: name,
            rows: std::mem::take(&mut self.rows),
            bytes,
            sha256,
        });
        Ok(())
    }

    /// There is a file, if nothing is in it.
    async fn finish(mut self) -> Result<Vec<Part>, ArchiveError> {
        if !self.waiting.is_empty() || self.done.is_empty() {
            self.flush().await?;
        }
        if self.file.is_some() {
            self.close().await?;
        }
        Ok(self.done)
    }
}

/// What a value takes in memory, or so.
fn weight(cell: &Cell) -> usize {
    16 + cell.text().map_or(0, str::len)
}

async fn write_calls(parts: &Parts, month: Month, dir: &Path) -> Result<Vec<Part>, ArchiveError> {
    let read = &parts.databases.ledger_read;
    let mut log = Growing::begin(dir, "request_logs", calls::CALLS);
    let mut tries = Growing::begin(dir, "request_attempts", calls::ATTEMPTS);
    let mut after = month.from() - 1;
    loop {
        let rows = calls::calls(read, (after, month.to()), CALLS_READ).await?;
        let Some(last) = rows.last().map(|row| calls::rid(row)) else {
            break;
        };
        tries
            .add(calls::attempts(read, (after + 1, last)).await?)
            .await?;
        log.add(rows).await?;
        after = last;
    }
    let mut files = log.finish().await?;
    files.extend(tries.finish().await?);
    Ok(files)
}

async fn write_said(parts: &Parts, month: Month, dir: &Path) -> Result<Vec<Part>, ArchiveError> {
    let filter = ContentFilter {
        rid_from: Some(month.from()),
        rid_to: Some(month.to()),
        ..ContentFilter::default()
    };
    let mut file = Growing::begin(dir, "conversation_contents", said::CONTENTS);
    let mut before = None;
    loop {
        let (hits, next) = parts.contents.list(&filter, before, SAID_READ).await?;
        file.add(hits.into_iter().map(said::row).collect()).await?;
        match next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    file.finish().await
}

/// The job [`WRITE`].
pub struct WriteMonths {
    pub parts: Parts,
}

#[async_trait::async_trait]
impl JobKind for WriteMonths {
    fn kind(&self) -> &str {
        WRITE
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
        let written = home.at_home(async move {
            let progress = |per_cent| context.progress(per_cent);
            write_all(&parts, &progress, &|| context.is_cancelled())
                .await
                .map_err(|error| DbErr::Custom(error.to_string()))
        });
        match written.await.map_err(|error| error.to_string())? {
            Some(written) => Ok(json!({ "archived": written })),
            None => Err("months are being archived already".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sheet::{Kind, Reading};
    use super::*;

    static COLUMNS: Columns = &[("rid", Kind::Number), ("said", Kind::Text)];

    #[tokio::test]
    async fn long_tables_are_several_files_and_groups_fit_into_memory() {
        let dir = tempfile::tempdir().unwrap();
        let row = |n: i64| vec![Cell::Number(Some(n)), Cell::Text(Some("said ".repeat(20)))];
        let bounds = Bounds {
            group_rows: 1_000,
            group_bytes: 1_000,
            file_bytes: 800,
        };
        let mut growing = Growing {
            bounds,
            ..Growing::begin(dir.path(), "said", COLUMNS)
        };
        growing.add((0..100).map(row).collect()).await.unwrap();
        let parts = growing.finish().await.unwrap();
        let names: Vec<&str> = parts.iter().map(|part| part.file.as_str()).collect();
        assert_eq!(names[..2], ["said.parquet", "said-0002.parquet"]);
        assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), 100);
        let mut read = Vec::new();
        for part in &parts {
            let path = dir.path().join(&part.file);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), part.bytes);
            let mut file = Reading::open(&path, COLUMNS).unwrap();
            while let Some(group) = file.group().unwrap() {
                // Eight rows weigh more than a thousand bytes.
                assert!(group.len() <= 8, "{} rows in a group", group.len());
                read.extend(group);
            }
        }
        assert_eq!(read, (0..100).map(row).collect::<Vec<_>>());

        // There is a file, if nothing is in it.
        let empty = Growing::begin(dir.path(), "nothing", COLUMNS);
        let parts = empty.finish().await.unwrap();
        assert_eq!((parts.len(), parts[0].rows), (1, 0));
        let mut file = Reading::open(&dir.path().join("nothing.parquet"), COLUMNS).unwrap();
        assert_eq!(file.group().unwrap(), None);
    }
}
