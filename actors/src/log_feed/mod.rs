//! The process's own log, on its way to those who read it in the console.
//!
//! Whoever logs calls [`LogFeed::push`] on their own thread: a short lock, no waiting, no I/O. `log_collector` moves
//! what came into the ring of the latest lines, tells the subscribers, and stores what is bad enough. When lines come
//! faster than they are moved or stored, the oldest that wait are dropped and counted: logging must never hold anybody
//! up. Lines come in without secrets (the layer that makes them sees to it). Standard error keeps its own copy.

mod line;
mod unstored;

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use line::{Level, Line};
pub(crate) use unstored::Unstored;

/// Lines that may wait to be moved.
const WAITING_MAX: usize = 4_096;
/// Lines kept for reading.
const KEPT_MAX: usize = 10_000;
/// Bytes of text kept for reading.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Which lines; all of them when nothing is set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// This level and worse.
    pub level: Option<Level>,
    /// Beginning of the target: a module, or the part of the program above it.
    pub target: Option<String>,
    /// Lower case; somewhere in message, target, user, request id or fields.
    pub keyword: Option<String>,
    /// User name of an operator.
    pub user: Option<String>,
    pub request_id: Option<String>,
    /// Microseconds since the Unix epoch, inclusive.
    pub from: Option<i64>,
    /// Microseconds since the Unix epoch, exclusive.
    pub to: Option<i64>,
}

impl Filter {
    /// Whether `line` passes.
    pub fn passes(&self, line: &Line) -> bool {
        self.level.is_none_or(|level| line.level >= level)
            && self.from.is_none_or(|from| line.at >= from)
            && self.to.is_none_or(|to| line.at < to)
            && self
                .target
                .as_ref()
                .is_none_or(|target| line.comes_from(target))
            && (self.user.is_none() || self.user == line.user)
            && (self.request_id.is_none() || self.request_id == line.request_id)
            && self.keyword.as_ref().is_none_or(|word| line.mentions(word))
    }
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    last_id: i64,
    dropped: u64,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
    dropped: u64,
}

/// Some of the kept lines.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Newest first.
    pub lines: Vec<Arc<Line>>,
    /// How many pass in all.
    pub count: usize,
    /// The oldest kept line, whether or not it passes: every later line of this node is in memory.
    pub oldest: Option<i64>,
}

/// Lines that somebody will miss.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Losses {
    /// Came too fast to be kept at all.
    pub dropped: u64,
    /// Should be in the table, and never will be.
    pub not_stored: u64,
}

/// See the module. One per process.
#[derive(Default)]
pub struct LogFeed {
    waiting: Mutex<Waiting>,
    kept: Mutex<Kept>,
    pushed: Notify,
    unstored: Unstored,
}

impl std::fmt::Debug for LogFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogFeed")
    }
}

impl LogFeed {
    /// Takes a line; its id is given here.
    pub fn push(&self, mut line: Line) {
        {
            let mut waiting = self.waiting.lock();
            waiting.last_id = line.at.max(waiting.last_id + 1);
            line.id = waiting.last_id;
            if waiting.lines.len() == WAITING_MAX {
                waiting.lines.pop_front();
                waiting.dropped += 1;
            }
            waiting.lines.push_back(line);
        }
        self.pushed.notify_one();
    }

    /// Moves what came into the ring, as lines of `node`; answers it, oldest first, and how many were dropped before it.
    pub fn collect(&self, node: u8) -> (Vec<Arc<Line>>, u64) {
        let (lines, dropped) = {
            let mut waiting = self.waiting.lock();
            let dropped = std::mem::take(&mut waiting.dropped);
            (std::mem::take(&mut waiting.lines), dropped)
        };
        let of_node = lines.into_iter().map(|line| Line { node, ..line });
        let lines: Vec<Arc<Line>> = of_node.map(Arc::new).collect();
        let mut kept = self.kept.lock();
        kept.dropped += dropped;
        for line in &lines {
            kept.bytes += line.bytes();
            kept.lines.push_back(Arc::clone(line));
        }
        while kept.lines.len() > KEPT_MAX || kept.bytes > KEPT_BYTES_MAX {
            match kept.lines.pop_front() {
                Some(oldest) => kept.bytes -= oldest.bytes(),
                None => break,
            }
        }
        (lines, dropped)
    }

    /// Resolves once something came since the last time it did.
    pub(crate) async fn pushed(&self) {
        self.pushed.notified().await;
    }

    /// Lines on their way into the table.
    pub(crate) fn unstored(&self) -> &Unstored {
        &self.unstored
    }

