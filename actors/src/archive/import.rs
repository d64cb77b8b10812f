//! Bringing a month back: its files are what was written, or nothing is done; then what is missing is put in, a little at
//! a time, as whoever records calls needs the same writer.

use std::path::PathBuf;
use std::time::Instant;

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steward_entities::archive;
use steward_entities::database::begin_write;
use tokio::time::sleep;

use super::calls::Names;
use super::manifest::{Manifest, Part};
use super::place::{Fetched, fetch};
use super::sheet::{Columns, Reading, Row};
use super::{ArchiveError, Parts, blocking, calls, said};
use crate::backup::with_partition;
use crate::contents::Content;
use crate::contents::store::Month;
use crate::jobs::{JobContext, JobKind};
use crate::retention::Pace;

/// The kind of the job.
pub const IMPORT: &str = "archives.import";
/// Rows of one transaction at most: their values have to fit into a statement.
const CALLS_AT_ONCE: usize = 500;
const SAID_AT_ONCE: usize = 100;

/// What the job's parameters hold.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Asked {
    /// Public id of the archived month.
    pub archive: String,
}

/// The job [`IMPORT`].
pub struct ImportMonth {
    pub parts: Parts,
}

#[async_trait::async_trait]
impl JobKind for ImportMonth {
    fn kind(&self) -> &str {
        IMPORT
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let asked: Asked =
            serde_json::from_value(context.params.clone()).map_err(|error| error.to_string())?;
        let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
        let told = context.clone();
        let imported = home.at_home(async move {
            let progress = |per_cent| told.progress(per_cent);
            bring_back(&parts, &asked.archive, &progress, &|| told.is_cancelled())
                .await
                .map_err(|error| DbErr::Custom(error.to_string()))
        });
        let (rows, put_back) = imported.await.map_err(|error| error.to_string())?;
        if context.is_cancelled() {
            return Err(format!("stopped after {put_back} rows"));
        }
        Ok(json!({ "rows": rows, "put_back": put_back }))
    }
}

