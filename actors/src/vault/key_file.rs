//! The key file: JSON with a checksum, replaced whole, never edited in place.
//!
//! A lost key is lost data, so every write is to a new file that is flushed and renamed over the old one,
//! under a lock that keeps two processes from adding a key at the same time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{Key, Keys, VaultError};

/// Its name in the data directory.
pub const KEY_FILE: &str = "steward.key";
const LOCK_FILE: &str = "steward.key.lock";
const VERSION: u32 = 1;
const PRIVATE: u32 = 0o600;

#[derive(Deserialize, Serialize)]
struct Stored {
    version: u32,
    current: String,
    /// Id → 256 bits in base64.
    keys: BTreeMap<String, String>,
    /// SHA-256 of the rest, in hexadecimal.
    checksum: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        for key in self.keys.values_mut() {
            key.zeroize();
        }
    }
}

/// Reads the file, or makes it with a first key; true when it was made.
pub(super) fn read_or_make(data_dir: &Path) -> Result<(Keys, bool), VaultError> {
    if data_dir.join(KEY_FILE).exists() {
        return Ok((read(data_dir)?, false));
    }
    locked(data_dir, || {
        if data_dir.join(KEY_FILE).exists() {
            return Ok((read(data_dir)?, false));
        }
        let (id, key) = new_key()?;
        let keys = Keys {
            current: id.clone(),
            by_id: BTreeMap::from([(id, key)]),
        };
        write(data_dir, &keys)?;
        Ok((keys, true))
    })
}

/// Adds a key, makes it current, and answers what the file holds now.
pub(super) fn add_key(data_dir: &Path) -> Result<Keys, VaultError> {
    locked(data_dir, || {
        let mut keys = read(data_dir)?;
        let (id, key) = new_key()?;
        keys.by_id.insert(id.clone(), key);
        keys.current = id;
        write(data_dir, &keys)?;
        Ok(keys)
    })
}

/// Reads the file.
pub(super) fn read(data_dir: &Path) -> Result<Keys, VaultError> {
    let path = data_dir.join(KEY_FILE);
    let failed = |source| VaultError::Io {
        path: path.clone(),
        source,
    };
    let damaged = |reason| VaultError::Damaged {
        path: path.clone(),
        reason,
    };
    let file = File::open(&path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(VaultError::Exposed { path, mode });
    }
    let text = Zeroizing::new(io::read_to_string(file).map_err(failed)?);
    let stored: Stored = serde_json::from_str(&text).map_err(|_| damaged("it is not JSON"))?;
    if stored.version != VERSION {
        return Err(damaged("its version is not one this release knows"));
    }
    if stored.checksum != checksum(&stored) {
        return Err(damaged("its checksum does not match"));
    }
    let mut by_id = BTreeMap::new();
    for (id, encoded) in &stored.keys {
        let bytes = STANDARD
            .decode(encoded.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| damaged("a key is not base64"))?;
        let key: [u8; 32] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| damaged("a key has not 256 bits"))?;
        by_id.insert(id.clone(), Zeroizing::new(key));
    }
    if !by_id.contains_key(&stored.current) {
        return Err(damaged("its current key is missing"));
    }
    Ok(Keys {
        current: stored.current.clone(),
        by_id,
    })
}

fn write(data_dir: &Path, keys: &Keys) -> Result<(), VaultError> {
    let mut stored = Stored {
        version: VERSION,
        current: keys.current.clone(),
        keys: keys
            .by_id
            .iter()
            .map(|(id, key)| (id.clone(), STANDARD.encode(key.as_slice())))
            .collect(),
        checksum: String::new(),
    };
    stored.checksum = checksum(&stored);
    let path = data_dir.join(KEY_FILE);
    let replaced = (|| {
        let text = Zeroizing::new(serde_json::to_string_pretty(&stored)?);
        let draft = data_dir.join(format!("{KEY_FILE}.new"));
        // A draft left by a crash may have any mode; this one is private from its first byte.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(data_dir)?.sync_all()
    })();
    replaced.map_err(|source| VaultError::Io { path, source })
}

/// Runs `work` while no other process changes the file.
fn locked<T>(
    data_dir: &Path,
    work: impl FnOnce() -> Result<T, VaultError>,
) -> Result<T, VaultError> {
    let path: PathBuf = data_dir.join(LOCK_FILE);
    let held = (|| {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .open(&path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    })();
    let held: File = held.map_err(|source| VaultError::Io { path, source })?;
    let result = work();
    drop(held);
    result
}

fn new_key() -> Result<(String, Key), VaultError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(|_| VaultError::NoRandomness)?;
    Ok((steward_entities::public_id::new("key"), key))
}

fn checksum(stored: &Stored) -> String {
    let mut hash = Sha256::new();
    hash.update(stored.version.to_be_bytes());
    for part in
        std::iter::once(&stored.current).chain(stored.keys.iter().flat_map(|(id, key)| [id, key]))
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
