//! The tables of a database as the database itself tells them: what they are called, their columns, their rows.
//!
//! Columns stand in the order of their names, and tables in the order in which they were made: the order of columns
//! differs between the two databases, and what refers to a table was made after it.

use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, QueryResult, Statement, Value,
};
use steward_entities::database::{CONTROL_SCHEMA, EVENTS_SCHEMA, LEDGER_SCHEMA, push_place};

use super::values::{Cell, canonical_json};

/// A database of its own on SQLite, a schema on PostgreSQL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Section {
    Ledger,
    Events,
    Control,
}

impl Section {
    /// In the order in which they are backed up: what points at something else before it.
    pub(super) const ALL: [Self; 3] = [Self::Ledger, Self::Events, Self::Control];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Events => "events",
            Self::Control => "control",
        }
    }

    const fn schema(self) -> &'static str {
        match self {
            Self::Ledger => LEDGER_SCHEMA,
            Self::Events => EVENTS_SCHEMA,
            Self::Control => CONTROL_SCHEMA,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Int,
    Float,
    Text,
    Bytes,
    Bool,
    /// PostgreSQL's; SQLite keeps it as text.
    Json,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The database gives its values, from a sequence.
    is_identity: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    section: Section,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

/// Kept by the migrations themselves.
const MIGRATIONS: &str = "seaql_migrations";

fn asked(backend: DatabaseBackend, sql: String, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(backend, sql, values)
}

async fn has_sequences(connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let sql = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'";
    let found = asked(DatabaseBackend::Sqlite, sql.to_owned(), Vec::new());
    Ok(connection.query_one_raw(found).await?.is_some())
}

/// Names and columns of a section.
pub(super) async fn of_section(
    connection: &impl ConnectionTrait,
    section: Section,
) -> Result<Vec<Table>, DbErr> {
    let backend = connection.get_database_backend();
    let statement = match backend {
        DatabaseBackend::Postgres => asked(
            backend,
            "SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> $2 \
             ORDER BY c.oid"
                .to_owned(),
            vec![section.schema().into(), MIGRATIONS.into()],
        ),
        _ => asked(
            backend,
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^' \
             AND name <> $1 ORDER BY rowid"
                .to_owned(),
            vec![MIGRATIONS.into()],
        ),
    };
    let mut tables = Vec::new();
    for row in connection.query_all_raw(statement).await? {
        let name: String = row.try_get("", "name")?;
        let mut columns = columns(connection, section, &name).await?;
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        tables.push(Table {
            section,
            name,
            columns,
        });
    }
    Ok(tables)
}

async fn columns(
    connection: &impl ConnectionTrait,
    section: Section,
    table: &str,
) -> Result<Vec<Column>, DbErr> {
    let backend = connection.get_database_backend();
    let statement = match backend {
        DatabaseBackend::Postgres => asked(
            backend,
            "SELECT column_name::text AS name, data_type::text AS type, (is_identity = 'YES')::int::bigint AS given \
             FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2"
                .to_owned(),
            vec![section.schema().into(), table.into()],
        ),
        _ => asked(
            backend,
            "SELECT name, type, 0 AS given FROM pragma_table_info($1)".to_owned(),
            vec![table.into()],
        ),
    };
    let rows = connection.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| {
            let declared: String = row.try_get("", "type")?;
            let name: String = row.try_get("", "name")?;
            let kind = kind_of(&declared).ok_or_else(|| {
                DbErr::Custom(format!(
                    "a backup does not know the type {declared} of {table}.{name}"
                ))
            })?;
            Ok(Column {
                name,
                kind,
                is_identity: row.try_get::<i64>("", "given")? > 0,
            })
        })
        .collect()
}

fn kind_of(declared: &str) -> Option<Kind> {
    Some(match declared.to_ascii_lowercase().as_str() {
        "bigint" | "integer" | "smallint" => Kind::Int,
        "double precision" | "real" => Kind::Float,
        "text" | "character varying" => Kind::Text,
        "bytea" | "blob" => Kind::Bytes,
        "boolean" => Kind::Bool,
        "jsonb" | "json" => Kind::Json,
        _ => return None,
    })
}

impl Table {
    /// Column names, and which hold whole numbers.
    pub(super) fn told(&self) -> Vec<(String, bool)> {
        let each = self.columns.iter();
        each.map(|column| (column.name.clone(), column.kind == Kind::Int))
            .collect()
    }

