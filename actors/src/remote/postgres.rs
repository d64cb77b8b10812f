//! A PostgreSQL server: `INSERT … ON CONFLICT`, over a connection that is opened for the occasion.
//!
//! The URL is an operator's: it may name a host, a port, a user, a password, a database and `sslmode`, and nothing else —
//! drivers know words that read files or reach the server by a socket of this machine. The host is resolved here, by rules
//! that refuse addresses nobody may call, and connected to by the address that was found; only with `verify-full` by its
//! name, which the certificate then proves.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{DbBackend, DbErr, QueryResult, Statement, Value};

use super::row::COLUMNS;
use super::server::Server;
use super::{Address, Failure, Remote, RemoteRow, Tested, Verdict};
use crate::outward::Outward;

const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];
/// Unless the URL says so: encrypted, as Supabase asks.
const MODE: &str = "require";

/// A URL that may be connected to.
#[derive(Clone, Eq, PartialEq)]
pub struct PostgresUrl {
    /// `user:password@`, as it was typed.
    credentials: String,
    /// As typed: a name, an address, or one in brackets.
    host: String,
    port: u16,
    database: String,
    pub(super) mode: &'static str,
}

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

/// What is wrong with a URL, in words that follow its field.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    #[error("must look like postgres://user:password@host:5432/database?sslmode=require")]
    Shape,
    #[error("must name a user and a host")]
    Nameless,
    #[error(
        "may have `sslmode` (disable, prefer, require, verify-ca or verify-full) after the question mark, and nothing else"
    )]
    Query,
}

impl PostgresUrl {
    /// Reads one.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
            return Err(UrlError::Shape);
        }
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(UrlError::Shape)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (credentials, place) = rest.rsplit_once('@').ok_or(UrlError::Nameless)?;
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        // Brackets hold colons of their own.
        let host_end = authority.find(']').map_or(0, |at| at + 1);
        let (host, port) = match authority[host_end..].find(':') {
            Some(at) => {
                let (host, port) = authority.split_at(host_end + at);
                (host, port[1..].parse().map_err(|_| UrlError::Shape)?)
            }
            None => (authority, 5_432),
        };
        let user = credentials.split(':').next().unwrap_or_default();
        if user.is_empty() || host.is_empty() {
            return Err(UrlError::Nameless);
        }
        let plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
        };
        // No escapes: one could spell the path of a socket.
        if port == 0 || !host.bytes().all(plain) || database.contains('/') {
            return Err(UrlError::Shape);
        }
        let mode = match query {
            "" => MODE,
            query => {
                let mode = query.strip_prefix("sslmode=").ok_or(UrlError::Query)?;
                let known = MODES.into_iter().find(|known| *known == mode);
                known.ok_or(UrlError::Query)?
            }
        };
        Ok(Self {
            credentials: credentials.to_owned(),
            host: host.to_owned(),
            port,
            database: match database {
                "" => "postgres".to_owned(),
                named => named.to_owned(),
            },
            mode,
        })
    }

    /// As it is kept.
    pub fn whole(&self) -> String {
        self.at(&self.host)
    }

    /// What may be shown of it.
    pub fn shown(&self) -> String {
        let user = self.credentials.split(':').next().unwrap_or_default();
        format!(
            "postgres://{user}:***@{}:{}/{}",
            self.host, self.port, self.database
        )
    }

    /// Host, as resolvers take it.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn password(&self) -> &str {
        self.credentials
            .split_once(':')
            .map_or("", |(_, password)| password)
    }

    pub(super) fn at(&self, host: &str) -> String {
        let Self {
            credentials,
            port,
            database,
            mode,
            ..
        } = self;
        format!("postgres://{credentials}@{host}:{port}/{database}?sslmode={mode}")
    }
}

pub(super) struct Postgres {
    server: Server,
    table: String,
}

impl Postgres {
    pub(super) fn new(
        address: &Address,
        table: &str,
        outward: Arc<dyn Outward>,
    ) -> Result<Self, String> {
        let url = PostgresUrl::parse(&address.url);
        let url = url.map_err(|error| format!("the address {error}"))?;
        Ok(Self {
            server: Server::new(url, "steward remote backup", outward),
            table: table.to_owned(),
        })
    }

    fn statement(&self, text: &str, values: Vec<Value>) -> Statement {
        let text = text.replace("$TABLE", &format!("\"{}\"", self.table));
        Statement::from_sql_and_values(DbBackend::Postgres, text, values)
    }

    async fn read(&self, rest: &str, values: Vec<Value>) -> Result<Vec<RemoteRow>, Failure> {
        let text = format!("SELECT {} FROM $TABLE {rest}", selected());
        let rows = self.server.query(self.statement(&text, values)).await?;
        let rows: Result<_, DbErr> = rows.iter().map(row_of).collect();
        rows.map_err(|error| Failure {
            verdict: Verdict::Misset,
            why: format!("the table there is another one: {error}"),
        })
    }
}

fn selected() -> String {
    COLUMNS
        .map(|column| match column {
            "stat_date" => "stat_date::text",
            "cost" => "cost::text",
            column => column,
        })
        .join(", ")
}

