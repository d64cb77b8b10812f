//! Pinecone's data plane, of one serverless index: namespaces come with their first record and go with their last.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Asked, FakeStore, cosine, locked};

/// What a request may carry.
const BODY_MAX_BYTES: usize = 2 << 20;

type Namespace = BTreeMap<String, (Vec<f32>, Map<String, Value>)>;

pub struct Pinecone {
    key: String,
    /// That of the index; none: of the first record.
    dimension: Mutex<Option<usize>>,
    namespaces: Mutex<BTreeMap<String, Namespace>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upsert {
    namespace: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    id: String,
    values: Vec<f32>,
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Query {
    namespace: String,
    vector: Vec<f32>,
    top_k: usize,
    filter: Option<BTreeMap<String, Equals>>,
    include_values: bool,
    include_metadata: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Equals {
    #[serde(rename = "$eq")]
    eq: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Delete {
    namespace: String,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    delete_all: bool,
}

type Answer = (u16, Value);

fn refused(status: u16, code: i32, message: &str) -> Answer {
    (
        status,
        json!({"code": code, "message": message, "details": []}),
    )
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| refused(400, 3, &error.to_string()))
}

impl Pinecone {
    pub fn new(key: &str, dimension: Option<usize>) -> Self {
        Self {
            key: key.to_owned(),
            dimension: Mutex::new(dimension),
            namespaces: Mutex::default(),
        }
    }

    /// Ids and tenants of all records.
    pub fn records(&self) -> Vec<(String, i64)> {
        let namespaces = locked(&self.namespaces);
        let records = namespaces.values().flatten();
        records
            .map(|(id, (_, metadata))| (id.clone(), metadata["tenant_id"].as_i64().unwrap_or(-1)))
            .collect()
    }

    /// Does away with everything; how many records and namespaces that were.
    pub fn take(&self) -> (usize, usize) {
        let taken = std::mem::take(&mut *locked(&self.namespaces));
        (taken.values().map(BTreeMap::len).sum(), taken.len())
    }

    fn fits(&self, vector: &[f32]) -> Result<(), Answer> {
        let wanted = *locked(&self.dimension).get_or_insert(vector.len());
        match vector.len() == wanted {
            true => Ok(()),
            false => {
                let got = vector.len();
                let why = format!(
                    "Vector dimension {got} does not match the dimension of the index {wanted}"
                );
                Err(refused(400, 3, &why))
            }
        }
    }

    fn try_answer(&self, asked: &Asked<'_>) -> Result<Answer, Answer> {
        if asked.key != Some(self.key.as_str()) {
            return Err((401, json!("Unauthorized")));
        }
        if asked.body.len() > BODY_MAX_BYTES {
            return Err(refused(400, 11, "message length too large"));
        }
        match (asked.method, asked.target) {
            ("POST", "/describe_index_stats") => {
                let namespaces = locked(&self.namespaces);
                let counts = namespaces.iter();
                let counts =
                    counts.map(|(name, one)| (name.clone(), json!({"vectorCount": one.len()})));
                Ok((
                    200,
                    json!({
                        "namespaces": counts.collect::<Map<_, _>>(), "dimension": *locked(&self.dimension),
                        "indexFullness": 0, "totalVectorCount": namespaces.values().map(BTreeMap::len).sum::<usize>(),
                    }),
                ))
            }
            ("POST", "/vectors/upsert") => {
                let upsert: Upsert = read(asked.body)?;
                for vector in &upsert.vectors {
                    self.fits(&vector.values)?;
                }
                let count = upsert.vectors.len();
                let records = upsert.vectors.into_iter();
                let records = records.map(|one| (one.id, (one.values, one.metadata)));
                let mut all = locked(&self.namespaces);
                all.entry(upsert.namespace).or_default().extend(records);
                Ok((200, json!({"upsertedCount": count})))
            }
            ("POST", "/query") => {
                let query: Query = read(asked.body)?;
                self.fits(&query.vector)?;
                assert!(
                    !query.include_values && !query.include_metadata,
                    "nobody needs them"
                );
                let filter = query.filter.unwrap_or_default();
                let all = locked(&self.namespaces);
                let records = all.get(&query.namespace).into_iter().flatten();
                let mut near: Vec<(&String, f32)> = records
                    .filter(|(_, (_, metadata))| {
                        filter
                            .iter()
                            .all(|(key, is)| metadata.get(key) == Some(&is.eq))
                    })
                    .map(|(id, (values, _))| (id, cosine(values, &query.vector)))
                    .collect();
                near.sort_by(|a, b| b.1.total_cmp(&a.1));
                near.truncate(query.top_k);
                let matches = near.into_iter();
                let matches =
                    matches.map(|(id, score)| json!({"id": id, "score": score, "values": []}));
                Ok((
                    200,
                    json!({
                        "matches": matches.collect::<Vec<_>>(), "namespace": query.namespace,
                        "usage": {"readUnits": 5},
                    }),
                ))
            }
            ("POST", "/vectors/delete") => {
                let gone: Delete = read(asked.body)?;
                assert!(gone.delete_all == gone.ids.is_empty(), "one or the other");
                let mut all = locked(&self.namespaces);
                let Some(namespace) = all.get_mut(&gone.namespace) else {
                    return Err(refused(404, 5, "Namespace not found"));
                };
                for id in &gone.ids {
                    namespace.remove(id);
                }
                if gone.delete_all || namespace.is_empty() {
                    all.remove(&gone.namespace);
                }
                Ok((200, json!({})))
            }
            _ => Err((404, json!("Not found"))),
        }
    }
}

impl FakeStore for Pinecone {
    const KEY_HEADER: &'static str = "api-key";

    fn answer(&self, asked: &Asked<'_>) -> (u16, Value) {
        self.try_answer(asked).unwrap_or_else(|refusal| refusal)
    }
}
