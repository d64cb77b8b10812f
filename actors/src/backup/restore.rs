//! Reading a backup, putting it into empty databases, and comparing those with what was read.
//!
//! Nothing is written before every byte was read once and proven. What is put is counted as the database will tell it
//! (PostgreSQL writes JSON its own way), so that the comparison afterwards is exact on either.

use std::collections::{BTreeMap, HashSet};

use prost::Message;
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr, Statement,
};
use steward_entities::database::{Databases, LEDGER_SCHEMA, begin_write};

use super::archive::{Seal, SectionReader, get_manifest};
use super::export::{CONTENT, CONTENTS, Heading, PAGE, ROW, TABLE, pictured, tallied};
use super::tables::{Section, Table, as_told, of_section};
use super::values::{Cell, Tally, read, write};
use super::{BackupError, MANIFEST, Manifest, NAME_PREFIX, Part, Schema, TableSum, damaged};
use crate::contents::Content;
use crate::contents::store::{ContentStore, Month};
use crate::depot::Depot;
use crate::vault::Vault;

/// Tables that PostgreSQL keeps by the month.
const BY_MONTH: [&str; 2] = ["request_logs", "request_attempts"];

/// What the databases have to hold after a restore.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    tables: Vec<TableSum>,
    contents: u64,
    /// Conversations that were deleted after they were read; the backup says so itself.
    buried: u64,
}

/// What was restored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Restored {
    pub tables: usize,
    pub rows: u64,
    pub contents: u64,
}

/// Names of the backups in a depot, newest last: those that have a manifest.
///
/// # Errors
/// When the depot cannot be listed.
pub(super) async fn names(depot: &dyn Depot) -> Result<Vec<String>, BackupError> {
    let files = depot.list(NAME_PREFIX).await?;
    let mut names: Vec<String> = files
        .into_iter()
        .filter_map(|file| {
            let name = file.name.strip_suffix(MANIFEST)?.strip_suffix('/')?;
            (!name.contains('/')).then(|| name.to_owned())
        })
        .collect();
    // The time of a backup is in its name.
    names.sort_unstable();
    Ok(names)
}

/// The newest backup in a depot.
///
/// # Errors
/// When the depot cannot be listed, or there is none.
pub async fn newest(depot: &dyn Depot) -> Result<String, BackupError> {
    let mut names = names(depot).await?;
    names
        .pop()
        .ok_or_else(|| BackupError::Refused("there is no backup there".to_owned()))
}

/// Reads and proves a manifest.
///
/// # Errors
/// See [`BackupError`].
pub async fn read_manifest(
    depot: &dyn Depot,
    vault: &Vault,
    name: &str,
) -> Result<Manifest, BackupError> {
    get_manifest(depot, vault, name).await
}

fn parts<'a>(manifest: &'a Manifest, section: &str) -> Result<&'a [Part], BackupError> {
    manifest
        .parts
        .get(section)
        .map(Vec::as_slice)
        .ok_or_else(|| damaged(format!("{section} is missing")))
}

fn cells(heading: &Heading, bytes: &[u8]) -> Result<Vec<Cell>, BackupError> {
    read(bytes, heading.columns.len())
        .ok_or_else(|| damaged(format!("a row of {} cannot be read", heading.table)))
}

fn heading(body: &[u8]) -> Result<Heading, BackupError> {
    serde_json::from_slice(body)
        .map_err(|error| damaged(format!("a table cannot be read: {error}")))
}

/// Reads every byte of a backup and proves that it is what its manifest says.
///
/// # Errors
/// See [`BackupError`].
pub async fn verify(
    depot: &dyn Depot,
    vault: &Vault,
    manifest: &Manifest,
) -> Result<(), BackupError> {
    let seal = Seal::new(vault, &manifest.key_id, &manifest.name)?;
    let mut found = Vec::new();
    let mut reader = SectionReader::new(depot, &seal, CONTENTS, parts(manifest, CONTENTS)?)?;
    let mut tally = Tally::default();
    while let Some((tag, body)) = reader.record().await? {
        if tag != CONTENT {
            return Err(damaged("a conversation is none"));
        }
        tally.add_opaque(&body);
    }
    found.push(tally.told(CONTENTS, CONTENTS, &[]));
    for section in Section::ALL {
        let name = section.name();
        let mut reader = SectionReader::new(depot, &seal, name, parts(manifest, name)?)?;
        let mut open: Option<(Heading, Tally)> = None;
        let close = |open: Option<(Heading, Tally)>, found: &mut Vec<TableSum>| {
            if let Some((heading, tally)) = open {
                let columns: Vec<(String, bool)> =
                    heading.columns.into_iter().zip(heading.whole).collect();
                found.push(tally.told(name, &heading.table, &columns));
            }
        };
        while let Some((tag, body)) = reader.record().await? {
            match (tag, &mut open) {
                (TABLE, _) => {
                    let next = (heading(&body)?, Tally::default());
                    close(open.replace(next), &mut found);
                }
                (ROW, Some((heading, tally))) => tally.add(&cells(heading, &body)?, &body),
                _ => return Err(damaged(format!("{name} holds what no backup does"))),
            }
        }
        close(open, &mut found);
    }
    same(&manifest.tables, &found).map_err(BackupError::Damaged)
}

