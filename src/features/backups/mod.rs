//! Backups: what lies elsewhere of what lies here, and how old it is.
//!
//! - [`database`]: the databases, sealed, in a folder or a bucket, and what restoring them came to.
//! - [`remote`]: the day's dashboard numbers, pushed to a remote.

mod database;
mod remote;

use utoipa_actix_web::service_config::ServiceConfig;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.configure(remote::routes).configure(database::routes);
}
