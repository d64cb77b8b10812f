//! The vector store as the tree calls it: every operation is on the books. What is asked before the process serves waits
//! until it does.

use std::fmt;
use std::sync::{Arc, Weak};

use actix_web::web;
use async_trait::async_trait;
use steward_actors::knowledge::store::{Collection, Kind, Near, Point, StoreFailed, VectorStore};
use tokio::sync::SetOnce;

use crate::embedding::payer;
use crate::gateway::{Payer, VectorCall};
use crate::state::AppState;

/// See the module.
pub struct Booked {
    store: Box<dyn VectorStore>,
    state: SetOnce<Weak<AppState>>,
}

impl fmt::Debug for Booked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl Booked {
    /// The same store, with its calls on the books.
    pub fn new(store: Box<dyn VectorStore>) -> Arc<Self> {
        Arc::new(Self {
            store,
            state: SetOnce::new(),
        })
    }

    /// From now on calls can be made.
    pub fn open(&self, state: &web::Data<AppState>) {
        // A second time says nothing new.
        let _ = self.state.set(Arc::downgrade(&state.clone().into_inner()));
    }

    /// On the books of a tenant; of the installation where none is given. An answer tells its `units`.
    async fn booked<T>(
        &self,
        tenant_id: Option<i64>,
        collection: &Collection,
        units: fn(&T) -> i64,
        work: impl Future<Output = Result<T, StoreFailed>>,
    ) -> Result<T, StoreFailed> {
        let state = self.state.wait().await.upgrade();
        let state = state.ok_or_else(|| StoreFailed::of("Steward is stopping"))?;
        let payer = match tenant_id {
            None => Payer::default(),
            Some(id) => {
                let found = payer(&state, id).await;
                found.map_err(|failed| StoreFailed::of(failed.sentence))?
            }
        };
        let call = VectorCall {
            provider: self.store.kind().as_str(),
            prefix: self.store.prefix(),
            collection: &collection.name,
        };
        state
            .gateway
            .call_vector_store(payer, call, units, work)
            .await
    }
}

/// Of what no store counts in units.
fn uncounted((): &()) -> i64 {
    0
}

#[async_trait]
impl VectorStore for Booked {
    fn kind(&self) -> Kind {
        self.store.kind()
    }

    fn prefix(&self) -> &str {
        self.store.prefix()
    }

    fn identity(&self) -> String {
        self.store.identity()
    }

    /// Nothing is paid for it, so that it is on no book.
    async fn look(&self) -> Result<bool, StoreFailed> {
        self.store.look().await
    }

    async fn create(&self, collection: &Collection) -> Result<(), StoreFailed> {
        let work = self.store.create(collection);
        self.booked(None, collection, uncounted, work).await
    }

    async fn upsert(
        &self,
        collection: &Collection,
        tenant_id: i64,
        points: &[Point],
    ) -> Result<(), StoreFailed> {
        let work = self.store.upsert(collection, tenant_id, points);
        self.booked(Some(tenant_id), collection, uncounted, work)
            .await
    }

    async fn remove(&self, collection: &Collection, pairs: &[i64]) -> Result<(), StoreFailed> {
        let work = self.store.remove(collection, pairs);
        self.booked(None, collection, uncounted, work).await
    }

    async fn near(
        &self,
        collection: &Collection,
        query: &[f32],
        tenant_id: Option<i64>,
        count: usize,
    ) -> Result<Near, StoreFailed> {
        let work = self.store.near(collection, query, tenant_id, count);
        self.booked(tenant_id, collection, |near: &Near| near.units, work)
            .await
    }

    async fn destroy(&self, collection: &Collection) -> Result<(), StoreFailed> {
        let work = self.store.destroy(collection);
        self.booked(None, collection, uncounted, work).await
    }
}
