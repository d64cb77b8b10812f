//! What a deletion leaves behind, and how it goes: dictionaries trained on rows that are gone, words of them in the search
//! index, pages of them in the journal. Small steps, each a short transaction; a step that is interrupted is taken again.
//!
//! A dictionary holds pieces of its samples to the letter. The deletion of a sample retires it in the same transaction:
//! nothing new is packed with it, what was is packed anew, and then it is deleted. So does one of which nobody knows what
//! it was trained on: of an earlier release, or of its backup. SQLite's search index keeps the words
//! of deleted rows until its segments are merged, so they are. PostgreSQL gives space back when it vacuums; what its own
//! files and journal hold until they are written over is its operator's.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, Statement};
use steward_entities::database::begin_write;

use super::super::packing::{self, Dictionary, Effort};
use super::repack;
use super::shelf::{Month, Shelf};
use super::write::add;
use super::{ContentStore, StoreError, Totals};
use crate::domain::rid::Rid;

/// Rows packed anew in one step.
const ROWS: i64 = 50;
/// Pages of the search index merged in one step.
const PAGES: i64 = 500;
/// The search index holds words of deleted rows.
const SEARCH: &str = "search";
/// The journal, or the search index's own free pages.
const JOURNAL: &str = "journal";

#[derive(FromQueryResult)]
struct Retired {
    id: i64,
    is_retired: bool,
}

#[derive(FromQueryResult)]
struct Marked {
    what: String,
    marks: i64,
}

#[derive(FromQueryResult)]
struct Row {
    rid: i64,
    is_compressed: bool,
    stored_bytes: i64,
    body: Vec<u8>,
}

/// A row packed without the retired dictionary.
struct Anew {
    rid: i64,
    before: i64,
    dict_id: i64,
    body: Vec<u8>,
}

