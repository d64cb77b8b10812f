//! Who looks at what: the components this process can see, as `health_prober` asks for them.
//!
//! - [`own`]: databases, spool, disk, the groups of actors, and whether sign-in tokens can be issued.
//! - [`issuers`]: whose user tokens are taken, by signing one or by fetching their keys.
//! - [`accounts`]: providers, by the cheapest request that needs the credential.
//!
//! They hold the state weakly: it holds the board that holds them. What a finding comes to is decided elsewhere
//! (`steward_actors::domain::health`).

mod accounts;
mod certificate;
mod dial;
mod issuers;
mod own;

use actix_web::web;

use std::sync::Arc;

use crate::state::AppState;

pub use issuers::ISSUER;
pub use own::JWT;

/// Has `health_prober` look at everything `state` knows of from now on.
pub fn attach(state: &web::Data<AppState>) {
    let weak = || Arc::downgrade(&state.clone().into_inner());
    let board = &state.tree.health;
    board.attach(Arc::new(own::Own(weak())));
    board.attach(Arc::new(issuers::Issuers(weak())));
    if state.config.health.accounts {
        board.attach(Arc::new(accounts::Accounts(weak())));
    }
}
