//! The remote that the day's dashboard numbers are pushed to: a PostgreSQL server, or PostgREST in front of one (Supabase).
//!
//! A [`Remote`] takes rows, tells those it has, and forgets old ones; every step can be done any number of times, since
//! a row is known by its day. When to push, and what became of it, is `tree/upkeep/remote_backup`'s. The remote's table is
//! made by its owner, with [`TABLE_SQL`]: nothing is created there.

mod answer;
mod postgres;
mod postgrest;
mod row;
mod server;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use steward_entities::remote_backup;
use zeroize::Zeroizing;

use crate::outward::Outward;
use crate::vault::{Place, REMOTE_ADDRESS, Sealed, Vault, VaultError};

pub use answer::{Verdict, judge, judge_state};
pub use postgres::{PostgresUrl, UrlError};
pub use postgrest::base_of;
pub use row::{Comparison, Difference, RemoteRow, compare};
pub(crate) use server::Server;

/// Rows of one request.
pub const BATCH_ROWS: usize = 100;
/// Of an answer, so much is kept.
const KEPT_CHARS: usize = 512;

/// How a remote is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// By a PostgreSQL URL.
    Postgres,
    /// By PostgREST: an address and a service key.
    Postgrest,
}

impl Kind {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Postgrest => "postgrest",
        }
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Postgres, Self::Postgrest]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Where it is, and what opens it. Kept sealed; `Debug` shows nothing of it.
#[derive(Clone, Default, Deserialize, Serialize)]
pub struct Address {
    /// A PostgreSQL URL with its password, or the address of PostgREST.
    pub url: String,
    /// PostgREST's service key.
    pub key: Option<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Why the address cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("the sealed address is none")]
    Damaged,
}

impl Address {
    /// Seals it for the one remote there is.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn seal(&self, vault: &Vault) -> Result<Sealed, AddressError> {
        let text = serde_json::to_vec(self).map_err(|_| AddressError::Damaged)?;
        Ok(vault.seal(
            REMOTE_ADDRESS,
            Place::remote_address(),
            &Zeroizing::new(text),
        )?)
    }

    /// Opens the one of `row`.
    ///
    /// # Errors
    /// When the key is gone, or the value was changed.
    pub fn open(vault: &Vault, row: &remote_backup::Model) -> Result<Self, AddressError> {
        let text = vault.unseal(
            REMOTE_ADDRESS,
            Place::remote_address(),
            &row.sealed_key_id,
            &row.sealed.0,
        )?;
        serde_json::from_slice(&text).map_err(|_| AddressError::Damaged)
    }
}

/// What the remote made of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub verdict: Verdict,
    /// Its answer, or why there was none, in words that hold no secret.
    pub why: String,
}

impl Failure {
    /// Nothing about the rows: later, perhaps.
    pub(crate) fn later(why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Later(None),
            why: why.into(),
        }
    }
}

/// What a test of the remote came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Tested {
    /// Status of HTTP; a PostgreSQL server has none.
    pub status: Option<u16>,
    /// The beginning of its answer.
    pub response: String,
}

/// See the module.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Stores rows, at most [`BATCH_ROWS`] of them, each day once; days that are there already become these.
    ///
    /// # Errors
    /// What the remote made of it; nothing of the batch was stored then, as far as is known.
    async fn push(&self, rows: &[RemoteRow]) -> Result<(), Failure>;

    /// The rows of days from `from` on, rising.
    ///
    /// # Errors
    /// What the remote made of it.
    async fn rows_since(&self, from: &str) -> Result<Vec<RemoteRow>, Failure>;

    /// Forgets days before `before`.
    ///
    /// # Errors
    /// What the remote made of it.
    async fn forget_before(&self, before: &str) -> Result<(), Failure>;

    /// Reads one row, and tells what the remote really answered.
    ///
    /// # Errors
    /// What it made of it; the answer is in the words.
    async fn test(&self) -> Result<Tested, Failure>;
}

/// The remote of that kind at that address.
///
/// # Errors
/// In words for whoever set it.
pub fn open(
    kind: Kind,
    address: &Address,
    table: &str,
    outward: Arc<dyn Outward>,
) -> Result<Box<dyn Remote>, String> {
    if !is_table(table) {
        return Err("the table's name is none".to_owned());
    }
    Ok(match kind {
        Kind::Postgres => Box::new(postgres::Postgres::new(address, table, outward)?),
        Kind::Postgrest => Box::new(postgrest::Postgrest::new(address, table, outward)?),
    })
}

/// Whether `name` may name a table: small letters, digits and underscores, at most 63, a letter or underscore first.
pub fn is_table(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    first
        && name.len() <= 63
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// What makes the remote's table, for whoever owns it. Row level security without a policy: nobody but the service key
/// reads or writes it through Supabase's API.
pub fn table_sql(table: &str) -> String {
    TABLE_SQL.replace("$TABLE", table)
}

/// See [`table_sql`].
const TABLE_SQL: &str = "\
create table if not exists $TABLE (
    stat_date date primary key,
    daily_active_users bigint not null,
    jwt_active_users bigint not null,
    ai_requests bigint not null,
    success_rate double precision,
    total_tokens bigint not null,
    cost numeric,
    currency text,
    api_connectivity double precision,
    jwt_availability double precision,
    p95_duration_ms double precision,
    updated_at timestamptz not null,
    synced_at timestamptz not null
);
alter table $TABLE enable row level security;
";

/// The beginning of what a remote said, without the secrets it may have said back.
pub(crate) fn kept(text: &str, secrets: &[&str]) -> String {
    let mut text = text.trim().to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    text.chars().take(KEPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_plain_name() {
        for good in ["dashboard_stats", "_x1", &"a".repeat(63)] {
            assert!(is_table(good), "{good}");
        }
        for bad in [
            "",
            "1a",
            "A",
            "a-b",
            "a.b",
            "a;drop table b",
            "a\"b",
            &"a".repeat(64),
        ] {
            assert!(!is_table(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_kept_of_an_answer_holds_no_secret() {
        let said = format!("no such key: s3cret {}", "x".repeat(600));
        let kept = kept(&said, &["s3cret", ""]);
        assert!(kept.starts_with("no such key: *** x"), "{kept}");
        assert_eq!(kept.len(), 512);
    }
}
