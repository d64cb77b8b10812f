//! The writer's sessions at the server: what keeps a silent one from lasting, and how one that was left is ended.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::sqlx::postgres::{PgConnection, PgPool};
use sea_orm::sqlx::{self, Connection as _};

use steward_entities::database::LEDGER_SCHEMA;
use tokio::time::timeout;

use crate::ledger_store::WriteError;
use crate::ledger_store::line::Source;

const CONNECT_WITHIN: Duration = Duration::from_secs(8);
/// The schema, and bounds for the case that this process cannot say goodbye (its machine is gone, the network is cut): the
/// server then gives up the session, and the locks it holds, by itself. What a server does not know is left out.
const SETTINGS: &str = "SELECT set_config(wanted.name, wanted.value, false) FROM (VALUES ('search_path', $1), \
     ('idle_in_transaction_session_timeout', '60s'), ('statement_timeout', '120s'), \
     ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), \
     ('tcp_user_timeout', '30s'), ('client_connection_check_interval', '10s')) AS wanted (name, value) \
     JOIN pg_settings USING (name)";

/// Connections of the ledger's writer.
pub(super) struct Sessions(pub(super) PgPool);

/// A session at the server. Process ids are used again; with its start it is this one.
#[derive(Clone, PartialEq)]
pub(super) struct Session {
    pid: i32,
    started: String,
}

#[async_trait]
impl Source for Sessions {
    type Connection = PgConnection;
    type Session = Session;

    const NEEDS_ITS_RUNTIME: bool = true;

    async fn connect(&self) -> Result<(PgConnection, Session), WriteError> {
        let options = self.0.connect_options();
        let mut connection = timeout(CONNECT_WITHIN, PgConnection::connect_with(&options))
            .await
            .map_err(|_| WriteError::Unavailable("the server does not answer".into()))??;
        sqlx::query(SETTINGS)
            .bind(LEDGER_SCHEMA)
            .fetch_all(&mut connection)
            .await?;
        let (pid, started) = sqlx::query_as(
            "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()",
        )
        .fetch_one(&mut connection)
        .await?;
        Ok((connection, Session { pid, started }))
    }

    async fn end(&self, connection: &mut PgConnection, sessions: &[Session]) {
        let pids: Vec<i32> = sessions.iter().map(|session| session.pid).collect();
        let started: Vec<&str> = sessions
            .iter()
            .map(|session| session.started.as_str())
            .collect();
        let ended = sqlx::query_scalar::<_, bool>(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             JOIN UNNEST($1::int[], $2::text[]) AS ours (pid, started) USING (pid) \
             WHERE backend_start::text = started",
        )
        .bind(&pids)
        .bind(&started)
        .fetch_all(connection)
        .await;
        match ended {
            Ok(ended) if !ended.is_empty() => {
                tracing::warn!(
                    sessions = ended.len(),
                    "ended sessions of the ledger that were left behind"
                );
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "sessions of the ledger that were left behind cannot be ended");
            }
        }
    }
}
