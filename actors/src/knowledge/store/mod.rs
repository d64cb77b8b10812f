//! Vector stores that are called over a network: a copy of the vectors, which answers what is near in place of the memory of
//! this process.
//!
//! The tables stay the truth: a store that is lost, changed or exchanged is filled anew from them ([`push`](super::push)),
//! and what it names is looked up there before it is an answer. No judgement here and no retries; that a call is on the books
//! is the front's. Every operation can be done any number of times.

mod pgvector;
mod pinecone;
mod qdrant;
mod rest;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::embed::{Blame, Failed};
use crate::outward::Outward;
use crate::remote::PostgresUrl;

/// A call, its answer's last byte included.
const WITHIN: Duration = Duration::from_secs(20);
/// What a call may carry: below what any of them takes (Pinecone: 2 MB).
const CALL_MAX_BYTES: usize = 1_500_000;
/// What a figure takes at most, written out.
const FIGURE_BYTES: usize = 14;
const POINTS_MAX: usize = 500;

/// Which one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Qdrant,
    Pgvector,
    Pinecone,
}

impl Kind {
    /// As configured, and as the provider of its calls on the books.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qdrant => "qdrant",
            Self::Pgvector => "pgvector",
            Self::Pinecone => "pinecone",
        }
    }
}

/// Where it is, and what opens it. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Place {
    pub kind: Kind,
    pub url: String,
    /// Empty for none.
    pub api_key: String,
    /// What the names of its collections begin with ([`is_prefix`]).
    pub prefix: String,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())
    }
}

impl Place {
    /// The same for the same place, another for another; tells nobody where it is.
    fn identity(&self) -> String {
        let Self {
            kind, url, prefix, ..
        } = self;
        // Another password, or another way to connect, leads to the same place.
        let url = url
            .rsplit_once('@')
            .map_or(url.as_str(), |(_, place)| place);
        let url = url.split_once('?').map_or(url, |(place, _)| place);
        let text = format!("{}\n{url}\n{prefix}", kind.as_str());
        hex(&Sha256::digest(text.as_bytes())[..8])
    }
}

/// Vectors of one model.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Collection {
    /// Small letters, digits and underscores, at most 63: what every store takes.
    pub name: String,
    pub dimensions: usize,
}

impl Collection {
    /// One that nobody had before: the moment is in its name.
    pub(super) fn new(store: &dyn VectorStore, model: &str, dimensions: usize, now: i64) -> Self {
        let seed = format!("{}\n{model}\n{dimensions}\n{now}", store.identity());
        let mark = hex(&Sha256::digest(seed.as_bytes())[..4]);
        let plain = |one: char| match one.is_ascii_alphanumeric() {
            true => one.to_ascii_lowercase(),
            false => '_',
        };
        let model: String = model.chars().take(24).map(plain).collect();
        Self {
            name: format!("{}_{model}_{dimensions}_{mark}", store.prefix()),
            dimensions,
        }
    }

    /// Points that one call takes.
    pub(super) fn points_max(&self) -> usize {
        (CALL_MAX_BYTES / (FIGURE_BYTES * self.dimensions.max(1))).clamp(1, POINTS_MAX)
    }
}

/// A pair's vector, of length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub pair_id: i64,
    pub vector: Vec<f32>,
}

/// Pairs that are near.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Near {
    /// The nearest first, and how near.
    pub pairs: Vec<(i64, f32)>,
    /// What the store says it charges for: read units; 0 where it counts none.
    pub units: i64,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StoreFailed {
    /// In words that hold no secret.
    pub sentence: String,
    /// Of HTTP; 0 when there was no answer.
    pub status: u16,
    /// Not before.
    pub retry_after: Option<Duration>,
    /// The collection is not there any more.
    pub is_gone: bool,
}

impl StoreFailed {
    /// Without an answer.
    pub fn of(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            ..Self::default()
        }
    }
}

impl From<StoreFailed> for Failed {
    fn from(failed: StoreFailed) -> Self {
        Self {
            retry_after: failed.retry_after,
            ..Self::of(Blame::Provider, failed.sentence)
        }
    }
}

/// See the module.
#[async_trait]
pub trait VectorStore: fmt::Debug + Send + Sync + 'static {
    fn kind(&self) -> Kind;

    /// What the names of its collections begin with.
    fn prefix(&self) -> &str;

    /// The same for the same place, another for another: what was pushed to one is not in the other.
    fn identity(&self) -> String;

    /// Makes the collection, unless it is there.
    ///
    /// # Errors
    /// See [`StoreFailed`]; so each of these.
    async fn create(&self, collection: &Collection) -> Result<(), StoreFailed>;

    /// Keeps points of one tenant, in place of older ones of the same pairs; at most [`Collection::points_max`].
    async fn upsert(
        &self,
        collection: &Collection,
        tenant_id: i64,
        points: &[Point],
    ) -> Result<(), StoreFailed>;

    /// Forgets pairs, those that it never had included; at most 500.
    async fn remove(&self, collection: &Collection, pairs: &[i64]) -> Result<(), StoreFailed>;

    /// Names at most `count` pairs that are near, the nearest first, and how near; of one tenant or of all.
    async fn near(
        &self,
        collection: &Collection,
        query: &[f32],
        tenant_id: Option<i64>,
        count: usize,
    ) -> Result<Near, StoreFailed>;

    /// Does away with the collection, if it is there.
    async fn destroy(&self, collection: &Collection) -> Result<(), StoreFailed>;

    /// Whether it answers those who may enter; false where that is nothing one can ask without paying.
    async fn look(&self) -> Result<bool, StoreFailed> {
        Ok(false)
    }
}

/// Why there can be no store at a place: the key of the configuration, and what to write instead.
pub fn refuse(place: &Place) -> Option<(&'static str, String)> {
    if !is_prefix(&place.prefix) {
        let problem = "must be at most 20 small letters, digits and underscores, a letter first";
        return Some(("vector_store.collection", problem.to_owned()));
    }
    match place.kind {
        Kind::Qdrant => rest::refuse(&place.url),
        Kind::Pinecone if place.api_key.is_empty() => {
            let problem = "must be set: Pinecone answers nobody without a key";
            Some(("vector_store.api_key", problem.to_owned()))
        }
        Kind::Pinecone => rest::refuse(&place.url),
        Kind::Pgvector => {
            let refused = PostgresUrl::parse(&place.url).err()?;
            Some(("vector_store.url", refused.to_string()))
        }
    }
}

/// The store at a place.
///
/// # Errors
/// See [`refuse`].
pub fn open(
    place: Place,
    outward: Arc<dyn Outward>,
) -> Result<Box<dyn VectorStore>, (&'static str, String)> {
    match refuse(&place) {
        Some(refused) => Err(refused),
        None => Ok(match place.kind {
            Kind::Qdrant => Box::new(qdrant::Qdrant::new(place, outward)),
            Kind::Pinecone => Box::new(pinecone::Pinecone::new(place, outward)),
            Kind::Pgvector => {
                let opened = pgvector::Pgvector::new(place, outward);
                Box::new(opened.map_err(|error| ("vector_store.url", error.to_string()))?)
            }
        }),
    }
}

/// Whether the names of collections may begin so.
fn is_prefix(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    first && name.len() <= 20 && bytes.all(is_plain)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
