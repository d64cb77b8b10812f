//! `log_collector`: from the log's feed into the ring of the latest lines, to whoever watches them live, and, what is
//! bad enough, into the table `system_logs`.
//!
//! Woken by the first line after a pause; then it gathers for a moment, so that a storm becomes a few messages and not
//! thousands. A topic `logs:<LEVEL>` carries that level and everything worse. Storing is a task of its own: a database
//! that takes nothing holds up neither ring nor topics; what waits for it is bounded, and counted when it is lost. How
//! bad is bad enough is a setting.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use sea_orm::DbErr;
use serde::Serialize;
use steward_entities::column::TextMap;
use steward_entities::database::{Databases, begin_write};
use steward_entities::system_log::{self, NewLine};
use tokio::time::{Instant, sleep};

use crate::domain::setting::InForce;
use crate::live::{Switchboard, Topic};
use crate::log_feed::{Level, Line, LogFeed};
use crate::supervision::{ActorRef, ChildSpec, Placement};

/// How long it gathers.
pub const GATHER: Duration = Duration::from_millis(200);
/// Lines of one transaction.
const BATCH_LINES: usize = 500;
/// How long it waits after the database took nothing, at first and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Lines that were lost are told of at most so often.
const TOLD_EVERY: Duration = Duration::from_secs(60);
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

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub feed: Arc<LogFeed>,
    pub board: Arc<Switchboard>,
    pub databases: Databases,
    /// What says how bad a line is that is stored.
    pub settings: InForce,
    /// This node.
    pub node: u8,
}

/// The actor.
pub struct LogCollector {
    parts: Parts,
}

/// The child spec of `root/watch/log_collector`; at the end it stores what waits, if the database lets it.
pub fn spec(actor: &ActorRef<LogCollector>, parts: Parts) -> ChildSpec {
    let gate = Arc::clone(&parts.feed);
    ChildSpec::new("log_collector", actor, move |_| LogCollector {
        parts: parts.clone(),
    })
    .placement(Placement::Dedicated)
    .drain_gate(move || gate.unstored().has_work())
}

/// Moves what came, and tells of it.
fn collect(feed: &LogFeed, board: &Switchboard, node: u8, stored: Level) {
    let (lines, dropped) = feed.collect(node);
    let bad = lines.iter().filter(|line| line.level >= stored);
    feed.unstored().push(bad.cloned());
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

/// Writes lines down; those that are there already do no harm.
async fn write(databases: &Databases, lines: &[Arc<Line>], node: u8) -> Result<(), DbErr> {
    let rows = lines.iter().map(|line| new_line(line)).collect();
    let databases = databases.clone();
    let home = databases.clone();
    home.at_home(async move {
        let txn = begin_write(&databases.events).await?;
        system_log::insert(&txn, rows, node).await?;
        txn.commit().await
    })
    .await
}

/// As the table takes it: PostgreSQL keeps no NUL.
fn new_line(line: &Line) -> NewLine {
    let bare = |text: &str| text.replace('\0', "\u{fffd}");
    let fields = line.fields.iter();
    NewLine {
        line: line.id,
        at: line.at,
        level: line.level.as_str(),
        target: bare(&line.target),
        message: bare(&line.message),
        user_id: line.user.as_deref().map(bare),
        request_id: line.request_id.as_deref().map(bare),
        fields: TextMap(
            fields
                .map(|(name, value)| (bare(name), bare(value)))
                .collect(),
        ),
    }
}

/// Stores what waits, for good.
async fn store(parts: Parts) {
    let unstored = parts.feed.unstored();
    let mut again = AGAIN;
    let mut told: Option<Instant> = None;
    loop {
        let lines = unstored.take(BATCH_LINES);
        if lines.is_empty() {
            unstored.came().await;
            continue;
        }
        match write(&parts.databases, &lines, parts.node).await {
            Ok(()) => {
                unstored.stored();
                again = AGAIN;
                if told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
                    continue;
                }
                let lost = unstored.untold();
                if lost > 0 {
                    told = Some(Instant::now());
                    tracing::warn!(
                        lines = lost,
                        "lines of the log were not stored: they came too fast, or the database took none"
                    );
                }
            }
            Err(error) => {
                if unstored.is_stuck() {
                    tracing::warn!(%error, "the log cannot be stored; trying again");
                }
                sleep(again).await;
                again = (again * 2).min(AGAIN_MAX);
            }
        }
    }
}

impl Actor for LogCollector {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let parts = self.parts.clone();
        let collecting = async move {
            loop {
                parts.feed.pushed().await;
                sleep(GATHER).await;
                let stored = parts.settings.load().stored_level;
                collect(&parts.feed, &parts.board, parts.node, stored);
            }
        };
        ctx.spawn(collecting.into_actor(self));
        ctx.spawn(store(self.parts.clone()).into_actor(self));
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
            node: 0,
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
        collect(&feed, &board, 0, Level::Warn);
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
        collect(&feed, &board, 0, Level::Warn);
        assert_eq!(heard(Topic::LogsWarn).len(), 252);
        assert_eq!(feed.unstored().take(999).len(), 252, "what is stored");
    }
}
