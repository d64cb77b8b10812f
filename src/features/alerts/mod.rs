//! Alerts: incidents and what operators do about them, rules, silences; and the bell.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/alerts/active` | `read:alerts` |
//! | GET | `/ops/alerts/history` | `read:alerts` |
//! | GET | `/ops/alerts/metrics` | `read:alerts` |
//! | GET | `/ops/alerts/rules` | `read:alerts` |
//! | POST, PUT | `/ops/alerts/rules` | `write:alerts` |
//! | POST | `/ops/alerts/rules/preview` | `read:alerts` |
//! | GET | `/ops/alerts/rules/{id}` | `read:alerts` |
//! | PUT, DELETE | `/ops/alerts/rules/{id}` | `write:alerts` |
//! | GET | `/ops/alerts/silences` | `read:alerts` |
//! | POST | `/ops/alerts/silences` | `write:alerts` |
//! | POST | `/ops/alerts/silences/{id}/end` | `write:alerts` |
//! | GET | `/ops/alerts/{id}` | `read:alerts` |
//! | POST | `/ops/alerts/{id}/acknowledge`, `/resolve` | `write:alerts` |
//! | GET | `/notifications` | `read:alerts` |
//! | POST | `/notifications/read` | `read:alerts` |
//!
//! Channels are a feature of their own. What fires is decided by `alert_evaluator`; here it is shown and answered.

mod bell;
mod incidents;
mod rules;
mod silences;
#[cfg(test)]
mod tests;

use steward_actors::alert_book::Settled;
use steward_actors::tree::watch::alert_evaluator::announce;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::state::AppState;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(incidents::active)
        .service(incidents::history)
        .service(rules::metrics)
        .service(rules::list)
        .service(rules::create)
        .service(rules::replace_all)
        .service(rules::preview)
        .service(rules::show)
        .service(rules::update)
        .service(rules::remove)
        .service(silences::list)
        .service(silences::create)
        .service(silences::end)
        .service(incidents::show)
        .service(incidents::acknowledge)
        .service(incidents::resolve)
        .service(bell::list)
        .service(bell::mark_read);
}

/// After the commit: tells whoever looks on, and wakes the notifier.
fn tell(state: &AppState, settled: &Settled) {
    let tree = &state.tree;
    announce(&tree.live, &tree.alerts, &settled.steps, settled.notices);
}

fn console_url(state: &AppState) -> &str {
    state.config.alerts.console_url.trim_end_matches('/')
}
