//! `requests`: calls that came onto the books, the newest of them when there are many.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Serialize;
use steward_actors::domain::record::Record;
use steward_actors::domain::setting::InForce;
use steward_actors::live::{Source, Switchboard, Topic};
use steward_actors::tree::ledger::batch_writer::delivery::BatchCommitted;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::features::logs::{self, RequestItem};

/// Calls told at a time, four times a second unless set otherwise: more than anybody can read.
const ROWS_MAX: usize = 20;

/// See the module.
pub(super) struct Requests {
    committed: Mutex<Receiver<BatchCommitted>>,
    settings: InForce,
}

/// What subscribers get.
#[derive(Serialize)]
struct News {
    /// Newest first.
    items: Vec<RequestItem>,
    /// Calls that came onto the books meanwhile; told in full unless `sampled` says otherwise.
    count: u64,
    sampled: Option<Sampled>,
}

/// Only some are shown.
#[derive(Debug, Eq, PartialEq, Serialize)]
struct Sampled {
    shown: u64,
    of: u64,
    /// Batches passed unseen: `of` is a lower bound.
    at_least: bool,
}

impl Requests {
    pub(super) fn new(committed: Receiver<BatchCommitted>, settings: InForce) -> Self {
        Self {
            committed: Mutex::new(committed),
            settings,
        }
    }

    fn gather(&self) -> Gathered {
        let mut committed = self.committed.lock();
        let mut gathered = Gathered::default();
        loop {
            match committed.try_recv() {
                Ok(batch) => gathered.add(&batch),
                Err(TryRecvError::Lagged(_)) => gathered.missed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return gathered,
            }
        }
    }
}

#[derive(Default)]
struct Gathered {
    /// The last of them, in order.
    newest: VecDeque<Record>,
    count: u64,
    missed: bool,
}

impl Gathered {
    fn add(&mut self, batch: &BatchCommitted) {
        // A lease that is delivered again holds nothing new.
        if batch.count == 0 {
            return;
        }
        self.count += batch.count;
        let first = batch.records.len().saturating_sub(ROWS_MAX);
        for record in &batch.records[first..] {
            if self.newest.len() == ROWS_MAX {
                self.newest.pop_front();
            }
            self.newest.push_back(record.clone());
        }
    }

    fn news(self) -> Option<News> {
        if self.newest.is_empty() && !self.missed {
            return None;
        }
        let shown = self.newest.len() as u64;
        let sampled = (self.missed || shown < self.count).then_some(Sampled {
            shown,
            of: self.count.max(shown),
            at_least: self.missed,
        });
        Some(News {
            items: self.newest.iter().rev().map(logs::live).collect(),
            count: self.count.max(shown),
            sampled,
        })
    }
}

#[async_trait]
impl Source for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn every(&self) -> Duration {
        self.settings.load().push_every
    }

    async fn look(&self, board: &Switchboard) {
        // Gathered even when nobody listens: announcements hold memory until they are taken.
        if let Some(news) = self.gather().news() {
            board.publish(Topic::Requests, &news);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steward_actors::domain::clock::ManualClock;
    use tokio::sync::broadcast;

    use super::*;

    fn batch(rids: std::ops::Range<i64>, count: u64) -> BatchCommitted {
        let records: Arc<[Record]> = rids
            .clone()
            .map(|rid| Record {
                rid,
                ..Record::default()
            })
            .collect();
        BatchCommitted {
            records,
            rids: (rids.start, rids.end - 1),
            count,
        }
    }

    fn told(batches: Vec<BatchCommitted>) -> Option<serde_json::Value> {
        let (sender, receiver) = broadcast::channel(4);
        let source = Requests::new(receiver, InForce::default());
        for batch in batches {
            sender.send(batch).unwrap();
        }
        source
            .gather()
            .news()
            .map(|news| serde_json::to_value(news).unwrap())
    }

    #[test]
    fn few_calls_are_told_in_full_newest_first() {
        let news = told(vec![batch(1..3, 2), batch(3..4, 1)]).unwrap();
        assert_eq!(
            (&news["count"], &news["sampled"]),
            (&3.into(), &serde_json::Value::Null)
        );
        assert_eq!(news["items"].as_array().unwrap().len(), 3);
        assert!(told(vec![]).is_none());
        assert!(
            told(vec![batch(1..3, 0)]).is_none(),
            "a batch delivered again"
        );
    }

    #[test]
    fn many_are_sampled_and_it_is_said() {
        let news = told(vec![batch(1..101, 100), batch(101..111, 10)]).unwrap();
        assert_eq!(news["items"].as_array().unwrap().len(), 20);
        assert_eq!(news["sampled"]["shown"], 20);
        assert_eq!(news["sampled"]["of"], 110);
        assert_eq!(news["sampled"]["at_least"], false);
        let flood = (0..9).map(|n| batch(n * 10..n * 10 + 10, 10)).collect();
        assert_eq!(told(flood).unwrap()["sampled"]["at_least"], true);
    }

    #[tokio::test]
    async fn the_ring_keeps_calls_for_those_who_were_away() {
        let board = Switchboard::new(Arc::new(ManualClock::at_micros(1)));
        let (sender, receiver) = broadcast::channel(4);
        let source = Requests::new(receiver, InForce::default());
        sender.send(batch(1..3, 2)).unwrap();
        source.look(&board).await;
        let mut listener = board.subscribe();
        assert!(listener.add(Topic::Requests, steward_actors::live::Since::Seq(0)));
        let mut heard = 0;
        listener.take(usize::MAX, |_| heard += 1);
        assert_eq!(heard, 1);
    }
}
