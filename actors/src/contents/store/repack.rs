//! Packing for good what has grown old: trained dictionaries, a high level, small steps. A row says whether it has been
//! packed so, so a step that is interrupted is simply taken again.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use steward_entities::database::begin_write;

use super::super::packing::{self, Dictionary, Effort, SAMPLES_MIN};
use super::erase::in_force;
use super::shelf::Shelf;
use super::sql::Sql;
use super::write::add;
use super::{ContentStore, StoreError, Totals};
use crate::domain::rid::Rid;

/// Rows of one step.
const STEP: i64 = 50;
/// Contents a dictionary learns from, and the longest of them: a long one has enough to repeat in itself.
const SAMPLES_MAX: i64 = 2_000;
const SAMPLE_MAX_BYTES: i64 = 8 << 10;
/// With so many a new month gets its dictionary before any of it is old.
const SAMPLES_EARLY: i64 = 1_000;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Repacked {
    /// Rows packed for good; 0: there is nothing left to do.
    pub rows: u64,
    /// Bytes saved by it.
    pub saved_bytes: i64,
}

#[derive(Clone, Debug, FromQueryResult)]
struct Cold {
    rid: i64,
    dict_id: i64,
    stored_bytes: i64,
    body: Vec<u8>,
}

/// A row packed anew.
struct Anew {
    rid: i64,
    dict_id: i64,
    before: i64,
    body: Vec<u8>,
}

impl ContentStore {
    /// Packs some of the contents older than `rid`. The heavy part runs on a blocking thread.
    ///
    /// # Errors
    /// When a database cannot be read or written; nothing is lost.
    pub async fn repack(&self, rid: i64, at_micros: i64) -> Result<Repacked, StoreError> {
        self.train_early(at_micros).await?;
        for month in self.shelves.stretches(0, rid)?.into_iter().rev() {
            let shelf = self.shelves.at(month).await?;
            let cold = cold(&shelf, rid, STEP).await?;
            if cold.is_empty() {
                continue;
            }
            let dictionary = match shelf.current().await? {
                Some(known) => Some(known),
                None => train(&shelf, at_micros).await?,
            };
            let mut work = Vec::with_capacity(cold.len());
            for row in cold {
                let old = shelf.dictionary(row.dict_id).await?;
                work.push((row, old));
            }
            let packed = tokio::task::spawn_blocking(move || {
                work.into_iter()
                    .map(|(row, old)| pack_again(row, old.as_deref(), dictionary.as_deref()))
                    .collect::<Result<Vec<Anew>, StoreError>>()
            })
            .await
            .map_err(|stopped| std::io::Error::other(stopped.to_string()))??;
            return replace(&shelf, packed).await;
        }
        Ok(Repacked::default())
    }

    /// Gives the newest month its dictionary as soon as there is enough to learn from.
    async fn train_early(&self, at_micros: i64) -> Result<(), StoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            many: i64,
        }
        let Some(month) = self.shelves.stretches(0, i64::MAX)?.first().copied() else {
            return Ok(());
        };
        let shelf = self.shelves.at(month).await?;
        if shelf.current().await?.is_some() {
            return Ok(());
        }
        let mut sql = Sql::new(
            "SELECT COUNT(*) AS many FROM (SELECT 1 FROM conversation_contents WHERE original_bytes <= ",
        );
        sql.bind(SAMPLE_MAX_BYTES);
        sql.push(" LIMIT ").bind(SAMPLES_EARLY);
        sql.push(") AS few");
        let counted = Row::find_by_statement(sql.done(shelf.backend()))
            .one(&shelf.read)
            .await?;
        if counted.is_some_and(|row| row.many >= SAMPLES_EARLY) {
            train(&shelf, at_micros).await?;
        }
        Ok(())
    }
}

