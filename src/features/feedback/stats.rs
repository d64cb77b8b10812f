//! What feedback comes to: over time, and by model, application, category and version of a prompt.
//!
//! Counted from the rows themselves when asked. A stretch counts the feedback that was given in it, whenever somebody
//! dealt with it.

use std::collections::BTreeMap;

use actix_web::{get, web};
use serde::Serialize;
use steward_actors::domain::calendar;
use steward_entities::feedback::{self, By, Filter, Part, Sums};
use utoipa::ToSchema;

use super::Which;
use super::view::FeedbackPrompt;
use crate::error::{ApiError, ErrorCode};
use crate::http::extract::{Json, Query};
use crate::http::permission::{Can, ReadFeedback};
use crate::http::range::{RangeQuery, TimeRange};
use crate::state::AppState;

const DAY_US: i64 = 24 * 3_600_000_000;
/// Days of a stretch that nobody asked for.
const DAYS: i64 = 30;
/// Longest stretch.
const DAYS_MAX: i64 = 366;
/// Of each kind the parts with the most feedback are told.
const PARTS_MAX: u64 = 20;

/// What some feedback comes to.
#[derive(Debug, Serialize, ToSchema)]
struct FeedbackSums {
    total: i64,
    /// Nobody has dealt with it.
    pending: i64,
    approved: i64,
    rejected: i64,
    resolved: i64,
    /// Rated 4 or 5.
    good: i64,
    /// Rated 1 or 2.
    bad: i64,
    with_correction: i64,
    /// Mean rating, 1 to 5; null without feedback.
    avg_rating: Option<f64>,
    /// Good ones of all, 0 to 1; null without feedback.
    good_rate: Option<f64>,
    /// Approved ones of those that were approved or rejected, 0 to 1; null while none was.
    approval_rate: Option<f64>,
}

/// How long it took until somebody had dealt with it.
#[derive(Debug, Serialize, ToSchema)]
struct ResolutionTime {
    /// So many have been dealt with.
    count: i64,
    avg_ms: i64,
    /// Half of them took at most this.
    p50_ms: i64,
    /// 95 of 100 took at most this.
    p95_ms: i64,
}

/// Feedback of a day.
#[derive(Debug, Serialize, ToSchema)]
struct FeedbackDay {
    #[schema(format = Date)]
    date: String,
    total: i64,
    good: i64,
    bad: i64,
    /// Null without feedback.
    avg_rating: Option<f64>,
}

/// Feedback of one model, application, category or version.
#[derive(Debug, Serialize, ToSchema)]
struct FeedbackPart {
    /// Null where nothing was said.
    name: Option<String>,
    total: i64,
    pending: i64,
    good: i64,
    bad: i64,
    avg_rating: Option<f64>,
    good_rate: Option<f64>,
}

/// Feedback of one version of a prompt.
#[derive(Debug, Serialize, ToSchema)]
struct FeedbackOfPrompt {
    prompt: FeedbackPrompt,
    total: i64,
    pending: i64,
    good: i64,
    bad: i64,
    avg_rating: Option<f64>,
    good_rate: Option<f64>,
}

/// What feedback comes to.
#[derive(Debug, Serialize, ToSchema)]
struct FeedbackStats {
    /// Whose days they are.
    time_zone: String,
    #[serde(flatten)]
    sums: FeedbackSums,
    /// Of the stretch of the same length before.
    previous: FeedbackSums,
    /// Null while nobody has dealt with any.
    resolution_time: Option<ResolutionTime>,
    /// Days, rising, without gaps.
    trend: Vec<FeedbackDay>,
    /// The twenty with the most feedback; so are the next.
    by_model: Vec<FeedbackPart>,
    by_app: Vec<FeedbackPart>,
    by_category: Vec<FeedbackPart>,
    /// Versions that applications named.
    by_prompt: Vec<FeedbackOfPrompt>,
    /// Categories that were ever used, the most used first: at most fifty.
    categories: Vec<String>,
}

fn mean(sum: i64, count: i64) -> Option<f64> {
    (count > 0).then(|| (sum as f64 / count as f64 * 100.0).round() / 100.0)
}