/// Puts in what is missing of an archived month: how many rows it has, and how many of them were missing. `progress` is
/// told per cent.
///
/// # Errors
/// When its files are not what was written; when a database takes nothing: what was put in stays.
pub async fn bring_back(
    parts: &Parts,
    id: &str,
    progress: &(dyn Fn(u8) + Sync),
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<(u64, u64), ArchiveError> {
    let row = archive::by_public_id(&parts.databases.control_read, id).await?;
    let row = row.ok_or_else(|| ArchiveError::Refused("there is no such archive".to_owned()))?;
    let brought = Brought::of(parts, &row, "brought", is_cancelled).await?;
    let manifest = &brought.manifest;
    let all: u64 = manifest.files.iter().map(|part| part.rows).sum();
    let mut bringing = Bringing {
        parts,
        progress,
        is_cancelled,
        dir: brought.dir.clone(),
        all,
        seen: 0,
    };
    let mut put_back = 0;
    for part in &manifest.files {
        match part.table.as_str() {
            "request_logs" => put_back += bringing.calls(part).await?,
            "request_attempts" => bringing.attempts(part).await?,
            _ => put_back += bringing.said(part).await?,
        }
    }
    Ok((manifest.rows, put_back))
}

/// An archived month whose files are what was written. What was fetched goes with it.
pub(super) struct Brought {
    pub(super) manifest: Manifest,
    /// Where its files are.
    pub(super) dir: PathBuf,
    _fetched: Option<Fetched>,
}

impl Brought {
    /// Fetches it, if it lies elsewhere, and sees that nothing is missing or changed.
    pub(super) async fn of(
        parts: &Parts,
        row: &archive::Model,
        what: &str,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, ArchiveError> {
        let fetched = match parts.of(row).await? {
            Some(there) => Some(fetch(parts, &there, row, what, is_cancelled).await?),
            None => None,
        };
        let path = match &fetched {
            Some(fetched) => fetched.manifest(),
            None => parts.dir.join(&row.manifest),
        };
        let dir = path.parent().map(PathBuf::from).unwrap_or_default();
        let sha256 = row.sha256.clone();
        let manifest =
            blocking(move || Manifest::verified(&path, &sha256).map_err(ArchiveError::Refused))
                .await?;
        Ok(Self {
            manifest,
            dir,
            _fetched: fetched,
        })
    }
}

/// A month on its way back.
struct Bringing<'a> {
    parts: &'a Parts,
    progress: &'a (dyn Fn(u8) + Sync),
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
    dir: PathBuf,
    all: u64,
    seen: u64,
}

impl Bringing<'_> {
    fn open(
        &self,
        part: &Part,
        columns: Columns,
    ) -> impl Future<Output = Result<Reading, ArchiveError>> + use<> {
        let path = self.dir.join(&part.file);
        blocking(move || Ok(Reading::open(&path, columns)?))
    }

    /// A month that retention took away may have no partition any more, and the default one is no place for it: it would go
    /// from there row by row, and could have no partition of its own again.
    async fn make_place(&self, table: &str, rows: &[Row]) -> Result<(), ArchiveError> {
        let ledger = &self.parts.databases.ledger;
        let first = rows.first().and_then(|row| row.first()?.number());
        let Some(rid) = first.filter(|_| ledger.get_database_backend() == DbBackend::Postgres)
        else {
            return Ok(());
        };
        let txn = begin_write(ledger).await?;
        // It waits for whoever reads the table, and everybody who comes later would wait for it.
        txn.execute_unprepared("SET LOCAL lock_timeout = '2s'")
            .await?;
        with_partition(&txn, table, Month::of(rid)).await?;
        Ok(txn.commit().await?)
    }

    fn saw(&mut self, rows: usize) {
        self.seen += rows as u64;
        let per_cent = self.seen * 100 / self.all.max(1);
        (self.progress)(u8::try_from(per_cent).unwrap_or(99).min(99));
    }

    async fn calls(&mut self, part: &Part) -> Result<u64, ArchiveError> {
        let mut file = self.open(part, calls::CALLS).await?;
        let (mut names, mut pace, mut put_back) = (Names::default(), Pace::default(), 0);
        loop {
            let (back, group) = group(file).await?;
            file = back;
            let Some(mut rows) = group else {
                return Ok(put_back);
            };
            self.make_place("request_logs", &rows).await?;
            while !rows.is_empty() && !(self.is_cancelled)() {
                let many = few(pace, rows.len());
                let some: Vec<Row> = rows.drain(..many).collect();
                let txn = begin_write(&self.parts.databases.ledger).await?;
                let begun = Instant::now();
                put_back += calls::put_back(&txn, some, &mut names).await?;
                txn.commit().await?;
                pace = rest(pace, many, begun).await;
                self.saw(many);
            }
        }
    }

    async fn attempts(&mut self, part: &Part) -> Result<(), ArchiveError> {
        let mut file = self.open(part, calls::ATTEMPTS).await?;
        let mut pace = Pace::default();
        loop {
            let (back, group) = group(file).await?;
            file = back;
            let Some(mut rows) = group else {
                return Ok(());
            };
            self.make_place("request_attempts", &rows).await?;
            while !rows.is_empty() && !(self.is_cancelled)() {
                let many = few(pace, rows.len());
                let some: Vec<Row> = rows.drain(..many).collect();
                let txn = begin_write(&self.parts.databases.ledger).await?;
                let begun = Instant::now();
                calls::put_back_attempts(&txn, &some).await?;
                txn.commit().await?;
                pace = rest(pace, many, begun).await;
                self.saw(many);
            }
        }
    }

    /// Tombstones are consulted: what somebody had deleted does not come back.
    async fn said(&mut self, part: &Part) -> Result<u64, ArchiveError> {
        let mut file = self.open(part, said::CONTENTS).await?;
        let mut put_back = 0;
        loop {
            let (back, group) = group(file).await?;
            file = back;
            let Some(rows) = group else {
                return Ok(put_back);
            };
            for some in rows.chunks(SAID_AT_ONCE) {
                if (self.is_cancelled)() {
                    return Ok(put_back);
                }
                let contents: Vec<Content> = some.iter().map(|row| said::content(row)).collect();
                put_back += self.parts.contents.put_back(&contents).await?.stored;
                self.saw(some.len());
            }
        }
    }
}

/// The next group of a file, and the file.
async fn group(mut file: Reading) -> Result<(Reading, Option<Vec<Row>>), ArchiveError> {
    blocking(move || {
        let group = file.group()?;
        Ok((file, group))
    })
    .await
}

fn few(pace: Pace, left: usize) -> usize {
    let many = usize::try_from(pace.rows()).unwrap_or(CALLS_AT_ONCE);
    many.min(CALLS_AT_ONCE).min(left)
}

/// The pace of the next step, after the rest that this one asks for.
async fn rest(pace: Pace, rows: usize, begun: Instant) -> Pace {
    let held = begun.elapsed();
    sleep(Pace::rest(held)).await;
    pace.after(rows as u64, held)
}
