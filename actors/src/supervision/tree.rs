//! The tree as people and machines see it.

use super::exit::LastExit;
use super::group::Strategy;
use super::snapshot::{Snapshot, State};
use serde::Serialize;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A supervisor of children.
    Group,
    /// A process.
    Actor,
}

/// One node with everything below it. The numbers of a group are the sums of its children, except `restarts`,
/// `epoch`, `state` and `last_exit`, which are its own, and the percentiles, which it does not have (0).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Slash path, `root/…`.
    pub id: String,
    /// Group or actor.
    pub kind: NodeKind,
    /// A group's strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// What it is doing.
    pub state: State,
    /// Messages waiting.
    pub depth: usize,
    /// Messages that may wait.
    pub capacity: usize,
    /// Messages handled.
    pub processed: u64,
    /// Messages refused because a queue was full.
    pub rejected: u64,
    /// Starts after the first.
    pub restarts: u64,
    /// Accepted messages that were given up.
    pub dead_letters: u64,
    /// Abandoned incarnations whose thread is still blocked.
    pub zombies: u64,
    /// Number of the present incarnation, from 1.
    pub epoch: u64,
    /// Why the previous incarnation ended.
    pub last_exit: Option<LastExit>,
    /// Median handling time in microseconds.
    pub p50_us: u64,
    /// 99th percentile of the same.
    pub p99_us: u64,
    /// In start order.
    pub children: Vec<Node>,
}

impl Node {
    /// The node at a slash path, itself included.
    pub fn find(&self, path: &str) -> Option<&Node> {
        if self.id == path {
            return Some(self);
        }
        let below = path
            .strip_prefix(&self.id)
            .is_some_and(|rest| rest.starts_with('/'));
        if !below {
            return None;
        }
        self.children.iter().find_map(|child| child.find(path))
    }

    /// The node and everything below it, parents first.
    pub fn walk(&self) -> Vec<&Node> {
        let mut all = vec![self];
        for child in &self.children {
            all.extend(child.walk());
        }
        all
    }
}

impl From<&Node> for Snapshot {
    fn from(node: &Node) -> Self {
        Self {
            id: node.id.clone(),
            state: node.state,
            epoch: node.epoch,
            depth: node.depth,
            capacity: node.capacity,
            processed: node.processed,
            rejected: node.rejected,
            restarts: node.restarts,
            dead_letters: node.dead_letters,
            zombies: node.zombies,
            last_exit: node.last_exit.clone(),
            p50_us: node.p50_us,
            p99_us: node.p99_us,
        }
    }
}
