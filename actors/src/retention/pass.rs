//! One pass over everything that grows old: what is due goes, a little at a time.
//!
//! It can be run any number of times and stopped at any point. Each step is a transaction that is measured while it holds
//! its writer; between steps it rests, so that whoever records calls has most of the writer.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{DatabaseConnection, DbErr};
use serde::Serialize;
use steward_entities::archive;
use steward_entities::database::{Databases, begin_write, beside};
use steward_entities::expiry::{self, Census};
use tokio::time::sleep;

use super::board::{Board, Turn};
use super::files::DatabaseFile;
use super::holds::{Archived, Holds};
use super::kind::{Home, Kind};
use super::pace::{HELD_MAX, Pace, Step};
use crate::archive::Marks;
use crate::contents::store::{ContentStore, Month};
use crate::domain::clock::SharedClock;
use crate::domain::rid::Rid;
use crate::domain::setting::{InForce, Settings};

const DAY_MICROS: i64 = 24 * 3_600_000_000;
/// Rows that are due of a kind are counted so far before a pass, to tell how far it is.
pub const COUNTED_MAX: u64 = 100_000;
/// Pages that hold nothing and stay in a file for what comes next.
const SPARE_PAGES: u64 = 2_000;

/// After steps of so long altogether, what they wrote is moved from the write-ahead log into the file: a megabyte or some.
const FOLDED_AFTER: Duration = Duration::from_millis(100);

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub contents: Arc<ContentStore>,
    pub settings: InForce,
    pub board: Arc<Board>,
    pub clock: SharedClock,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("retention::Parts")
    }
}

/// What a pass did.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Rows by kind; those of which none went are left out.
    pub removed: BTreeMap<&'static str, u64>,
    pub steps: u64,
    /// The longest time that a writer was held by a step.
    pub longest_hold_us: u64,
    /// Steps that held it longer than they shall.
    pub slow_steps: u64,
    /// Somebody stopped it.
    pub is_stopped: bool,
}

impl Report {
    /// Rows of every kind.
    pub fn rows(&self) -> u64 {
        self.removed.values().sum()
    }

    fn note(&mut self, kind: Option<Kind>, step: Step) {
        self.steps += 1;
        let held = u64::try_from(step.held.as_micros()).unwrap_or(u64::MAX);
        self.longest_hold_us = self.longest_hold_us.max(held);
        self.slow_steps += u64::from(step.held > HELD_MAX);
        if let Some(kind) = kind
            && step.rows > 0
        {
            *self.removed.entry(kind.name()).or_default() += step.rows;
        }
    }
}

/// What is due of a kind: stretches of its age column.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Due {
    pub stretches: Vec<(i64, i64)>,
    /// Rows in them, as far as they were counted.
    pub rows: u64,
}

/// Whether months of this kind are archived, and which of those that reach into `rids` are, and whether as a whole.
async fn holds(
    parts: &Parts,
    kind: Kind,
    settings: &Settings,
    (oldest, cutoff): (i64, i64),
) -> Result<Holds, DbErr> {
    let archived = archive::all(&parts.databases.control_read).await?;
    let mut holds = Holds {
        archives: settings.archives && kind.by_rid(),
        archived: BTreeMap::new(),
    };
    for row in archived.iter().filter(|row| row.kind == kind.name()) {
        let month = Month::parse(&row.month);
        let Some(month) = month.filter(|month| month.to() > oldest && month.from() < cutoff) else {
            continue;
        };
        let marks = Marks::of(&parts.databases, &parts.contents, (kind, month)).await;
        let marks = marks.map_err(|error| DbErr::Custom(error.to_string()))?;
        let is_whole = match marks {
            Some(marks) => marks.state().await?.is_whole(),
            None => true,
        };
        let kept_until = row.kept_until.unwrap_or(0);
        let archived = Archived {
            is_whole,
            kept_until,
        };
        holds.archived.insert(month, archived);
    }
    Ok(holds)
}

