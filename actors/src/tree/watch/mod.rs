//! What looks after the process itself, and tells people.
//!
//! Loose intensity: receivers and databases that fail are outside, and must not take the process down.

pub mod alert_evaluator;
pub mod health_prober;
pub mod log_collector;
pub mod notifier;

use std::sync::Arc;
use std::time::Duration;

use crate::courier::Courier;
use crate::supervision::{ActorRef, Group, Intensity};

use alert_evaluator::AlertEvaluator;

/// How notices leave.
#[derive(Clone)]
pub struct AlertSettings {
    /// Where the console is, for links in notices; empty when that is not known.
    pub console_url: String,
    /// Called while everything is well; empty: nobody.
    pub heartbeat_url: String,
    /// Carries notices out of the house.
    pub courier: Arc<dyn Courier>,
}

impl std::fmt::Debug for AlertSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertSettings").finish_non_exhaustive()
    }
}

/// The group `root/watch`.
pub fn group(
    alerts: (alert_evaluator::Parts, ActorRef<AlertEvaluator>),
    notifier: notifier::Parts,
    logs: log_collector::Parts,
    health: health_prober::Parts,
    queue: usize,
) -> Group {
    let (evaluator, alert_evaluator) = alerts;
    Group::new("watch")
        .intensity(Intensity {
            max: 30,
            within: Duration::from_secs(60),
        })
        .child(alert_evaluator::spec(&alert_evaluator, evaluator))
        .child(notifier::spec(&ActorRef::new(queue), notifier))
        .child(log_collector::spec(&ActorRef::new(queue), logs))
        .child(health_prober::spec(&ActorRef::new(queue), health))
}
