//! Row of the request log as people read it, names resolved; finding one.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::request_attempt::{self, AttemptRow};
use super::sql::Sql;

/// One request with its names. References of 0 are nobody; their names are `None`.
#[derive(Clone, Debug, FromQueryResult, PartialEq)]
pub struct RequestRow {
    pub rid: i64,
    /// With `rid` it makes the public id.
    pub id_tail: i64,
    /// Microseconds since the Unix epoch.
    pub request_at: i64,
    /// Microseconds since the Unix epoch.
    pub response_at: i64,
    pub token_id: i64,
    pub token_public_id: Option<String>,
    pub token_name: Option<String>,
    pub account_id: i64,
    pub account_public_id: Option<String>,
    pub account_name: Option<String>,
    pub tenant_id: i64,
    pub tenant_public_id: Option<String>,
    pub tenant_name: Option<String>,
    pub app: Option<String>,
    pub user_name: Option<String>,
    /// 0 api, 1 web.
    pub mode: i16,
    pub provider: String,
    pub model: Option<String>,
    pub upstream_model: Option<String>,
    /// `domain::record::Operation`.
    pub operation: i16,
    pub stream: bool,
    pub duration_ms: i64,
    pub ttft_ms: Option<i64>,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub total_tokens: i64,
    pub cached_tokens: i64,
    pub cache_write_tokens: i64,
    /// Of those: kept in the cache for an hour.
    pub cache_write_1h_tokens: i64,
    /// What the provider counts in place of tokens.
    pub units: i64,
    pub reasoning_tokens: i64,
    pub usage_estimated: bool,
    /// Billionths of `currency`.
    pub cost_nano: i64,
    pub currency: String,
    pub priced: bool,
    pub price_id: i64,
    pub status_code: i32,
    pub success: bool,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub conversation_id: Option<String>,
    pub node: i16,
    /// `domain::record::Source`.
    pub source: i16,
    /// Attempts on accounts.
    pub attempts: i16,
    pub client_ip: Option<String>,
    pub upstream_request_id: Option<String>,
    /// The version of a prompt it was made with: `name@number`.
    pub prompt: Option<String>,
    /// What of the tenant's knowledge it was given: public ids of pairs, commas between, or a word for why none.
    pub knowledge: Option<String>,
}

/// A request and every try it took.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestDetail {
    pub row: RequestRow,
    /// In the order they were made.
    pub attempts: Vec<AttemptRow>,
}

/// Columns of [`RequestRow`] over `l` (a request_logs row) and the joins of [`JOINS`].
pub(super) const COLUMNS: &str = "\
    l.rid, l.id_tail, l.request_at, l.response_at, \
    l.token_id, t.public_id AS token_public_id, t.name AS token_name, \
    l.account_id, a.public_id AS account_public_id, a.name AS account_name, \
    l.tenant_id, n.public_id AS tenant_public_id, n.name AS tenant_name, \
    p.name AS app, u.name AS user_name, l.mode, l.provider, m.name AS model, um.name AS upstream_model, \
    l.operation, l.stream, l.duration_ms, l.ttft_ms, l.prompt_tokens, l.completion_tokens, l.total_tokens, \
    l.cached_tokens, l.cache_write_tokens, l.reasoning_tokens, l.usage_estimated, l.cost_nano, l.currency, \
    l.priced, l.price_id, l.status_code, l.success, l.error_code, l.error_message, l.conversation_id, l.node, \
    l.source, l.attempts, l.client_ip, l.upstream_request_id, v.name AS prompt, l.knowledge, \
    COALESCE(l.cache_write_1h_tokens, 0) AS cache_write_1h_tokens, COALESCE(l.units, 0) AS units";

pub(super) const JOINS: &str = " \
    LEFT JOIN dim_tokens t ON t.id = l.token_id \
    LEFT JOIN dim_accounts a ON a.id = l.account_id \
    LEFT JOIN dim_tenants n ON n.id = l.tenant_id \
    LEFT JOIN apps p ON p.id = l.app_id \
    LEFT JOIN end_users u ON u.id = l.end_user_id \
    LEFT JOIN models m ON m.id = l.model_id \
    LEFT JOIN models um ON um.id = l.upstream_model_id \
    LEFT JOIN dim_prompt_versions v ON v.id = l.prompt_version_id";

/// The request with this rid and tail, both of which its public id holds; a right rid with a wrong tail is a
/// guess and finds nothing. The caller checks `row.tenant_id` where an operator has a scope.
///
/// # Errors
/// When the database cannot be read.
pub async fn find<C: ConnectionTrait>(
    connection: &C,
    rid: i64,
    id_tail: i64,
) -> Result<Option<RequestDetail>, DbErr> {
    let backend = connection.get_database_backend();
    let mut sql = Sql::new(backend, "SELECT ");
    sql.push(COLUMNS).push(" FROM request_logs l").push(JOINS);
    sql.push(" WHERE l.rid = ").bind(rid);
    sql.push(" AND l.id_tail = ").bind(id_tail);
    let Some(row) = RequestRow::find_by_statement(sql.done())
        .one(connection)
        .await?
    else {
        return Ok(None);
    };
    let attempts = request_attempt::of(connection, rid).await?;
    Ok(Some(RequestDetail { row, attempts }))
}

/// Which of these rids are in the log, and with which tail: what decides whether a record is on the books. To be asked for
/// some hundreds at a time.
///
/// # Errors
/// When the database cannot be read.
pub async fn tails<C: ConnectionTrait>(
    connection: &C,
    rids: &[i64],
) -> Result<HashMap<i64, i64>, DbErr> {
    let backend = connection.get_database_backend();
    let mut sql = Sql::new(
        backend,
        "SELECT rid, id_tail FROM request_logs WHERE rid IN ",
    );
    sql.bind_list(rids);
    let rows = connection.query_all_raw(sql.done()).await?;
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect()
}
