//! Schema changes, forward only: one list per kind of database, each change the same on SQLite and PostgreSQL.
//!
//! A change that is released is never edited; the next one expands, the release after may contract. All
//! pending changes of one kind are applied in a single transaction, so a failure leaves the schema as it
//! was, and two processes that start together do not migrate twice. No table is read for the product here.

#![allow(
    elided_lifetimes_in_paths,
    reason = "the migration trait is declared without them, and an implementation has to match it"
)]

mod contents;
mod control;
mod dialect;
mod events;
mod ledger;
#[cfg(feature = "testing")]
pub mod testing;

use sea_orm_migration::MigratorTrait;
use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

pub use contents::ContentsMigrator;
pub use control::ControlMigrator;
pub use events::EventsMigrator;
pub use ledger::LedgerMigrator;

/// In the ledger and in the store of conversations, each of its own rows (`steward_entities::archive_late`).
const ARCHIVE_LATE: &str = "
CREATE TABLE archive_seals (
    rid_from BIGINT NOT NULL PRIMARY KEY,
    rid_to BIGINT NOT NULL,
    is_settled BOOLEAN NOT NULL
);
CREATE TABLE archive_late (
    rid BIGINT NOT NULL PRIMARY KEY,
    part BIGINT
)";

/// Serialises migrating processes on one PostgreSQL database. Any number that nobody else uses.
const ADVISORY_LOCK: i64 = 0x5374_6577_6172_6400;

/// Brings the control tables up to date; makes the PostgreSQL schema `steward` first.
///
/// # Errors
/// When a statement fails; nothing has been changed then.
pub async fn migrate_control(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = begin(connection, "steward").await?;
    ControlMigrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Brings the ledger tables up to date; makes the PostgreSQL schema `ledger` first.
///
/// # Errors
/// When a statement fails; nothing has been changed then.
pub async fn migrate_ledger(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = begin(connection, "ledger").await?;
    LedgerMigrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Brings the tables of events up to date; makes the PostgreSQL schema `events` first.
///
/// # Errors
/// When a statement fails; nothing has been changed then.
pub async fn migrate_events(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = begin(connection, "events").await?;
    EventsMigrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Names of all changes that this release knows, oldest first.
pub fn known() -> Pending {
    fn names<M: MigratorTrait>() -> Vec<String> {
        let all = M::migrations();
        all.iter().map(|change| change.name().to_owned()).collect()
    }
    Pending {
        control: names::<ControlMigrator>(),
        ledger: names::<LedgerMigrator>(),
        events: names::<EventsMigrator>(),
    }
}

/// The changes that were applied, oldest first. Changes nothing.
///
/// # Errors
/// When a database cannot be read.
pub async fn applied(
    control: &DatabaseConnection,
    ledger: &DatabaseConnection,
    events: &DatabaseConnection,
) -> Result<Pending, DbErr> {
    let names = |list: Vec<sea_orm_migration::migrator::Migration>| {
        list.iter()
            .map(|migration| migration.name().to_owned())
            .collect()
    };
    Ok(Pending {
        control: names(ControlMigrator::get_applied_migrations_read_only(control).await?),
        ledger: names(LedgerMigrator::get_applied_migrations_read_only(ledger).await?),
        events: names(EventsMigrator::get_applied_migrations_read_only(events).await?),
    })
}

/// Brings empty databases to the first so many changes of control, ledger and events: the state another release left.
///
/// # Errors
/// When a statement fails.
pub async fn migrate_first(
    (control, ledger, events): (
        &DatabaseConnection,
        &DatabaseConnection,
        &DatabaseConnection,
    ),
    (of_control, of_ledger, of_events): (u32, u32, u32),
) -> Result<(), DbErr> {
    let transaction = begin(control, "steward").await?;
    ControlMigrator::up(&transaction, Some(of_control)).await?;
    transaction.commit().await?;
    let transaction = begin(ledger, "ledger").await?;
    LedgerMigrator::up(&transaction, Some(of_ledger)).await?;
    transaction.commit().await?;
    let transaction = begin(events, "events").await?;
    EventsMigrator::up(&transaction, Some(of_events)).await?;
    transaction.commit().await
}

/// Names of the changes not yet applied, oldest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pending {
    pub control: Vec<String>,
    pub ledger: Vec<String>,
    pub events: Vec<String>,
}

impl Pending {
    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.ledger.is_empty() && self.events.is_empty()
    }
}

/// Brings a month's file of kept conversations up to date; on PostgreSQL the schema `contents`, which it makes first.
///
/// # Errors
/// When a statement fails; nothing has been changed then.
pub async fn migrate_contents(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = begin(connection, "contents").await?;
    ContentsMigrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// The changes not yet applied. Changes nothing.
///
/// # Errors
/// When a database cannot be read.
pub async fn pending(
    control: &DatabaseConnection,
    ledger: &DatabaseConnection,
    events: &DatabaseConnection,
) -> Result<Pending, DbErr> {
    let control = ControlMigrator::get_pending_migrations_read_only(control);
    let ledger = LedgerMigrator::get_pending_migrations_read_only(ledger);
    let events = EventsMigrator::get_pending_migrations_read_only(events);
    let names = |list: Vec<sea_orm_migration::migrator::Migration>| {
        list.iter()
            .map(|migration| migration.name().to_owned())
            .collect()
    };
    Ok(Pending {
        control: names(control.await?),
        ledger: names(ledger.await?),
        events: names(events.await?),
    })
}

async fn begin(
    connection: &DatabaseConnection,
    schema: &str,
) -> Result<DatabaseTransaction, DbErr> {
    let transaction = connection
        .begin_with_options(TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        })
        .await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction
            .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            .await?;
        // `IF NOT EXISTS` alone may judge by what this connection knew before it waited for the lock; reading
        // the catalog makes it look again.
        let known = Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1",
            [schema.into()],
        );
        if transaction.query_one_raw(known).await?.is_none() {
            transaction
                .execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))
                .await?;
        }
    }
    Ok(transaction)
}