fn row_of(row: &QueryResult) -> Result<RemoteRow, DbErr> {
    Ok(RemoteRow {
        stat_date: row.try_get("", "stat_date")?,
        daily_active_users: row.try_get("", "daily_active_users")?,
        jwt_active_users: row.try_get("", "jwt_active_users")?,
        ai_requests: row.try_get("", "ai_requests")?,
        success_rate: row.try_get("", "success_rate")?,
        total_tokens: row.try_get("", "total_tokens")?,
        cost: row.try_get("", "cost")?,
        currency: row.try_get("", "currency")?,
        api_connectivity: row.try_get("", "api_connectivity")?,
        jwt_availability: row.try_get("", "jwt_availability")?,
        p95_duration_ms: row.try_get("", "p95_duration_ms")?,
        updated_at: String::new(),
        synced_at: String::new(),
    })
}

/// Each value as the column wants it; text that the server reads, where a float or a driver would blur it.
const CASTS: [(&str, &str); 13] = [
    ("stat_date", "::text::date"),
    ("daily_active_users", "::bigint"),
    ("jwt_active_users", "::bigint"),
    ("ai_requests", "::bigint"),
    ("success_rate", "::double precision"),
    ("total_tokens", "::bigint"),
    ("cost", "::text::numeric"),
    ("currency", "::text"),
    ("api_connectivity", "::double precision"),
    ("jwt_availability", "::double precision"),
    ("p95_duration_ms", "::double precision"),
    ("updated_at", "::text::timestamptz"),
    ("synced_at", "::text::timestamptz"),
];

#[async_trait]
impl Remote for Postgres {
    async fn push(&self, rows: &[RemoteRow]) -> Result<(), Failure> {
        let mut values: Vec<Value> = Vec::with_capacity(rows.len() * CASTS.len());
        let mut tuples = Vec::with_capacity(rows.len());
        for row in rows {
            let first = values.len() + 1;
            let places = CASTS
                .iter()
                .enumerate()
                .map(|(at, (_, cast))| format!("${}{cast}", first + at));
            tuples.push(format!("({})", places.collect::<Vec<_>>().join(", ")));
            values.extend::<[Value; 13]>([
                row.stat_date.clone().into(),
                row.daily_active_users.into(),
                row.jwt_active_users.into(),
                row.ai_requests.into(),
                row.success_rate.into(),
                row.total_tokens.into(),
                row.cost.clone().into(),
                row.currency.clone().into(),
                row.api_connectivity.into(),
                row.jwt_availability.into(),
                row.p95_duration_ms.into(),
                row.updated_at.clone().into(),
                row.synced_at.clone().into(),
            ]);
        }
        let columns: Vec<&str> = CASTS.iter().map(|(column, _)| *column).collect();
        let updates: Vec<String> = columns[1..]
            .iter()
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        let text = format!(
            "INSERT INTO $TABLE ({}) VALUES {} ON CONFLICT (stat_date) DO UPDATE SET {}",
            columns.join(", "),
            tuples.join(", "),
            updates.join(", ")
        );
        let statement = self.statement(&text, values);
        self.server.execute(statement).await
    }

    async fn rows_since(&self, from: &str) -> Result<Vec<RemoteRow>, Failure> {
        self.read(
            "WHERE stat_date >= $1::text::date ORDER BY stat_date",
            vec![from.into()],
        )
        .await
    }

    async fn forget_before(&self, before: &str) -> Result<(), Failure> {
        let text = "DELETE FROM $TABLE WHERE stat_date < $1::text::date";
        let statement = self.statement(text, vec![before.into()]);
        self.server.execute(statement).await
    }

    async fn test(&self) -> Result<Tested, Failure> {
        let rows = self
            .read("ORDER BY stat_date DESC LIMIT 1", Vec::new())
            .await?;
        Ok(Tested {
            status: None,
            response: match rows.first() {
                Some(row) => format!("the table is there; its newest day is {}", row.stat_date),
                None => "the table is there, and empty".to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_their_password() {
        let url = PostgresUrl::parse(
            "postgresql://postgres.abc:p%40ss:w@aws-0.pooler.supabase.com:6543/postgres",
        )
        .unwrap();
        assert_eq!(
            url.shown(),
            "postgres://postgres.abc:***@aws-0.pooler.supabase.com:6543/postgres"
        );
        assert_eq!(
            url.at("192.0.2.1"),
            "postgres://postgres.abc:p%40ss:w@192.0.2.1:6543/postgres?sslmode=require"
        );
        assert_eq!(PostgresUrl::parse(&url.whole()).unwrap(), url);
        let url = PostgresUrl::parse("postgres://u@[2001:db8::1]/d?sslmode=verify-full").unwrap();
        assert_eq!(
            (url.host(), url.port(), url.mode),
            ("2001:db8::1", 5_432, "verify-full")
        );
    }

    #[test]
    fn a_url_reaches_no_file_and_no_socket() {
        for bad in [
            "",
            "mysql://u:p@h/d",
            "postgres://h/d",
            "postgres://:p@h/d",
            "postgres:///d?host=/var/run/postgresql",
            "postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d",
            "postgres://u:p@h/d?sslmode=require&sslrootcert=/etc/passwd",
            "postgres://u:p@h/d?host=10.0.0.1",
            "postgres://u:p@h/d?sslmode=none",
            "postgres://u:p@h:0/d",
            "postgres://u:p@h:x/d",
            "postgres://u:p@h/d/e",
            "postgres://u:p@h/d#x",
            "postgres://u:p@h h/d",
        ] {
            assert!(PostgresUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
