//! The contents page: every route of every face, in one place.
//!
//! Handlers live with their features; their paths stand at the handlers, under the prefix given here.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, HttpRequest, HttpResponse, web};
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{compat, idempotency, middleware, openapi};
use crate::console;
use crate::error::{ApiError, ErrorCode};
use crate::features;
use crate::gateway;
use crate::push;
use crate::state::AppState;

/// Everything that is served, framed: what production and tests run.
pub fn app(
    state: web::Data<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let gateway = gateway::configure(&state.gateway);
    App::new()
        .app_data(state)
        // A path with something else where a number belongs leads nowhere.
        .app_data(web::PathConfig::default().error_handler(|_, _| {
            ApiError::new(ErrorCode::NotFound)
                .detail("There is nothing at this path.")
                .into()
        }))
        .wrap(from_fn(middleware::frame))
        .configure(features::ingest::beside_gateway)
        .configure(features::prompts::beside_gateway)
        .configure(gateway)
        .configure(|config| {
            configure(&mut ServiceConfig::new(config));
        })
        .default_service(web::to(nowhere))
}

/// Every route.
pub fn configure(config: &mut ServiceConfig<'_>) {
    // The gateway, /v1/*, is mounted by `app`: its client belongs to the worker, and `gateway_document` tells of it.
    config.configure(features::health::routes);
    // Before the scope, which answers for everything below its prefix.
    config.map(|plain| {
        plain
            .route("/openapi.json", web::get().to(openapi::document))
            .route("/api/v1/openapi.json", web::get().to(openapi::document))
            .configure(console::docs::routes)
            .configure(console::routes)
    });
    config.service(
        scope("/api/v1")
            .wrap(from_fn(idempotency::replay))
            .wrap(from_fn(middleware::know_operators))
            .wrap(from_fn(middleware::refuse_nul))
            .wrap(from_fn(middleware::limit_address))
            .configure(control),
    );
    compat::mount(config);
}

/// The control face: /api/v1/*
fn control(config: &mut ServiceConfig<'_>) {
    config
        .configure(features::auth::routes)
        .configure(push::routes)
        .configure(features::downloads::routes)
        .configure(features::instance::routes)
        .configure(features::operator_keys::routes)
        .configure(features::operators::routes)
        .configure(features::roles::routes)
        .configure(features::audit::routes)
        .configure(features::tokens::routes)
        .configure(features::jwt_issuers::routes)
        .configure(features::jwt_tests::routes)
        .configure(features::accounts::routes)
        .configure(features::tenants::routes)
        .configure(features::supervision::routes)
        .configure(features::system::routes)
        .configure(features::system_logs::routes)
        .configure(features::logs::routes)
        .configure(features::stats::routes)
        .configure(features::reports::routes)
        .configure(features::conversations::routes)
        .configure(features::redaction_rules::routes)
        .configure(features::feedback::routes)
        .configure(features::settings::routes)
        .configure(features::retention::routes)
        .configure(features::archives::routes)
        .configure(features::prices::routes)
        .configure(features::prompts::routes)
        .configure(features::templates::routes)
        .configure(features::knowledge::routes)
        .configure(features::ingest::routes)
        // Before alerts, whose `{id}` would take the name.
        .configure(features::channels::routes)
        .configure(features::alerts::routes)
        .configure(features::backups::routes)
        .configure(features::jobs::routes);
}

/// Paths that nobody serves, and methods that a path does not know.
async fn nowhere(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(openapi::no_such_route(request.method(), request.path()))
}
