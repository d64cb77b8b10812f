//! What subscribers see moving. Nothing here is kept: whoever was away reads the books.

pub mod push_hub;

use std::sync::Arc;

use crate::live::Switchboard;
use crate::supervision::{ActorRef, Group};

use push_hub::PushHub;

/// The group `root/live`.
pub fn group(push_hub: &ActorRef<PushHub>, board: Arc<Switchboard>) -> Group {
    Group::new("live").child(push_hub::spec(push_hub, board))
}
