//! `stats`: what moves, every `push.interval_ms`, and the day's totals once a second.
//!
//! Rates are those of the last ten seconds: calls from the gateway's counters, model tokens from what came onto the
//! books. The day's totals are the rollups', which move with the log; nothing is counted a second time here.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Serialize;
use steward_actors::domain::calendar;
use steward_actors::live::{Source, Switchboard, Topic};
use steward_actors::tree::ledger::batch_writer::delivery::BatchCommitted;
use steward_entities::ledger::rollup::{self, SUMS, TOTAL_DAILY};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use crate::state::AppState;

/// Rates are of so long.
const RATE_OVER: Duration = Duration::from_secs(10);
/// How often the day's totals are read.
const TOTALS_EVERY: Duration = Duration::from_secs(1);

/// What subscribers get.
#[derive(Serialize)]
struct News {
    /// Calls of known tokens not yet ended.
    in_flight: u64,
    /// Calls that ended, a second, over the last ten.
    requests_per_second: f64,
    /// Of those, the ones that ended in 4xx or 5xx.
    errors_per_second: f64,
    /// Model tokens, a second, over the last ten.
    tokens_per_second: f64,
    /// Null while they cannot be read.
    today: Option<Arc<Today>>,
}

/// Totals of the day in `stats.time_zone`.
#[derive(Debug, Eq, PartialEq, Serialize)]
struct Today {
    request_count: i64,
    success_count: i64,
    error_count: i64,
    total_prompt_tokens: i64,
    total_completion_tokens: i64,
    total_tokens: i64,
}

/// Counters that only grow, at one moment.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    requests: u64,
    errors: u64,
    tokens: u64,
}

struct Seen {
    committed: Receiver<BatchCommitted>,
    /// Model tokens that came onto the books since the process began.
    tokens: u64,
    marks: VecDeque<Mark>,
    today: Option<Arc<Today>>,
    today_at: Option<Instant>,
}

/// See the module.
pub(super) struct Numbers {
    state: Weak<AppState>,
    seen: Mutex<Seen>,
}

impl Numbers {
    pub(super) fn new(state: Weak<AppState>, committed: Receiver<BatchCommitted>) -> Self {
        Self {
            state,
            seen: Mutex::new(Seen {
                committed,
                tokens: 0,
                marks: VecDeque::new(),
                today: None,
                today_at: None,
            }),
        }
    }
}

impl Seen {
    /// Model tokens of what came onto the books. A lease that is delivered again counts by the share that is new.
    fn gather(&mut self) {
        loop {
            match self.committed.try_recv() {
                Ok(batch) => {
                    let tokens: i64 = batch.records.iter().map(|record| record.total_tokens).sum();
                    let tokens = u128::from(tokens.max(0).cast_unsigned());
                    let share =
                        tokens * u128::from(batch.count) / batch.records.len().max(1) as u128;
                    self.tokens += u64::try_from(share).unwrap_or(0);
                }
                // Then the rate is too low for ten seconds; the totals are not concerned.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Notes the counters; answers the rates of requests, errors and tokens.
    fn rates(&mut self, now: Instant, requests: u64, errors: u64) -> [f64; 3] {
        self.marks.push_back(Mark {
            at: now,
            requests,
            errors,
            tokens: self.tokens,
        });
        while self.marks.len() > 1 && now.duration_since(self.marks[1].at) >= RATE_OVER {
            self.marks.pop_front();
        }
        let first = self.marks[0];
        let seconds = now.duration_since(first.at).as_secs_f64().max(1.0);
        let rate =
            |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds * 10.0).round() / 10.0;
        [
            rate(requests, first.requests),
            rate(errors, first.errors),
            rate(self.tokens, first.tokens),
        ]
    }
}

async fn today(state: &AppState) -> Option<Arc<Today>> {
    let day = calendar::day_of(state.time_zone, state.clock.now_micros());
    let next = calendar::next_day(state.time_zone, day);
    let read = &state.databases.ledger_read;
    let rows = match rollup::rows(read, &TOTAL_DAILY, (day, next), &[]).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::debug!(%error, "the day's totals cannot be read for those who listen");
            return None;
        }
    };
    let mut sums = [0_i64; SUMS.len()];
    for row in &rows {
        for (sum, more) in sums.iter_mut().zip(row.measures.sums) {
            *sum = sum.saturating_add(more);
        }
    }
    let sum = |column: &str| {
        let index = SUMS.iter().position(|name| *name == column);
        index.map_or(0, |index| sums[index])
    };
    Some(Arc::new(Today {
        request_count: sum("request_count"),
        success_count: sum("success_count"),
        error_count: sum("request_count") - sum("success_count"),
        total_prompt_tokens: sum("prompt_tokens"),
        total_completion_tokens: sum("completion_tokens"),
        total_tokens: sum("total_tokens"),
    }))
}

#[async_trait]
impl Source for Numbers {
    fn name(&self) -> &'static str {
        "stats"
    }

    fn every(&self) -> Duration {
        let state = self.state.upgrade();
        state.map_or(Duration::from_secs(1), |state| {
            state.settings.load().push_every
        })
    }

    async fn look(&self, board: &Switchboard) {
        let Some(state) = self.state.upgrade() else {
            return;
        };
        let now = Instant::now();
        let reading = state.gateway.counters().read();
        let ([requests, errors, tokens], stale) = {
            let mut seen = self.seen.lock();
            seen.gather();
            let by_class = reading.requests_by_class;
            let rates = seen.rates(now, by_class.iter().sum(), by_class[3] + by_class[4]);
            let stale = seen
                .today_at
                .is_none_or(|at| now.duration_since(at) >= TOTALS_EVERY);
            (rates, stale)
        };
        if !board.is_wanted(Topic::Stats) {
            return;
        }
        if stale {
            let today = today(&state).await;
            let mut seen = self.seen.lock();
            seen.today = today;
            seen.today_at = Some(now);
        }
        let today = self.seen.lock().today.clone();
        board.publish(
            Topic::Stats,
            &News {
                in_flight: reading.in_flight,
                requests_per_second: requests,
                errors_per_second: errors,
                tokens_per_second: tokens,
                today,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use steward_actors::domain::record::Record;
    use tokio::sync::broadcast;

    use super::*;

    #[test]
    fn rates_are_of_the_last_ten_seconds() {
        let (sender, committed) = broadcast::channel(4);
        let mut seen = Seen {
            committed,
            tokens: 0,
            marks: VecDeque::new(),
            today: None,
            today_at: None,
        };
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(seen.rates(at(0), 500, 5), [0.0, 0.0, 0.0]);
        assert_eq!(
            seen.rates(at(250), 510, 5),
            [10.0, 0.0, 0.0],
            "of a second at least"
        );
        let record = Record {
            total_tokens: 100,
            ..Record::default()
        };
        let mut batch = BatchCommitted {
            records: Arc::new([record.clone(), record]),
            rids: (0, 0),
            count: 2,
        };
        sender.send(batch.clone()).unwrap();
        batch.count = 0;
        sender.send(batch).unwrap();
        seen.gather();
        for step in 1..=10 {
            let [requests, errors, tokens] =
                seen.rates(at(step * 1_000), 500 + step * 50, 5 + step * 10);
            if step == 10 {
                assert_eq!((requests, errors, tokens), (50.0, 10.0, 20.0));
            }
        }
        assert_eq!(seen.rates(at(60_000), 1_000, 105), [0.0, 0.0, 0.0]);
        assert!(seen.marks.len() <= 2);
    }
}
