//! Writing months that are over.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::DbErr;
use serde_json::{Value, json};
use steward_entities::archive::{self, NewArchive};
use steward_entities::database::begin_write;

use super::manifest::{self, FORMAT, Manifest, Part};
use super::sheet::{Columns, Row, Writing};
use super::{ArchiveError, KINDS, Parts, blocking, calls, said};
use crate::contents::store::{ContentFilter, Month};
use crate::domain::rid::Rid;
use crate::jobs::{JobContext, JobKind};
use crate::retention::Kind;

/// The kind of the job that archives what is due.
pub const WRITE: &str = "archives.write";
/// Rows of a group of the file, and of one read of calls and of conversations.
const GROUP_ROWS: usize = 20_000;
const CALLS_READ: u64 = 5_000;
const SAID_READ: u64 = 500;

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
    let waiting = waiting(parts).await?;
    let mut written = Vec::new();
    for (done, (kind, month)) in waiting.iter().enumerate() {
        if is_cancelled() {
            break;
        }
        write_month(parts, *kind, *month).await?;
        written.push(format!("{} {}", kind.name(), month.name()));
        let per_cent = (done + 1) * 100 / waiting.len();
        progress(u8::try_from(per_cent).unwrap_or(99).min(99));
    }
    Ok(Some(written))
}

fn make_private(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

async fn write_month(parts: &Parts, kind: Kind, month: Month) -> Result<(), ArchiveError> {
    let parent = parts.dir.join(kind.name());
    let (whole, begun) = (
        parent.join(month.name()),
        parent.join(format!("{}.part", month.name())),
    );
    {
        // What an earlier try left: half a month, or a whole one that the table never heard of.
        let (begun, whole) = (begun.clone(), whole.clone());
        blocking(move || {
            for dir in [&begun, &whole] {
                match std::fs::remove_dir_all(dir) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
            Ok(make_private(&begun)?)
        })
        .await?;
    }
    let files = match kind {
        Kind::Contents => vec![write_said(parts, month, &begun).await?],
        _ => write_calls(parts, month, &begun).await?,
    };
    let rows = files.first().map_or(0, |part| part.rows);
    let bytes: u64 = files.iter().map(|part| part.bytes).sum();
    let manifest = Manifest {
        format: FORMAT,
        kind: kind.name().to_owned(),
        month: month.name(),
        rids: (month.from(), month.to()),
        written_at: parts.clock.now_micros(),
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        rows,
        files,
    };
    let sha256 = blocking(move || {
        let sha256 = manifest.write(&begun)?;
        std::fs::rename(&begun, &whole)?;
        std::fs::File::open(&parent)?.sync_all()?;
        Ok(sha256)
    })
    .await?;
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let new = NewArchive {
        kind: kind.name(),
        month: month.name(),
        rows: whole(rows),
        bytes: whole(bytes),
        manifest: format!("{}/{}/{}", kind.name(), month.name(), manifest::NAME),
        sha256,
    };
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

/// A file that grows by groups of rows.
struct Growing {
    path: PathBuf,
    table: &'static str,
    /// None: a group is being written.
    file: Option<Writing>,
    waiting: Vec<Row>,
    rows: u64,
}

impl Growing {
    async fn begin(
        dir: &Path,
        table: &'static str,
        columns: Columns,
    ) -> Result<Self, ArchiveError> {
        let path = dir.join(format!("{table}.parquet"));
        let at = path.clone();
        let file = blocking(move || Ok(Writing::begin(&at, table, columns)?)).await?;
        Ok(Self {
            path,
            table,
            file: Some(file),
            waiting: Vec::new(),
            rows: 0,
        })
    }

    async fn add(&mut self, rows: Vec<Row>) -> Result<(), ArchiveError> {
        self.rows += rows.len() as u64;
        self.waiting.extend(rows);
        if self.waiting.len() >= GROUP_ROWS {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ArchiveError> {
        let rows = std::mem::take(&mut self.waiting);
        if let Some(mut file) = self.file.take() {
            self.file = Some(
                blocking(move || {
                    file.group(&rows)?;
                    Ok(file)
                })
                .await?,
            );
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Part, ArchiveError> {
        self.flush().await?;
        let (path, file) = (self.path.clone(), self.file.take());
        let (sha256, bytes) = blocking(move || {
            if let Some(file) = file {
                file.finish()?;
            }
            Ok(manifest::digest(&path)?)
        })
        .await?;
        Ok(Part {
            table: self.table.to_owned(),
            file: format!("{}.parquet", self.table),
            rows: self.rows,
            bytes,
            sha256,
        })
    }
}

async fn write_calls(parts: &Parts, month: Month, dir: &Path) -> Result<Vec<Part>, ArchiveError> {
    let read = &parts.databases.ledger_read;
    let mut log = Growing::begin(dir, "request_logs", calls::CALLS).await?;
    let mut tries = Growing::begin(dir, "request_attempts", calls::ATTEMPTS).await?;
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
    Ok(vec![log.finish().await?, tries.finish().await?])
}

async fn write_said(parts: &Parts, month: Month, dir: &Path) -> Result<Part, ArchiveError> {
    let filter = ContentFilter {
        rid_from: Some(month.from()),
        rid_to: Some(month.to()),
        ..ContentFilter::default()
    };
    let mut file = Growing::begin(dir, "conversation_contents", said::CONTENTS).await?;
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