/// That two lists tell of the same.
fn same(expected: &[TableSum], found: &[TableSum]) -> Result<(), String> {
    let by_name = |sums: &[TableSum]| -> BTreeMap<(String, String), TableSum> {
        sums.iter()
            .map(|sum| ((sum.section.clone(), sum.table.clone()), sum.clone()))
            .collect()
    };
    let (expected, mut found) = (by_name(expected), by_name(found));
    for ((section, table), sum) in expected {
        let name = format!("{section}.{table}");
        let Some(other) = found.remove(&(section, table)) else {
            return Err(format!("{name} is missing"));
        };
        if sum.rows != other.rows {
            return Err(format!("{name} has {} rows, not {}", other.rows, sum.rows));
        }
        let differs = sum
            .sums
            .iter()
            .find(|(column, total)| other.sums.get(*column) != Some(*total));
        if let Some((column, total)) = differs.filter(|_| sum.rows > 0) {
            let other = other.sums.get(column).map_or("none", String::as_str);
            return Err(format!("{name}.{column} adds up to {other}, not {total}"));
        }
        if sum.digest != other.digest {
            return Err(format!("rows of {name} are others"));
        }
    }
    Ok(())
}

/// Puts a backup that was proven into empty databases, a transaction a section.
///
/// # Errors
/// See [`BackupError`]; the databases are then to be thrown away.
pub async fn fill(
    depot: &dyn Depot,
    vault: &Vault,
    manifest: &Manifest,
    (databases, contents): (&Databases, &ContentStore),
    schema: &dyn Schema,
) -> Result<Expected, BackupError> {
    let made = schema.make(databases, &manifest.applied).await;
    made.map_err(BackupError::Refused)?;
    let seal = Seal::new(vault, &manifest.key_id, &manifest.name)?;
    let mut expected = Expected::default();
    for section in Section::ALL {
        let name = section.name();
        let reader = SectionReader::new(depot, &seal, name, parts(manifest, name)?)?;
        let connection = match section {
            Section::Ledger => &databases.ledger,
            Section::Events => &databases.events,
            Section::Control => &databases.control,
        };
        put_section(connection, section, reader, &mut expected).await?;
    }
    // Last: what was deleted meanwhile is known by now, and stays so.
    let mut reader = SectionReader::new(depot, &seal, CONTENTS, parts(manifest, CONTENTS)?)?;
    let mut waiting = Vec::new();
    loop {
        let record = reader.record().await?;
        let is_over = record.is_none();
        if let Some((_, body)) = record {
            let content = Content::decode(body.as_slice())
                .map_err(|error| damaged(format!("a conversation cannot be read: {error}")))?;
            waiting.push(content);
        }
        if is_over || waiting.len() as u64 >= PAGE {
            let written = contents.write(&waiting).await?;
            expected.contents += written.stored + written.known;
            expected.buried += written.buried;
            waiting.clear();
        }
        if is_over {
            return Ok(expected);
        }
    }
}

/// A table that rows are put into.
struct Filling<'a> {
    heading: Heading,
    table: &'a Table,
    /// Where the columns of the backup stand in the table.
    columns: Vec<usize>,
    tally: Tally,
    waiting: Vec<Vec<Cell>>,
}

async fn put_section(
    connection: &DatabaseConnection,
    section: Section,
    mut reader: SectionReader<'_>,
    expected: &mut Expected,
) -> Result<(), BackupError> {
    let txn = begin_write(connection).await?;
    if txn.get_database_backend() == DatabaseBackend::Sqlite {
        txn.execute_unprepared("PRAGMA defer_foreign_keys = ON")
            .await?;
    }
    let tables = of_section(&txn, section).await?;
    // What the schema's own history put there is in the backup as well, as it stands now.
    for table in tables.iter().rev() {
        table.clear(&txn).await?;
    }
    let mut months: HashSet<String> = HashSet::new();
    let mut open: Option<Filling<'_>> = None;
    let mut bytes = Vec::new();
    while let Some((tag, body)) = reader.record().await? {
        match tag {
            TABLE => {
                if let Some(filling) = open.take() {
                    close(&txn, section, filling, &mut months, expected).await?;
                }
                open = Some(begin(heading(&body)?, &tables)?);
            }
            ROW => {
                let Some(filling) = &mut open else {
                    return Err(damaged("a row belongs to no table"));
                };
                let mut row = cells(&filling.heading, &body)?;
                as_told(filling.table, &filling.columns, &mut row);
                bytes.clear();
                write(&row, &mut bytes);
                filling.tally.add(&row, &bytes);
                filling.waiting.push(row);
                if filling.waiting.len() >= filling.table.rows_at_once() {
                    flush(&txn, filling, &mut months).await?;
                }
            }
            _ => return Err(damaged("it holds what no backup does")),
        }
    }
    if let Some(filling) = open {
        close(&txn, section, filling, &mut months, expected).await?;
    }
    txn.commit().await?;
    Ok(())
}