    /// Kept lines that pass with ids below `before`; at most `limit`.
    pub fn read(&self, filter: &Filter, before: Option<i64>, limit: usize) -> Found {
        let kept = self.kept.lock();
        let all = &kept.lines;
        let passing = || all.iter().rev().filter(move |line| filter.passes(line));
        let lines = passing()
            .filter(|line| before.is_none_or(|before| line.id < before))
            .take(limit)
            .cloned();
        Found {
            lines: lines.collect(),
            count: passing().count(),
            oldest: kept.lines.front().map(|line| line.id),
        }
    }

    /// The kept line of this number.
    pub fn line(&self, id: i64) -> Option<Arc<Line>> {
        let kept = self.kept.lock();
        let at = kept.lines.binary_search_by_key(&id, |line| line.id).ok()?;
        kept.lines.get(at).cloned()
    }

    /// When the oldest kept line was written, microseconds since the Unix epoch.
    pub fn kept_since(&self) -> Option<i64> {
        self.kept.lock().lines.front().map(|line| line.at)
    }

    /// What was lost since the process began.
    pub fn losses(&self) -> Losses {
        Losses {
            dropped: self.kept.lock().dropped,
            not_stored: self.unstored.lost(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, message: &str) -> Line {
        Line {
            id: 0,
            node: 0,
            at: 1_000,
            level,
            target: "steward::gateway".into(),
            message: message.into(),
            user: None,
            request_id: None,
            fields: vec![("account".into(), "acc_1".into())],
        }
    }

    fn messages(feed: &LogFeed, filter: &Filter) -> Vec<String> {
        feed.read(filter, None, 100)
            .lines
            .iter()
            .map(|line| line.message.clone())
            .collect()
    }

    #[test]
    fn lines_are_found_by_level_source_word_and_time() {
        let feed = LogFeed::default();
        feed.push(line(Level::Info, "Listening"));
        feed.push(line(Level::Error, "cannot write"));
        feed.push(Line {
            at: 2_000,
            target: "sqlx".into(),
            ..line(Level::Warn, "slow")
        });
        assert!(
            messages(&feed, &Filter::default()).is_empty(),
            "not before it is collected"
        );
        assert_eq!(feed.collect(7).0.len(), 3);
        assert_eq!(
            messages(&feed, &Filter::default()),
            ["slow", "cannot write", "Listening"]
        );
        let by = |filter: Filter| messages(&feed, &filter);
        assert_eq!(
            by(Filter {
                level: Some(Level::Warn),
                ..Filter::default()
            }),
            ["slow", "cannot write"]
        );
        assert_eq!(
            by(Filter {
                target: Some("sqlx".into()),
                ..Filter::default()
            }),
            ["slow"]
        );
        assert_eq!(
            by(Filter {
                target: Some("stew".into()),
                ..Filter::default()
            }),
            [] as [&str; 0]
        );
        assert_eq!(
            by(Filter {
                target: Some("steward".into()),
                ..Filter::default()
            })
            .len(),
            2
        );
        assert_eq!(
            by(Filter {
                keyword: Some("listen".into()),
                ..Filter::default()
            }),
            ["Listening"]
        );
        assert_eq!(
            by(Filter {
                keyword: Some("acc_1".into()),
                ..Filter::default()
            })
            .len(),
            3
        );
        assert_eq!(
            by(Filter {
                from: Some(1_001),
                ..Filter::default()
            }),
            ["slow"]
        );
        assert_eq!(
            by(Filter {
                to: Some(2_000),
                ..Filter::default()
            })
            .len(),
            2
        );
        assert_eq!(
            by(Filter {
                request_id: Some("req".into()),
                ..Filter::default()
            }),
            [] as [&str; 0]
        );
        // Two at one moment have two numbers, and numbers are never behind the time.
        let second = feed.read(&Filter::default(), Some(2_000), 1);
        let line = &second.lines[0];
        assert_eq!((line.id, line.message.as_str()), (1_001, "cannot write"));
        assert_eq!(
            (line.name().as_str(), second.count, second.oldest),
            ("1001-7", 3, Some(1_000))
        );
    }

    #[test]
    fn a_storm_is_bounded_and_counted() {
        let feed = LogFeed::default();
        for _ in 0..WAITING_MAX + 7 {
            feed.push(line(Level::Warn, "again"));
        }
        let (lines, dropped) = feed.collect(0);
        assert_eq!((lines.len(), dropped, lines[0].id), (WAITING_MAX, 7, 1_007));
        assert_eq!(feed.collect(0).1, 0);
        for _ in 0..40 {
            feed.push(line(Level::Warn, &"x".repeat(1_000_000)));
            feed.collect(0);
        }
        assert!(feed.kept.lock().bytes <= KEPT_BYTES_MAX);
        assert_eq!((feed.kept_since(), feed.losses().dropped), (Some(1_000), 7));
        for _ in 0..4 {
            for _ in 0..WAITING_MAX {
                feed.push(line(Level::Warn, "again"));
            }
            feed.collect(0);
        }
        assert_eq!(feed.read(&Filter::default(), None, 0).count, KEPT_MAX);
    }
}
