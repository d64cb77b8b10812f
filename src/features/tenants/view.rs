//! How a tenant is told: what its row says, and what the other tables and the books know of it.

use std::collections::HashMap;

use chrono::Days;
use serde::{Deserialize, Serialize};
use steward_actors::domain::calendar;
use steward_entities::ledger::conversation_count;
use steward_entities::ledger::total::{self, Total};
use steward_entities::scope::Scope;
use steward_entities::tenant::{self, Status};
use steward_entities::{feedback, operator, qa_pair, token};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::money::{CurrencyCode, decimal};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// Whether a tenant's tokens open anything.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TenantStatus {
    Active,
    Suspended,
}

impl From<TenantStatus> for Status {
    fn from(status: TenantStatus) -> Self {
        match status {
            TenantStatus::Active => Self::Active,
            TenantStatus::Suspended => Self::Suspended,
        }
    }
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantView {
    pub(super) id: String,
    pub(super) name: String,
    status: TenantStatus,
    suspended_at: Option<String>,
    suspended_reason: Option<String>,
    /// What its tokens together may spend a day, a decimal in `budget_currency`; null is unlimited.
    pub(super) daily_budget: Option<String>,
    /// What they may spend a month; null is unlimited.
    pub(super) monthly_budget: Option<String>,
    #[schema(inline)]
    pub(super) budget_currency: CurrencyCode,
    /// Operators who belong to it.
    user_count: u64,
    /// Tokens that were not deleted.
    token_count: u64,
    /// Questions and answers of its knowledge.
    qa_pair_count: u64,
    /// Feedback nobody has dealt with.
    pending_feedbacks: u64,
    /// Distinct conversations since midnight, where calls carry an id, and each call that carries none; counted every
    /// minute or so.
    conversations_today: i64,
    /// Those of the last seven days, today included, added up: a conversation is counted on each of its days.
    conversations_week: i64,
    /// Those of the last thirty days.
    conversations_month: i64,
    /// Calls on the books.
    total_requests: i64,
    /// Model tokens on the books.
    total_tokens_used: i64,
    /// When its last call ended.
    last_active_at: Option<String>,
    created_at: String,
    updated_at: String,
    pub(super) version: i64,
}

/// What the other tables know of a tenant.
#[derive(Default)]
pub(super) struct Figures {
    users: u64,
    tokens: u64,
    pairs: u64,
    feedback: u64,
    /// Conversations of one, seven and thirty days.
    conversations: [i64; 3],
    total: Option<Total>,
}

impl TenantView {
    pub(super) fn of(row: tenant::Model, figures: Figures) -> Self {
        let total = figures.total.unwrap_or_default();
        let [today, week, month] = figures.conversations;
        Self {
            id: row.public_id,
            name: row.name,
            status: match row.status {
                Status::Active => TenantStatus::Active,
                Status::Suspended => TenantStatus::Suspended,
            },
            suspended_at: row.suspended_at.map(rfc3339),
            suspended_reason: row.suspended_reason,
            daily_budget: row.daily_budget_nano.map(decimal),
            monthly_budget: row.monthly_budget_nano.map(decimal),
            budget_currency: CurrencyCode::of(&row.budget_currency),
            user_count: figures.users,
            token_count: figures.tokens,
            qa_pair_count: figures.pairs,
            pending_feedbacks: figures.feedback,
            conversations_today: today,
            conversations_week: week,
            conversations_month: month,
            total_requests: total.total_requests,
            total_tokens_used: total.total_tokens,
            last_active_at: figures
                .total
                .map(|total| total.last_at)
                .filter(|at| *at > 0)
                .map(rfc3339),
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// The rows as they are told, with what the other tables know of each.
pub(super) async fn shown(
    state: &AppState,
    rows: Vec<tenant::Model>,
) -> Result<Vec<TenantView>, ApiError> {
    let (control, ledger) = (&state.databases.control_read, &state.databases.ledger_read);
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    // The rows were found in the caller's scope.
    let (scope, of) = (Scope::All, Some(ids.as_slice()));
    let users = operator::by_tenant(control, scope, of).await?;
    let tokens = token::by_tenant(control, scope, of).await?;
    let pairs = qa_pair::of_tenants(control, scope, of).await?;
    let feedback = feedback::pending_by_tenant(control, scope, of).await?;
    let conversations = conversations(state, of).await?;
    let totals = total::of_tenants(ledger, &ids).await?;
    let count = |counts: &HashMap<i64, u64>, id: i64| counts.get(&id).copied().unwrap_or_default();
    let views = rows.into_iter().map(|row| {
        let figures = Figures {
            users: count(&users, row.id),
            tokens: count(&tokens, row.id),
            pairs: count(&pairs, row.id),
            feedback: count(&feedback, row.id),
            conversations: conversations.get(&row.id).copied().unwrap_or_default(),
            total: totals.get(&row.id).copied(),
        };
        TenantView::of(row, figures)
    });
    Ok(views.collect())
}

/// Conversations of the last one, seven and thirty days, today included, of these tenants or of each there is, by its key.
pub(super) async fn conversations(
    state: &AppState,
    tenants: Option<&[i64]>,
) -> Result<HashMap<i64, [i64; 3]>, ApiError> {
    let (zone, now) = (state.time_zone, state.clock.now_micros());
    let date = calendar::date_of(zone, now);
    let starts = [0, 6, 29].map(|days| {
        let first = date.checked_sub_days(Days::new(days)).unwrap_or(date);
        calendar::start_of(zone, first)
    });
    let to = calendar::next_day(zone, now);
    let read = &state.databases.ledger_read;
    let mut sums: HashMap<i64, [i64; 3]> = HashMap::new();
    for day in conversation_count::days(read, (starts[2], to), tenants).await? {
        let of_tenant = sums.entry(day.tenant_id).or_default();
        for (sum, start) in of_tenant.iter_mut().zip(starts) {
            if day.bucket >= start {
                *sum += day.with_id + day.without_id;
            }
        }
    }
    Ok(sums)
}
