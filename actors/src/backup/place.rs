//! Where backups go, sealed and opened again: a bucket's keys are secrets.

use steward_entities::backup_plan;
use zeroize::Zeroizing;

use crate::depot::Place;
use crate::vault::{self, BACKUP_PLACE, Sealed, Vault, VaultError};

/// Seals a place for the one plan there is.
///
/// # Errors
/// When the system gives no random numbers.
pub fn seal_place(vault: &Vault, place: &Place) -> Result<Sealed, VaultError> {
    let text = serde_json::to_vec(place).map_err(|_| VaultError::DoesNotOpen)?;
    vault.seal(
        BACKUP_PLACE,
        vault::Place::backup_place(),
        &Zeroizing::new(text),
    )
}

/// Opens that of `row`.
///
/// # Errors
/// When the key is gone, or the value was changed.
pub fn open_place(vault: &Vault, row: &backup_plan::Model) -> Result<Place, VaultError> {
    let text = vault.unseal(
        BACKUP_PLACE,
        vault::Place::backup_place(),
        &row.sealed_key_id,
        &row.sealed.0,
    )?;
    serde_json::from_slice(&text).map_err(|_| VaultError::DoesNotOpen)
}
