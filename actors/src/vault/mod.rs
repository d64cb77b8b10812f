//! The vault: seals secrets before they go to a database, under keys that never do.
//!
//! The key file (`steward.key`, beside the data, readable by its owner only) holds several keys, one of them
//! current. From each, one subkey per purpose is derived, so that a subkey given away opens nothing else. A
//! sealed value is bound to its table, column and row: copied elsewhere it does not open. Old keys stay, so
//! whatever they sealed can be opened until [`reseal_all`] has moved it to the current one.
//! The file is in no backup, and what it is worth is the operator's to keep.

mod key_file;
mod reseal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use parking_lot::RwLock;
use sha2::Sha256;
use zeroize::Zeroizing;

pub use key_file::KEY_FILE;
pub use reseal::{ResealError, Resealed, reseal_all};

/// Purpose of the subkey that seals accounts' secrets.
pub const ACCOUNT_SECRET: &str = "account-secret";
/// Purpose of the subkey that seals the addresses and secrets of notice channels.
pub const CHANNEL_ADDRESS: &str = "channel-address";
/// Purpose of the subkey that seals the address and key of the remote for statistics.
pub const REMOTE_ADDRESS: &str = "remote-address";
/// Purpose of the subkey that seals where database backups go, and what opens it.
pub const BACKUP_PLACE: &str = "backup-place";
/// Purpose of the subkey that seals where archived months go, and what opens it.
pub const ARCHIVE_PLACE: &str = "archive-place";
/// Purpose of the subkey that seals database backups.
pub const DATABASE_BACKUP: &str = "database-backup";
/// Purpose of the subkey that seals the keys of issuers of user tokens.
pub const ISSUER_KEYS: &str = "issuer-keys";
/// Purpose of the subkey that seals tokens that wait to be tried.
pub const JWT_TEST_TOKEN: &str = "jwt-test-token";
/// Purpose of the subkey that signs operators' access tokens.
pub const OPERATOR_JWT: &str = "operator-jwt";

const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;
const SALT: &[u8] = b"steward/vault/1";

/// Why the vault did not do it. No secret is in the text.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Others may read the key file.
    #[error(
        "the key file {} can be read by others (mode {mode:04o}); make it private with `chmod 600`, and consider its keys known", path.display()
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a key file, or a damaged one.
    #[error("the key file {} is damaged ({reason}); put back the copy you keep of it", path.display())]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It could not be read or written.
    #[error("the key file {} cannot be used: {source}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A value was sealed with a key the file does not hold.
    #[error("the key file holds no key {0}")]
    UnknownKey(String),
    /// A value was damaged, or belongs to another place.
    #[error("the sealed value does not open: it was changed, or belongs to another row")]
    DoesNotOpen,
    /// The system gave no random bytes.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// Where a sealed value belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Table.
    pub table: &'a str,
    /// Column.
    pub column: &'a str,
    /// Public id of the row.
    pub row: &'a str,
}

impl<'a> Place<'a> {
    /// Where the secret of an account belongs.
    pub const fn account_secret(public_id: &'a str) -> Self {
        Self {
            table: "accounts",
            column: "secret",
            row: public_id,
        }
    }

    /// Where the address of a notice channel belongs.
    pub const fn channel_address(public_id: &'a str) -> Self {
        Self {
            table: "channels",
            column: "sealed",
            row: public_id,
        }
    }

    /// Where the address of the remote for statistics belongs: there is one.
    pub const fn remote_address() -> Self {
        Self {
            table: "remote_backups",
            column: "sealed",
            row: "1",
        }
    }

    /// Where the place of database backups belongs: there is one.
    pub const fn backup_place() -> Self {
        Self {
            table: "backup_plans",
            column: "sealed",
            row: "1",
        }
    }

    /// Where a place of archived months belongs.
    pub const fn archive_place(public_id: &'a str) -> Self {
        Self {
            table: "archive_places",
            column: "sealed",
            row: public_id,
        }
    }

    /// Where the keys of an issuer belong.
    pub const fn issuer_keys(public_id: &'a str) -> Self {
        Self {
            table: "jwt_issuers",
            column: "keys",
            row: public_id,
        }
    }

    /// Where a token that waits to be tried belongs.
    pub const fn jwt_test_token(public_id: &'a str) -> Self {
        Self {
            table: "jwt_tests",
            column: "token",
            row: public_id,
        }
    }

    /// Unambiguous bytes: every part is preceded by its length.
    fn bytes(&self, key_id: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.table, self.column, self.row, key_id] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// A sealed value, and which key opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Id of the key, stored beside the value.
    pub key_id: String,
    /// Format, nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// A key derived for one purpose.
#[derive(Clone)]
pub struct Subkey {
    /// Id of the key it was derived from (the `kid` of a token signed with it).
    pub key_id: String,
    /// 256 bits, wiped when dropped.
    pub bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Subkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subkey({}, …)", self.key_id)
    }
}

