//! What calls came to that named a version of a prompt (`x-prompt`), version by version.

use std::collections::BTreeMap;

use actix_web::{get, web};
use serde::Serialize;
use steward_entities::ledger::name;
use steward_entities::ledger::rollup::PROMPT_DAILY;
use steward_entities::prompt;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, days_before, rfc3339};
use crate::state::AppState;

use super::CostQuery;
use super::stretch::{self, Books, Stretch};
use super::view::{Counted, Numbers};
use super::which::Teller;

/// Looked at unless asked otherwise.
const DAYS: u64 = 30;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(prompt_stats);
}

/// What calls with a prompt came to.
#[derive(Debug, Serialize, ToSchema)]
struct PromptStats {
    /// Beginning of the first day.
    #[schema(format = DateTime)]
    from: String,
    /// End of the last day (exclusive).
    #[schema(format = DateTime)]
    to: String,
    /// Versions that calls named, the newest first. What calls named before a prompt of the same name was removed is not here.
    versions: Vec<PromptVersionStats>,
}

/// What calls with one version came to.
#[derive(Debug, Serialize, ToSchema)]
struct PromptVersionStats {
    /// Number of the version.
    version: i64,
    #[serde(flatten)]
    numbers: Numbers,
}

/// What calls came to that named a version of this prompt: whole days, the last 30 unless asked otherwise.
#[utoipa::path(tag = "stats", params(CostQuery, RangeQuery), responses((status = 200, body = PromptStats)))]
#[get("/stats/prompts/{id}")]
async fn prompt_stats(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    id: web::Path<String>,
    money: Query<CostQuery>,
    range: TimeRange,
) -> Result<Json<PromptStats>, ApiError> {
    // Versions are not told apart by tenant.
    check::whole_installation(&caller)?;
    let row = prompt::by_public_id(&state.databases.control_read, &id).await?;
    let row = row.ok_or_else(|| ApiError::not_found("prompt"))?;
    let now = state.clock.now_micros();
    let to = range.to.unwrap_or(now);
    let from = range
        .from
        .or_else(|| days_before(to, DAYS, state.time_zone));
    let days = Stretch::asked(TimeRange { from, ..range }, now)?.days(state.time_zone);
    let read = &state.databases.ledger_read;
    let numbers: BTreeMap<i64, i64> = name::versions_of(read, &row.public_id)
        .await?
        .into_iter()
        .filter_map(|(id, name)| Some((id, name.rsplit_once('@')?.1.parse().ok()?)))
        .collect();
    let ids: Vec<i64> = numbers.keys().copied().collect();
    let mut counted: BTreeMap<i64, Counted> = BTreeMap::new();
    if !ids.is_empty() {
        let range = (days.from, days.to);
        let only = [("prompt_version_id", &ids[..])];
        let (books, teller) = (Books::of(&state), Teller::Rollup(&PROMPT_DAILY));
        for row in stretch::rows(books, teller, &["prompt_version_id"], range, &only).await? {
            if let Some(number) = numbers.get(&row.keys[0]) {
                counted
                    .entry(*number)
                    .or_default()
                    .add(row.bucket, &row.measures);
            }
        }
    }
    let shown = money.0.shown(&state);
    let versions = counted
        .iter()
        .rev()
        .map(|(number, counted)| PromptVersionStats {
            version: *number,
            numbers: Numbers::of(counted, &shown),
        });
    Ok(Json(PromptStats {
        from: rfc3339(days.from),
        to: rfc3339(days.to),
        versions: versions.collect(),
    }))
}
