//! Writing months that are over, and what comes for them later.

use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::DbErr;
use serde_json::{Value, json};
use steward_entities::database::begin_write;
use steward_entities::{archive, lease};

use super::find::new_archive;
use super::late::{self, Marks};
use super::manifest::{FORMAT, Manifest};
use super::place::{Delivered, deliver, make_anew};
use super::{ArchiveError, KINDS, Parts, blocking, part};
use crate::contents::store::Month;
use crate::domain::rid::Rid;
use crate::jobs::{JobContext, JobKind};
use crate::retention::Kind;

/// The kind of the job that archives what is due.
pub const WRITE: &str = "archives.write";
/// What came late for a month waits until so long after its last part: it may trickle in.
const PARTS_APART_US: i64 = 24 * 3_600_000_000;

/// What there is to do about a month.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Task {
    /// It is in no file.
    Write,
    /// Something came late for it.
    Add,
    /// Whether everything that is here of it is in its files is not known.
    Compare,
}

/// Months that are over for long enough and not in the archive, or not as a whole; oldest first.
///
/// # Errors
/// When a database cannot be read.
pub async fn waiting(parts: &Parts) -> Result<Vec<(Kind, Month)>, ArchiveError> {
    let due = due(parts).await?.into_iter();
    let mut waiting: Vec<(Kind, Month)> = due
        .filter(|(task, ..)| *task != Task::Compare)
        .map(|(_, kind, month)| (kind, month))
        .collect();
    waiting.sort_by_key(|(_, month)| *month);
    Ok(waiting)
}

async fn due(parts: &Parts) -> Result<Vec<(Task, Kind, Month)>, ArchiveError> {
    let after = i64::try_from(parts.settings.load().archived_after.as_millis()).unwrap_or(0);
    let over_at = Rid::floor_of_ms(parts.clock.now_ms().saturating_sub(after).max(0)).0;
    let archived = archive::all(&parts.databases.control_read).await?;
    let mut due = Vec::new();
    for kind in KINDS {
        let Some(oldest) = oldest(parts, kind, (0, over_at)).await? else {
            continue;
        };
        let mut month = Month::of(oldest);
        while month.to() <= over_at {
            let known = archived
                .iter()
                .find(|row| row.kind == kind.name() && row.month == month.name());
            if let Some(task) = task(parts, (kind, month), known).await? {
                due.push((task, kind, month));
            }
            month = month.next();
        }
    }
    due.sort_by_key(|(task, _, month)| (*task, *month));
    Ok(due)
}

async fn task(
    parts: &Parts,
    (kind, month): (Kind, Month),
    known: Option<&archive::Model>,
) -> Result<Option<Task>, ArchiveError> {
    let Some(row) = known else {
        let has_rows = oldest_of(parts, kind, month).await?.is_some();
        return Ok(has_rows.then_some(Task::Write));
    };
    let marks = Marks::of(&parts.databases, &parts.contents, (kind, month)).await?;
    let Some(marks) = marks else {
        return Ok(None);
    };
    let state = marks.state().await?;
    if !state.is_settled {
        let has_rows = oldest_of(parts, kind, month).await?.is_some();
        return Ok(has_rows.then_some(Task::Compare));
    }
    let is_due = parts.clock.now_micros() - row.written_at >= PARTS_APART_US;
    Ok((state.late > 0 && is_due).then_some(Task::Add))
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
    let due = due(parts).await?;
    let mut written = Vec::new();
    let mut failed = None;
    for (done, (task, kind, month)) in due.iter().enumerate() {
        if is_cancelled() {
            break;
        }
        if !take_lease(parts).await? {
            return Ok(None);
        }
        // Another node may have been at it while this one waited.
        let read = &parts.databases.control_read;
        let known = archive::of_month(read, kind.name(), &month.name()).await?;
        let of = (*kind, *month);
        let result = match (task, known) {
            (Task::Write, None) => {
                write_month(parts, *kind, *month).await?;
                Ok(1)
            }
            (Task::Add, Some(row)) => late::add(parts, of, &row).await,
            (Task::Compare, Some(row)) => {
                let compared = late::compare(parts, of, &row, is_cancelled).await;
                compared.map(|_| 0)
            }
            _ => Ok(0),
        };
        match result {
            Ok(0) => {}
            Ok(_) => written.push(format!("{} {}", kind.name(), month.name())),
            // Of a month that is archived: it stays as it is, and the others are none the worse.
            Err(error) => {
                tracing::warn!(
                    kind = kind.name(),
                    month = month.name(),
                    %error,
                    "it is not known whether all of an archived month is in its files; it stays in the database"
                );
                failed = failed.or(Some(error));
            }
        }
        let per_cent = (done + 1) * 100 / due.len();
        progress(u8::try_from(per_cent).unwrap_or(99).min(99));
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(Some(written)),
    }
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
    let marks = Marks::of(&parts.databases, &parts.contents, (kind, month)).await?;
    let Some(marks) = marks else {
        return Ok(());
    };
    let begun = parts.making(kind, month);
    let made = begun.clone();
    blocking(move || Ok(make_anew(&made)?)).await?;
    let there = parts.current().await?;
    marks.seal(parts, (kind, month)).await?;
    let files = part::write(parts, (kind, month), &begun, &marks, 1).await?;
    let manifest = Manifest {
        format: FORMAT,
        kind: kind.name().to_owned(),
        month: month.name(),
        rids: (month.from(), month.to()),
        written_at: parts.clock.now_micros(),
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        owner: parts.owner().await?,
        rows: part::rows(&files),
        files,
    };
    let delivered = deliver(there.depot.as_ref(), &begun, (kind, month), manifest).await?;
    blocking(move || Ok(std::fs::remove_dir_all(&begun)?)).await?;
    let (lying, is_kept) = match delivered {
        Delivered::Put(lying) => (lying, false),
        Delivered::Kept(lying) => (lying, true),
    };
    let (rows, bytes) = (lying.manifest.rows, lying.manifest.bytes());
    let new = new_archive((kind, month), lying, there.id);
    let txn = begin_write(&parts.databases.control).await?;
    archive::insert(&txn, new, parts.clock.now_micros()).await?;
    txn.commit().await?;
    // One that lay there was written before this: it is compared, when somebody looks again.
    if !is_kept {
        marks.settle().await?;
    }
    tracing::info!(
        kind = kind.name(),
        month = month.name(),
        rows,
        bytes,
        "a month is archived"
    );
    Ok(())
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
