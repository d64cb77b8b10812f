//! Moving every stored secret to the current key, after the key file got a new one.

use sea_orm::DbErr;
use serde_json::json;
use steward_entities::database::{Databases, begin_write};
use steward_entities::{
    account, archive_place, audit, backup_plan, channel, jwt_issuer, remote_backup,
};

use super::{
    ACCOUNT_SECRET, ARCHIVE_PLACE, BACKUP_PLACE, CHANNEL_ADDRESS, ISSUER_KEYS, Place,
    REMOTE_ADDRESS, Vault, VaultError,
};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Secrets now under the current key that were not before.
    pub moved: usize,
    /// Secrets that were under it already.
    pub unchanged: usize,
    /// Public ids of accounts, channels and issuers, or the remote's name, whose secret does not open and was left as it is.
    pub unopened: Vec<String>,
}

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The database did not do it.
    #[error("the stored secrets could not be resealed: {0}")]
    Database(#[from] DbErr),
    /// The vault did not do it.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Seals the secrets of all accounts and channels, of the remote and of places, and the keys of all issuers under the current key, with an
/// audit row, in one transaction. Doing it again moves nothing.
///
/// # Errors
/// When the database fails or the vault cannot seal; nothing has been changed then.
pub async fn reseal_all(
    vault: &Vault,
    databases: &Databases,
    at_micros: i64,
) -> Result<Resealed, ResealError> {
    let txn = begin_write(&databases.control).await?;
    let mut done = Resealed::default();
    let current = vault.current_key_id();
    for row in account::all(&txn).await? {
        if row.secret_key_id == current {
            done.unchanged += 1;
            continue;
        }
        let place = Place::account_secret(&row.public_id);
        let sealed = &row.secret_sealed.0;
        match vault.unseal(ACCOUNT_SECRET, place, &row.secret_key_id, sealed) {
            Ok(secret) => {
                let sealed = vault.seal(ACCOUNT_SECRET, place, &secret)?;
                account::reseal(&txn, &row, sealed.bytes, &sealed.key_id).await?;
                done.moved += 1;
            }
            Err(_) => done.unopened.push(row.public_id),
        }
    }
    for row in channel::all(&txn).await? {
        if row.sealed_key_id == current {
            done.unchanged += 1;
            continue;
        }
        let place = Place::channel_address(&row.public_id);
        match vault.unseal(CHANNEL_ADDRESS, place, &row.sealed_key_id, &row.sealed.0) {
            Ok(secret) => {
                let sealed = vault.seal(CHANNEL_ADDRESS, place, &secret)?;
                channel::reseal(&txn, &row, sealed.bytes, &sealed.key_id).await?;
                done.moved += 1;
            }
            Err(_) => done.unopened.push(row.public_id),
        }
    }
    if let Some(row) = remote_backup::get(&txn).await? {
        let place = Place::remote_address();
        if row.sealed_key_id == current {
            done.unchanged += 1;
        } else {
            match vault.unseal(REMOTE_ADDRESS, place, &row.sealed_key_id, &row.sealed.0) {
                Ok(secret) => {
                    let sealed = vault.seal(REMOTE_ADDRESS, place, &secret)?;
                    remote_backup::reseal(&txn, sealed.bytes, &sealed.key_id).await?;
                    done.moved += 1;
                }
                Err(_) => done.unopened.push("remote_backup".to_owned()),
            }
        }
    }
    if let Some(row) = backup_plan::get(&txn).await? {
        let place = Place::backup_place();
        if row.sealed_key_id == current {
            done.unchanged += 1;
        } else {
            match vault.unseal(BACKUP_PLACE, place, &row.sealed_key_id, &row.sealed.0) {
                Ok(secret) => {
                    let sealed = vault.seal(BACKUP_PLACE, place, &secret)?;
                    backup_plan::reseal(&txn, sealed.bytes, &sealed.key_id).await?;
                    done.moved += 1;
                }
                Err(_) => done.unopened.push("backup_plan".to_owned()),
            }
        }
    }
    for row in archive_place::all(&txn).await? {
        if row.sealed_key_id == current {
            done.unchanged += 1;
            continue;
        }
        let place = Place::archive_place(&row.public_id);
        match vault.unseal(ARCHIVE_PLACE, place, &row.sealed_key_id, &row.sealed.0) {
            Ok(secret) => {
                let sealed = vault.seal(ARCHIVE_PLACE, place, &secret)?;
                archive_place::reseal(&txn, &row, sealed.bytes, &sealed.key_id).await?;
                done.moved += 1;
            }
            Err(_) => done.unopened.push(row.public_id),
        }
    }
    for row in jwt_issuer::all(&txn).await? {
        if row.keys_key_id == current {
            done.unchanged += 1;
            continue;
        }
        let place = Place::issuer_keys(&row.public_id);
        match vault.unseal(ISSUER_KEYS, place, &row.keys_key_id, &row.keys_sealed.0) {
            Ok(keys) => {
                let sealed = vault.seal(ISSUER_KEYS, place, &keys)?;
                jwt_issuer::reseal(&txn, &row, sealed.bytes, &sealed.key_id).await?;
                done.moved += 1;
            }
            Err(_) => done.unopened.push(row.public_id),
        }
    }
    if done.moved > 0 {
        let entry = audit::Entry {
            operator_id: None,
            operator_name: "command line".to_owned(),
            action: "keys.rotate".to_owned(),
            target_type: "key".to_owned(),
            target_id: current,
            details: json!({ "moved": done.moved, "unopened": done.unopened }),
            ip: String::new(),
            request_id: String::new(),
        };
        audit::insert(&txn, entry, at_micros).await?;
    }
    txn.commit().await?;
    Ok(done)
}
