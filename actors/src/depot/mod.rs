//! Where files are put away for later: a folder, or a bucket that speaks S3.
//!
//! Files are small (a few megabytes): whoever has more makes several. A file is there whole or not at all; putting it
//! again replaces it. Names are paths of plain segments below the depot's own place. What is in a file, and whether it is
//! sealed, is its owner's matter. Why S3 is spoken by hand: `docs/decisions/0018-buckets.md`.

mod bucket;
mod folder;
mod sigv4;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::clock::SharedClock;
use crate::outward::Outward;

/// Largest file a depot takes.
pub const FILE_MAX_BYTES: usize = 64 << 20;

/// A file there.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stored {
    pub name: String,
    pub bytes: u64,
}

/// Why a depot did not do it, in words that hold no secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DepotError {
    /// There is no such file.
    #[error("there is no file {0}")]
    Missing(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// See the module.
#[async_trait]
pub trait Depot: Send + Sync {
    /// Puts a file there, durably.
    ///
    /// # Errors
    /// See [`DepotError`]; nothing, or what was there before, is there then.
    async fn put(&self, name: &str, content: Bytes) -> Result<(), DepotError>;

    /// Gets a file.
    ///
    /// # Errors
    /// See [`DepotError`].
    async fn get(&self, name: &str) -> Result<Bytes, DepotError>;

    /// Files whose names begin with `prefix`, by name.
    ///
    /// # Errors
    /// See [`DepotError`].
    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, DepotError>;

    /// Removes a file; one that is not there is none.
    ///
    /// # Errors
    /// See [`DepotError`].
    async fn remove(&self, name: &str) -> Result<(), DepotError>;
}

/// Where a depot is, and what opens it. Kept sealed; `Debug` shows nothing of it.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Place {
    /// A folder of this machine, absolute.
    Folder { path: PathBuf },
    /// A bucket.
    Bucket(Bucket),
}

/// A bucket that speaks S3.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bucket {
    /// Such as `https://s3.eu-central-1.amazonaws.com`; the bucket follows as the first segment of the path.
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    /// Before every name; empty or ending in a slash.
    pub prefix: String,
    pub access_key: String,
    pub secret_key: String,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Place {
    /// What may be shown of it.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder { path } => path.display().to_string(),
            Self::Bucket(bucket) => {
                format!("{}/{}/{}", bucket.endpoint, bucket.bucket, bucket.prefix)
            }
        }
    }
}

/// The depot at a place. Nothing is looked at yet.
pub fn open(place: &Place, outward: Arc<dyn Outward>, clock: SharedClock) -> Box<dyn Depot> {
    match place {
        Place::Folder { path } => Box::new(folder::Folder::new(path.clone())),
        Place::Bucket(bucket) => Box::new(bucket::S3::new(bucket.clone(), outward, clock)),
    }
}

/// Whether `name` may name a file: segments of letters, digits, `-`, `_` and `.`, none of which begins with a dot.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=512).contains(&name.len())
        && name.split('/').all(|segment| {
            !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(plain)
        })
}

fn checked(name: &str) -> Result<(), DepotError> {
    match is_name(name) {
        true => Ok(()),
        false => Err(DepotError::Failed(format!("{name:?} is no name of a file"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_depot() {
        for good in ["a", "steward-1/ledger-0001.part", "2026-03.parquet"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", "a b", "ä", "a?b",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_place_shows_no_secret() {
        let place = Place::Bucket(Bucket {
            endpoint: "https://s3.example.com".into(),
            region: "r".into(),
            bucket: "b".into(),
            prefix: "p/".into(),
            access_key: "AKIA".into(),
            secret_key: "canary".into(),
        });
        assert_eq!(format!("{place:?}"), "https://s3.example.com/b/p/");
    }
}
