//! How far the vector store is behind the tables: of each model its collection, and the last vector that was pushed there.
//! Of another store than the configured one nothing is known, so that it is filled from the beginning.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use steward_entities::instance;

use super::store::{Collection, VectorStore};

/// Row of `instance`: [`Shelves`] as JSON.
const SHELVES: &str = "knowledge_store";

/// The vectors of one model in the store.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shelf {
    pub collection: Collection,
    /// The store has made the collection.
    pub is_made: bool,
    /// The last that was pushed: when it came to the table, and its pair.
    pub upto: (i64, i64),
    /// All that the table had was pushed once: questions go there.
    pub is_whole: bool,
}

/// Those of one store.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shelves {
    /// Which store; see [`VectorStore::identity`].
    store: String,
    pub by_model: BTreeMap<String, Shelf>,
}

impl Shelves {
    /// What is known of `store`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(
        connection: &impl ConnectionTrait,
        store: &dyn VectorStore,
    ) -> Result<Self, DbErr> {
        let text = instance::get(connection, SHELVES).await?;
        // What cannot be read was written by another version: everything is pushed again.
        let known: Option<Self> = text.and_then(|text| serde_json::from_str(&text).ok());
        let identity = store.identity();
        Ok(known
            .filter(|known| known.store == identity)
            .unwrap_or_else(|| Self {
                store: identity,
                by_model: BTreeMap::new(),
            }))
    }

    /// Whether nothing was ever pushed.
    pub fn is_empty(&self) -> bool {
        self.by_model.is_empty()
    }

    /// The collection that answers questions to a model.
    pub fn answering(&self, model: &str) -> Option<&Collection> {
        let shelf = self.by_model.get(model)?;
        shelf.is_whole.then_some(&shelf.collection)
    }

    pub(super) async fn put(&self, txn: &DatabaseTransaction) -> Result<(), DbErr> {
        let text = serde_json::to_string(self).map_err(|error| DbErr::Custom(error.to_string()))?;
        instance::put(txn, SHELVES, &text).await
    }
}

/// Nothing is known of any store: who comes back to one finds it as it was left, which is not as it should be.
pub(super) async fn forget(txn: &DatabaseTransaction) -> Result<(), DbErr> {
    instance::put(txn, SHELVES, "").await
}

/// Whether something is known of a store.
pub(super) async fn is_known(connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let text = instance::get(connection, SHELVES).await?;
    Ok(text.is_some_and(|text| !text.is_empty()))
}
