//! Which database errors are the data's fault.
//!
//! Only those are bisected; for everything else the same batch will go through later, so the writer waits.
//! In doubt an error counts as `Unavailable`: waiting loses nothing, a wrong dead letter loses a row.

use sea_orm::sqlx;
use thiserror::Error;

/// Why a transaction did not happen.
#[derive(Clone, Debug, Error)]
pub enum WriteError {
    /// Some record in the batch will never be taken.
    #[error("the ledger refuses a record: {0}")]
    Data(String),
    /// Busy, full, I/O, connection, or a schema that is not ours: nothing about the data.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        let data = match &error {
            sqlx::Error::Database(database) => database
                .code()
                .is_some_and(|code| is_data(&code, database.as_ref())),
            sqlx::Error::Encode(_) => true,
            _ => false,
        };
        if data {
            Self::Data(error.to_string())
        } else {
            Self::Unavailable(error.to_string())
        }
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        let data = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => is_data_of_sqlite(failure.extended_code),
            rusqlite::Error::ToSqlConversionFailure(_) => true,
            _ => false,
        };
        if data {
            Self::Data(error.to_string())
        } else {
            Self::Unavailable(error.to_string())
        }
    }
}

fn is_data_of_sqlite(extended_code: i32) -> bool {
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    matches!(extended_code & 0xff, TOO_BIG | CONSTRAINT | MISMATCH)
}

fn is_data(code: &str, error: &dyn sqlx::error::DatabaseError) -> bool {
    if error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
    {
        // 22 data exception, 23 integrity constraint, P0001 raised by a trigger.
        return code.starts_with("22") || code.starts_with("23") || code == "P0001";
    }
    code.parse().is_ok_and(is_data_of_sqlite)
}
