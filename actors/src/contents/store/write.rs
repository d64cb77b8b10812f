//! Storing and deleting. A transaction a month.

use std::collections::BTreeMap;
use std::time::Instant;

use prost::Message;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, Statement};
use steward_entities::archive_late;
use steward_entities::database::begin_write;
use steward_entities::tombstone::{self, Selection};

use super::super::packing::{self, Dictionary, Effort};
use super::super::{Content, words};
use super::erase::{in_force, mark_words, retire};
use super::late::is_leaving;
use super::shelf::{Month, Shelf};
use super::sql::Sql;
use super::{ContentStore, StoreError, Totals};
use crate::domain::rid::Rid;
use crate::retention::Step;

/// On PostgreSQL whoever stores holds this lock shared, whoever deletes alone. Any number nobody else uses.
const DELETION_LOCK: i64 = 0x5374_6577_436f_6e74;
/// Rows deleted in one transaction.
const DELETED_AT_ONCE: u64 = 500;

/// What became of contents.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// Stored now.
    pub stored: u64,
    /// There already.
    pub known: u64,
    /// Deleted before they arrived.
    pub buried: u64,
}

/// Where contents come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    /// A month's archive that was begun is still to have them.
    Calls,
    /// Its files have them.
    Archive,
}

#[derive(FromQueryResult)]
struct Gone {
    rid: i64,
    is_compressed: bool,
    original_bytes: i64,
    stored_bytes: i64,
}

/// A content, ready for its row.
struct Packed {
    /// What was said is in `body`.
    content: Content,
    dict_id: i64,
    original: i64,
    body: Vec<u8>,
    words: Vec<String>,
}

fn pack(mut content: Content, dictionary: Option<&Dictionary>) -> Result<Packed, StoreError> {
    let said = content.said.take().unwrap_or_default();
    let plain = said.encode_to_vec();
    Ok(Packed {
        content,
        dict_id: dictionary.map_or(0, |dictionary| dictionary.id),
        original: i64::try_from(plain.len()).unwrap_or(i64::MAX),
        body: packing::pack(&plain, Effort::Fast, dictionary)?,
        words: words::of_document(&said),
    })
}

impl ContentStore {
    /// Stores contents, each in its month. May be repeated: what is there stays as it is.
    ///
    /// # Errors
    /// When a database takes nothing; months before it are stored.
    pub async fn write(&self, contents: &[Content]) -> Result<Written, StoreError> {
        self.store(contents, Source::Calls).await
    }

    /// The same of contents that are brought back from the archive.
    ///
    /// # Errors
    /// When a database takes nothing; months before it are stored.
    pub(crate) async fn put_back(&self, contents: &[Content]) -> Result<Written, StoreError> {
        self.store(contents, Source::Archive).await
    }

    async fn store(&self, contents: &[Content], source: Source) -> Result<Written, StoreError> {
        let mut months: BTreeMap<Month, Vec<&Content>> = BTreeMap::new();
        for content in contents {
            months
                .entry(Month::of(content.rid))
                .or_default()
                .push(content);
        }
        let mut written = Written::default();
        for (month, contents) in months {
            loop {
                let shelf = self.shelves.for_writing(month).await?;
                let dictionary = shelf.current().await?;
                let contents: Vec<Content> = contents.iter().copied().cloned().collect();
                // Packing takes a processor, and others run on this thread.
                let packed = tokio::task::spawn_blocking(move || {
                    contents
                        .into_iter()
                        .map(|content| pack(content, dictionary.as_deref()))
                        .collect::<Result<Vec<Packed>, StoreError>>()
                })
                .await
                .map_err(|stopped| std::io::Error::other(stopped.to_string()))??;
                if self
                    .write_month(&shelf, packed, source, &mut written)
                    .await?
                {
                    break;
                }
                shelf.look_again();
            }
        }
        Ok(written)
    }

