//! Reading the rows of one moment, together with the revision they belong to.

use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseTransaction, DbErr, IsolationLevel, TransactionTrait,
};
use steward_entities::database::{DatabaseKind, Databases};
use steward_entities::{account, revision, tenant, token};

use super::build::{Built, Rows, build};
use crate::domain::snapshot::Secret;
use crate::vault::{ACCOUNT_SECRET, Place, Vault};

/// A snapshot and the revision it shows at least.
#[derive(Debug)]
pub struct Loaded {
    /// Revision of the control tables.
    pub revision: i64,
    /// The snapshot.
    pub built: Built,
}

/// Reads and builds; `None` when the revision is still `known`.
///
/// # Errors
/// When the control tables cannot be read.
pub async fn load(
    databases: &Databases,
    vault: &Vault,
    known: Option<i64>,
) -> Result<Option<Loaded>, DbErr> {
    let txn = one_moment(&databases.control_read, databases.kind).await?;
    let revision = revision::read(&txn).await?;
    if known == Some(revision) {
        return Ok(None);
    }
    let rows = Rows {
        tokens: token::all_live(&txn).await?,
        tenants: tenant::all(&txn).await?,
        accounts: account::all(&txn).await?,
    };
    txn.rollback().await?;
    let built = build(rows, |row| secret_of(vault, row));
    Ok(Some(Loaded { revision, built }))
}

/// A transaction in which every statement sees the same state. SQLite's always do.
async fn one_moment(
    reader: &DatabaseConnection,
    kind: DatabaseKind,
) -> Result<DatabaseTransaction, DbErr> {
    match kind {
        DatabaseKind::Sqlite => reader.begin().await,
        DatabaseKind::Postgres => {
            let level = Some(IsolationLevel::RepeatableRead);
            reader
                .begin_with_config(level, Some(AccessMode::ReadOnly))
                .await
        }
    }
}

fn secret_of(vault: &Vault, row: &account::Model) -> Result<Secret, String> {
    let place = Place::account_secret(&row.public_id);
    let sealed = &row.secret_sealed.0;
    let opened = vault
        .unseal(ACCOUNT_SECRET, place, &row.secret_key_id, sealed)
        .map_err(|error| error.to_string())?;
    match std::str::from_utf8(&opened) {
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err("its secret is not text".to_owned()),
    }
}
