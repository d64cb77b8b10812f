//! Pinecone by its data-plane REST API: the address is that of an index, a namespace in it is a collection, the pair's tenant
//! lies in the metadata. An index has one number of dimensions, so a model with another one needs an index of its own.
//!
//! It is consistent after a while only: what was just pushed may be found seconds later. A namespace is there while it has
//! something in it, so one that is missing is no failure.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rest::Rest;
use super::{Collection, Kind, Near, Place, Point, StoreFailed, VectorStore};
use crate::outward::Outward;

/// What is asked for has this shape for good.
const VERSION: (&str, &str) = ("x-pinecone-api-version", "2025-04");

pub(super) struct Pinecone(Rest);

impl std::fmt::Debug for Pinecone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pinecone")
    }
}

impl Pinecone {
    pub(super) fn new(place: Place, outward: Arc<dyn Outward>) -> Self {
        Self(Rest::new(place, outward, "api-key", &[VERSION]))
    }
}

#[derive(Serialize)]
struct Upsert<'a> {
    namespace: &'a str,
    vectors: Vec<Vector<'a>>,
}

#[derive(Serialize)]
struct Vector<'a> {
    id: String,
    values: &'a [f32],
    metadata: Metadata,
}

#[derive(Serialize)]
struct Metadata {
    tenant_id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Upserted {
    upserted_count: usize,
}

#[derive(Deserialize)]
struct Stats {
    dimension: Option<usize>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    matches: Vec<Match>,
    /// What the call is charged by; whatever it is, the matches are an answer.
    #[serde(default)]
    usage: Value,
}

/// Read units that an answer tells, in either of the service's spellings: whole ones, a part of one is charged as one.
fn units(usage: &Value) -> i64 {
    let mut named = ["readUnits", "read_units"].into_iter();
    let told = named.find_map(|name| usage.get(name)?.as_f64());
    told.map_or(0, |units| units.max(0.0).ceil() as i64)
}

#[derive(Deserialize)]
struct Match {
    id: String,
    score: f32,
}

/// That there is no such namespace says nothing about what is not in it.
fn unless_missing(done: Result<bytes::Bytes, StoreFailed>) -> Result<(), StoreFailed> {
    match done {
        Err(failed) if failed.status != 404 => Err(failed),
        _ => Ok(()),
    }
}

/// Of an index that is missing; a namespace never is.
fn kept(failed: StoreFailed) -> StoreFailed {
    StoreFailed {
        is_gone: false,
        ..failed
    }
}

#[async_trait]
impl VectorStore for Pinecone {
    fn kind(&self) -> Kind {
        Kind::Pinecone
    }

    fn prefix(&self) -> &str {
        &self.0.place.prefix
    }

    fn identity(&self) -> String {
        self.0.place.identity()
    }

    /// The index is its owner's, and is only looked at: a namespace comes with the first vector.
    async fn create(&self, collection: &Collection) -> Result<(), StoreFailed> {
        let body = json!({});
        let stats = self
            .0
            .ask("POST", "/describe_index_stats", Some(&body))
            .await;
        let Stats { dimension } = stats.map_err(kept)?;
        match dimension {
            Some(there) if there != collection.dimensions => Err(StoreFailed::of(format!(
                "the index has {there} dimensions where the model's vectors have {}: make one for this model, and set \
                 vector_store.url to it",
                collection.dimensions
            ))),
            _ => Ok(()),
        }
    }

    async fn upsert(
        &self,
        collection: &Collection,
        tenant_id: i64,
        points: &[Point],
    ) -> Result<(), StoreFailed> {
        let vectors = points.iter().map(|point| Vector {
            id: point.pair_id.to_string(),
            values: &point.vector,
            metadata: Metadata { tenant_id },
        });
        let body = Upsert {
            namespace: &collection.name,
            vectors: vectors.collect(),
        };
        let done = self.0.ask("POST", "/vectors/upsert", Some(&body)).await;
        let Upserted { upserted_count } = done.map_err(kept)?;
        match upserted_count == points.len() {
            true => Ok(()),
            false => Err(StoreFailed::of(format!(
                "the vector store has taken {upserted_count} of {} vectors",
                points.len()
            ))),
        }
    }

    async fn remove(&self, collection: &Collection, pairs: &[i64]) -> Result<(), StoreFailed> {
        let ids: Vec<String> = pairs.iter().map(i64::to_string).collect();
        let body = json!({"namespace": collection.name, "ids": ids});
        unless_missing(self.0.call("POST", "/vectors/delete", Some(&body)).await)
    }

    async fn near(
        &self,
        collection: &Collection,
        query: &[f32],
        tenant_id: Option<i64>,
        count: usize,
    ) -> Result<Near, StoreFailed> {
        let mut body = json!({
            "namespace": collection.name, "vector": query, "topK": count,
            "includeValues": false, "includeMetadata": false,
        });
        if let Some(id) = tenant_id {
            body["filter"] = json!({"tenant_id": {"$eq": id}});
        }
        let found = self.0.ask("POST", "/query", Some(&body)).await;
        let Found { matches, usage } = found.map_err(kept)?;
        let read = |one: Match| Some((one.id.parse().ok()?, one.score));
        Ok(Near {
            // Somebody else's ids are no pairs.
            pairs: matches.into_iter().filter_map(read).collect(),
            units: units(&usage),
        })
    }

    async fn destroy(&self, collection: &Collection) -> Result<(), StoreFailed> {
        let body = json!({"namespace": collection.name, "deleteAll": true});
        unless_missing(self.0.call("POST", "/vectors/delete", Some(&body)).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_units_are_told_in_either_spelling_or_not_at_all() {
        for (answer, units) in [
            (r#"{"matches":[],"usage":{"readUnits":5}}"#, 5),
            (r#"{"matches":[],"usage":{"read_units":6}}"#, 6),
            (r#"{"matches":[],"usage":{"readUnits":0.5}}"#, 1),
            (r#"{"matches":[],"usage":{"readUnits":-3}}"#, 0),
            (r#"{"matches":[],"usage":{}}"#, 0),
            (r#"{"matches":[],"usage":null}"#, 0),
            (r#"{"matches":[]}"#, 0),
        ] {
            let found: Found = serde_json::from_str(answer).expect(answer);
            assert_eq!(super::units(&found.usage), units, "{answer}");
        }
    }
}
