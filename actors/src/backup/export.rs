//! Making a backup.
//!
//! A reader's transaction per SQLite file, one for everything on PostgreSQL: what is written meanwhile is not in it, and
//! does not wait for it. The order is contents, ledger, events, control: what points at something is read before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use prost::Message;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbErr, IsolationLevel, StreamTrait,
    TransactionTrait,
};
use serde::{Deserialize, Serialize};
use steward_entities::database::{DatabaseKind, Databases};
use steward_entities::read_deadline::unhurried;

use super::archive::{Seal, SectionWriter, put_manifest};
use super::tables::{Section, Table, of_section};
use super::values::{Tally, write};
use super::{BackupError, FORMAT, Manifest, Part, Schema, TableSum};
use crate::contents::Content;
use crate::contents::store::{ContentFilter, ContentStore};
use crate::depot::Depot;
use crate::vault::Vault;

/// Of kept conversations, read at a time.
pub(super) const PAGE: u64 = 200;
/// Rows between two looks at whether to go on.
const LOOK_EVERY: u64 = 2_000;
/// Name of the section, and in the manifest of its one table.
pub(super) const CONTENTS: &str = "contents";

/// A table begins.
pub(super) const TABLE: u8 = b'T';
/// A row of it.
pub(super) const ROW: u8 = b'R';
/// A kept conversation.
pub(super) const CONTENT: u8 = b'C';

/// What a table's record says.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Heading {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    /// Columns that hold whole numbers.
    pub(super) whole: Vec<bool>,
    pub(super) sequence: Option<i64>,
}

/// What is backed up. Clones share everything.
#[derive(Clone)]
pub struct Source {
    pub databases: Databases,
    pub contents: Arc<ContentStore>,
    pub schema: Arc<dyn Schema>,
    pub vault: Arc<Vault>,
}

/// What is asked for.
pub struct Asked<'a> {
    pub name: &'a str,
    /// Microseconds since the Unix epoch.
    pub at_micros: i64,
    /// Told how far it is, in per cent.
    pub progress: &'a (dyn Fn(u8) + Send + Sync),
    pub is_cancelled: &'a (dyn Fn() -> bool + Send + Sync),
}

struct Making<'a> {
    asked: &'a Asked<'a>,
    expected: u64,
    done: u64,
    tables: Vec<TableSum>,
}

impl Making<'_> {
    fn step(&mut self) -> Result<(), BackupError> {
        self.done += 1;
        if self.done.is_multiple_of(LOOK_EVERY) {
            if (self.asked.is_cancelled)() {
                return Err(BackupError::Cancelled);
            }
            let per_cent = self.done.saturating_mul(99) / self.expected.max(self.done);
            (self.asked.progress)(u8::try_from(per_cent).unwrap_or(99));
        }
        Ok(())
    }
}

/// Makes a backup and answers its manifest, which was put last.
///
/// # Errors
/// See [`BackupError`]; what was put until then is no backup.
pub async fn make(
    source: &Source,
    depot: &dyn Depot,
    asked: &Asked<'_>,
) -> Result<Manifest, BackupError> {
    let key_id = source.vault.current_key_id();
    let seal = Seal::new(&source.vault, &key_id, asked.name)?;
    let applied = source.schema.applied(&source.databases).await?;
    let mut parts: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    let mut making = Making {
        asked,
        expected: source.contents.totals().await?.contents.unsigned_abs(),
        done: 0,
        tables: Vec::new(),
    };
    let written = contents(source, depot, &seal, &mut making).await?;
    parts.insert(CONTENTS.to_owned(), written);
    match source.databases.kind {
        DatabaseKind::Postgres => {
            let txn = picture(&source.databases.control_read).await?;
            for section in Section::ALL {
                let written = tables(&txn, section, depot, &seal, &mut making).await?;
                parts.insert(section.name().to_owned(), written);
            }
        }
        DatabaseKind::Sqlite => {
            for section in Section::ALL {
                let connection = match section {
                    Section::Ledger => &source.databases.ledger_read,
                    Section::Events => &source.databases.events_read,
                    Section::Control => &source.databases.control_read,
                };
                let txn = picture(connection).await?;
                let written = tables(&txn, section, depot, &seal, &mut making).await?;
                parts.insert(section.name().to_owned(), written);
            }
        }
    }
    let manifest = Manifest {
        format: FORMAT,
        name: asked.name.to_owned(),
        made_at: asked.at_micros,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        database: match source.databases.kind {
            DatabaseKind::Sqlite => "sqlite".to_owned(),
            DatabaseKind::Postgres => "postgres".to_owned(),
        },
        key_id,
        applied,
        tables: making.tables,
        parts,
    };
    put_manifest(depot, &source.vault, &manifest).await?;
    Ok(manifest)
}