impl Parts {
    /// What there is of a kind between two ages; at most `most` are counted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn census(&self, kind: Kind, ages: (i64, i64), most: u64) -> Result<Census, DbErr> {
        let Some(table) = kind.table() else {
            let census = self.contents.census(ages, most).await;
            return census.map_err(|error| DbErr::Custom(error.to_string()));
        };
        let read = match kind.home() {
            Home::Ledger => &self.databases.ledger_read,
            Home::Events => &self.databases.events_read,
            Home::Control | Home::Contents => &self.databases.control_read,
        };
        table.census(read, ages, most).await
    }

    fn writer(&self, home: Home) -> &DatabaseConnection {
        match home {
            Home::Ledger => &self.databases.ledger,
            Home::Events => &self.databases.events,
            Home::Control | Home::Contents => &self.databases.control,
        }
    }
}

/// A pass at its work: on connections of its own, so that a step holds nobody's but a file's lock.
struct Sweep<'a> {
    parts: &'a Parts,
    /// One for each file or schema that it has come to.
    writers: BTreeMap<Home, Writer>,
    report: Report,
    /// What came for a month whose archive was begun stays until it is in it.
    spares_late: bool,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

struct Writer {
    connection: DatabaseConnection,
    file: Option<DatabaseFile>,
    /// How long its steps have written since its write-ahead log was last moved into the file.
    wrote: Duration,
}

impl Writer {
    /// Rests after a step as long as it shall, and moves what it wrote into the file now and then. Nobody waits for that,
    /// while a commit that finds the log full would do it for everybody.
    async fn rest(&mut self, held: Duration) {
        self.wrote += held;
        if self.wrote >= FOLDED_AFTER
            && let Some(file) = self.file.clone()
        {
            self.wrote = Duration::ZERO;
            match tokio::task::spawn_blocking(move || file.move_log()).await {
                Ok(Ok(())) => {}
                // It is tried again with the next steps; a log that stays long is told of by `files`.
                Ok(Err(error)) => tracing::debug!(%error, "a write-ahead log was not moved"),
                Err(error) => tracing::debug!(%error, "a write-ahead log was not moved"),
            }
        }
        sleep(Pace::rest(held)).await;
    }
}

/// What is due of a kind at `now_micros`; at most `most` rows are counted.
///
/// # Errors
/// When a database cannot be read.
pub async fn due(parts: &Parts, kind: Kind, now_micros: i64, most: u64) -> Result<Due, DbErr> {
    let settings = parts.settings.load_full();
    let days = kind.days(&settings);
    if days == 0 {
        return Ok(Due::default());
    }
    let before = now_micros - i64::from(days) * DAY_MICROS;
    if !kind.by_rid() {
        let stretch = (i64::MIN, before);
        let rows = parts.census(kind, stretch, most).await?.rows;
        let stretches = if rows > 0 { vec![stretch] } else { Vec::new() };
        return Ok(Due { stretches, rows });
    }
    let cutoff = Rid::floor_of_ms(before.max(0) / 1_000).0;
    let Some(oldest) = parts.census(kind, (0, cutoff), 1).await?.oldest else {
        return Ok(Due::default());
    };
    let holds = holds(parts, kind, &settings, (oldest, cutoff)).await?;
    let stretches = holds.free(oldest, cutoff, now_micros);
    let mut rows = 0;
    for stretch in &stretches {
        rows += parts.census(kind, *stretch, most).await?.rows;
    }
    Ok(Due {
        stretches,
        rows: rows.min(most),
    })
}

