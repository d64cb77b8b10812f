//! Forgetting what has grown old: a month's file at once where all of it has, else the oldest rows, a few at a time. No
//! tombstones: what is old enough to go is long past coming back from a spool.

use std::time::Duration;

use sea_orm::{FromQueryResult, Statement};
use steward_entities::expiry::Census;
use steward_entities::tombstone::Selection;

use super::write::{First, delete_step};
use super::{ContentStore, StoreError};
use crate::retention::Step;

#[derive(FromQueryResult)]
struct Counted {
    many: i64,
    oldest: Option<i64>,
}

impl ContentStore {
    /// Contents with record ids in `[from, to)`, and the oldest of them; counts at most `most`.
    ///
    /// # Errors
    /// When a database cannot be read.
    pub async fn census(&self, (from, to): (i64, i64), most: u64) -> Result<Census, StoreError> {
        let mut census = Census::default();
        // Oldest first.
        for month in self.shelves.stretches(from, to)?.into_iter().rev() {
            if census.rows >= most {
                break;
            }
            let shelf = self.shelves.at(month).await?;
            let sql = format!(
                "SELECT COUNT(*) AS many, MIN(rid) AS oldest FROM \
                 (SELECT rid FROM conversation_contents WHERE rid >= $1 AND rid < $2 ORDER BY rid LIMIT {}) AS few",
                most - census.rows
            );
            let values = [from.into(), to.into()];
            let asked = Statement::from_sql_and_values(shelf.backend(), sql, values);
            if let Some(found) = Counted::find_by_statement(asked).one(&shelf.read).await? {
                census.rows += found.many.unsigned_abs();
                census.oldest = census.oldest.or(found.oldest);
            }
        }
        Ok(census)
    }

    /// Removes some of the oldest contents with record ids in `[from, to)`: a whole month's file, or at most `most` rows.
    /// `spares_late`: what came for a month whose archive was begun stays until it is in it.
    ///
    /// # Errors
    /// When a database cannot be written, or a file not removed.
    pub(crate) async fn remove_some(
        &self,
        (from, to): (i64, i64),
        most: u64,
        spares_late: bool,
    ) -> Result<Step, StoreError> {
        for month in self.shelves.stretches(from, to)?.into_iter().rev() {
            if self.shelves.are_files() && from <= month.from() && month.to() <= to {
                let all = (month.from(), month.to());
                let rows = self.census(all, u64::MAX >> 1).await?.rows;
                let is_gone = self.shelves.forget(month, spares_late).await?;
                if rows == 0 || !is_gone {
                    continue;
                }
                let held = Duration::ZERO;
                return Ok(Step { rows, held });
            }
            let selection = Selection {
                rid_from: from,
                rid_to: to,
                ..Selection::default()
            };
            let shelf = self.shelves.at(month).await?;
            let step =
                delete_step(&shelf, &selection, (First::Oldest { spares_late }, most)).await?;
            if step.rows > 0 {
                return Ok(step);
            }
        }
        Ok(Step {
            rows: 0,
            held: Duration::ZERO,
        })
    }

    /// Bytes that they take on the disk.
    ///
    /// # Errors
    /// When they cannot be told.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        self.shelves.bytes().await
    }
}
