//! Calls made elsewhere, told of by applications with their token: OpenTelemetry spans and plain batches.
//!
//! | method | path | credential |
//! |---|---|---|
//! | POST | `/v1/traces` | token |
//! | POST | `/api/v1/ingest/records` | token |
//!
//! Both answer after what they took is on the books, and recognise for 48 hours what they were told before. What
//! spans mean is `otlp`'s; the gateway's own calls do not come this way.

mod batch;
mod body;
mod traces;

use actix_web::web;
use utoipa_actix_web::service_config::ServiceConfig;

/// `POST /v1/traces`, beside the gateway's paths: to be mounted before them.
pub(crate) fn beside_gateway(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/v1/traces")
            .route(web::post().to(traces::take))
            .default_service(web::to(traces::wrong_method)),
    );
}

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(batch::records);
}