/// Makes a pass; `None` when one is under way already. `progress` is told per cent.
///
/// # Errors
/// When a database cannot be read or written; what was not removed then is removed by the next pass.
pub async fn pass(
    parts: &Parts,
    now_micros: i64,
    progress: &(dyn Fn(u8) + Sync),
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Report>, DbErr> {
    let Some(turn) = parts.board.begin(now_micros) else {
        return Ok(None);
    };
    let mut all = Vec::new();
    let mut expected = 0;
    for kind in Kind::ALL {
        let due = due(parts, kind, now_micros, COUNTED_MAX).await?;
        expected += due.rows;
        if !due.stretches.is_empty() {
            all.push((kind, due.stretches));
        }
    }
    turn.expects(expected);
    let mut sweep = Sweep {
        parts,
        writers: BTreeMap::new(),
        report: Report::default(),
        spares_late: parts.settings.load().archives,
        is_cancelled,
    };
    for (kind, stretches) in &all {
        let tell = |rows: u64| {
            turn.is_at(*kind, rows);
            let per_cent = u8::try_from(rows * 100 / expected.max(1)).unwrap_or(99);
            progress(per_cent.min(99));
        };
        turn.is_at(*kind, sweep.report.rows());
        for stretch in stretches {
            sweep.remove_all(*kind, *stretch, &tell).await?;
        }
    }
    for home in [Home::Ledger, Home::Events] {
        if all.iter().any(|(kind, _)| kind.home() == home) && !sweep.report.is_stopped {
            sweep.give_back(home).await?;
        }
    }
    let report = sweep.report;
    finish(parts, turn, &report);
    Ok(Some(report))
}

fn finish(parts: &Parts, turn: Turn<'_>, report: &Report) {
    if report.rows() > 0 {
        tracing::info!(
            rows = report.rows(),
            steps = report.steps,
            longest_hold_us = report.longest_hold_us,
            slow_steps = report.slow_steps,
            removed = ?report.removed,
            "forgot what had outlived its use"
        );
    }
    turn.done(parts.clock.now_micros(), report);
}

impl Sweep<'_> {
    async fn writer(&mut self, home: Home) -> Result<&mut Writer, DbErr> {
        Ok(match self.writers.entry(home) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                let connection = beside(self.parts.writer(home)).await?;
                place.insert(Writer {
                    file: DatabaseFile::of(&connection),
                    connection,
                    wrote: Duration::ZERO,
                })
            }
        })
    }

    async fn remove_all(
        &mut self,
        kind: Kind,
        ages: (i64, i64),
        tell: &impl Fn(u64),
    ) -> Result<(), DbErr> {
        let mut pace = Pace::default();
        loop {
            if (self.is_cancelled)() {
                self.report.is_stopped = true;
                return Ok(());
            }
            let step = self.remove(kind, ages, pace.rows()).await?;
            self.report.note(Some(kind), step);
            tell(self.report.rows());
            if step.rows == 0 {
                return Ok(());
            }
            pace = pace.after(step.rows, step.held);
            match kind.home() {
                Home::Contents => sleep(Pace::rest(step.held)).await,
                home => self.writer(home).await?.rest(step.held).await,
            }
        }
    }

    /// Removes some of the oldest.
    async fn remove(&mut self, kind: Kind, ages: (i64, i64), most: u64) -> Result<Step, DbErr> {
        let Some(table) = kind.table() else {
            let step = self
                .parts
                .contents
                .remove_some(ages, most, self.spares_late)
                .await;
            return step.map_err(|error| DbErr::Custom(error.to_string()));
        };
        let spares_late = self.spares_late;
        let writer = self.writer(kind.home()).await?;
        let txn = begin_write(&writer.connection).await?;
        let begun = Instant::now();
        let rows = match kind {
            Kind::RequestLogs => expiry::remove_calls(&txn, ages, most, spares_late).await?,
            _ => table.remove_some(&txn, ages, most).await?,
        };
        txn.commit().await?;
        let held = begun.elapsed();
        Ok(Step { rows, held })
    }

    /// Gives pages that hold nothing back to the disk, but for some that are filled again anyway.
    async fn give_back(&mut self, home: Home) -> Result<(), DbErr> {
        let mut pace = Pace::default();
        let mut before = u64::MAX;
        while !(self.is_cancelled)() {
            let rows = pace.rows();
            let txn = begin_write(&self.writer(home).await?.connection).await?;
            let begun = Instant::now();
            let left = expiry::give_back(&txn, rows).await?;
            txn.commit().await?;
            let held = begun.elapsed();
            self.report.note(None, Step { rows, held });
            if left <= SPARE_PAGES || left >= before {
                break;
            }
            before = left;
            pace = pace.after(rows, held);
            self.writer(home).await?.rest(held).await;
        }
        Ok(())
    }
}