    /// `false`, and nothing is stored: a deletion has retired the dictionary meanwhile, or the month's file is being
    /// removed.
    async fn write_month(
        &self,
        shelf: &Shelf,
        packed: Vec<Packed>,
        source: Source,
        written: &mut Written,
    ) -> Result<bool, StoreError> {
        let txn = begin_write(&shelf.write).await?;
        lock(&txn, "_shared").await?;
        let dictionary = packed.first().map_or(0, |one| one.dict_id);
        if is_leaving(&txn).await? || !in_force(&txn, dictionary).await? {
            return Ok(false);
        }
        // After the lock: a deletion that is committed later finds these rows.
        let least = packed.iter().map(|one| one.content.rid).min().unwrap_or(0);
        let greatest = packed.iter().map(|one| one.content.rid).max().unwrap_or(0);
        let tombstones = tombstone::between(&self.control, least, greatest).await?;
        let mut sums = Totals::default();
        let mut stored = Vec::new();
        let node = packed.first().map_or(0, |one| Rid(one.content.rid).node());
        for one in &packed {
            let content = &one.content;
            let buried = tombstones.iter().any(|stone| {
                stone.covers(
                    content.rid,
                    content.token_id,
                    content.tenant_id,
                    &content.end_user,
                )
            });
            if buried {
                written.buried += 1;
            } else if insert(&txn, one).await? {
                written.stored += 1;
                stored.push(content.rid);
                sums.contents += 1;
                sums.original_bytes += one.original;
                sums.stored_bytes += i64::try_from(one.body.len()).unwrap_or(i64::MAX);
            } else {
                written.known += 1;
            }
        }
        add(&txn, node, sums).await?;
        if source == Source::Calls {
            let late = archive_late::in_sealed(&txn, &stored).await?;
            archive_late::mark(&txn, &late).await?;
        }
        txn.commit().await?;
        Ok(true)
    }

    /// Deletes one content; whether it was there. The tombstone has been committed before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete_one(&self, rid: i64) -> Result<bool, StoreError> {
        let Some(shelf) = self.shelves.holding(rid).await? else {
            return Ok(false);
        };
        let selection = Selection {
            rid_from: rid,
            rid_to: rid.saturating_add(1),
            ..Selection::default()
        };
        let step = delete_step(&shelf, &selection, (First::Newest, 1)).await?;
        self.soiled.notify_one();
        Ok(step.rows > 0)
    }

    /// Deletes some of what is selected; how many, 0 when nothing is left. The tombstone has been committed before.
    ///
    /// # Errors
    /// When a database cannot be written; what was deleted before stays so.
    pub async fn delete_some(&self, selection: &Selection) -> Result<u64, StoreError> {
        for month in self
            .shelves
            .stretches(selection.rid_from, selection.rid_to)?
        {
            let shelf = self.shelves.at(month).await?;
            let step = delete_step(&shelf, selection, (First::Newest, DELETED_AT_ONCE)).await?;
            let deleted = step.rows;
            if deleted > 0 {
                self.soiled.notify_one();
                return Ok(deleted);
            }
        }
        Ok(0)
    }
}

pub(super) async fn lock(txn: &DatabaseTransaction, how: &str) -> Result<(), StoreError> {
    if txn.get_database_backend() == DbBackend::Postgres {
        let sql = format!("SELECT pg_advisory_xact_lock{how}({DELETION_LOCK})");
        txn.execute_unprepared(&sql).await?;
    }
    Ok(())
}

async fn insert(txn: &DatabaseTransaction, one: &Packed) -> Result<bool, StoreError> {
    let backend = txn.get_database_backend();
    let content = &one.content;
    let stored = i64::try_from(one.body.len()).unwrap_or(i64::MAX);
    let mut sql = Sql::new(
        "INSERT INTO conversation_contents (rid, id_tail, token_id, token_public_id, token_name, tenant_id, \
         tenant_public_id, end_user, app, model, provider, conversation_id, operation, stream, status_code, success, \
         duration_ms, prompt_tokens, completion_tokens, created_at, redaction, redactions, truncated, dict_id, \
         original_bytes, stored_bytes, body",
    );
    if backend == DbBackend::Postgres {
        sql.push(", search");
    }
    sql.push(") VALUES (").bind(content.rid);
    sql.push(", ").bind(content.id_tail.cast_signed());
    sql.push(", ").bind(content.token_id);
    for text in [&content.token_public_id, &content.token_name] {
        sql.push(", ").bind(bare(text));
    }
    sql.push(", ").bind(content.tenant_id);
    for text in [
        &content.tenant_public_id,
        &content.end_user,
        &content.app,
        &content.model,
        &content.provider,
        &content.conversation_id,
    ] {
        sql.push(", ").bind(bare(text));
    }
    sql.push(", ").bind(i64::from(content.operation));
    sql.push(", ").bind(content.stream);
    sql.push(", ").bind(i64::from(content.status_code));
    sql.push(", ").bind(content.success);
    for number in [
        content.duration_ms,
        content.prompt_tokens,
        content.completion_tokens,
        content.created_at,
    ] {
        sql.push(", ").bind(number);
    }
    sql.push(", ").bind(content.redaction.clone());
    sql.push(", ").bind(content.redactions);
    sql.push(", ").bind(content.truncated);
    for number in [one.dict_id, one.original, stored] {
        sql.push(", ").bind(number);
    }
    sql.push(", ").bind(one.body.clone());
    if backend == DbBackend::Postgres {
        sql.push(", (").bind(words::as_tsvector(&one.words));
        sql.push("::text)::tsvector");
    }
    sql.push(") ON CONFLICT (rid) DO NOTHING");
    let inserted = txn.execute_raw(sql.done(backend)).await?.rows_affected() == 1;
    if inserted && backend != DbBackend::Postgres {
        let index = Statement::from_sql_and_values(
            backend,
            "INSERT INTO conversation_search (rowid, text) VALUES ($1, $2)",
            [content.rid.into(), one.words.join(" ").into()],
        );
        txn.execute_raw(index).await?;
    }
    Ok(inserted)
}

