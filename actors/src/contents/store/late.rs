//! What a month's archive needs to know of its conversations: where the marks of those that came late are
//! (`steward_entities::archive_late`), and some of them by their record ids.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use steward_entities::archive_late;
use steward_entities::database::begin_write;

use super::read::{Hit, at, opened};
use super::shelf::{Month, Shelf};
use super::write::lock;
use super::{ContentStore, StoreError};

impl ContentStore {
    async fn shelf_of(&self, month: Month) -> Result<Option<std::sync::Arc<Shelf>>, StoreError> {
        match self.shelves.stretches(month.from(), month.to())?.first() {
            Some(month) => self.shelves.at(*month).await.map(Some),
            None => Ok(None),
        }
    }

    /// Connections to where a month lies: one that writes, and one that reads. `None`: it has no file.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub(crate) async fn connections(
        &self,
        month: Month,
    ) -> Result<Option<(DatabaseConnection, DatabaseConnection)>, StoreError> {
        let shelf = self.shelf_of(month).await?;
        Ok(shelf.map(|shelf| (shelf.write.clone(), shelf.read.clone())))
    }

    /// Seals a month that has a file: whoever stores one of it from now on marks it, and what was stored before is there
    /// to be read.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) async fn seal(&self, month: Month) -> Result<(), StoreError> {
        let Some(shelf) = self.shelf_of(month).await? else {
            return Ok(());
        };
        let txn = begin_write(&shelf.write).await?;
        // Alone: whoever stores holds it until that is committed.
        lock(&txn, "").await?;
        archive_late::seal(&txn, (month.from(), month.to())).await?;
        Ok(txn.commit().await?)
    }

    /// Those of these record ids of a month that are there, in this order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn listed(&self, month: Month, rids: &[i64]) -> Result<Vec<Hit>, StoreError> {
        let Some(shelf) = self.shelf_of(month).await? else {
            return Ok(Vec::new());
        };
        let mut hits = Vec::with_capacity(rids.len());
        for rid in rids {
            if let Some(row) = at(&shelf, *rid).await? {
                hits.push(opened(&shelf, row).await?);
            }
        }
        Ok(hits)
    }
}

/// Whether this month's file is about to be removed: what is stored in it now would go with it.
pub(super) async fn is_leaving(connection: &impl ConnectionTrait) -> Result<bool, StoreError> {
    if connection.get_database_backend() == DbBackend::Postgres {
        return Ok(false);
    }
    let asked = Statement::from_string(
        DbBackend::Sqlite,
        "SELECT rid_from FROM content_farewell LIMIT 1",
    );
    Ok(connection.query_one_raw(asked).await?.is_some())
}

/// Nobody stores anything in this month's file any more; `false`, if `spares_late` and something in it is in no file of the
/// archive yet.
pub(super) async fn leave(
    shelf: &Shelf,
    month: Month,
    spares_late: bool,
) -> Result<bool, StoreError> {
    let txn = begin_write(&shelf.write).await?;
    let rids = (month.from(), month.to());
    if spares_late && archive_late::state(&txn, rids).await?.late > 0 {
        return Ok(false);
    }
    let mark = Statement::from_sql_and_values(
        DbBackend::Sqlite,
        "INSERT INTO content_farewell (rid_from) VALUES ($1) ON CONFLICT DO NOTHING",
        [rids.0.into()],
    );
    txn.execute_raw(mark).await?;
    txn.commit().await?;
    Ok(true)
}
