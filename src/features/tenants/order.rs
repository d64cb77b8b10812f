//! Orders of the list. Newest first is the database's; by a name as people sort it, or by what only other tables and the
//! books know, all that the filter finds is read and sorted here: tenants are few, and their rows are small.

use std::cmp::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;
use steward_entities::ledger::total::{self, Total};
use steward_entities::scope::Scope;
use steward_entities::{feedback, operator, qa_pair, tenant, token};

use crate::error::ApiError;
use crate::http::page::{Direction, Page, PageRequest, Sort};
use crate::state::AppState;

use super::view::conversations;

const FIELDS: [&str; 9] = [
    "created_at",
    "name",
    "user_count",
    "token_count",
    "qa_pair_count",
    "pending_feedbacks",
    "conversations_today",
    "total_requests",
    "last_active_at",
];

/// A page of what the filter finds, in the order asked for.
pub(super) async fn page(
    state: &AppState,
    scope: Scope,
    filter: &tenant::Filter,
    sort: &Sort,
    asked: &PageRequest,
) -> Result<Page<tenant::Model>, ApiError> {
    let read = &state.databases.control_read;
    let (field, direction) = sort.among(&FIELDS, ("created_at", Direction::Down))?;
    if (field, direction) == ("created_at", Direction::Down) {
        let rows = tenant::list(read, scope, filter, asked.rows()?).await?;
        let total = tenant::count(read, scope, filter).await?;
        return Ok(Page::of(rows, asked, Some(total), |row| row.id, |row| row));
    }
    let rows = tenant::found(read, scope, filter).await?;
    if field == "name" {
        let keyed = rows.into_iter().map(|row| (row.name.to_lowercase(), row));
        return sorted(keyed.collect(), direction, asked);
    }
    let figure = figure(state, scope, field).await?;
    let keyed = rows.into_iter().map(|row| (figure(&row), row));
    sorted(keyed.collect(), direction, asked)
}

/// What a tenant has of `field`; nothing is least.
async fn figure(
    state: &AppState,
    scope: Scope,
    field: &str,
) -> Result<Box<dyn Fn(&tenant::Model) -> i64>, ApiError> {
    let (control, ledger) = (&state.databases.control_read, &state.databases.ledger_read);
    let counts = match field {
        "user_count" => operator::by_tenant(control, scope, None).await?,
        "token_count" => token::by_tenant(control, scope, None).await?,
        "qa_pair_count" => qa_pair::of_tenants(control, scope, None).await?,
        "pending_feedbacks" => feedback::pending_by_tenant(control, scope, None).await?,
        "conversations_today" => {
            let talks = conversations(state, None).await?;
            return Ok(Box::new(move |row: &tenant::Model| {
                talks.get(&row.id).map_or(0, |[today, ..]| *today)
            }));
        }
        "total_requests" | "last_active_at" => {
            let totals = total::of_all_tenants(ledger).await?;
            let of: fn(&Total) -> i64 = match field {
                "total_requests" => |total: &Total| total.total_requests,
                _ => |total: &Total| total.last_at,
            };
            return Ok(Box::new(move |row: &tenant::Model| {
                totals.get(&row.id).map_or(0, of)
            }));
        }
        // A tenant that was made later has a greater key.
        _ => return Ok(Box::new(|row: &tenant::Model| row.id)),
    };
    Ok(Box::new(move |row: &tenant::Model| {
        counts.get(&row.id).map_or(0, |count| count.cast_signed())
    }))
}

/// The page of rows in the order of their keys; of equal ones the row made first comes first going up. A figure that moves
/// between two pages moves its tenant with it.
fn sorted<K: Clone + DeserializeOwned + Ord + Serialize>(
    mut rows: Vec<(K, tenant::Model)>,
    direction: Direction,
    asked: &PageRequest,
) -> Result<Page<tenant::Model>, ApiError> {
    let compare = |a: (&K, i64), b: (&K, i64)| match direction {
        Direction::Up => a.cmp(&b),
        Direction::Down => b.cmp(&a),
    };
    let after: Option<(K, i64)> = asked.after()?;
    let total = rows.len() as u64;
    if let Some((key, id)) = after {
        rows.retain(|row| compare((&row.0, row.1.id), (&key, id)) == Ordering::Greater);
    }
    rows.sort_by(|a, b| compare((&a.0, a.1.id), (&b.0, b.1.id)));
    rows.truncate((asked.offset + asked.limit + 1) as usize);
    Ok(Page::of(
        rows,
        asked,
        Some(total),
        |row| (row.0.clone(), row.1.id),
        |row| row.1,
    ))
}
