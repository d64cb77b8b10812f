//! Who looks at what: the components this process can see, as `health_prober` asks for them.
//!
//! - [`own`]: databases, spool, disk, the groups of actors, and whether sign-in tokens can be issued.
//! - [`issuers`]: whose user tokens are taken, by signing one or by fetching their keys.
//! - [`services`]: what works for Steward outside or in rounds: the mail relay, the remote of statistics, learning.
//! - [`accounts`]: providers, by the cheapest request that needs the credential.
//!
//! They hold the state weakly: it holds the board that holds them. What a finding comes to is decided elsewhere
//! (`steward_actors::domain::health`).

mod accounts;
mod certificate;
mod dial;
mod issuers;
mod own;
mod services;

use std::sync::Arc;

use actix_web::web;
use steward_actors::health::Probe;

use crate::state::AppState;

pub use issuers::ISSUER;
pub use own::JWT;

/// Has `health_prober` look at everything `state` knows of from now on.
pub fn attach(state: &web::Data<AppState>) {
    let weak = || Arc::downgrade(&state.clone().into_inner());
    let mut probes: Vec<Arc<dyn Probe>> = vec![
        Arc::new(own::Own(weak())),
        Arc::new(issuers::Issuers(weak())),
        Arc::new(services::Services::new(weak())),
    ];
    if state.config.health.accounts {
        probes.push(Arc::new(accounts::Accounts(weak())));
    }
    state.tree.health.attach_all(probes);
}
