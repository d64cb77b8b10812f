//! Shelves: which months there are, and their open files. At most [`OPEN_MAX`] files are open; the one that was used
//! longest ago is closed first.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeZone, Utc};
use parking_lot::Mutex;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, FromQueryResult, Statement};
use steward_entities::database::{begin_write, open_contents_file};

use super::super::packing::Dictionary;
use super::late;
use super::write::lock;
use super::{Migrate, Place, StoreError};
use crate::domain::rid::Rid;

const OPEN_MAX: usize = 6;
const FILE_SUFFIX: &str = ".db";

/// A month of UTC, as its first record id tells.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Month {
    year: i32,
    month: u32,
}

impl Month {
    /// The month in which a record was accepted.
    pub fn of(rid: i64) -> Self {
        let at = DateTime::<Utc>::from_timestamp_millis(Rid(rid).ms()).unwrap_or_default();
        Self {
            year: at.year(),
            month: at.month(),
        }
    }

    /// Reads what [`Self::name`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let month = Self {
            year: year.parse().ok()?,
            month: month
                .parse()
                .ok()
                .filter(|month| (1..=12).contains(month))?,
        };
        (month.name() == text).then_some(month)
    }

    /// Such as `2026-03`.
    pub fn name(self) -> String {
        format!("{:04}-{:02}", self.year, self.month)
    }

    /// The month after it.
    pub fn next(self) -> Self {
        match self.month {
            12 => Self {
                year: self.year + 1,
                month: 1,
            },
            month => Self {
                month: month + 1,
                ..self
            },
        }
    }

    /// What ends the name of its partition on PostgreSQL.
    pub fn partition(self) -> String {
        format!("y{:04}m{:02}", self.year, self.month)
    }

    /// First record id of the month.
    pub fn from(self) -> i64 {
        let start = Utc.with_ymd_and_hms(self.year, self.month, 1, 0, 0, 0);
        let ms = start.earliest().map_or(0, |at| at.timestamp_millis());
        Rid::floor_of_ms(ms).0
    }

    /// First record id of the next month.
    pub fn to(self) -> i64 {
        self.next().from()
    }
}

/// A stretch of contents and its connections.
pub(super) struct Shelf {
    pub(super) write: DatabaseConnection,
    pub(super) read: DatabaseConnection,
    /// Record ids it may hold: from the first up to the second.
    pub(super) rids: (i64, i64),
    dictionaries: Mutex<BTreeMap<i64, Arc<Dictionary>>>,
    /// The one new contents are packed with; `None`: not looked up yet.
    current: Mutex<Option<i64>>,
    /// Since how many marks the search index is being merged.
    merging: Mutex<Option<i64>>,
    /// Partitions that are there (PostgreSQL).
    prepared: Mutex<HashSet<String>>,
}

#[derive(FromQueryResult)]
struct DictionaryRow {
    id: i64,
    bytes: Vec<u8>,
}

impl Shelf {
    fn new(write: DatabaseConnection, read: DatabaseConnection, rids: (i64, i64)) -> Arc<Self> {
        Arc::new(Self {
            write,
            read,
            rids,
            dictionaries: Mutex::default(),
            current: Mutex::default(),
            merging: Mutex::default(),
            prepared: Mutex::default(),
        })
    }

    pub(super) fn backend(&self) -> DbBackend {
        self.read.get_database_backend()
    }

    /// A dictionary by its number; `None` for 0.
    pub(super) async fn dictionary(&self, id: i64) -> Result<Option<Arc<Dictionary>>, StoreError> {
        if id == 0 {
            return Ok(None);
        }
        if let Some(known) = self.dictionaries.lock().get(&id) {
            return Ok(Some(Arc::clone(known)));
        }
        let asked = Statement::from_sql_and_values(
            self.backend(),
            "SELECT id, bytes FROM content_dictionaries WHERE id = $1",
            [id.into()],
        );
        let row = DictionaryRow::find_by_statement(asked)
            .one(&self.read)
            .await?;
        Ok(row.map(|row| self.learn(row)))
    }

    /// The newest dictionary that is not retired.
    pub(super) async fn current(&self) -> Result<Option<Arc<Dictionary>>, StoreError> {
        let known = *self.current.lock();
        if let Some(id) = known {
            return self.dictionary(id).await;
        }
        let asked = Statement::from_string(
            self.backend(),
            "SELECT id, bytes FROM content_dictionaries WHERE is_retired = FALSE ORDER BY id DESC LIMIT 1",
        );
        let row = DictionaryRow::find_by_statement(asked)
            .one(&self.read)
            .await?;
        let found = row.map(|row| self.learn(row));
        *self.current.lock() = Some(found.as_ref().map_or(0, |found| found.id));
        Ok(found)
    }

    fn learn(&self, row: DictionaryRow) -> Arc<Dictionary> {
        let learnt = Arc::new(Dictionary::new(row.id, row.bytes));
        self.dictionaries.lock().insert(row.id, Arc::clone(&learnt));
        learnt
    }

