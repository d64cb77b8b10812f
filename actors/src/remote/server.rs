//! A PostgreSQL server that somebody named by a URL: statements over a connection that is opened for the occasion.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, QueryResult, RuntimeErr,
    Statement, sqlx,
};
use tokio::net::TcpStream;

use super::postgres::PostgresUrl;
use super::{Failure, judge_state, kept};
use crate::outward::Outward;

const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// A statement, and all there is to do about it.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    url: PostgresUrl,
    /// As the server's own views show us.
    application: &'static str,
    outward: Arc<dyn Outward>,
}

impl Server {
    pub(crate) fn new(
        url: PostgresUrl,
        application: &'static str,
        outward: Arc<dyn Outward>,
    ) -> Self {
        Self {
            url,
            application,
            outward,
        }
    }

    /// Runs a statement on a connection of its own.
    ///
    /// # Errors
    /// What the server made of it.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<(), Failure> {
        within(async {
            let connection = self.connect().await?;
            let done = connection.execute_raw(statement).await;
            // It ends in any case; that the server is not told is its time-out's matter.
            let _ = connection.close().await;
            done.map(drop).map_err(|error| self.failure(&error))
        })
        .await
    }

    /// The same, with the rows that come of it.
    ///
    /// # Errors
    /// What the server made of it.
    pub(crate) async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, Failure> {
        within(async {
            let connection = self.connect().await?;
            let rows = connection.query_all_raw(statement).await;
            let _ = connection.close().await;
            rows.map_err(|error| self.failure(&error))
        })
        .await
    }

    async fn connect(&self) -> Result<DatabaseConnection, Failure> {
        let found = self
            .outward
            .addresses(self.url.host(), self.url.port())
            .await;
        let found = found.map_err(Failure::later)?;
        // The driver would try a refused connection again until its time is up, and say only that.
        let reached = TcpStream::connect(found.as_slice());
        let reached = reached.await.and_then(|stream| stream.peer_addr());
        let reached = reached.map_err(|error| Failure::later(error.to_string()))?;
        let url = match (self.url.mode, reached) {
            ("verify-full", _) => self.url.whole(),
            (_, SocketAddr::V4(address)) => self.url.at(&address.ip().to_string()),
            (_, SocketAddr::V6(address)) => self.url.at(&format!("[{}]", address.ip())),
        };
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(1)
            .acquire_timeout(CONNECT_WITHIN)
            .connect_timeout(CONNECT_WITHIN)
            .sqlx_logging(false)
            .record_stmt_in_spans(false)
            .set_application_name(self.application)
            // Poolers in between give every transaction another session.
            .map_sqlx_postgres_opts(|base| base.statement_cache_capacity(0));
        let connected = Database::connect(options).await;
        connected.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &DbErr) -> Failure {
        let told = match error {
            DbErr::Conn(RuntimeErr::SqlxError(error))
            | DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => error.as_database_error(),
            _ => None,
        };
        let secrets = [self.url.password()];
        match told {
            Some(told) => {
                let state = told.code().unwrap_or_default();
                let hint = told
                    .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                    .and_then(sqlx::postgres::PgDatabaseError::hint)
                    .map_or_else(String::new, |hint| format!("; {hint}"));
                Failure {
                    verdict: judge_state(&state),
                    why: kept(&format!("{} ({state}){hint}", told.message()), &secrets),
                }
            }
            None => Failure::later(kept(&error.to_string(), &secrets)),
        }
    }
}

/// No longer than that, whatever the server does.
async fn within<T>(work: impl Future<Output = Result<T, Failure>> + Send) -> Result<T, Failure> {
    match tokio::time::timeout(WITHIN, work).await {
        Ok(done) => done,
        Err(_) => {
            let seconds = WITHIN.as_secs();
            Err(Failure::later(format!("no answer within {seconds} s")))
        }
    }
}
