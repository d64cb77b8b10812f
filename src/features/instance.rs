//! What this process is: version, database, time zone, and whether it is a demonstration.
//!
//! | method | path | who |
//! |---|---|---|
//! | GET | `/instance` | signed in |
//! | GET | `/instance/public` | anybody |
//!
//! The public one tells the page on which one signs in that this is a demonstration, and how to get in. Of a
//! real installation it tells nothing else.

use actix_web::{get, web};
use sea_orm::DbBackend;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::demo;
use crate::http::extract::Json;
use crate::http::money::decimal;
use crate::http::permission::{Can, SignedIn};
use crate::http::range::rfc3339;
use crate::state::AppState;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show).service(show_public);
}

/// The kind of database under the process.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DatabaseKind {
    Sqlite,
    Postgres,
}

/// What this process is.
#[derive(Debug, Serialize, ToSchema)]
struct Instance {
    /// The version of Steward.
    version: &'static str,
    /// Whether everything here is simulated.
    demo: bool,
    database: DatabaseKind,
    /// IANA name; days begin at its midnight.
    time_zone: &'static str,
    /// 0 to 255; part of every record's id.
    node: u8,
    /// What costs are told in unless asked otherwise: `USD` or `CNY`.
    currency: &'static str,
    /// Yuan for a US dollar, by which costs of today in two currencies are shown as one: a decimal.
    usd_cny: String,
    /// When this process started.
    started_at: String,
}

/// What anybody may know of this process.
#[derive(Debug, Serialize, ToSchema)]
struct PublicInstance {
    /// Whether everything here is simulated.
    demo: bool,
    /// Whom to sign in as; null unless this is a demonstration.
    demo_username: Option<&'static str>,
    /// The password that goes with it; null unless this is a demonstration.
    demo_password: Option<&'static str>,
}

/// What this process is.
#[utoipa::path(tag = "operations", responses((status = 200, body = Instance)))]
#[get("/instance")]
async fn show(state: web::Data<AppState>, _caller: Can<SignedIn>) -> Json<Instance> {
    let database = match state.databases.control.get_database_backend() {
        DbBackend::Postgres => DatabaseKind::Postgres,
        _ => DatabaseKind::Sqlite,
    };
    Json(Instance {
        version: env!("CARGO_PKG_VERSION"),
        demo: state.demo,
        database,
        time_zone: state.time_zone.name(),
        node: state.config.node.id,
        currency: state.settings.load().currency.as_str(),
        usd_cny: decimal(state.rate().cny_per_usd_nano()),
        started_at: rfc3339(state.started_at),
    })
}

/// Whether this is a demonstration, and how to sign in to it.
#[utoipa::path(tag = "operations", security(()), responses((status = 200, body = PublicInstance)))]
#[get("/instance/public")]
async fn show_public(state: web::Data<AppState>) -> Json<PublicInstance> {
    Json(PublicInstance {
        demo: state.demo,
        demo_username: state.demo.then_some(demo::USERNAME),
        demo_password: state.demo.then_some(demo::PASSWORD),
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::{Value, json};

    use crate::testing::{Ask, World};

    const INSTANCE: &str = "/api/v1/instance";

    async fn shown_on(world: World, database: &str) {
        let app = world.app().await;
        assert_eq!(
            Ask::get(INSTANCE).to(&app).await.status,
            StatusCode::UNAUTHORIZED
        );
        let viewer = world.signed_in("viewer", "ops_viewer").await;
        let shown = Ask::get(INSTANCE).bearer(&viewer).to(&app).await;
        assert_eq!(
            shown.body,
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "demo": false,
                "database": database,
                "time_zone": "Asia/Shanghai",
                "node": 0,
                "currency": "USD",
                "usd_cny": "7.1",
                "started_at": "2026-03-15T18:30:00.000Z",
            })
        );
    }

    #[actix_web::test]
    async fn whoever_is_signed_in_sees_what_this_is() {
        shown_on(World::sqlite().await, "sqlite").await;
    }

    #[actix_web::test]
    async fn whoever_is_signed_in_sees_what_this_is_postgres() {
        shown_on(World::postgres().await, "postgres").await;
    }

    #[actix_web::test]
    async fn strangers_learn_how_to_enter_a_demonstration_and_nothing_of_the_rest() {
        let public = format!("{INSTANCE}/public");
        let real = World::sqlite().await;
        assert_eq!(
            Ask::get(&public).to(&real.app().await).await.body,
            json!({"demo": false, "demo_username": Value::Null, "demo_password": Value::Null})
        );
        let demo = World::demo().await;
        assert_eq!(
            Ask::get(&public).to(&demo.app().await).await.body,
            json!({"demo": true, "demo_username": "admin", "demo_password": "demo-steward"})
        );
    }
}
