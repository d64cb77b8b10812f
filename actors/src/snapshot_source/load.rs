//! Reading the rows of one moment, together with the revision they belong to.

use std::sync::Arc;

use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseTransaction, DbErr, IsolationLevel, TransactionTrait,
};
use steward_entities::database::{DatabaseKind, Databases};
use steward_entities::{
    account, jwt_issuer, price, prompt, prompt_label, prompt_version, redaction_rule, revision,
    tenant, token,
};

use super::build::{Built, Rows, build};
use super::issuer_keys::proving;
use crate::domain::snapshot::{AccountView, Secret};
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
        redaction_rules: redaction_rule::enabled(&txn).await?,
        prices: price::all(&txn).await?,
        issuers: jwt_issuer::all(&txn)
            .await?
            .into_iter()
            .filter(|row| row.enabled)
            .map(|row| {
                let keys = proving(vault, &row);
                (row, keys)
            })
            .collect(),
        prompts: prompt::all(&txn).await?,
        prompt_labels: prompt_label::all(&txn).await?,
        prompt_versions: prompt_version::stubs(&txn).await?,
    };
    txn.rollback().await?;
    let built = build(rows, |row| secret_of(vault, row));
    Ok(Some(Loaded { revision, built }))
}

/// One account as the gateway would see it, whether or not it is enabled.
///
/// # Errors
/// A sentence for the operator: why it cannot be used. No secret in it.
pub fn view_of_account(row: &account::Model, vault: &Vault) -> Result<AccountView, String> {
    let rows = Rows {
        accounts: vec![row.clone()],
        ..Rows::default()
    };
    let built = build(rows, |row| secret_of(vault, row));
    match (
        built.unusable.into_iter().next(),
        built.snapshot.accounts.into_iter().next(),
    ) {
        (None, Some(view)) => Ok(Arc::unwrap_or_clone(view)),
        (Some(unusable), _) => Err(unusable.reason),
        (None, None) => Err("it is not there".to_owned()),
    }
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
