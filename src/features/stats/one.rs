//! One token's and one account's numbers: the overview and the trend under the names that scripts know.

use actix_web::{get, web};
use steward_entities::scope::Scope;
use steward_entities::{account, token};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange};
use crate::state::AppState;

use super::which::Which;
use super::{CostQuery, Overview, Trend, TrendQuery, course, tell};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(token_stats)
        .service(token_trend)
        .service(account_stats)
        .service(account_trend);
}

async fn of_token(
    state: &AppState,
    caller: &Can<ReadStats>,
    id: String,
) -> Result<Which, ApiError> {
    token::by_public_id(&state.databases.control_read, caller.operator.scope(), &id)
        .await?
        .ok_or_else(|| ApiError::not_found("token"))?;
    Ok(Which {
        token_id: Some(id),
        ..Which::default()
    })
}

async fn of_account(
    state: &AppState,
    caller: &Can<ReadStats>,
    id: String,
) -> Result<Which, ApiError> {
    check::whole_installation(caller)?;
    account::by_public_id(&state.databases.control_read, &id)
        .await?
        .ok_or_else(|| ApiError::not_found("account"))?;
    Ok(Which {
        account_id: Some(id),
        ..Which::default()
    })
}

/// What a token's calls came to. As `stats/overview?token_id=`.
#[utoipa::path(tag = "stats", params(CostQuery, RangeQuery), responses((status = 200, body = Overview)))]
#[get("/stats/tokens/{id}")]
async fn token_stats(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    id: web::Path<String>,
    money: Query<CostQuery>,
    range: TimeRange,
) -> Result<Json<Overview>, ApiError> {
    let which = of_token(&state, &caller, id.into_inner()).await?;
    // Whose token it is was asked above.
    tell(&state, Scope::All, which, range, &money.0.shown(&state)).await
}

/// A token's calls over time. As `stats/trend?token_id=`.
#[utoipa::path(tag = "stats", params(CostQuery, TrendQuery, RangeQuery), responses((status = 200, body = Trend)))]
#[get("/stats/tokens/{id}/trend")]
async fn token_trend(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    id: web::Path<String>,
    money: Query<CostQuery>,
    query: Query<TrendQuery>,
    range: TimeRange,
) -> Result<Json<Trend>, ApiError> {
    let which = of_token(&state, &caller, id.into_inner()).await?;
    let by = query.by.unwrap_or_default();
    let course = course(&state, Scope::All, which, by, range).await?;
    Ok(Json(course.told(&state, &money.0.shown(&state))))
}

/// What calls of an account came to. As `stats/overview?account_id=`.
#[utoipa::path(tag = "stats", params(CostQuery, RangeQuery), responses((status = 200, body = Overview)))]
#[get("/stats/accounts/{id}")]
async fn account_stats(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    id: web::Path<String>,
    money: Query<CostQuery>,
    range: TimeRange,
) -> Result<Json<Overview>, ApiError> {
    let which = of_account(&state, &caller, id.into_inner()).await?;
    tell(
        &state,
        caller.operator.scope(),
        which,
        range,
        &money.0.shown(&state),
    )
    .await
}

/// An account's calls over time. As `stats/trend?account_id=`.
#[utoipa::path(tag = "stats", params(CostQuery, TrendQuery, RangeQuery), responses((status = 200, body = Trend)))]
#[get("/stats/accounts/{id}/trend")]
async fn account_trend(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    id: web::Path<String>,
    money: Query<CostQuery>,
    query: Query<TrendQuery>,
    range: TimeRange,
) -> Result<Json<Trend>, ApiError> {
    let which = of_account(&state, &caller, id.into_inner()).await?;
    let by = query.by.unwrap_or_default();
    let course = course(&state, caller.operator.scope(), which, by, range).await?;
    Ok(Json(course.told(&state, &money.0.shown(&state))))
}
