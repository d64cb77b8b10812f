//! PostgreSQL with the extension pgvector: a table for each collection, scanned exactly and within a tenant by its index.
//! An approximate index would filter by tenant after it has chosen, and find little for small ones; whoever has millions of
//! pairs can add one.

use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{DbBackend, Statement, Value};

use super::{Collection, Kind, Near, Place, Point, StoreFailed, VectorStore};
use crate::outward::Outward;
use crate::remote::{Failure, PostgresUrl, Server, UrlError, Verdict};

/// State of PostgreSQL, as [`Failure`] tells it: there is no such table.
const NO_TABLE: &str = "(42P01)";

pub(super) struct Pgvector {
    server: Server,
    place: Place,
}

impl std::fmt::Debug for Pgvector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pgvector")
    }
}

impl Pgvector {
    /// # Errors
    /// What is wrong with the address.
    pub(super) fn new(place: Place, outward: Arc<dyn Outward>) -> Result<Self, UrlError> {
        let url = PostgresUrl::parse(&place.url)?;
        Ok(Self {
            server: Server::new(url, "steward vectors", outward),
            place,
        })
    }

    async fn execute(&self, text: String, values: Vec<Value>) -> Result<(), StoreFailed> {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, text, values);
        self.server.execute(statement).await.map_err(failed)
    }
}

fn failed(failure: Failure) -> StoreFailed {
    StoreFailed {
        is_gone: failure.why.contains(NO_TABLE),
        retry_after: match failure.verdict {
            Verdict::Later(after) => after,
            _ => None,
        },
        ..StoreFailed::of(format!("the vector store: {}", failure.why))
    }
}

/// As pgvector reads it.
fn text_of(vector: &[f32]) -> String {
    let mut text = String::with_capacity(vector.len() * 12);
    for value in vector {
        text.push(if text.is_empty() { '[' } else { ',' });
        // Into a string: it cannot fail.
        let _ = write!(text, "{value}");
    }
    text.push(']');
    text
}

#[async_trait]
impl VectorStore for Pgvector {
    fn kind(&self) -> Kind {
        Kind::Pgvector
    }

    fn prefix(&self) -> &str {
        &self.place.prefix
    }

    async fn look(&self) -> Result<bool, StoreFailed> {
        let statement = Statement::from_string(DbBackend::Postgres, "SELECT 1");
        self.server.query(statement).await.map_err(failed)?;
        Ok(true)
    }

    fn identity(&self) -> String {
        self.place.identity()
    }

    async fn create(&self, collection: &Collection) -> Result<(), StoreFailed> {
        let Collection { name, dimensions } = collection;
        for text in [
            "CREATE EXTENSION IF NOT EXISTS vector".to_owned(),
            format!(
                "CREATE TABLE IF NOT EXISTS \"{name}\" (pair_id bigint PRIMARY KEY, tenant_id bigint NOT NULL, \
                 embedding vector({dimensions}) NOT NULL)"
            ),
            format!(
                "CREATE INDEX IF NOT EXISTS \"{}\" ON \"{name}\" (tenant_id)",
                index_of(name)
            ),
        ] {
            self.execute(text, Vec::new()).await?;
        }
        Ok(())
    }

    async fn upsert(
        &self,
        collection: &Collection,
        tenant_id: i64,
        points: &[Point],
    ) -> Result<(), StoreFailed> {
        if points.is_empty() {
            return Ok(());
        }
        let mut values: Vec<Value> = vec![tenant_id.into()];
        let mut tuples = Vec::with_capacity(points.len());
        for point in points {
            let first = values.len() + 1;
            tuples.push(format!(
                "(${first}::bigint, $1::bigint, ${}::text::vector)",
                first + 1
            ));
            values.push(point.pair_id.into());
            values.push(text_of(&point.vector).into());
        }
        let text = format!(
            "INSERT INTO \"{}\" (pair_id, tenant_id, embedding) VALUES {} ON CONFLICT (pair_id) DO UPDATE SET \
             tenant_id = excluded.tenant_id, embedding = excluded.embedding",
            collection.name,
            tuples.join(", ")
        );
        self.execute(text, values).await
    }

    async fn remove(&self, collection: &Collection, pairs: &[i64]) -> Result<(), StoreFailed> {
        if pairs.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = pairs.iter().map(i64::to_string).collect();
        let ids = ids.join(", ");
        let text = format!(
            "DELETE FROM \"{}\" WHERE pair_id IN ({ids})",
            collection.name
        );
        self.execute(text, Vec::new()).await
    }

    async fn near(
        &self,
        collection: &Collection,
        query: &[f32],
        tenant_id: Option<i64>,
        count: usize,
    ) -> Result<Near, StoreFailed> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut values: Vec<Value> = vec![text_of(query).into(), count.into()];
        let of_tenant = match tenant_id {
            Some(id) => {
                values.push(id.into());
                "WHERE tenant_id = $3::bigint"
            }
            None => "",
        };
        let text = format!(
            "SELECT pair_id, (1 - (embedding <=> $1::text::vector))::real AS score FROM \"{}\" {of_tenant} \
             ORDER BY embedding <=> $1::text::vector LIMIT $2::bigint",
            collection.name
        );
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, text, values);
        let rows = self.server.query(statement).await.map_err(failed)?;
        let read = |row: &sea_orm::QueryResult| {
            Ok::<_, sea_orm::DbErr>((row.try_get("", "pair_id")?, row.try_get("", "score")?))
        };
        let pairs: Result<_, _> = rows.iter().map(read).collect();
        let pairs = pairs
            .map_err(|error| StoreFailed::of(format!("the table there is another one: {error}")))?;
        Ok(Near { pairs, units: 0 })
    }

    async fn destroy(&self, collection: &Collection) -> Result<(), StoreFailed> {
        let text = format!("DROP TABLE IF EXISTS \"{}\"", collection.name);
        self.execute(text, Vec::new()).await
    }
}

/// The name of a collection's index: as unlike others as that of its collection, whose end tells it apart.
fn index_of(name: &str) -> String {
    let start = name.len().saturating_sub(55);
    format!("{}_tenant", name.get(start..).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_written_as_the_extension_reads_them() {
        assert_eq!(text_of(&[1.0, -0.25, 1e-7]), "[1,-0.25,0.0000001]");
        let long = format!("{}_12345678", "a".repeat(54));
        let index = index_of(&long);
        assert!(
            index.len() <= 63 && index.ends_with("_12345678_tenant"),
            "{index}"
        );
    }
}