    /// Keeps a new dictionary, which is the current one from now on, and what it was trained on. `None` when one of those
    /// rows was deleted meanwhile: it would hold pieces of it.
    pub(super) async fn keep_dictionary(
        &self,
        bytes: Vec<u8>,
        samples: &[i64],
        at_micros: i64,
    ) -> Result<Option<Arc<Dictionary>>, StoreError> {
        #[derive(FromQueryResult)]
        struct Counted {
            many: i64,
        }
        let backend = self.backend();
        let txn = begin_write(&self.write).await?;
        lock(&txn, "_shared").await?;
        let rids: Vec<String> = samples.iter().map(i64::to_string).collect();
        let asked = format!(
            "SELECT COUNT(*) AS many FROM conversation_contents WHERE rid IN ({})",
            rids.join(", ")
        );
        let counted = Counted::find_by_statement(Statement::from_string(backend, asked))
            .one(&txn)
            .await?;
        if counted.is_none_or(|row| row.many != i64::try_from(samples.len()).unwrap_or(-1)) {
            return Ok(None);
        }
        let insert = Statement::from_sql_and_values(
            backend,
            "INSERT INTO content_dictionaries (bytes, created_at) VALUES ($1, $2) RETURNING id, bytes",
            [bytes.into(), at_micros.into()],
        );
        let row = DictionaryRow::find_by_statement(insert)
            .one(&txn)
            .await?
            .ok_or_else(|| sea_orm::DbErr::RecordNotInserted)?;
        let rows: Vec<String> = rids
            .iter()
            .map(|rid| format!("({rid}, {})", row.id))
            .collect();
        let insert = format!(
            "INSERT INTO content_samples (rid, dict_id) VALUES {}",
            rows.join(", ")
        );
        txn.execute_unprepared(&insert).await?;
        txn.commit().await?;
        *self.current.lock() = Some(row.id);
        Ok(Some(self.learn(row)))
    }

    /// The current dictionary may be another by now.
    pub(super) fn look_again(&self) {
        *self.current.lock() = None;
    }

    /// Forgets a dictionary that was deleted.
    pub(super) fn unlearn(&self, id: i64) {
        self.dictionaries.lock().remove(&id);
        self.look_again();
    }

    /// Notes that the search index is being merged since so many marks (`None`: no more); whether that was known.
    pub(super) fn merging(&self, marks: Option<i64>) -> bool {
        std::mem::replace(&mut *self.merging.lock(), marks) == marks
    }

    /// Sees to it that rows of this month have somewhere to go.
    async fn prepare(&self, month: Month) -> Result<(), StoreError> {
        if self.backend() != DbBackend::Postgres {
            return Ok(());
        }
        let name = format!("conversation_contents_{}", month.partition());
        if self.prepared.lock().contains(&name) {
            return Ok(());
        }
        let (from, to) = (month.from(), month.to());
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {name} PARTITION OF conversation_contents FOR VALUES FROM ({from}) TO ({to})"
        );
        self.write.execute_unprepared(&create).await?;
        self.prepared.lock().insert(name);
        Ok(())
    }
}

struct Open {
    shelf: Arc<Shelf>,
    used: u64,
}

/// All shelves of a place.
pub(super) struct Shelves {
    place: Place,
    migrate: Migrate,
    open: tokio::sync::Mutex<(u64, BTreeMap<Month, Open>)>,
    schema: Option<Arc<Shelf>>,
}

impl Shelves {
    pub(super) fn new(place: Place, migrate: Migrate) -> Self {
        let schema = match &place {
            Place::Files(_) => None,
            Place::Schema { write, read } => {
                Some(Shelf::new(write.clone(), read.clone(), (0, i64::MAX)))
            }
        };
        Self {
            place,
            migrate,
            open: tokio::sync::Mutex::default(),
            schema,
        }
    }

    /// The shelf that new rows of a month go to; made when it is not there.
    pub(super) async fn for_writing(&self, month: Month) -> Result<Arc<Shelf>, StoreError> {
        let shelf = match (&self.schema, &self.place) {
            (Some(schema), _) => Arc::clone(schema),
            (None, Place::Files(dir)) => self.file(dir, month).await?,
            (None, Place::Schema { write, read }) => {
                Shelf::new(write.clone(), read.clone(), (0, i64::MAX))
            }
        };
        shelf.prepare(month).await?;
        Ok(shelf)
    }

