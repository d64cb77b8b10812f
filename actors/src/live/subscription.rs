//! One listener: which topics, and up to where it has heard each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytestring::ByteString;
use tokio::sync::watch;

use super::{Kind, Switchboard, Topic};

/// From where on a topic is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Since {
    /// A state's newest message, events from now on.
    Now,
    /// Everything after this number of this process.
    Seq(u64),
    /// A number of another process: nothing is known of what happened between.
    OtherEpoch,
}

/// See the module. Dropped, it listens to nothing any more.
#[derive(Debug)]
pub struct Subscription {
    board: Arc<Switchboard>,
    bell: watch::Receiver<u64>,
    /// By topic: number of the last message taken.
    cursors: Vec<Option<u64>>,
}

impl Subscription {
    pub(super) fn new(board: Arc<Switchboard>, bell: watch::Receiver<u64>) -> Self {
        Self {
            board,
            bell,
            cursors: vec![None; Topic::ALL.len()],
        }
    }

    /// Changes when there may be something to take; wait for it, then [`take`](Self::take).
    pub fn bell(&self) -> watch::Receiver<u64> {
        self.bell.clone()
    }

    /// Whose numbers these are.
    pub fn epoch(&self) -> i64 {
        self.board.epoch()
    }

    /// Whether it listens to `topic`.
    pub fn has(&self, topic: Topic) -> bool {
        self.cursors[topic.index()].is_some()
    }

    /// Listens to `topic`; again, from another place, when it did already. False when what happened since then is not
    /// known any more: the client must fetch, and hears what happens from now on.
    pub fn add(&mut self, topic: Topic, since: Since) -> bool {
        let (cursor, is_whole) = {
            let ring = self.board.channel(topic).ring.read();
            let newest = match topic.kind() {
                Kind::State => ring.last_seq().saturating_sub(1),
                Kind::Events => ring.last_seq(),
            };
            match (since, topic.kind()) {
                // States in between were superseded: nothing is missing.
                (Since::Seq(seq), Kind::State) if seq <= ring.last_seq() => (seq, true),
                (Since::Seq(seq), Kind::Events) if ring.reaches(seq) => (seq, true),
                (Since::Now, _) => (newest, true),
                (Since::Seq(_) | Since::OtherEpoch, _) => (newest, false),
            }
        };
        if self.cursors[topic.index()].replace(cursor).is_none() {
            self.board
                .channel(topic)
                .wanted
                .fetch_add(1, Ordering::Relaxed);
        }
        is_whole
    }

    /// Listens to `topic` no more.
    pub fn remove(&mut self, topic: Topic) {
        if self.cursors[topic.index()].take().is_some() {
            self.board
                .channel(topic)
                .wanted
                .fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives what is new to `send`, states first, until `budget` bytes are used up; at least one message, if there is
    /// one. What is left is there the next time, or, when that is too late, told as `lagged`. True when all was given.
    pub fn take(&mut self, mut budget: usize, mut send: impl FnMut(ByteString)) -> bool {
        for topic in Topic::ALL.iter().copied() {
            let Some(cursor) = self.cursors[topic.index()] else {
                continue;
            };
            let (taken, last_seq) = {
                let ring = self.board.channel(topic).ring.read();
                if ring.last_seq() == cursor {
                    continue;
                }
                if budget == 0 {
                    return false;
                }
                (ring.take(cursor, budget), ring.last_seq())
            };
            if taken.missed > 0 && topic.kind() == Kind::Events {
                send(lagged(topic, self.epoch(), taken.missed));
            }
            self.cursors[topic.index()] = Some(taken.cursor);
            for frame in taken.frames {
                budget = budget.saturating_sub(frame.len());
                send(frame);
            }
            if taken.cursor < last_seq {
                return false;
            }
        }
        true
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for topic in Topic::ALL {
            self.remove(*topic);
        }
    }
}

fn lagged(topic: Topic, epoch: i64, missed: u64) -> ByteString {
    let name = topic.name();
    format!(r#"{{"topic":"{name}","epoch":{epoch},"lagged":{missed}}}"#).into()
}