    fn path(&self, backend: DatabaseBackend) -> String {
        match backend {
            DatabaseBackend::Postgres => format!("{}.\"{}\"", self.section.schema(), self.name),
            _ => format!("\"{}\"", self.name),
        }
    }

    /// Every row.
    pub(super) fn select(&self, backend: DatabaseBackend) -> Statement {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let cast = match (backend, column.kind) {
                    (DatabaseBackend::Postgres, Kind::Int) => "::bigint",
                    (DatabaseBackend::Postgres, Kind::Json) => "::text",
                    _ => "",
                };
                format!("\"{}\"{cast} AS \"{}\"", column.name, column.name)
            })
            .collect();
        let sql = format!("SELECT {} FROM {}", columns.join(", "), self.path(backend));
        Statement::from_string(backend, sql)
    }

    /// How many there are.
    pub(super) async fn count(&self, connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
        let backend = connection.get_database_backend();
        let sql = format!("SELECT COUNT(*) AS many FROM {}", self.path(backend));
        let row = connection
            .query_one_raw(Statement::from_string(backend, sql))
            .await?;
        let many = row.map_or(Ok(0), |row| row.try_get::<i64>("", "many"))?;
        Ok(many.unsigned_abs())
    }

    /// A row of [`Table::select`].
    pub(super) fn cells(&self, row: &QueryResult) -> Result<Vec<Cell>, DbErr> {
        let mut cells = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            cells.push(match column.kind {
                Kind::Int => row
                    .try_get_by_index::<Option<i64>>(at)?
                    .map_or(Cell::Null, Cell::Int),
                Kind::Float => row
                    .try_get_by_index::<Option<f64>>(at)?
                    .map_or(Cell::Null, Cell::Float),
                Kind::Bool => row
                    .try_get_by_index::<Option<bool>>(at)?
                    .map_or(Cell::Null, Cell::Bool),
                Kind::Bytes => row
                    .try_get_by_index::<Option<Vec<u8>>>(at)?
                    .map_or(Cell::Null, Cell::Bytes),
                Kind::Text => row
                    .try_get_by_index::<Option<String>>(at)?
                    .map_or(Cell::Null, Cell::Text),
                Kind::Json => row
                    .try_get_by_index::<Option<String>>(at)?
                    .map_or(Cell::Null, |text| Cell::Text(canonical_json(&text))),
            });
        }
        Ok(cells)
    }

    /// Where the table's sequence stands: no id up to there is given again.
    pub(super) async fn sequence(
        &self,
        connection: &impl ConnectionTrait,
    ) -> Result<Option<i64>, DbErr> {
        let backend = connection.get_database_backend();
        let statement = match (backend, self.identity()) {
            (DatabaseBackend::Postgres, None) => return Ok(None),
            (DatabaseBackend::Postgres, Some(column)) => asked(
                backend,
                // A sequence that was never asked stands before its first number.
                "SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence($1, $2)::regclass), 0)::bigint AS seq"
                    .to_owned(),
                vec![self.path(backend).into(), column.into()],
            ),
            // SQLite makes it with the first table that needs it.
            _ if !has_sequences(connection).await? => return Ok(None),
            _ => asked(
                backend,
                "SELECT seq FROM sqlite_sequence WHERE name = $1".to_owned(),
                vec![self.name.clone().into()],
            ),
        };
        let row = connection.query_one_raw(statement).await?;
        row.map(|row| row.try_get("", "seq")).transpose()
    }

    fn identity(&self) -> Option<String> {
        let given = self.columns.iter().find(|column| column.is_identity);
        given.map(|column| column.name.clone())
    }

    /// Sets the sequence to what it was, 0 when that is not known; a table without one has none.
    pub(super) async fn set_sequence(
        &self,
        txn: &DatabaseTransaction,
        at: i64,
    ) -> Result<(), DbErr> {
        let backend = txn.get_database_backend();
        match (backend, self.identity()) {
            (DatabaseBackend::Postgres, Some(column)) => {
                // Where it came from, ids may have had no sequence: then the greatest is where it stands.
                let sql = format!(
                    "SELECT setval(pg_get_serial_sequence($1, $2)::regclass, stands) FROM \
                     (SELECT GREATEST($3, COALESCE(MAX(\"{column}\"), 0)) AS stands FROM {}) AS there WHERE stands > 0",
                    self.path(backend)
                );
                let values = vec![self.path(backend).into(), column.into(), at.into()];
                txn.query_one_raw(asked(backend, sql, values)).await?;
            }
            (DatabaseBackend::Postgres, None) => {}
            _ if at == 0 => {}
            _ => {
                // Rows that came with their ids have moved it already, as far as they go.
                let sql = "UPDATE sqlite_sequence SET seq = $1 WHERE name = $2 AND seq < $1";
                let values = vec![at.into(), self.name.clone().into()];
                txn.execute_raw(asked(backend, sql.to_owned(), values))
                    .await?;
                let sql = "INSERT INTO sqlite_sequence (name, seq) SELECT $2, $1 WHERE NOT EXISTS \
                           (SELECT 1 FROM sqlite_sequence WHERE name = $2)";
                let values = vec![at.into(), self.name.clone().into()];
                txn.execute_raw(asked(backend, sql.to_owned(), values))
                    .await?;
            }
        }
        Ok(())
    }

    /// Removes every row.
    pub(super) async fn clear(&self, txn: &DatabaseTransaction) -> Result<(), DbErr> {
        let sql = format!("DELETE FROM {}", self.path(txn.get_database_backend()));
        txn.execute_unprepared(&sql).await?;
        Ok(())
    }

    /// Rows that one statement takes.
    pub(super) fn rows_at_once(&self) -> usize {
        (16_000 / self.columns.len().max(1)).clamp(1, 500)
    }

    /// Adds rows, each with a cell for every column of `columns`.
    pub(super) async fn insert(
        &self,
        txn: &DatabaseTransaction,
        columns: &[usize],
        rows: Vec<Vec<Cell>>,
    ) -> Result<(), DbErr> {
        let backend = txn.get_database_backend();
        let is_postgres = backend == DatabaseBackend::Postgres;
        let named: Vec<&Column> = columns
            .iter()
            .filter_map(|at| self.columns.get(*at))
            .collect();
        let names: Vec<String> = named
            .iter()
            .map(|column| format!("\"{}\"", column.name))
            .collect();
        let overriding = match is_postgres && named.iter().any(|column| column.is_identity) {
            true => " OVERRIDING SYSTEM VALUE",
            false => "",
        };
        let mut sql = format!(
            "INSERT INTO {} ({}){overriding} VALUES ",
            self.path(backend),
            names.join(", ")
        );
        let mut values: Vec<Value> = Vec::with_capacity(rows.len() * named.len());
        for (at, row) in rows.into_iter().enumerate() {
            sql.push_str(if at > 0 { ", (" } else { "(" });
            for (at, (column, cell)) in named.iter().zip(row).enumerate() {
                if at > 0 {
                    sql.push_str(", ");
                }
                values.push(value(column.kind, cell));
                push_place(&mut sql, backend, values.len());
                if is_postgres && column.kind == Kind::Json {
                    sql.push_str("::text::jsonb");
                }
            }
            sql.push(')');
        }
        txn.execute_raw(asked(backend, sql, values)).await?;
        Ok(())
    }
}

fn value(kind: Kind, cell: Cell) -> Value {
    match (cell, kind) {
        (Cell::Null, Kind::Int) => None::<i64>.into(),
        (Cell::Null, Kind::Float) => None::<f64>.into(),
        (Cell::Null, Kind::Bool) => None::<bool>.into(),
        (Cell::Null, Kind::Bytes) => None::<Vec<u8>>.into(),
        (Cell::Null, Kind::Text | Kind::Json) => None::<String>.into(),
        // Smaller columns take it: the database converts.
        (Cell::Int(number), _) => number.into(),
        (Cell::Float(number), _) => number.into(),
        (Cell::Text(text), _) => text.into(),
        (Cell::Bytes(bytes), _) => bytes.into(),
        (Cell::Bool(flag), _) => flag.into(),
    }
}

/// A row as a table will tell it again: JSON as PostgreSQL gives it back.
pub(super) fn as_told(table: &Table, columns: &[usize], row: &mut [Cell]) {
    for (at, cell) in columns.iter().zip(row) {
        let is_json = table
            .columns
            .get(*at)
            .is_some_and(|column| column.kind == Kind::Json);
        if let (true, Cell::Text(text)) = (is_json, cell) {
            *text = canonical_json(text);
        }
    }
}