/// A transaction that sees one state of the database, however long it takes.
async fn picture(connection: &sea_orm::DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    match connection.get_database_backend() {
        sea_orm::DatabaseBackend::Postgres => {
            let txn = connection
                .begin_with_config(
                    Some(IsolationLevel::RepeatableRead),
                    Some(AccessMode::ReadOnly),
                )
                .await?;
            // Readers give up after a while; this one takes as long as it takes.
            txn.execute_unprepared("SET LOCAL statement_timeout = 0")
                .await?;
            Ok(txn)
        }
        _ => unhurried(connection.begin()).await,
    }
}

async fn contents(
    source: &Source,
    depot: &dyn Depot,
    seal: &Seal,
    making: &mut Making<'_>,
) -> Result<Vec<Part>, BackupError> {
    let mut writer = SectionWriter::new(depot, seal, CONTENTS)?;
    let mut tally = Tally::default();
    let all = ContentFilter::default();
    let mut before = None;
    loop {
        let (page, next) = source.contents.list(&all, before, PAGE).await?;
        for hit in page {
            let bytes = Content::from(hit).encode_to_vec();
            tally.add_opaque(&bytes);
            writer.record(CONTENT, &bytes).await?;
            making.step()?;
        }
        if next.is_none() {
            break;
        }
        before = next;
    }
    making.tables.push(tally.told(CONTENTS, CONTENTS, &[]));
    writer.finish().await
}

async fn tables(
    txn: &DatabaseTransaction,
    section: Section,
    depot: &dyn Depot,
    seal: &Seal,
    making: &mut Making<'_>,
) -> Result<Vec<Part>, BackupError> {
    let backend = ConnectionTrait::get_database_backend(txn);
    let tables = of_section(txn, section).await?;
    for table in &tables {
        making.expected += table.count(txn).await?;
    }
    let mut writer = SectionWriter::new(depot, seal, section.name())?;
    let mut bytes = Vec::new();
    for table in &tables {
        let told = table.told();
        let heading = Heading {
            table: table.name.clone(),
            columns: told.iter().map(|(name, _)| name.clone()).collect(),
            whole: told.iter().map(|(_, is_whole)| *is_whole).collect(),
            sequence: table.sequence(txn).await?,
        };
        let heading = serde_json::to_vec(&heading)
            .map_err(|error| BackupError::Refused(error.to_string()))?;
        writer.record(TABLE, &heading).await?;
        let mut tally = Tally::default();
        {
            let mut rows = txn.stream_raw(table.select(backend)).await?;
            while let Some(row) = rows.try_next().await? {
                let cells = table.cells(&row)?;
                bytes.clear();
                write(&cells, &mut bytes);
                tally.add(&cells, &bytes);
                writer.record(ROW, &bytes).await?;
                making.step()?;
            }
        }
        making
            .tables
            .push(tally.told(section.name(), &table.name, &told));
    }
    writer.finish().await
}

/// What a table holds now, counted as a backup counts it.
pub(super) async fn tallied(
    txn: &DatabaseTransaction,
    section: Section,
    table: &Table,
) -> Result<TableSum, DbErr> {
    let mut tally = Tally::default();
    let mut bytes = Vec::new();
    let backend = ConnectionTrait::get_database_backend(txn);
    let mut rows = txn.stream_raw(table.select(backend)).await?;
    while let Some(row) = rows.try_next().await? {
        let cells = table.cells(&row)?;
        bytes.clear();
        write(&cells, &mut bytes);
        tally.add(&cells, &bytes);
    }
    Ok(tally.told(section.name(), &table.name, &table.told()))
}

pub(super) async fn pictured(
    databases: &Databases,
    section: Section,
) -> Result<DatabaseTransaction, DbErr> {
    picture(match section {
        Section::Ledger => &databases.ledger_read,
        Section::Events => &databases.events_read,
        Section::Control => &databases.control_read,
    })
    .await
}
