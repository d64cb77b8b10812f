//! Keys of issuers: sealed in their rows, opened for the snapshot and for signing.

use steward_entities::jwt_issuer;

use crate::domain::issuer::{IssuerKey, StoredKey, keys_of_jwks};
use crate::vault::{ISSUER_KEYS, Place, Sealed, Vault, VaultError};

/// The keys that lie sealed in a row; none for issuers whose keys are fetched.
///
/// # Errors
/// When they do not open.
pub fn issuer_keys(vault: &Vault, row: &jwt_issuer::Model) -> Result<Vec<StoredKey>, VaultError> {
    let place = Place::issuer_keys(&row.public_id);
    let opened = vault.unseal(ISSUER_KEYS, place, &row.keys_key_id, &row.keys_sealed.0)?;
    serde_json::from_slice(&opened).map_err(|_| VaultError::DoesNotOpen)
}

/// Seals keys for the row of that public id.
///
/// # Errors
/// When the system gives no random numbers.
pub fn seal_issuer_keys(
    vault: &Vault,
    public_id: &str,
    keys: &[StoredKey],
) -> Result<Sealed, VaultError> {
    let text = serde_json::to_vec(keys).map_err(|_| VaultError::DoesNotOpen)?;
    vault.seal(ISSUER_KEYS, Place::issuer_keys(public_id), &text)
}

/// What proves an issuer's tokens. Keys that do not open prove nothing, and that is told.
pub(super) fn proving(vault: &Vault, row: &jwt_issuer::Model) -> Vec<IssuerKey> {
    if let Some(jwks) = &row.jwks {
        return keys_of_jwks(jwks);
    }
    match issuer_keys(vault, row) {
        Ok(stored) => stored
            .iter()
            .filter_map(StoredKey::proving)
            .map(|key| IssuerKey {
                // A shared secret has no id of ours.
                kid: key.kid.filter(|kid| !kid.is_empty()),
                ..key
            })
            .collect(),
        Err(error) => {
            tracing::error!(issuer = row.public_id, %error, "an issuer's keys do not open; its tokens are refused");
            Vec::new()
        }
    }
}
