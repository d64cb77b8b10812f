//! Qdrant 1.10 and later: collections of unnamed vectors, points with whole numbers as ids, the universal query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Asked, FakeStore, cosine, locked};

#[derive(Clone, Debug, Default)]
pub struct Collection {
    pub size: usize,
    /// Fields of the payload that have an index.
    pub indexed: BTreeSet<String>,
    /// By id.
    pub points: BTreeMap<u64, (Vec<f32>, Map<String, Value>)>,
}

pub struct Qdrant {
    key: String,
    pub collections: Mutex<BTreeMap<String, Collection>>,
    /// Method and path of each request, those that were refused included.
    pub calls: Mutex<Vec<String>>,
    /// Answers this to everything.
    pub refuses: Mutex<Option<(u16, &'static str)>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    vectors: Vectors,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    size: usize,
    distance: Distance,
}

#[derive(Deserialize)]
enum Distance {
    Cosine,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    field_name: String,
    field_schema: Schema,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Schema {
    Integer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upsert {
    points: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    id: u64,
    vector: Vec<f32>,
    payload: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    points: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    query: Vec<f32>,
    limit: usize,
    filter: Option<Filter>,
    with_payload: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    must: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    key: String,
    r#match: Match,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    value: Value,
}

type Answer = (u16, Value);

fn ok(result: Value) -> Answer {
    (
        200,
        json!({"result": result, "status": "ok", "time": 0.000_1}),
    )
}

fn refused(status: u16, error: &str) -> Answer {
    (status, json!({"status": {"error": error}, "time": 0.000_1}))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body)
        .map_err(|error| refused(400, &format!("Format error in JSON body: {error}")))
}

impl Qdrant {
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            collections: Mutex::default(),
            calls: Mutex::default(),
            refuses: Mutex::default(),
        }
    }

    /// Takes what was called since the last time.
    pub fn called(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.calls))
    }

    /// From now on it answers so; none: as it should.
    pub fn refuse(&self, with: Option<(u16, &'static str)>) {
        *locked(&self.refuses) = with;
    }

    /// Ids and tenants of the only collection's points.
    pub fn points(&self) -> Vec<(u64, i64)> {
        let collections = locked(&self.collections);
        assert_eq!(collections.len(), 1, "{:?}", collections.keys());
        let points = collections.values().flat_map(|one| &one.points);
        points
            .map(|(id, (_, payload))| (*id, payload["tenant_id"].as_i64().unwrap_or(-1)))
            .collect()
    }

    fn try_answer(&self, asked: &Asked<'_>) -> Result<Answer, Answer> {
        if let Some((status, error)) = *locked(&self.refuses) {
            return Err(refused(status, error));
        }
        if asked.key != Some(self.key.as_str()) {
            return Err(refused(
                401,
                "Must provide an API key or an Authorization bearer token",
            ));
        }
        let (path, query) = asked.target.split_once('?').unwrap_or((asked.target, ""));
        if (asked.method, path) == ("GET", "/collections") {
            let all = locked(&self.collections);
            let all: Vec<_> = all.keys().map(|name| json!({"name": name})).collect();
            return Ok(ok(json!({"collections": all})));
        }
        let rest = path.strip_prefix("/collections/").unwrap_or_default();
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let mut all = locked(&self.collections);
        match (asked.method, rest) {
            ("PUT", "") => {
                let wanted: Create = read(asked.body)?;
                let Distance::Cosine = wanted.vectors.distance;
                if all.contains_key(name) {
                    let why = format!("Wrong input: Collection `{name}` already exists!");
                    return Err(refused(409, &why));
                }
                let size = wanted.vectors.size;
                all.insert(
                    name.to_owned(),
                    Collection {
                        size,
                        ..Collection::default()
                    },
                );
                return Ok(ok(json!(true)));
            }
            ("DELETE", "") => return Ok(ok(json!(all.remove(name).is_some()))),
            _ => {}
        }
        let missing = || {
            refused(
                404,
                &format!("Not found: Collection `{name}` doesn't exist!"),
            )
        };
        let collection = all.get_mut(name).ok_or_else(missing)?;
        let status = match query {
            "wait=true" => "completed",
            _ => "acknowledged",
        };
        let updated = ok(json!({"operation_id": 1, "status": status}));
        let fits = |vector: &[f32]| match vector.len() == collection.size {
            true => Ok(()),
            false => {
                let (wanted, got) = (collection.size, vector.len());
                let why = format!(
                    "Wrong input: Vector dimension error: expected dim: {wanted}, got {got}"
                );
                Err(refused(400, &why))
            }
        };
        match (asked.method, rest) {
            ("PUT", "index") => {
                let index: Index = read(asked.body)?;
                let Schema::Integer = index.field_schema;
                collection.indexed.insert(index.field_name);
                Ok(updated)
            }
            ("PUT", "points") => {
                let points: Upsert = read(asked.body)?;
                for point in &points.points {
                    fits(&point.vector)?;
                }
                let points = points.points.into_iter();
                let points = points.map(|point| (point.id, (point.vector, point.payload)));
                collection.points.extend(points);
                Ok(updated)
            }
            ("POST", "points/delete") => {
                let gone: Delete = read(asked.body)?;
                for id in gone.points {
                    collection.points.remove(&id);
                }
                Ok(updated)
            }
            ("POST", "points/query") => {
                let query: Query = read(asked.body)?;
                fits(&query.query)?;
                let must = query.filter.map_or_else(Vec::new, |filter| filter.must);
                let mut near: Vec<(u64, f32)> = collection
                    .points
                    .iter()
                    .filter(|(_, (_, payload))| {
                        must.iter()
                            .all(|one| payload.get(&one.key) == Some(&one.r#match.value))
                    })
                    .map(|(id, (vector, _))| (*id, cosine(vector, &query.query)))
                    .collect();
                near.sort_by(|a, b| b.1.total_cmp(&a.1));
                near.truncate(query.limit);
                assert!(!query.with_payload, "nobody needs it");
                let points = near.into_iter();
                let points =
                    points.map(|(id, score)| json!({"id": id, "version": 1, "score": score}));
                Ok(ok(json!({"points": points.collect::<Vec<_>>()})))
            }
            _ => Err(refused(404, "Not found")),
        }
    }
}

impl FakeStore for Qdrant {
    const KEY_HEADER: &'static str = "api-key";

    fn answer(&self, asked: &Asked<'_>) -> (u16, Value) {
        locked(&self.calls).push(format!("{} {}", asked.method, asked.target));
        self.try_answer(asked).unwrap_or_else(|refusal| refusal)
    }
}
