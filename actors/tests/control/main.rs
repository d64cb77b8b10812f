//! The actors that live on the control tables, supervised, on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod archive;
mod archive_late;
mod feedback_learner;
mod files;
mod health_prober;
mod job_runner;
mod knowledge_asked;
mod knowledge_sync;
mod log_collector;
mod remote_backup;
mod retention;
mod settings_keeper;
mod snapshot_keeper;
mod vector_store;

#[path = "../../../tests/fake_stores/mod.rs"]
mod fake_stores;

use std::time::Duration;

use sea_orm::DatabaseTransaction;
use steward_actors::supervision::{ChildSpec, Group, Supervisor, SupervisorHandle};
use steward_entities::database::{Databases, begin_write};

/// One test per database; the PostgreSQL one has `postgres` in its name.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use steward_migration::testing::TestDatabase;

            #[actix::test]
            async fn on_sqlite() {
                let database = TestDatabase::sqlite().await;
                super::$name(&database).await;
            }

            #[actix::test]
            async fn on_postgres() {
                let database = TestDatabase::postgres().await;
                super::$name(&database).await;
            }
        }
    )*};
}
pub(crate) use on_both;

/// Runs `write` in a transaction of its own and commits.
pub(crate) async fn committed<T, E: std::fmt::Debug>(
    databases: &Databases,
    write: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, E>,
) -> T {
    let txn = begin_write(&databases.control).await.unwrap();
    let value = write(&txn).await.unwrap();
    txn.commit().await.unwrap();
    value
}

/// A tree of one child.
pub(crate) fn supervised(child: ChildSpec) -> SupervisorHandle {
    Supervisor::new(Group::new("root").child(child))
        .unwrap()
        .start()
}

/// Looks until `found` answers, for at most 30 seconds.
pub(crate) async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "not seen in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
