//! Qdrant (from 1.10 on) by its REST API: a collection of cosine vectors, the pair's key as the point's id, its tenant in the
//! payload, with an index for the filter.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rest::Rest;
use super::{Collection, Kind, Near, Place, Point, StoreFailed, VectorStore};
use crate::outward::Outward;

pub(super) struct Qdrant(Rest);

impl std::fmt::Debug for Qdrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Qdrant")
    }
}

impl Qdrant {
    pub(super) fn new(place: Place, outward: Arc<dyn Outward>) -> Self {
        Self(Rest::new(place, outward, "api-key", &[]))
    }
}

#[derive(Serialize)]
struct Upsert<'a> {
    points: Vec<PointStruct<'a>>,
}

#[derive(Serialize)]
struct PointStruct<'a> {
    id: i64,
    vector: &'a [f32],
    payload: Payload,
}

#[derive(Serialize)]
struct Payload {
    tenant_id: i64,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

#[derive(Deserialize)]
struct Points {
    points: Vec<Scored>,
}

#[derive(Deserialize)]
struct Scored {
    id: i64,
    score: f32,
}

#[derive(Deserialize)]
struct Updated {
    status: String,
}

const NOTHING: Option<&Value> = None;

/// An update that is said to wait has been done, or has not.
fn done(answer: &Answer<Updated>) -> Result<(), StoreFailed> {
    match answer.result.status.as_str() {
        "completed" => Ok(()),
        other => Err(StoreFailed::of(format!(
            "the vector store has not done it yet: {other}"
        ))),
    }
}

fn path(collection: &Collection, rest: &str) -> String {
    format!("/collections/{}{rest}", collection.name)
}

#[async_trait]
impl VectorStore for Qdrant {
    fn kind(&self) -> Kind {
        Kind::Qdrant
    }

    fn prefix(&self) -> &str {
        &self.0.place.prefix
    }

    async fn look(&self) -> Result<bool, StoreFailed> {
        self.0.call("GET", "/collections", NOTHING).await?;
        Ok(true)
    }

    fn identity(&self) -> String {
        self.0.place.identity()
    }

    async fn create(&self, collection: &Collection) -> Result<(), StoreFailed> {
        let vectors = json!({"vectors": {"size": collection.dimensions, "distance": "Cosine"}});
        let made = self
            .0
            .call("PUT", &path(collection, ""), Some(&vectors))
            .await;
        // 409: it is there, by a call whose answer was lost.
        made.map(drop).or_else(|failed| match failed.status {
            409 => Ok(()),
            _ => Err(failed),
        })?;
        let by_tenant = json!({"field_name": "tenant_id", "field_schema": "integer"});
        let index = path(collection, "/index?wait=true");
        self.0.call("PUT", &index, Some(&by_tenant)).await.map(drop)
    }

    async fn upsert(
        &self,
        collection: &Collection,
        tenant_id: i64,
        points: &[Point],
    ) -> Result<(), StoreFailed> {
        let points = points.iter().map(|point| PointStruct {
            id: point.pair_id,
            vector: &point.vector,
            payload: Payload { tenant_id },
        });
        let body = Upsert {
            points: points.collect(),
        };
        let path = path(collection, "/points?wait=true");
        done(&self.0.ask("PUT", &path, Some(&body)).await?)
    }

    async fn remove(&self, collection: &Collection, pairs: &[i64]) -> Result<(), StoreFailed> {
        let path = path(collection, "/points/delete?wait=true");
        let body = json!({"points": pairs});
        done(&self.0.ask("POST", &path, Some(&body)).await?)
    }

    async fn near(
        &self,
        collection: &Collection,
        query: &[f32],
        tenant_id: Option<i64>,
        count: usize,
    ) -> Result<Near, StoreFailed> {
        let mut body = json!({"query": query, "limit": count, "with_payload": false});
        if let Some(id) = tenant_id {
            body["filter"] = json!({"must": [{"key": "tenant_id", "match": {"value": id}}]});
        }
        let path = path(collection, "/points/query");
        let answer: Answer<Points> = self.0.ask("POST", &path, Some(&body)).await?;
        let points = answer.result.points.into_iter();
        Ok(Near {
            pairs: points.map(|point| (point.id, point.score)).collect(),
            units: 0,
        })
    }

    async fn destroy(&self, collection: &Collection) -> Result<(), StoreFailed> {
        let gone = self.0.call("DELETE", &path(collection, ""), NOTHING).await;
        gone.map(drop).or_else(|failed| match failed.is_gone {
            true => Ok(()),
            false => Err(failed),
        })
    }
}