impl ContentStore {
    /// One small step of erasing what deletions left behind, in the newest month that has some; `false`: there is
    /// nothing left to do, or it cannot be done now.
    ///
    /// # Errors
    /// When a database cannot be read or written; nothing is lost.
    pub async fn erase(&self, at_micros: i64) -> Result<bool, StoreError> {
        for month in self.shelves.stretches(0, i64::MAX)? {
            if erase_dictionary(&*self.shelves.at(month).await?, at_micros).await?
                || self.erase_in(month).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same for the search index and the journal of months that reach into `[from, to)`, without the dictionaries.
    ///
    /// # Errors
    /// As [`Self::erase`].
    pub async fn erase_words(&self, from: i64, to: i64) -> Result<bool, StoreError> {
        for month in self.shelves.stretches(from, to)? {
            if self.erase_in(month).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn erase_in(&self, month: Month) -> Result<bool, StoreError> {
        let shelf = self.shelves.at(month).await?;
        match shelf.backend() {
            DbBackend::Postgres => Ok(false),
            _ => erase_words(&shelf).await,
        }
    }

    /// Dictionaries that wait to go, in months that reach into `[from, to)`.
    ///
    /// # Errors
    /// When a database cannot be read.
    pub async fn retired_dictionaries(&self, from: i64, to: i64) -> Result<u64, StoreError> {
        let mut many = 0;
        for month in self.shelves.stretches(from, to)? {
            many += retired(&*self.shelves.at(month).await?).await?.len() as u64;
        }
        Ok(many)
    }

    /// Waits until a deletion leaves something behind.
    pub async fn soiled(&self) {
        self.soiled.notified().await;
    }
}

/// Retires the dictionaries that were trained on one of these rows; whether there was one. Before the rows are deleted:
/// whoever stores takes the locks in this order.
pub(super) async fn retire(txn: &DatabaseTransaction, rids: &[i64]) -> Result<bool, StoreError> {
    if rids.is_empty() {
        return Ok(false);
    }
    let list: Vec<String> = rids.iter().map(i64::to_string).collect();
    let sql = format!(
        "UPDATE content_dictionaries SET is_retired = TRUE WHERE is_retired = FALSE \
         AND id IN (SELECT dict_id FROM content_samples WHERE rid IN ({}))",
        list.join(", ")
    );
    Ok(txn.execute_unprepared(&sql).await?.rows_affected() > 0)
}

/// Notes that the search index holds words of rows that are gone.
pub(super) async fn mark_words(txn: &DatabaseTransaction) -> Result<(), StoreError> {
    match txn.get_database_backend() {
        DbBackend::Postgres => Ok(()),
        _ => mark(txn, SEARCH).await,
    }
}

async fn mark(txn: &DatabaseTransaction, what: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO content_leftovers (what, marks) VALUES ($1, 1) \
               ON CONFLICT (what) DO UPDATE SET marks = content_leftovers.marks + 1";
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, [what.into()]);
    txn.execute_raw(statement).await?;
    Ok(())
}

async fn retired(shelf: &Shelf) -> Result<Vec<i64>, StoreError> {
    let asked = Statement::from_string(
        shelf.backend(),
        "SELECT id, is_retired FROM content_dictionaries \
         WHERE is_retired = TRUE OR id NOT IN (SELECT dict_id FROM content_samples) ORDER BY id",
    );
    let rows = Retired::find_by_statement(asked).all(&shelf.read).await?;
    for row in rows.iter().filter(|row| !row.is_retired) {
        let retire = Statement::from_sql_and_values(
            shelf.backend(),
            "UPDATE content_dictionaries SET is_retired = TRUE WHERE id = $1",
            [row.id.into()],
        );
        shelf.write.execute_raw(retire).await?;
        shelf.look_again();
    }
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Packs some rows without a retired dictionary, or deletes it when none is left; `false`: there is none.
async fn erase_dictionary(shelf: &Shelf, at_micros: i64) -> Result<bool, StoreError> {
    let Some(id) = retired(shelf).await?.first().copied() else {
        return Ok(false);
    };
    let backend = shelf.backend();
    let asked = Statement::from_sql_and_values(
        backend,
        "SELECT rid, is_compressed, stored_bytes, body FROM conversation_contents WHERE dict_id = $1 ORDER BY rid LIMIT $2",
        [id.into(), ROWS.into()],
    );
    let rows = Row::find_by_statement(asked).all(&shelf.read).await?;
    if rows.is_empty() {
        return forget(shelf, id).await;
    }
    let old = shelf.dictionary(id).await?;
    let new = match shelf.current().await? {
        Some(known) => Some(known),
        None => repack::train(shelf, at_micros).await?,
    };
    let with = new.as_ref().map_or(0, |new| new.id);
    let packed = tokio::task::spawn_blocking(move || {
        rows.into_iter()
            .map(|row| pack_anew(row, old.as_deref(), new.as_deref()))
            .collect::<Result<Vec<Anew>, StoreError>>()
    })
    .await
    .map_err(|stopped| std::io::Error::other(stopped.to_string()))??;
    replace(shelf, (id, with), packed).await?;
    Ok(true)
}

fn pack_anew(
    row: Row,
    old: Option<&Dictionary>,
    new: Option<&Dictionary>,
) -> Result<Anew, StoreError> {
    let plain = packing::unpack(&row.body, old)?;
    let effort = match row.is_compressed {
        true => Effort::Cold,
        false => Effort::Fast,
    };
    Ok(Anew {
        rid: row.rid,
        before: row.stored_bytes,
        dict_id: new.map_or(0, |new| new.id),
        body: packing::pack(&plain, effort, new)?,
    })
}

/// One short transaction. A row that was deleted or packed meanwhile is left alone.
async fn replace(shelf: &Shelf, (old, new): (i64, i64), rows: Vec<Anew>) -> Result<(), StoreError> {
    let backend = shelf.backend();
    let txn = begin_write(&shelf.write).await?;
    if !in_force(&txn, new).await? {
        shelf.look_again();
        return Ok(());
    }
    let mut sums = Totals::default();
    let node = rows.first().map_or(0, |row| Rid(row.rid).node());
    for row in rows {
        let after = i64::try_from(row.body.len()).unwrap_or(i64::MAX);
        let update = Statement::from_sql_and_values(
            backend,
            "UPDATE conversation_contents SET body = $1, dict_id = $2, stored_bytes = $3 WHERE rid = $4 AND dict_id = $5",
            [
                row.body.into(),
                row.dict_id.into(),
                after.into(),
                row.rid.into(),
                old.into(),
            ],
        );
        if txn.execute_raw(update).await?.rows_affected() == 1 {
            sums.stored_bytes += after - row.before;
        }
    }
    add(&txn, node, sums).await?;
    txn.commit().await?;
    Ok(())
}

/// Whether rows may be packed with this dictionary, until the transaction ends.
pub(super) async fn in_force(txn: &DatabaseTransaction, id: i64) -> Result<bool, StoreError> {
    if id == 0 {
        return Ok(true);
    }
    let backend = txn.get_database_backend();
    let lock = match backend {
        DbBackend::Postgres => " FOR SHARE",
        _ => "",
    };
    let asked = Statement::from_sql_and_values(
        backend,
        format!("SELECT id FROM content_dictionaries WHERE id = $1 AND is_retired = FALSE{lock}"),
        [id.into()],
    );
    Ok(txn.query_one_raw(asked).await?.is_some())
}

/// Deletes a retired dictionary that nothing is packed with any more.
async fn forget(shelf: &Shelf, id: i64) -> Result<bool, StoreError> {
    let backend = shelf.backend();
    let txn = begin_write(&shelf.write).await?;
    let delete = Statement::from_sql_and_values(
        backend,
        "DELETE FROM content_dictionaries WHERE id = $1 AND is_retired = TRUE \
         AND NOT EXISTS (SELECT 1 FROM conversation_contents WHERE dict_id = $1)",
        [id.into()],
    );
    let gone = txn.execute_raw(delete).await?.rows_affected() == 1;
    if gone {
        let delete = Statement::from_sql_and_values(
            backend,
            "DELETE FROM content_samples WHERE dict_id = $1",
            [id.into()],
        );
        txn.execute_raw(delete).await?;
        if backend != DbBackend::Postgres {
            mark(&txn, JOURNAL).await?;
        }
    }
    txn.commit().await?;
    if gone {
        shelf.unlearn(id);
    }
    Ok(true)
}

/// One step of merging the search index until no segment is left of before the marks; then the journal goes into the file.
/// `false`: there is nothing left, or somebody reads the journal just now.
async fn erase_words(shelf: &Shelf) -> Result<bool, StoreError> {
    let backend = shelf.backend();
    let asked = Statement::from_string(
        backend,
        "SELECT what, marks FROM content_leftovers ORDER BY what DESC",
    );
    let marked = Marked::find_by_statement(asked).all(&shelf.read).await?;
    let Some(first) = marked.first() else {
        return Ok(false);
    };
    if first.what == SEARCH && merge(shelf, first.marks).await? {
        return Ok(true);
    }
    let checkpoint = Statement::from_string(backend, "PRAGMA wal_checkpoint(TRUNCATE)");
    let busy: i64 = match shelf.write.query_one_raw(checkpoint).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => 0,
    };
    if busy != 0 {
        return Ok(false);
    }
    for row in marked {
        let done = Statement::from_sql_and_values(
            backend,
            "DELETE FROM content_leftovers WHERE what = $1 AND marks = $2",
            [row.what.into(), row.marks.into()],
        );
        shelf.write.execute_raw(done).await?;
    }
    shelf.merging(None);
    Ok(true)
}

/// Merges some pages; `false`: everything is merged that was there when this began.
async fn merge(shelf: &Shelf, marks: i64) -> Result<bool, StoreError> {
    // A negative number begins: it makes all segments that are there the input of one merge.
    let pages = match shelf.merging(Some(marks)) {
        true => PAGES,
        false => -PAGES,
    };
    let txn = begin_write(&shelf.write).await?;
    let before = changes(&txn).await?;
    let merge = Statement::from_sql_and_values(
        shelf.backend(),
        "INSERT INTO conversation_search (conversation_search, rank) VALUES ('merge', $1)",
        [pages.into()],
    );
    txn.execute_raw(merge).await?;
    let after = changes(&txn).await?;
    txn.commit().await?;
    // One is the command itself.
    Ok(after - before >= 2)
}

async fn changes(txn: &DatabaseTransaction) -> Result<i64, StoreError> {
    let asked = Statement::from_string(txn.get_database_backend(), "SELECT total_changes()");
    match txn.query_one_raw(asked).await? {
        Some(row) => Ok(row.try_get_by_index(0)?),
        None => Ok(0),
    }
}