fn share(part: i64, of: i64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

impl From<Sums> for FeedbackSums {
    fn from(sums: Sums) -> Self {
        Self {
            total: sums.total,
            pending: sums.pending,
            approved: sums.approved,
            rejected: sums.rejected,
            resolved: sums.resolved,
            good: sums.good,
            bad: sums.bad,
            with_correction: sums.corrected,
            avg_rating: mean(sums.rating_sum, sums.total),
            good_rate: share(sums.good, sums.total),
            approval_rate: share(sums.approved, sums.approved + sums.rejected),
        }
    }
}

impl From<Part> for FeedbackPart {
    fn from(part: Part) -> Self {
        Self {
            avg_rating: mean(part.rating_sum, part.total),
            good_rate: share(part.good, part.total),
            name: Some(part.name).filter(|name| !name.is_empty()),
            total: part.total,
            pending: part.pending,
            good: part.good,
            bad: part.bad,
        }
    }
}

impl From<Part> for FeedbackOfPrompt {
    fn from(part: Part) -> Self {
        Self {
            avg_rating: mean(part.rating_sum, part.total),
            good_rate: share(part.good, part.total),
            prompt: FeedbackPrompt {
                name: part.name,
                version: part.number.unwrap_or_default(),
            },
            total: part.total,
            pending: part.pending,
            good: part.good,
            bad: part.bad,
        }
    }
}

/// What feedback comes to, over the last thirty days unless asked otherwise, at most 366.
#[utoipa::path(
    tag = "feedback",
    params(Which, RangeQuery),
    responses((status = 200, body = FeedbackStats))
)]
#[get("/feedback/stats")]
pub(super) async fn stats(
    state: web::Data<AppState>,
    caller: Can<ReadFeedback>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<Json<FeedbackStats>, ApiError> {
    let read = &state.databases.control_read;
    let scope = caller.operator.scope();
    let (zone, now) = (state.time_zone, state.clock.now_micros());
    let to = range.to.unwrap_or(now + 1).min(now + 1);
    let from = range
        .from
        .unwrap_or_else(|| calendar::day_of(zone, to - (DAYS - 1) * DAY_US));
    if to - from > DAYS_MAX * DAY_US {
        return Err(ApiError::new(ErrorCode::ScanBudgetExceeded)
            .detail(format!("At most {DAYS_MAX} days.")));
    }
    let whole = TimeRange {
        from: Some(from),
        to: Some(to),
    };
    let filter = which.0.filter(&state, scope, whole).await?;
    let before = Filter {
        from: Some(from - (to - from)),
        to: Some(from),
        ..filter.clone()
    };
    let sums = feedback::sums(read, scope, &filter).await?;
    let previous = feedback::sums(read, scope, &before).await?;
    let handling = feedback::handling(read, scope, &filter).await?;
    let parts = async |by| feedback::parts(read, scope, &filter, by, PARTS_MAX).await;
    let all = |parts: Vec<Part>| parts.into_iter().map(FeedbackPart::from).collect();
    Ok(Json(FeedbackStats {
        time_zone: zone.name().to_owned(),
        sums: sums.into(),
        previous: previous.into(),
        resolution_time: handling.map(|took| ResolutionTime {
            count: took.count,
            avg_ms: took.mean / 1_000,
            p50_ms: took.p50 / 1_000,
            p95_ms: took.p95 / 1_000,
        }),
        trend: trend(
            zone,
            (from, to),
            feedback::quarters(read, scope, &filter).await?,
        ),
        by_model: all(parts(By::Model).await?),
        by_app: all(parts(By::App).await?),
        by_category: all(parts(By::Category).await?),
        by_prompt: parts(By::Prompt)
            .await?
            .into_iter()
            .map(FeedbackOfPrompt::from)
            .collect(),
        categories: feedback::categories(read, scope, 50).await?,
    }))
}

/// Every day of the stretch, those without feedback too.
fn trend(
    zone: chrono_tz::Tz,
    (from, to): (i64, i64),
    quarters: Vec<feedback::Quarter>,
) -> Vec<FeedbackDay> {
    let mut days: BTreeMap<i64, Sums> = BTreeMap::new();
    let mut day = calendar::day_of(zone, from);
    while day < to {
        days.insert(day, Sums::default());
        day = calendar::next_day(zone, day);
    }
    for quarter in quarters {
        let day = calendar::day_of(zone, quarter.quarter * feedback::QUARTER_US);
        days.entry(day).or_default().merge(&Sums {
            total: quarter.total,
            rating_sum: quarter.rating_sum,
            good: quarter.good,
            bad: quarter.bad,
            ..Sums::default()
        });
    }
    days.into_iter()
        .map(|(day, sums)| FeedbackDay {
            date: calendar::date_of(zone, day).to_string(),
            total: sums.total,
            good: sums.good,
            bad: sums.bad,
            avg_rating: mean(sums.rating_sum, sums.total),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Asia::Kathmandu;

    use super::*;

    /// Kathmandu's days begin at a quarter past the hour.
    #[test]
    fn a_quarter_belongs_to_one_day_wherever_days_begin() {
        let day = calendar::day_of(Kathmandu, 1_773_599_400_000_000);
        let next = calendar::next_day(Kathmandu, day);
        let quarter = |at: i64, rating_sum| feedback::Quarter {
            quarter: at / feedback::QUARTER_US,
            total: 1,
            rating_sum,
            good: i64::from(rating_sum >= 4),
            bad: i64::from(rating_sum <= 2),
        };
        let told = vec![quarter(next - 1, 5), quarter(next, 1)];
        let days = trend(Kathmandu, (day, next + 2 * DAY_US), told);
        let seen: Vec<(i64, i64, Option<f64>)> = days
            .iter()
            .map(|day| (day.total, day.good, day.avg_rating))
            .collect();
        assert_eq!(seen, [(1, 1, Some(5.0)), (1, 0, Some(1.0)), (0, 0, None)]);
    }
}
