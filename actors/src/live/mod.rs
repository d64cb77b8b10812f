//! The switchboard: what happens, to everybody who wants to know, as it happens.
//!
//! Whoever has news calls [`Switchboard::publish`] on any thread: it is serialised once, put into the topic's ring and
//! forgotten. `push_hub` (`tree/live`) rings the bell, at most so many times a second; each [`Subscription`] then takes
//! what it has not seen. The rings outlive the actor, so its restart loses nothing. No sockets here, and nobody's
//! permissions: that is the front's. Numbers are of this process: another start has another `epoch`.

mod ring;
mod subscription;
mod topic;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use chrono::{DateTime, SecondsFormat};
use parking_lot::RwLock;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::domain::clock::SharedClock;
use ring::Ring;

pub use subscription::{Since, Subscription};
pub use topic::{Kind, Topic};

/// Looks at something now and then and publishes what it sees. Idempotent; asked by `push_hub`, never twice at a time.
#[async_trait::async_trait]
pub trait Source: Send + Sync + 'static {
    /// For the log.
    fn name(&self) -> &'static str;

    /// How often it looks; rounded up to whole beats of the hub.
    fn every(&self) -> Duration;

    /// One look. Awaits, does not block; it is given up after a while.
    async fn look(&self, board: &Switchboard);
}

struct Channel {
    ring: RwLock<Ring>,
    /// Subscriptions that hold it.
    wanted: AtomicUsize,
}

/// See the module. One per process.
pub struct Switchboard {
    epoch: i64,
    clock: SharedClock,
    channels: Vec<Channel>,
    bell: watch::Sender<u64>,
    published: Notify,
    sources: RwLock<Vec<Arc<dyn Source>>>,
}

impl fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switchboard")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Switchboard {
    /// With nothing published yet; its epoch is now.
    pub fn new(clock: SharedClock) -> Arc<Self> {
        let channel = |topic: &Topic| Channel {
            ring: RwLock::new(Ring::new(topic.kind())),
            wanted: AtomicUsize::new(0),
        };
        Arc::new(Self {
            epoch: clock.now_micros(),
            clock,
            channels: Topic::ALL.iter().map(channel).collect(),
            bell: watch::Sender::new(0),
            published: Notify::new(),
            sources: RwLock::new(Vec::new()),
        })
    }

    /// When this process began, in microseconds since the Unix epoch: sequence numbers of another mean nothing here.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether anybody listens to `topic`. What costs something to find out is not looked at otherwise.
    pub fn is_wanted(&self, topic: Topic) -> bool {
        self.channel(topic).wanted.load(Ordering::Relaxed) > 0
    }

    /// Puts `data` onto `topic`. A state that says what its last message said is not told again. Any thread; costs one
    /// serialisation, whatever the number of subscribers.
    pub fn publish(&self, topic: Topic, data: &impl Serialize) {
        let data = match serde_json::to_string(data) {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(%error, topic = topic.name(), "news that cannot be written as JSON are not told");
                return;
            }
        };
        let (epoch, at) = (self.epoch, self.clock.now_micros());
        {
            let mut ring = self.channel(topic).ring.write();
            if ring.says(&data) {
                return;
            }
            ring.push(data, |seq, data| frame(topic, epoch, seq, at, data));
        }
        self.published.notify_one();
    }

    /// Adds something that `push_hub` looks at from now on.
    pub fn attach(&self, source: Arc<dyn Source>) {
        self.sources.write().push(source);
    }

    /// A listener to nothing yet.
    pub fn subscribe(self: &Arc<Self>) -> Subscription {
        Subscription::new(Arc::clone(self), self.bell.subscribe())
    }

    /// Wakes every listener now: there is news for them, or about them.
    pub fn ring(&self) {
        self.bell.send_modify(|rung| *rung += 1);
    }

    /// Resolves once something was published since the last time it did.
    pub(crate) async fn published(&self) {
        self.published.notified().await;
    }

    pub(crate) fn sources(&self) -> Vec<Arc<dyn Source>> {
        self.sources.read().clone()
    }

    fn channel(&self, topic: Topic) -> &Channel {
        // One channel for each topic, in their order.
        &self.channels[topic.index()]
    }
}

fn frame(topic: Topic, epoch: i64, seq: u64, at_micros: i64, data: &str) -> ByteString {
    let at = DateTime::from_timestamp_micros(at_micros)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true);
    let name = topic.name();
    format!(r#"{{"topic":"{name}","epoch":{epoch},"seq":{seq},"at":"{at}","data":{data}}}"#).into()
}

#[cfg(test)]
mod tests;
