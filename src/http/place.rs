//! Where files are put away, as operators say it: a folder, or a bucket whose keys may stay as they are; and whether it
//! works. Whatever keeps such a place seals it.

use std::path::{Component, PathBuf};
use std::time::Instant;

use serde::Serialize;
use steward_actors::depot::{Bucket, Depot, DepotError, Place, is_name};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::check::text;
use crate::http::egress::{self, Reach};

const TEXT_MAX: usize = 300;
const KEY_MAX: usize = 512;
const REGION: &str = "us-east-1";
/// What a test puts there and takes away again.
const PROBE: &str = "steward-probe.txt";

/// What was said; what is missing stays as it was.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    pub kind: &'a str,
    pub path: &'a Option<String>,
    pub endpoint: &'a Option<String>,
    pub region: &'a Option<String>,
    pub bucket: &'a Option<String>,
    pub prefix: &'a Option<String>,
    pub access_key: &'a Option<String>,
    pub secret_key: &'a Option<String>,
}

/// Whether a file can be put there, read and removed again.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlaceTest {
    pub works: bool,
    /// What the place really answered.
    pub error: Option<String>,
    pub duration_ms: u64,
}

/// Puts a small file there, reads it and removes it, and tells what the place really answered.
pub async fn test(there: &dyn Depot) -> PlaceTest {
    let begun = Instant::now();
    let tried = async {
        there.put(PROBE, "steward".into()).await?;
        let read = there.get(PROBE).await?;
        there.remove(PROBE).await?;
        Ok::<_, DepotError>(read == "steward")
    };
    let (works, error) = match tried.await {
        Ok(true) => (true, None),
        Ok(false) => (false, Some("another file was read than was put".to_owned())),
        Err(error) => (false, Some(error.to_string())),
    };
    PlaceTest {
        works,
        error,
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// The place that is meant; `kept` is the one before.
///
/// # Errors
/// `validation_failed` or `egress_refused`, naming the field.
pub async fn read(said: Said<'_>, kept: Option<Place>, reach: Reach) -> Result<Place, ApiError> {
    match said.kind {
        "folder" => {
            let before = match kept {
                Some(Place::Folder { path }) => Some(path),
                _ => None,
            };
            let path = given("path", said.path)?.map(PathBuf::from).or(before);
            let path = path.ok_or_else(|| ApiError::invalid("path", "is missing"))?;
            let is_plain = path.is_absolute()
                && path
                    .components()
                    .all(|part| !matches!(part, Component::ParentDir));
            match is_plain {
                true => Ok(Place::Folder { path }),
                false => Err(ApiError::invalid(
                    "path",
                    "must begin with / and hold no ..",
                )),
            }
        }
        "bucket" => {
            let before = match kept {
                Some(Place::Bucket(bucket)) => Some(bucket),
                _ => None,
            };
            bucket(said, before, reach).await.map(Place::Bucket)
        }
        _ => Err(ApiError::invalid("kind", "must be folder or bucket")),
    }
}

fn given(field: &'static str, value: &Option<String>) -> Result<Option<String>, ApiError> {
    match value {
        Some(value) => text(field, value, 1, TEXT_MAX).map(Some),
        None => Ok(None),
    }
}

async fn bucket(said: Said<'_>, before: Option<Bucket>, reach: Reach) -> Result<Bucket, ApiError> {
    let missing = |field: &'static str| ApiError::invalid(field, "is missing");
    let old = |of: fn(&Bucket) -> &String| before.as_ref().map(of).cloned();
    let endpoint = match given("endpoint", said.endpoint)? {
        Some(endpoint) => egress::base_url("endpoint", &endpoint)?,
        None => old(|bucket| &bucket.endpoint).ok_or_else(|| missing("endpoint"))?,
    };
    egress::check("endpoint", &endpoint, reach).await?;
    let bucket = given("bucket", said.bucket)?
        .or_else(|| old(|bucket| &bucket.bucket))
        .ok_or_else(|| missing("bucket"))?;
    if !is_name(&bucket) || bucket.contains('/') {
        return Err(ApiError::invalid("bucket", "is no name of a bucket"));
    }
    let prefix = match said.prefix {
        None => old(|bucket| &bucket.prefix).unwrap_or_default(),
        Some(prefix) => match prefix.trim().trim_matches('/') {
            "" => String::new(),
            prefix if is_name(prefix) => format!("{prefix}/"),
            _ => {
                return Err(ApiError::invalid(
                    "prefix",
                    "may hold letters, digits, - _ . and slashes",
                ));
            }
        },
    };
    let is_same = before
        .as_ref()
        .is_some_and(|before| before.endpoint == endpoint && before.bucket == bucket);
    let key = |field: &'static str, value: &Option<String>, old: Option<String>| match value {
        Some(value) => {
            let value = value.trim();
            let readable = (1..=KEY_MAX).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_graphic());
            match readable {
                true => Ok(value.to_owned()),
                false => Err(ApiError::invalid(
                    field,
                    format!("must have 1 to {KEY_MAX} visible ASCII characters"),
                )),
            }
        }
        // Else whoever may change the place could have the keys used elsewhere.
        None => old.filter(|_| is_same).ok_or_else(|| missing(field)),
    };
    Ok(Bucket {
        region: given("region", said.region)?
            .or_else(|| old(|bucket| &bucket.region))
            .unwrap_or_else(|| REGION.to_owned()),
        access_key: key(
            "access_key",
            said.access_key,
            old(|bucket| &bucket.access_key),
        )?,
        secret_key: key(
            "secret_key",
            said.secret_key,
            old(|bucket| &bucket.secret_key),
        )?,
        endpoint,
        bucket,
        prefix,
    })
}
