//! `log_collector`: from the log's feed into the ring of the latest lines, and to whoever watches them live.
//!
//! Woken by the first line after a pause; then it gathers for a moment, so that a storm becomes a few messages and not
//! thousands. A topic `logs:<LEVEL>` carries that level and everything worse.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use serde::Serialize;
use tokio::time::sleep;

use crate::live::{Switchboard, Topic};
use crate::log_feed::{Level, Line, LogFeed};
use crate::supervision::{ActorRef, ChildSpec, Incarnation, Placement};

/// How long it gathers.
pub const GATHER: Duration = Duration::from_millis(200);
/// Lines of one message.
const LINES_MAX: usize = 100;

const TOPICS: [(Level, Topic); 5] = [
    (Level::Error, Topic::LogsError),
    (Level::Warn, Topic::LogsWarn),
    (Level::Info, Topic::LogsInfo),
    (Level::Debug, Topic::LogsDebug),
    (Level::Trace, Topic::LogsTrace),
];

/// What subscribers get.
#[derive(Serialize)]
struct News<'a> {
    /// Oldest first.
    lines: &'a [&'a Line],
    /// Lines, of any level, that came too fast to be kept.
    dropped: u64,
}

/// The actor.
pub struct LogCollector {
    feed: Arc<LogFeed>,
    board: Arc<Switchboard>,
}

/// The child spec of `root/watch/log_collector`.
pub fn spec(
    actor: &ActorRef<LogCollector>,
    feed: Arc<LogFeed>,
    board: Arc<Switchboard>,
) -> ChildSpec {
    ChildSpec::new("log_collector", actor, move |me| {
        LogCollector::new(me, Arc::clone(&feed), Arc::clone(&board))
    })
    .placement(Placement::Dedicated)
}

impl LogCollector {
    /// One that has collected nothing yet.
    pub fn new(_me: Incarnation<Self>, feed: Arc<LogFeed>, board: Arc<Switchboard>) -> Self {
        Self { feed, board }
    }
}

/// Moves what came, and tells of it.
fn collect(feed: &LogFeed, board: &Switchboard) {
    let (lines, dropped) = feed.collect();
    for (level, topic) in TOPICS {
        let heard: Vec<&Line> = lines
            .iter()
            .map(|line| &**line)
            .filter(|line| line.level >= level)
            .collect();
        for lines in heard.chunks(LINES_MAX) {
            board.publish(topic, &News { lines, dropped });
        }
    }
}

impl Actor for LogCollector {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (feed, board) = (Arc::clone(&self.feed), Arc::clone(&self.board));
        let collecting = async move {
            loop {
                feed.pushed().await;
                sleep(GATHER).await;
                collect(&feed, &board);
            }
        };
        ctx.spawn(collecting.into_actor(self));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::clock::ManualClock;
    use crate::live::Since;

    fn line(level: Level) -> Line {
        Line {
            id: 0,
            at: 1_773_599_400_000_000,
            level,
            target: "steward".into(),
            message: level.as_str().into(),
            user: Some("ada".into()),
            request_id: None,
            fields: vec![("n".into(), "1".into())],
        }
    }

    #[test]
    fn a_topic_carries_its_level_and_worse() {
        let feed = LogFeed::default();
        let board = Switchboard::new(Arc::new(ManualClock::at_micros(1)));
        for level in [Level::Info, Level::Error, Level::Warn, Level::Debug] {
            feed.push(line(level));
        }
        collect(&feed, &board);
        let heard = |topic| {
            let mut listener = board.subscribe();
            listener.add(topic, Since::Seq(0));
            let mut heard: Vec<Value> = Vec::new();
            listener.take(usize::MAX, |frame| {
                let frame: Value = serde_json::from_str(&frame).unwrap();
                heard.extend(frame["data"]["lines"].as_array().unwrap().iter().cloned());
            });
            heard
        };
        assert_eq!(heard(Topic::LogsError).len(), 1);
        let warnings = heard(Topic::LogsWarn);
        assert_eq!(warnings.len(), 2);
        assert_eq!(warnings[0]["level"], "ERROR");
        assert_eq!(warnings[0]["at"], "2026-03-15T18:30:00.000Z");
        assert_eq!(warnings[0]["fields"]["n"], "1");
        assert_eq!(heard(Topic::LogsInfo).len(), 3);
        assert_eq!(heard(Topic::LogsTrace).len(), 4);
        for _ in 0..250 {
            feed.push(line(Level::Warn));
        }
        collect(&feed, &board);
        assert_eq!(heard(Topic::LogsWarn).len(), 252);
    }
}
