//! What looks after the process itself.

pub mod log_collector;

use std::sync::Arc;

use crate::live::Switchboard;
use crate::log_feed::LogFeed;
use crate::supervision::{ActorRef, Group};

use log_collector::LogCollector;

/// The group `root/watch`.
pub fn group(
    log_collector: &ActorRef<LogCollector>,
    feed: Arc<LogFeed>,
    board: Arc<Switchboard>,
) -> Group {
    Group::new("watch").child(log_collector::spec(log_collector, feed, board))
}