/// PostgreSQL keeps no NUL in a text.
fn bare(text: &str) -> String {
    text.replace('\0', "")
}

/// Moves the sums of a node.
pub(super) async fn add(
    txn: &DatabaseTransaction,
    node: u8,
    sums: Totals,
) -> Result<(), StoreError> {
    if sums == Totals::default() {
        return Ok(());
    }
    let mut sql = Sql::new(
        "INSERT INTO content_totals (node, contents, compressed, original_bytes, stored_bytes) VALUES (",
    );
    sql.bind(i64::from(node));
    for number in [
        sums.contents,
        sums.compressed,
        sums.original_bytes,
        sums.stored_bytes,
    ] {
        sql.push(", ").bind(number);
    }
    sql.push(
        ") ON CONFLICT (node) DO UPDATE SET contents = content_totals.contents + excluded.contents, \
         compressed = content_totals.compressed + excluded.compressed, \
         original_bytes = content_totals.original_bytes + excluded.original_bytes, \
         stored_bytes = content_totals.stored_bytes + excluded.stored_bytes",
    );
    txn.execute_raw(sql.done(txn.get_database_backend()))
        .await?;
    Ok(())
}

/// Which end a deletion begins at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum First {
    Newest,
    /// Retention's. `spares_late`: what came for a month whose archive was begun stays until it is in it.
    Oldest {
        spares_late: bool,
    },
}

/// Deletes some rows in a transaction; how many, and how long that held the writer.
pub(super) async fn delete_step(
    shelf: &Shelf,
    selection: &Selection,
    (first, most): (First, u64),
) -> Result<Step, StoreError> {
    let backend = shelf.backend();
    let txn = begin_write(&shelf.write).await?;
    let begun = Instant::now();
    lock(&txn, "").await?;
    let mut sql = Sql::new(
        "SELECT rid, is_compressed, original_bytes, stored_bytes FROM conversation_contents WHERE rid >= ",
    );
    sql.bind(selection.rid_from);
    sql.push(" AND rid < ").bind(selection.rid_to);
    if let Some(id) = selection.token_id {
        sql.push(" AND token_id = ").bind(id);
    }
    if let Some(id) = selection.tenant_id {
        sql.push(" AND tenant_id = ").bind(id);
    }
    if let Some(user) = &selection.end_user {
        sql.push(" AND end_user = ").bind(user.clone());
    }
    sql.push(match first {
        First::Newest => " ORDER BY rid DESC LIMIT ",
        First::Oldest { spares_late: true } => {
            " AND NOT EXISTS (SELECT 1 FROM archive_late late WHERE late.rid = conversation_contents.rid) \
             ORDER BY rid LIMIT "
        }
        First::Oldest { spares_late: false } => " ORDER BY rid LIMIT ",
    });
    sql.bind(most.cast_signed());
    let gone = Gone::find_by_statement(sql.done(backend)).all(&txn).await?;
    let rids: Vec<i64> = gone.iter().map(|row| row.rid).collect();
    // Of what only grew old a month's file soon goes with all it holds.
    let asked_for = first == First::Newest;
    let retired = (asked_for || backend == DbBackend::Postgres) && retire(&txn, &rids).await?;
    let mut sums = Totals::default();
    for row in &gone {
        sums.contents -= 1;
        sums.compressed -= i64::from(row.is_compressed);
        sums.original_bytes -= row.original_bytes;
        sums.stored_bytes -= row.stored_bytes;
        let mut tables = vec![("conversation_contents", "rid")];
        if backend != DbBackend::Postgres {
            tables.push(("conversation_search", "rowid"));
        }
        for (table, key) in tables {
            let delete = Statement::from_sql_and_values(
                backend,
                format!("DELETE FROM {table} WHERE {key} = $1"),
                [row.rid.into()],
            );
            txn.execute_raw(delete).await?;
        }
    }
    if let Some(row) = gone.first() {
        add(&txn, Rid(row.rid).node(), sums).await?;
        if asked_for {
            mark_words(&txn).await?;
        }
    }
    txn.commit().await?;
    if retired {
        shelf.look_again();
    }
    Ok(Step {
        rows: gone.len() as u64,
        held: begun.elapsed(),
    })
}
