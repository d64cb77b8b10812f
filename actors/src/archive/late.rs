//! What comes for a month whose archive was begun: a letter replayed after weeks, the spool of a node that was away. It is
//! marked where it is stored (`steward_entities::archive_late`), stays there whatever retention says, and is written as a
//! further part of the month, at most one a day.
//!
//! Of a month that nobody sealed while it was written — by an earlier release, or found in its place after a restore — it is
//! not known which rows its files have: they are compared, once.

use std::path::PathBuf;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, FromQueryResult, Statement};
use steward_entities::archive;
use steward_entities::archive_late::{self as marks, State};
use steward_entities::database::{Databases, begin_write};

use super::import::Brought;
use super::manifest::{self, Manifest};
use super::place::{make_anew, put_files};
use super::sheet::{Kind as Type, Reading};
use super::{ArchiveError, Parts, blocking, part};
use crate::contents::store::{ContentStore, Month};
use crate::retention::Kind;

/// Rows compared at a time.
const COMPARED_AT_ONCE: u64 = 20_000;

/// Where a month and its marks are.
pub(crate) struct Marks {
    write: DatabaseConnection,
    read: DatabaseConnection,
    /// Its main table.
    table: &'static str,
    rids: (i64, i64),
}

impl Marks {
    /// Those of a month; `None`: it has no file.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub(crate) async fn of(
        databases: &Databases,
        contents: &ContentStore,
        (kind, month): (Kind, Month),
    ) -> Result<Option<Self>, ArchiveError> {
        let rids = (month.from(), month.to());
        let marks = |table, (write, read)| Self {
            write,
            read,
            table,
            rids,
        };
        Ok(match kind {
            Kind::Contents => {
                let connections = contents.connections(month).await?;
                connections.map(|both| marks("conversation_contents", both))
            }
            _ => {
                let both = (databases.ledger.clone(), databases.ledger_read.clone());
                Some(marks("request_logs", both))
            }
        })
    }

    /// What is known of the month.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn state(&self) -> Result<State, DbErr> {
        marks::state(&self.read, self.rids).await
    }

    pub(super) async fn marked(&self, rids: (i64, i64)) -> Result<Vec<i64>, DbErr> {
        marks::marked(&self.read, rids).await
    }

    pub(super) async fn of_part(
        &self,
        range: (i64, i64),
        part: i64,
        limit: u64,
    ) -> Result<Vec<i64>, DbErr> {
        marks::of_part(&self.read, range, part, limit).await
    }

    /// From now on whoever stores a row of the month marks it; what was stored before can be read.
    pub(super) async fn seal(
        &self,
        parts: &Parts,
        (kind, month): (Kind, Month),
    ) -> Result<(), ArchiveError> {
        if kind == Kind::Contents {
            return Ok(parts.contents.seal(month).await?);
        }
        let txn = begin_write(&self.write).await?;
        if txn.get_database_backend() == DbBackend::Postgres {
            // Whoever has put in rows and not committed them is waited for, and others wait for that.
            txn.execute_unprepared(
                "SET LOCAL lock_timeout = '2s'; LOCK TABLE ONLY request_logs IN SHARE MODE",
            )
            .await?;
        }
        marks::seal(&txn, self.rids).await?;
        Ok(txn.commit().await?)
    }

    /// What is not marked is in the month's files.
    pub(super) async fn settle(&self) -> Result<(), DbErr> {
        let txn = begin_write(&self.write).await?;
        marks::settle(&txn, self.rids.0).await?;
        txn.commit().await
    }

    /// Gives what is marked the number of the next part; whether there is anything.
    async fn assign(&self, arrived: i64, next: i64) -> Result<bool, DbErr> {
        let txn = begin_write(&self.write).await?;
        marks::arrived(&txn, self.rids, arrived).await?;
        marks::assign(&txn, self.rids, next).await?;
        txn.commit().await?;
        let before = (self.rids.0 - 1, self.rids.1);
        Ok(!self.of_part(before, next, 1).await?.is_empty())
    }

    async fn arrived(&self, part: i64) -> Result<(), DbErr> {
        let txn = begin_write(&self.write).await?;
        marks::arrived(&txn, self.rids, part).await?;
        txn.commit().await
    }

    /// Record ids that are there, in `(after, to)`, rising.
    async fn rids(&self, after: i64, limit: u64) -> Result<Vec<i64>, DbErr> {
        #[derive(FromQueryResult)]
        struct Row {
            rid: i64,
        }
        let asked = Statement::from_sql_and_values(
            self.read.get_database_backend(),
            format!(
                "SELECT rid FROM {} WHERE rid > $1 AND rid < $2 ORDER BY rid LIMIT {limit}",
                self.table
            ),
            [after.into(), self.rids.1.into()],
        );
        let rows = Row::find_by_statement(asked).all(&self.read).await?;
        Ok(rows.into_iter().map(|row| row.rid).collect())
    }

    async fn mark(&self, rids: &[i64]) -> Result<(), DbErr> {
        let txn = begin_write(&self.write).await?;
        marks::mark(&txn, rids).await?;
        txn.commit().await
    }
}