    /// Stretches of record ids, newest first, each to be opened with [`Shelves::at`]. Only those that reach into
    /// `from..to`.
    pub(super) fn stretches(&self, from: i64, to: i64) -> Result<Vec<Month>, StoreError> {
        let Place::Files(dir) = &self.place else {
            // One stretch; its month means nothing there.
            return Ok(vec![Month::of(from)]);
        };
        let mut months: Vec<Month> = match std::fs::read_dir(dir) {
            Ok(files) => files
                .filter_map(Result::ok)
                .filter_map(|file| {
                    let name = file.file_name().into_string().ok()?;
                    Month::parse(name.strip_suffix(FILE_SUFFIX)?)
                })
                .filter(|month| month.from() < to && month.to() > from)
                .collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        months.sort_unstable_by(|a, b| b.cmp(a));
        Ok(months)
    }

    /// A stretch, open.
    pub(super) async fn at(&self, month: Month) -> Result<Arc<Shelf>, StoreError> {
        match (&self.schema, &self.place) {
            (Some(schema), _) => Ok(Arc::clone(schema)),
            (None, Place::Files(dir)) => self.file(dir, month).await,
            (None, Place::Schema { .. }) => self.for_writing(month).await,
        }
    }

    /// The shelf that holds a record id, if there is one.
    pub(super) async fn holding(&self, rid: i64) -> Result<Option<Arc<Shelf>>, StoreError> {
        match self.stretches(rid, rid.saturating_add(1))?.first() {
            Some(month) => self.at(*month).await.map(Some),
            None => Ok(None),
        }
    }

    async fn file(&self, dir: &Path, month: Month) -> Result<Arc<Shelf>, StoreError> {
        let mut open = self.open.lock().await;
        open.0 += 1;
        let now = open.0;
        if let Some(known) = open.1.get_mut(&month) {
            known.used = now;
            return Ok(Arc::clone(&known.shelf));
        }
        make_private(dir)?;
        let path: PathBuf = dir.join(format!("{}{FILE_SUFFIX}", month.name()));
        let (mut write, mut read) = open_contents_file(&path).await?;
        (self.migrate)(write.clone()).await?;
        if late::is_leaving(&read).await? {
            // The process ended before the file was removed.
            remove(dir, month, &write, &read).await?;
            (write, read) = open_contents_file(&path).await?;
            (self.migrate)(write.clone()).await?;
        }
        let shelf = Shelf::new(write, read, (month.from(), month.to()));
        if open.1.len() >= OPEN_MAX
            && let Some(oldest) = open
                .1
                .iter()
                .min_by_key(|(_, open)| open.used)
                .map(|(month, _)| *month)
        {
            // Whoever still uses it keeps it open; the last one to let go closes it.
            open.1.remove(&oldest);
        }
        open.1.insert(
            month,
            Open {
                shelf: Arc::clone(&shelf),
                used: now,
            },
        );
        Ok(shelf)
    }

    /// Bytes that they take on the disk.
    pub(super) async fn bytes(&self) -> Result<u64, StoreError> {
        let Place::Files(dir) = &self.place else {
            let Some(shelf) = &self.schema else {
                return Ok(0);
            };
            let asked = Statement::from_string(
                shelf.backend(),
                "SELECT COALESCE(SUM(pg_total_relation_size(relid)), 0)::BIGINT FROM pg_partition_tree('conversation_contents')",
            );
            let row = shelf.read.query_one_raw(asked).await?;
            let bytes: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
            return Ok(bytes.unwrap_or(0).unsigned_abs());
        };
        let months = self.stretches(0, i64::MAX)?.into_iter();
        let each = months.flat_map(|month| files(dir, month));
        Ok(each
            .filter_map(|file| std::fs::metadata(file).ok())
            .map(|file| file.len())
            .sum())
    }

    /// Whether months have files of their own.
    pub(super) fn are_files(&self) -> bool {
        matches!(self.place, Place::Files(_))
    }

    /// Forgets a whole month with its file; `false`: it has none, or, if `spares_late`, something in it is in no file of
    /// the archive yet. Whoever still reads it is told that it is closed; whoever was about to write finds that it is
    /// leaving, and then none.
    pub(super) async fn forget(&self, month: Month, spares_late: bool) -> Result<bool, StoreError> {
        let Place::Files(dir) = &self.place else {
            return Ok(false);
        };
        let shelf = self.file(dir, month).await?;
        // Locked until the file is gone: nobody opens it meanwhile.
        let mut open = self.open.lock().await;
        if !late::leave(&shelf, month, spares_late).await? {
            return Ok(false);
        }
        open.1.remove(&month);
        remove(dir, month, &shelf.write, &shelf.read).await?;
        Ok(true)
    }

    pub(super) async fn close(&self) {
        let open = std::mem::take(&mut self.open.lock().await.1);
        for (_, open) in open {
            let _ = open.shelf.read.clone().close().await;
            let _ = open.shelf.write.clone().close().await;
        }
        if let Place::Schema { write, read } = &self.place {
            let _ = read.clone().close().await;
            let _ = write.clone().close().await;
        }
    }
}

/// Closes and removes the files of a month.
async fn remove(
    dir: &Path,
    month: Month,
    write: &DatabaseConnection,
    read: &DatabaseConnection,
) -> Result<(), StoreError> {
    let _ = read.clone().close().await;
    let _ = write.clone().close().await;
    for file in files(dir, month) {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error.into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The files of a month: the table, and what its journal needs.
fn files(dir: &Path, month: Month) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| dir.join(format!("{}{FILE_SUFFIX}{end}", month.name())))
}

/// The directory, readable by its owner only.
fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}
