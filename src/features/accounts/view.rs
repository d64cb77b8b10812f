//! An account as it is shown, listened to and told in the audit log: never with its secret.

use std::collections::BTreeMap;

use serde::Serialize;
use steward_entities::account;
use utoipa::ToSchema;

use crate::gateway::breaker::Standing;
use crate::http::range::rfc3339;
use crate::state::AppState;

/// What the gateway's circuit breaker thinks of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BreakerState {
    /// `closed`: takes calls. `open`: takes none. `half_open`: the next call is a probe. `probing`: it is
    /// under way.
    state: &'static str,
    /// When an open breaker lets a probe pass.
    retry_after_ms: Option<u64>,
    consecutive_failures: u32,
    /// How often it opened since this process started.
    opened: u64,
    /// The provider refused the credential.
    bad_credential: bool,
}

/// An account, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountShown {
    id: String,
    name: String,
    /// Whose models it has: a label that prices go by.
    provider: String,
    protocol: String,
    base_url: String,
    /// Last four characters of the secret; empty when it is too short to show them.
    last4: String,
    /// Models it serves, `*` at the end covering the rest.
    models: Vec<String>,
    /// Name the caller uses → name the provider knows.
    aliases: BTreeMap<String, String>,
    /// Lower is tried first.
    priority: i64,
    /// Share of the calls among accounts of the same priority; 0 serves only when no other can.
    weight: i64,
    /// Calls at the same time; null is unlimited.
    concurrency: Option<i64>,
    enabled: bool,
    breaker: BreakerState,
    /// Calls it is serving on this node.
    in_flight: u32,
    /// Why it cannot be used although it is enabled.
    unusable_reason: Option<String>,
    created_at: String,
    updated_at: String,
    version: i64,
}

impl AccountShown {
    pub(super) fn of(row: account::Model, state: &AppState) -> Self {
        let (breaker, in_flight) = state.gateway.accounts().view(row.id);
        let condition = state.tree.snapshot_condition.load();
        let unusable = condition
            .unusable_accounts
            .iter()
            .find(|(id, _)| *id == row.public_id)
            .map(|(_, reason)| reason.clone());
        let (standing, retry_after_ms) = standing_word(breaker.standing);
        Self {
            id: row.public_id,
            name: row.name,
            provider: row.provider,
            protocol: row.protocol,
            base_url: row.base_url,
            last4: row.secret_last4,
            models: row.models.0,
            aliases: row.aliases.0,
            priority: row.priority,
            weight: row.weight,
            concurrency: row.concurrency,
            enabled: row.enabled,
            breaker: BreakerState {
                state: standing,
                retry_after_ms,
                consecutive_failures: breaker.consecutive_failures,
                opened: breaker.opened,
                bad_credential: breaker.bad_credential,
            },
            in_flight,
            unusable_reason: unusable,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// What moves of an enabled account, for whoever listens: nothing that counts down by itself.
#[derive(Serialize)]
pub(crate) struct LiveAccount {
    id: String,
    name: String,
    provider: String,
    /// As the breaker's state of an account.
    state: &'static str,
    consecutive_failures: u32,
    opened: u64,
    bad_credential: bool,
}

/// What the circuit breakers think of the enabled accounts now.
pub(crate) fn live(state: &AppState) -> Vec<LiveAccount> {
    let snapshot = state.snapshot.load();
    let enabled = snapshot.accounts.iter().filter(|account| account.enabled);
    enabled
        .map(|account| {
            let (breaker, _) = state.gateway.accounts().view(account.id);
            LiveAccount {
                id: account.public_id.clone(),
                name: account.name.clone(),
                provider: account.provider.clone(),
                state: standing_word(breaker.standing).0,
                consecutive_failures: breaker.consecutive_failures,
                opened: breaker.opened,
                bad_credential: breaker.bad_credential,
            }
        })
        .collect()
}

/// A breaker's standing in a word, and when it lets a probe pass.
fn standing_word(standing: Standing) -> (&'static str, Option<u64>) {
    match standing {
        Standing::Closed => ("closed", None),
        Standing::HalfOpen => ("half_open", None),
        Standing::Probing => ("probing", None),
        Standing::Open { retry_after_ms } => ("open", Some(retry_after_ms)),
    }
}

/// What of an account is told in the audit log.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    name: &'a str,
    provider: &'a str,
    protocol: &'a str,
    base_url: &'a str,
    last4: &'a str,
    models: &'a [String],
    aliases: &'a BTreeMap<String, String>,
    priority: i64,
    weight: i64,
    concurrency: Option<i64>,
    enabled: bool,
}

impl<'a> From<&'a account::Model> for Told<'a> {
    fn from(row: &'a account::Model) -> Self {
        Self {
            name: &row.name,
            provider: &row.provider,
            protocol: &row.protocol,
            base_url: &row.base_url,
            last4: &row.secret_last4,
            models: &row.models.0,
            aliases: &row.aliases.0,
            priority: row.priority,
            weight: row.weight,
            concurrency: row.concurrency,
            enabled: row.enabled,
        }
    }
}
