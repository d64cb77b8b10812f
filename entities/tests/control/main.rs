//! Every query of the control tables, on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod access;
mod gateway;
mod journal;
mod work;

use steward_entities::database::{Databases, begin_write};

/// One test per database; the PostgreSQL one has `postgres` in its name.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use steward_migration::testing::TestDatabase;

            #[tokio::test]
            async fn on_sqlite() {
                let database = TestDatabase::sqlite().await;
                super::$name(&database).await;
            }

            #[tokio::test]
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
    write: impl AsyncFnOnce(&sea_orm::DatabaseTransaction) -> Result<T, E>,
) -> T {
    let txn = begin_write(&databases.control).await.unwrap();
    let value = write(&txn).await.unwrap();
    txn.commit().await.unwrap();
    value
}

/// Runs `write`, which is expected to be refused, and rolls back.
pub(crate) async fn refused<T: std::fmt::Debug, E>(
    databases: &Databases,
    write: impl AsyncFnOnce(&sea_orm::DatabaseTransaction) -> Result<T, E>,
) -> E {
    let txn = begin_write(&databases.control).await.unwrap();
    let error = write(&txn).await.unwrap_err();
    txn.rollback().await.unwrap();
    error
}