/// Writes what came late for an archived month as a further part of it; how many rows.
pub(super) async fn add(
    parts: &Parts,
    (kind, month): (Kind, Month),
    row: &archive::Model,
) -> Result<u64, ArchiveError> {
    let of = Marks::of(&parts.databases, &parts.contents, (kind, month)).await?;
    let Some(of) = of else {
        return Ok(0);
    };
    let next = row.parts + 1;
    if !of.assign(row.parts, next).await? {
        return Ok(0);
    }
    let begun = parts.making(kind, month);
    let made = begun.clone();
    blocking(move || Ok(make_anew(&made)?)).await?;
    let files = part::write(parts, (kind, month), &begun, &of, next).await?;
    let rows = part::rows(&files);
    // Deleted meanwhile, all of it: there is nothing to keep.
    if rows > 0 {
        let there = parts.there(row).await?;
        let text = there.depot.get(&row.manifest).await?;
        if manifest::hash(&text) != row.sha256 {
            return Err(manifest::changed(&row.manifest));
        }
        let mut whole = Manifest::read(&text).map_err(ArchiveError::Refused)?;
        let before = manifest::before(&row.manifest);
        put_files(there.depot.as_ref(), &begun, before, &files).await?;
        whole.rows += rows;
        whole.files.extend(files);
        whole.written_at = parts.clock.now_micros();
        whole.written_by = env!("CARGO_PKG_VERSION").to_owned();
        // Beside the one before: as long as the table names that, the month is what it was.
        let name = format!("{before}{}", manifest::name(next));
        let (text, sha256) = whole.text()?;
        there.depot.put(&name, text.into()).await?;
        let further = archive::Further {
            parts: next,
            rows: i64::try_from(whole.rows).unwrap_or(i64::MAX),
            bytes: i64::try_from(whole.bytes()).unwrap_or(i64::MAX),
            manifest: name,
            sha256,
        };
        let txn = begin_write(&parts.databases.control).await?;
        let is_next = archive::add_part(&txn, row.id, further, whole.written_at).await?;
        txn.commit().await?;
        if !is_next {
            return Err(ArchiveError::Refused(
                "another node has written a part of this month meanwhile".to_owned(),
            ));
        }
    }
    of.arrived(next).await?;
    blocking(move || Ok(std::fs::remove_dir_all(&begun)?)).await?;
    tracing::info!(
        kind = kind.name(),
        month = month.name(),
        rows,
        "what came late for an archived month is archived"
    );
    Ok(rows)
}

/// Marks what is there of an archived month and in none of its files; how many rows.
pub(super) async fn compare(
    parts: &Parts,
    (kind, month): (Kind, Month),
    row: &archive::Model,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<u64, ArchiveError> {
    let of = Marks::of(&parts.databases, &parts.contents, (kind, month)).await?;
    let Some(of) = of else {
        return Ok(0);
    };
    of.seal(parts, (kind, month)).await?;
    let brought = Brought::of(parts, row, "compared", is_cancelled).await?;
    let main = brought
        .manifest
        .files
        .first()
        .map(|part| part.table.clone());
    let files: Vec<PathBuf> = brought
        .manifest
        .files
        .iter()
        .filter(|part| Some(&part.table) == main.as_ref())
        .map(|part| brought.dir.join(&part.file))
        .collect();
    let archived = blocking(move || rids_of(&files)).await?;
    let mut missing = 0;
    let mut after = month.from() - 1;
    loop {
        let rids = of.rids(after, COMPARED_AT_ONCE).await?;
        let Some(last) = rids.last().copied() else {
            break;
        };
        let late: Vec<i64> = rids
            .into_iter()
            .filter(|rid| archived.binary_search(rid).is_err())
            .collect();
        of.mark(&late).await?;
        missing += late.len() as u64;
        after = last;
    }
    of.settle().await?;
    tracing::info!(
        kind = kind.name(),
        month = month.name(),
        missing,
        "an archived month was compared with the database"
    );
    Ok(missing)
}

/// The record ids in these files, rising. Blocking.
fn rids_of(files: &[PathBuf]) -> Result<Vec<i64>, ArchiveError> {
    let mut rids = Vec::new();
    for file in files {
        let mut file = Reading::open(file, &[("rid", Type::Number)])?;
        while let Some(rows) = file.group()? {
            rids.extend(rows.iter().filter_map(|row| row.first()?.number()));
        }
    }
    rids.sort_unstable();
    Ok(rids)
}
