//! The audit log as operators read it: who changed what, when, and from where. Nothing here writes it.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/logs/operations` | `read:audit` |
//! | GET | `/ops/logs/operations/{id}` | `read:audit` |

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{get, web};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use steward_entities::{audit, operator};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadAudit};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

/// No operator's key: finds nothing.
const NOBODY: i64 = 0;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(show);
}

/// Something an operator did.
#[derive(Debug, Serialize, ToSchema)]
struct Operation {
    id: String,
    #[schema(format = DateTime)]
    timestamp: String,
    /// Public id of the operator; null when it was Steward itself, or nobody who had signed in.
    user_id: Option<String>,
    /// The operator's name at that time; `steward` for the process itself.
    user_name: String,
    /// Such as `tokens.create`.
    action: String,
    /// Such as `token`.
    target_type: String,
    /// Empty when there is none.
    target_id: String,
    /// What changed, as `field: [before, after]` where there was a before; secrets masked.
    #[schema(value_type = Object)]
    details: Value,
    ip_address: String,
    request_id: String,
}

impl Operation {
    fn of(row: audit::Model, operators: &BTreeMap<i64, String>) -> Self {
        Self {
            user_id: row.operator_id.and_then(|id| operators.get(&id).cloned()),
            id: row.public_id,
            timestamp: rfc3339(row.at),
            user_name: row.operator_name,
            action: row.action,
            target_type: row.target_type,
            target_id: row.target_id,
            details: row.details,
            ip_address: row.ip,
            request_id: row.request_id,
        }
    }
}

/// Which operations.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Id or user name of an operator.
    operator: Option<String>,
    /// The same as `operator`.
    user_id: Option<String>,
    /// The whole action, or all of a resource with a dot at the end: `tokens.`
    action: Option<String>,
    target_type: Option<String>,
    target_id: Option<String>,
    /// Stands somewhere in who, what, on what, from where or in which request, in whatever case.
    keyword: Option<String>,
    /// The same as `keyword`.
    q: Option<String>,
}

/// What operators did, newest first.
#[utoipa::path(tag = "audit", params(Which, RangeQuery, PageQuery), responses((status = 200, body = Page<Operation>)))]
#[get("/ops/logs/operations")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadAudit>,
    which: Query<Which>,
    range: TimeRange,
    page: PageRequest,
) -> Result<Json<Page<Operation>>, ApiError> {
    check::whole_installation(&caller)?;
    let connection = &state.databases.control_read;
    let Query(which) = which;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let operator_id = match given(which.operator).or_else(|| given(which.user_id)) {
        None => None,
        Some(text) => {
            let named = Condition::any()
                .add(operator::Column::PublicId.eq(&text))
                .add(operator::Column::Username.eq(&text));
            let row = operator::Entity::find()
                .filter(named)
                .one(connection)
                .await?;
            Some(row.map_or(NOBODY, |row| row.id))
        }
    };
    let filter = audit::Filter {
        operator_id,
        action: given(which.action),
        target_type: given(which.target_type),
        target_id: given(which.target_id),
        keyword: given(which.keyword).or_else(|| given(which.q)),
        from: range.from,
        to: range.to,
    };
    let rows = audit::list(connection, &filter, page.rows()?).await?;
    let total = audit::count(connection, &filter).await?;
    let operators = operators_of(connection, &rows).await?;
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        |row| Operation::of(row, &operators),
    )))
}

/// One of them, wherever in the list it stands.
#[utoipa::path(tag = "audit", responses((status = 200, body = Operation)))]
#[get("/ops/logs/operations/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadAudit>,
    id: web::Path<String>,
) -> Result<Json<Operation>, ApiError> {
    check::whole_installation(&caller)?;
    let connection = &state.databases.control_read;
    let row = audit::by_public_id(connection, &id)
        .await?
        .ok_or_else(|| ApiError::not_found("operation"))?;
    let operators = operators_of(connection, std::slice::from_ref(&row)).await?;
    Ok(Json(Operation::of(row, &operators)))
}

/// Public ids of the operators who did these, by key.
async fn operators_of(
    connection: &impl ConnectionTrait,
    rows: &[audit::Model],
) -> Result<BTreeMap<i64, String>, ApiError> {
    let ids: BTreeSet<i64> = rows.iter().filter_map(|row| row.operator_id).collect();
    let known = operator::Entity::find()
        .filter(operator::Column::Id.is_in(ids))
        .all(connection)
        .await?;
    Ok(known
        .into_iter()
        .map(|row| (row.id, row.public_id))
        .collect())
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::json;

    use crate::testing::{Ask, World};

    #[actix_web::test]
    async fn operations_are_found_by_every_filter_and_paged() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        for name in ["a", "b", "c"] {
            let body = json!({"name": name, "permissions": []});
            let made = Ask::post("/api/v1/ops/roles", body)
                .bearer(&root)
                .to(&app)
                .await;
            assert_eq!(made.status, StatusCode::CREATED);
            world.clock.advance_micros(60_000_000);
        }
        let find = async |query: &str| {
            let path = format!("/api/v1/ops/logs/operations?{query}");
            let answer = Ask::get(&path).bearer(&root).to(&app).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
            answer.body
        };
        for (query, total) in [
            ("", 3),
            ("action=roles.create&operator=root", 3),
            ("action=roles.", 3),
            ("user_id=root", 3),
            ("user_id=nobody", 0),
            ("keyword=ROLES.Create", 3),
            ("q=nothing%25", 0),
            (
                "start_time=2026-03-15T18:31:00Z&end_time=2026-03-15T18:32:00Z",
                1,
            ),
            ("operator=nobody", 0),
            ("target_type=role&target_id=x", 0),
            ("from=2026-03-15T18:31:00Z", 2),
            ("to=2026-03-15T18:31:00Z", 1),
            ("range=24h", 3),
            ("days=7&page=2&page_size=2", 3),
        ] {
            assert_eq!(find(query).await["total"], total, "{query}");
        }
        let first = find("limit=2").await;
        assert_eq!(first["items"][0]["details"]["name"], "c");
        let id = first["items"][0]["user_id"].as_str().unwrap();
        assert_eq!(find(&format!("user_id={id}")).await["total"], 3);
        let next = first["next_cursor"].as_str().unwrap();
        let last = find(&format!("limit=2&cursor={next}")).await;
        assert_eq!(last["items"][0]["details"]["name"], "a");
        assert_eq!(last["next_cursor"], json!(null));
        let numbered = find("limit=2&page=2").await;
        assert_eq!(numbered["items"], last["items"]);
        let id = last["items"][0]["id"].as_str().unwrap();
        let one = Ask::get(&format!("/api/v1/ops/logs/operations/{id}"))
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(one.body, last["items"][0]);
        let gone = Ask::get("/api/v1/ops/logs/operations/opl_nobody")
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        let refused = Ask::get("/api/v1/ops/logs/operations?range=8y")
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.body["errors"][0]["field"], "range");
    }
}
