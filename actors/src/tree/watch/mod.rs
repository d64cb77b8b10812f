//! What looks after the process itself.

pub mod health_prober;
pub mod log_collector;

use std::sync::Arc;

use crate::live::Switchboard;
use crate::log_feed::LogFeed;
use crate::supervision::{ActorRef, Group};

use health_prober::HealthProber;
use log_collector::LogCollector;

/// The group `root/watch`.
pub fn group(
    log_collector: &ActorRef<LogCollector>,
    feed: Arc<LogFeed>,
    board: Arc<Switchboard>,
    health_prober: &ActorRef<HealthProber>,
    health: health_prober::Parts,
) -> Group {
    Group::new("watch")
        .child(log_collector::spec(log_collector, feed, board))
        .child(health_prober::spec(health_prober, health))
}
