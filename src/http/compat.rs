//! The names that older documents use for what lives under `/api/v1`: the same handlers, mounted again.
//!
//! Nothing else knows these names. The OpenAPI document lists them as deprecated (see `openapi`). A name
//! appears here once its handler exists.

use actix_web::middleware::from_fn;
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{envelope, idempotency, middleware};
use crate::features::{conversations, logs, stats, tokens};

/// Where the token console's names begin.
pub(super) const CONSOLE_PREFIX: &str = "/api/console/";

/// Whether `path` is one of the old names.
pub(super) fn is_old_name(path: &str) -> bool {
    path.starts_with("/api/") && !path.starts_with("/api/v1/")
}

/// Mounts them. To be called last: the scope answers for everything else below `/api`.
pub(super) fn mount(config: &mut ServiceConfig<'_>) {
    config.service(
        scope("/api")
            .wrap(from_fn(idempotency::replay))
            .wrap(from_fn(middleware::know_operators))
            .wrap(from_fn(middleware::refuse_nul))
            .wrap(from_fn(middleware::limit_address))
            .configure(logs::routes)
            .configure(stats::routes)
            .configure(conversations::routes)
            .service(
                scope("/console")
                    .wrap(from_fn(envelope::wrap))
                    .service(stats::console::stats)
                    .service(stats::console::usage_trend)
                    .service(stats::console::export)
                    .service(logs::console::latest)
                    .service(tokens::console::keys)
                    .service(tokens::console::create_key)
                    .service(tokens::console::remove_key),
            )
            .service(scope("/token").configure(|config| {
                config.service(tokens::set_by_old_name);
            })),
    );
}

#[cfg(test)]
mod tests {
    use actix_web::http::{Method, StatusCode};
    use serde_json::json;

    use crate::testing::{Ask, World};

    #[actix_web::test]
    async fn old_names_lead_to_the_same_handlers() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let listed = Ask::get("/api/logs/requests?page=1&page_size=5").bearer(&root);
        assert_eq!(listed.to(&app).await.body["total"], 0);
        let anonymous = Ask::get("/api/logs/requests").to(&app).await;
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
        let made = Ask::post("/api/v1/tokens", json!({"name": "a"})).bearer(&root);
        let made = made.to(&app).await;
        let path = format!("/api/token/{}/settings", made.body["id"].as_str().unwrap());
        let set = Ask::new(Method::PUT, &path)
            .json(json!({"enable_conversation_logging": true}))
            .bearer(&root);
        let set = set.to(&app).await;
        assert_eq!(set.body["enable_conversation_logging"], true, "{set:?}");
        let nowhere = Ask::get("/api/nowhere").bearer(&root).to(&app).await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
        let other = Ask::delete(&path).bearer(&root).to(&app).await;
        assert_eq!(other.header("allow"), "PUT");
        for path in ["/api/v1/nowhere", "/api/v1/logs/nowhere"] {
            let answer = Ask::get(path).bearer(&root).to(&app).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
        }
    }

    #[actix_web::test]
    async fn the_token_console_speaks_in_its_envelope() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let ask = |method: Method, path: &str| {
            Ask::new(method, &format!("/api/console/{path}")).bearer(&root)
        };
        let new = json!({"name": "staging", "description": "for tests"});
        let made = Ask::post("/api/console/keys", new)
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(made.body["code"], 0);
        assert!(
            made.body["data"]["token"]
                .as_str()
                .unwrap()
                .starts_with("sk-stw-")
        );
        let id = made.body["data"]["id"].as_str().unwrap();
        let keys = ask(Method::GET, "keys").to(&app).await.body;
        assert_eq!(keys["data"][0]["name"], "staging", "{keys}");
        assert_eq!(keys["data"][0]["status"], "active");
        let gone = ask(Method::DELETE, &format!("keys/{id}")).to(&app).await;
        assert_eq!(
            (gone.status, gone.body),
            (StatusCode::OK, json!({"code": 0, "data": null}))
        );
        let again = ask(Method::DELETE, &format!("keys/{id}")).to(&app).await;
        assert_eq!(
            (again.status, &again.body["code"]),
            (StatusCode::NOT_FOUND, &json!(404))
        );
        let stats = ask(Method::GET, "stats").to(&app).await.body;
        assert_eq!(stats["data"]["api_call_count"], 0, "{stats}");
        assert_eq!(stats["data"]["remaining_tokens"], json!(null));
        let trend = ask(Method::GET, "usage-trend?days=3").to(&app).await.body;
        assert_eq!(trend["data"].as_array().unwrap().len(), 3, "{trend}");
        assert_eq!(
            ask(Method::GET, "logs?limit=5").to(&app).await.body,
            json!({"code": 0, "data": []})
        );
        let export = ask(Method::GET, "export").to(&app).await.body;
        assert_eq!(export["data"]["usage_trend"].as_array().unwrap().len(), 30);
        let nobody = Ask::get("/api/console/stats").to(&app).await;
        assert_eq!(
            (nobody.status, &nobody.body["code"]),
            (StatusCode::UNAUTHORIZED, &json!(401))
        );
        assert!(nobody.body["message"].is_string(), "{nobody:?}");
    }
}