type Key = Zeroizing<[u8; 32]>;

/// The keys of the file.
#[derive(Clone)]
struct Keys {
    current: String,
    by_id: BTreeMap<String, Key>,
}

/// Seals and opens. One per process, shared behind an `Arc`.
pub struct Vault {
    data_dir: PathBuf,
    keys: RwLock<Keys>,
    made_now: bool,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads the key file of `data_dir`; makes one when there is none (first start).
    ///
    /// # Errors
    /// When others may read it, when it is damaged, or when it cannot be read or made.
    pub fn open(data_dir: &Path) -> Result<Self, VaultError> {
        let (keys, made_now) = key_file::read_or_make(data_dir)?;
        Ok(Self {
            data_dir: data_dir.to_path_buf(),
            keys: RwLock::new(keys),
            made_now,
        })
    }

    /// Whether [`open`](Self::open) made the file: worth a line to the operator, who has to keep a copy.
    pub fn made_now(&self) -> bool {
        self.made_now
    }

    /// Id of the key that seals from now on.
    pub fn current_key_id(&self) -> String {
        self.keys.read().current.clone()
    }

    /// Seals `plaintext` under the current key, for one purpose and place.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn seal(
        &self,
        purpose: &str,
        place: Place<'_>,
        plaintext: &[u8],
    ) -> Result<Sealed, VaultError> {
        let subkey = self.subkey(purpose)?;
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
        let payload = Payload {
            msg: plaintext,
            aad: &place.bytes(&subkey.key_id),
        };
        let ciphertext = cipher(&subkey)
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| VaultError::DoesNotOpen)?;
        let mut bytes = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&ciphertext);
        Ok(Sealed {
            key_id: subkey.key_id,
            bytes,
        })
    }

    /// Opens what [`seal`](Self::seal) made, at the same purpose and place.
    ///
    /// # Errors
    /// When the key is not in the file, or the value was changed or belongs elsewhere.
    pub fn unseal(
        &self,
        purpose: &str,
        place: Place<'_>,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let subkey = self.subkey_of(key_id, purpose)?;
        let (&format, rest) = sealed.split_first().ok_or(VaultError::DoesNotOpen)?;
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(VaultError::DoesNotOpen)?;
        if format != FORMAT {
            return Err(VaultError::DoesNotOpen);
        }
        let payload = Payload {
            msg: ciphertext,
            aad: &place.bytes(key_id),
        };
        cipher(&subkey)
            .decrypt(&XNonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| VaultError::DoesNotOpen)
    }

    /// The current key's subkey for `purpose` (such as [`OPERATOR_JWT`]).
    ///
    /// # Errors
    /// Only when the file in memory lacks its current key, which reading it rules out.
    pub fn subkey(&self, purpose: &str) -> Result<Subkey, VaultError> {
        let key_id = self.current_key_id();
        self.subkey_of(&key_id, purpose)
    }

    /// Another key's subkey for `purpose`: for what was sealed or signed before a rotation. An id that is not
    /// known is looked for in the file again, which another process may have rotated.
    ///
    /// # Errors
    /// When the file does not hold the key.
    pub fn subkey_of(&self, key_id: &str, purpose: &str) -> Result<Subkey, VaultError> {
        let known = self.keys.read().by_id.get(key_id).cloned();
        let key = match known {
            Some(key) => key,
            None => self
                .read_again()?
                .by_id
                .get(key_id)
                .cloned()
                .ok_or_else(|| VaultError::UnknownKey(key_id.to_owned()))?,
        };
        Ok(Subkey {
            key_id: key_id.to_owned(),
            bytes: derive(&key, purpose),
        })
    }

    /// Adds a key and makes it the current one; answers its id. Nothing is resealed by this.
    ///
    /// # Errors
    /// When the file cannot be written; the keys in force stay as they were.
    pub fn rotate(&self) -> Result<String, VaultError> {
        let keys = key_file::add_key(&self.data_dir)?;
        let current = keys.current.clone();
        *self.keys.write() = keys;
        Ok(current)
    }

    fn read_again(&self) -> Result<Keys, VaultError> {
        let keys = key_file::read(&self.data_dir)?;
        *self.keys.write() = keys.clone();
        Ok(keys)
    }
}

fn cipher(subkey: &Subkey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&*subkey.bytes).into())
}

fn derive(key: &Key, purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    // Fails only above 255 times the hash's length; this is one time.
    let _ = Hkdf::<Sha256>::new(Some(SALT), key.as_slice())
        .expand(purpose.as_bytes(), bytes.as_mut_slice());
    bytes
}

#[cfg(test)]
mod tests;