fn begin(heading: Heading, tables: &[Table]) -> Result<Filling<'_>, BackupError> {
    let unknown = |what: &str| {
        BackupError::Refused(format!("this release has no {what} that the backup holds"))
    };
    let table = tables
        .iter()
        .find(|table| table.name == heading.table)
        .ok_or_else(|| unknown(&heading.table))?;
    let columns = heading.columns.iter().map(|name| {
        let place = table.columns.iter().position(|column| column.name == *name);
        place.ok_or_else(|| unknown(&format!("{}.{name}", heading.table)))
    });
    Ok(Filling {
        columns: columns.collect::<Result<_, _>>()?,
        table,
        tally: Tally::default(),
        waiting: Vec::new(),
        heading,
    })
}

async fn flush(
    txn: &DatabaseTransaction,
    filling: &mut Filling<'_>,
    months: &mut HashSet<String>,
) -> Result<(), BackupError> {
    if filling.waiting.is_empty() {
        return Ok(());
    }
    let rows = std::mem::take(&mut filling.waiting);
    if txn.get_database_backend() == DatabaseBackend::Postgres
        && BY_MONTH.contains(&filling.table.name.as_str())
        && let Some(at) = filling
            .heading
            .columns
            .iter()
            .position(|name| name == "rid")
    {
        for row in &rows {
            if let Some(Cell::Int(rid)) = row.get(at) {
                let (table, month) = (&filling.table.name, Month::of(*rid));
                if months.insert(format!("{table}_{}", month.partition())) {
                    with_partition(txn, table, month).await?;
                }
            }
        }
    }
    filling.table.insert(txn, &filling.columns, rows).await?;
    Ok(())
}

/// Sees to it that a month has a partition before its first row would go to the default one; a month with rows there
/// already can have none. PostgreSQL only.
pub(crate) async fn with_partition(
    txn: &DatabaseTransaction,
    table: &str,
    month: Month,
) -> Result<(), DbErr> {
    let (from, to) = (month.from(), month.to());
    let name = format!("{LEDGER_SCHEMA}.{table}_{}", month.partition());
    let asked = format!(
        "SELECT to_regclass('{name}') IS NOT NULL OR EXISTS \
         (SELECT 1 FROM {LEDGER_SCHEMA}.{table}_default WHERE rid >= {from} AND rid < {to}) AS settled"
    );
    let asked = Statement::from_string(DatabaseBackend::Postgres, asked);
    let row = txn.query_one_raw(asked).await?;
    if row.map_or(Ok(false), |row| row.try_get::<bool>("", "settled"))? {
        return Ok(());
    }
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {LEDGER_SCHEMA}.{table} FOR VALUES FROM ({from}) TO ({to})"
    );
    txn.execute_unprepared(&sql).await?;
    Ok(())
}

async fn close(
    txn: &DatabaseTransaction,
    section: Section,
    mut filling: Filling<'_>,
    months: &mut HashSet<String>,
    expected: &mut Expected,
) -> Result<(), BackupError> {
    flush(txn, &mut filling, months).await?;
    let at = filling.heading.sequence.unwrap_or_default();
    filling.table.set_sequence(txn, at).await?;
    let columns: Vec<(String, bool)> = filling
        .heading
        .columns
        .into_iter()
        .zip(filling.heading.whole)
        .collect();
    let told = filling
        .tally
        .told(section.name(), &filling.table.name, &columns);
    expected.tables.push(told);
    Ok(())
}

/// Compares the databases, as they stand, with what was put into them.
///
/// # Errors
/// [`BackupError::Differs`], naming the first difference.
pub async fn prove(
    expected: &Expected,
    databases: &Databases,
    contents: &ContentStore,
) -> Result<Restored, BackupError> {
    let mut found = Vec::new();
    for section in Section::ALL {
        let txn = pictured(databases, section).await?;
        for table in of_section(&txn, section).await? {
            found.push(tallied(&txn, section, &table).await?);
        }
    }
    same(&expected.tables, &found).map_err(BackupError::Differs)?;
    let there = contents.totals().await?.contents.unsigned_abs();
    if there != expected.contents {
        return Err(BackupError::Differs(format!(
            "there are {there} kept conversations, not {}",
            expected.contents
        )));
    }
    Ok(Restored {
        tables: expected.tables.len(),
        rows: expected.tables.iter().map(|table| table.rows).sum(),
        contents: there,
    })
}