fn pack_again(
    row: Cold,
    old: Option<&Dictionary>,
    new: Option<&Dictionary>,
) -> Result<Anew, StoreError> {
    let plain = packing::unpack(&row.body, old)?;
    let packed = packing::pack(&plain, Effort::Cold, new)?;
    let better = packed.len() < row.body.len();
    Ok(Anew {
        rid: row.rid,
        before: row.stored_bytes,
        dict_id: if better {
            new.map_or(0, |new| new.id)
        } else {
            row.dict_id
        },
        body: if better { packed } else { row.body },
    })
}

async fn cold(shelf: &Shelf, below: i64, limit: i64) -> Result<Vec<Cold>, StoreError> {
    let mut sql = Sql::new(
        "SELECT rid, dict_id, stored_bytes, body FROM conversation_contents \
         WHERE is_compressed = FALSE AND rid < ",
    );
    sql.bind(below);
    sql.push(" ORDER BY rid LIMIT ").bind(limit);
    let statement = sql.done(shelf.backend());
    Ok(Cold::find_by_statement(statement).all(&shelf.read).await?)
}

/// Learns from the newest of what is there, packed for good or not; `None` when that is too little.
pub(super) async fn train(
    shelf: &Shelf,
    at_micros: i64,
) -> Result<Option<std::sync::Arc<Dictionary>>, StoreError> {
    let mut sql = Sql::new(
        "SELECT rid, dict_id, stored_bytes, body FROM conversation_contents WHERE original_bytes <= ",
    );
    sql.bind(SAMPLE_MAX_BYTES);
    sql.push(" ORDER BY rid DESC LIMIT ").bind(SAMPLES_MAX);
    let rows = Cold::find_by_statement(sql.done(shelf.backend()))
        .all(&shelf.read)
        .await?;
    if rows.len() < SAMPLES_MIN {
        return Ok(None);
    }
    let mut packed = Vec::with_capacity(rows.len());
    let mut samples = Vec::with_capacity(rows.len());
    for row in rows {
        let old = shelf.dictionary(row.dict_id).await?;
        samples.push(row.rid);
        packed.push((row.body, old));
    }
    let trained = tokio::task::spawn_blocking(move || {
        let samples: Result<Vec<Vec<u8>>, _> = packed
            .iter()
            .map(|(body, old)| packing::unpack(body, old.as_deref()))
            .collect();
        samples.map(|samples| packing::train(&samples))
    })
    .await
    .map_err(|stopped| std::io::Error::other(stopped.to_string()))??;
    match trained {
        Some(bytes) => shelf.keep_dictionary(bytes, &samples, at_micros).await,
        None => Ok(None),
    }
}

/// One short transaction. A row that was deleted or packed meanwhile is left alone.
async fn replace(shelf: &Shelf, rows: Vec<Anew>) -> Result<Repacked, StoreError> {
    let backend = shelf.backend();
    let txn = begin_write(&shelf.write).await?;
    let mut done = Repacked::default();
    for id in rows.iter().map(|row| row.dict_id).collect::<BTreeSet<_>>() {
        if !in_force(&txn, id).await? {
            // Retired since it was looked up: the next step takes another.
            shelf.look_again();
            done.rows = rows.len() as u64;
            return Ok(done);
        }
    }
    let mut sums = Totals::default();
    let node = rows.first().map_or(0, |row| Rid(row.rid).node());
    for row in rows {
        let after = i64::try_from(row.body.len()).unwrap_or(i64::MAX);
        let update = Statement::from_sql_and_values(
            backend,
            "UPDATE conversation_contents SET body = $1, dict_id = $2, stored_bytes = $3, is_compressed = TRUE \
             WHERE rid = $4 AND is_compressed = FALSE",
            [
                row.body.into(),
                row.dict_id.into(),
                after.into(),
                row.rid.into(),
            ],
        );
        done.rows += 1;
        if txn.execute_raw(update).await?.rows_affected() == 1 {
            done.saved_bytes += row.before - after;
            sums.compressed += 1;
            sums.stored_bytes += after - row.before;
        }
    }
    add(&txn, node, sums).await?;
    txn.commit().await?;
    Ok(done)
}
