//! `aggregator`: keeps the last two hours of calls in memory, and derives the figures of days.
//!
//! One loop in the background of the actor. It listens to commits and counts them into [`Recent`], which anybody may
//! read; at start, when it fell behind, and when a commit was announced twice, it reads the log again meanwhile. Once
//! a minute it measures ([`derive`]) what is kept over time; as often as `stats.aggregation_interval_s` says it derives the
//! days that calls came to, and after midnight recounts yesterday. It loses nothing by dying: everything is derived from the log.

mod derive;
mod rebuild;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use chrono_tz::Tz;
use sea_orm::DbErr;
use steward_entities::database::Databases;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::domain::calendar;
use crate::domain::clock::SharedClock;
use crate::domain::recent::Recent;
use crate::domain::record::Record;
use crate::domain::ring::Call;
use crate::domain::setting::InForce;
use crate::spool::Spool;
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

use super::batch_writer::delivery::BatchCommitted;
use rebuild::Rebuilt;

/// How often what is too old is forgotten.
const BEAT: Duration = Duration::from_secs(10);
/// Beats between two measurements.
const BEATS: u32 = 6;
/// Pause before a log that could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// After the log was read: how long a commit may take from the log to its announcement.
const LATE_US: i64 = 60_000_000;

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    /// Where commits are announced.
    pub committed: broadcast::Sender<BatchCommitted>,
    /// What it fills.
    pub recent: Arc<Recent>,
    /// Its depth is measured.
    pub spool: Arc<Spool>,
    pub node: u8,
    /// Where days begin.
    pub zone: Tz,
    /// How often days are derived.
    pub settings: InForce,
    pub clock: SharedClock,
}

/// The actor.
pub struct Aggregator {
    parts: Parts,
    me: Incarnation<Self>,
}

/// The child spec of `root/ledger/aggregator`.
pub fn spec(actor: &ActorRef<Aggregator>, parts: Parts) -> ChildSpec {
    ChildSpec::new("aggregator", actor, move |me| Aggregator {
        parts: parts.clone(),
        me,
    })
}

impl Actor for Aggregator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let work = Work::new(self.parts.clone());
        let me = self.me.clone();
        let run = async move {
            let why = work.run().await;
            me.fail(why);
        };
        ctx.spawn(run.into_actor(self));
    }
}

type Running<T> = Option<Pin<Box<dyn Future<Output = T>>>>;

/// Days that are to be looked at again, for good or for ill.
type Derived = Result<BTreeSet<i64>, (DbErr, BTreeSet<i64>)>;

/// The loop and what it remembers.
struct Work {
    parts: Parts,
    heard: broadcast::Receiver<BatchCommitted>,
    /// Days that calls came to since they were derived.
    touched: BTreeSet<i64>,
    /// Commits heard while the log is being read.
    pending: Vec<Arc<[Record]>>,
    /// What was just read from the log, sorted, and until when that may be announced as news.
    seen: Option<(Vec<i64>, i64)>,
    rebuilding: Running<Result<Rebuilt, DbErr>>,
    deriving: Running<Derived>,
    /// When days were derived last.
    derived_at: Option<Instant>,
}

impl Work {
    fn new(parts: Parts) -> Self {
        Self {
            heard: parts.committed.subscribe(),
            parts,
            touched: BTreeSet::new(),
            pending: Vec::new(),
            seen: None,
            rebuilding: None,
            deriving: None,
            derived_at: None,
        }
    }

    /// Runs until nobody can commit any more.
    async fn run(mut self) -> String {
        self.rebuild(Duration::ZERO);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beats = 0_u32;
        loop {
            tokio::select! {
                heard = self.heard.recv() => match heard {
                    Ok(batch) => self.take(batch),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "recent calls fell behind; they are read from the log again");
                        self.rebuild(Duration::ZERO);
                    }
                    Err(RecvError::Closed) => return "nobody commits any more".to_owned(),
                },
                rebuilt = finished(&mut self.rebuilding) => match rebuilt {
                    Ok(rebuilt) => self.rebuilt(rebuilt),
                    Err(error) => {
                        tracing::warn!(%error, "recent calls cannot be read from the log yet");
                        self.rebuild(AGAIN);
                    }
                },
                derived = finished(&mut self.deriving) => match derived {
                    Ok(later) => self.touched.extend(later),
                    Err((error, days)) => {
                        tracing::warn!(%error, "figures of the day cannot be derived yet; trying again in a minute");
                        self.touched.extend(days);
                        self.derived_at = None;
                    }
                },
                _ = beat.tick() => {
                    self.parts.recent.advance();
                    let now = self.parts.clock.now_micros();
                    self.seen.take_if(|(_, until)| *until < now);
                    if beats.is_multiple_of(BEATS) {
                        self.derive();
                    }
                    beats = beats.wrapping_add(1);
                }
            }
        }
    }

    /// Reads the log again, from the beginning if that is under way already.
    fn rebuild(&mut self, after: Duration) {
        self.parts.recent.doubt();
        self.pending.clear();
        self.seen = None;
        // What was missed may belong to any recent day.
        let today = calendar::day_of(self.parts.zone, self.parts.clock.now_micros());
        let yesterday = calendar::day_of(self.parts.zone, today - 1);
        self.touched.extend([yesterday, today]);
        let parts = self.parts.clone();
        self.rebuilding = Some(Box::pin(async move {
            sleep(after).await;
            let home = parts.databases.clone();
            let reading = async move {
                rebuild::rebuild(&parts.databases.ledger_read, parts.clock.now_micros()).await
            };
            home.at_home(reading).await
        }));
    }

    fn rebuilt(&mut self, rebuilt: Rebuilt) {
        let Rebuilt { ring, seen, since } = rebuilt;
        self.parts.recent.replace(ring, since);
        self.seen = Some((seen, self.parts.clock.now_micros() + LATE_US));
        for records in std::mem::take(&mut self.pending) {
            self.count(&records);
        }
    }

    fn take(&mut self, batch: BatchCommitted) {
        for record in batch.records.iter() {
            let day = calendar::day_of(self.parts.zone, record.request_at);
            self.touched.insert(day);
        }
        if self.rebuilding.is_some() {
            self.pending.push(batch.records);
        } else if self.unseen(&batch.records).count() as u64 > batch.count {
            // Some of these were announced and counted before, and which is not known.
            self.rebuild(Duration::ZERO);
        } else {
            self.count(&batch.records);
        }
    }

    fn count(&self, records: &[Record]) {
        self.parts.recent.add(self.unseen(records).map(Call::of));
    }

    /// Without those that were just read from the log.
    fn unseen<'a>(&'a self, records: &'a [Record]) -> impl Iterator<Item = &'a Record> {
        records.iter().filter(|record| match &self.seen {
            Some((seen, _)) => seen.binary_search(&record.rid).is_err(),
            None => true,
        })
    }

    fn derive(&mut self) {
        if self.deriving.is_some() {
            return;
        }
        let every = self.parts.settings.load().aggregation_every;
        let is_first = self.derived_at.is_none();
        // A beat comes a little late or early.
        let is_due = self
            .derived_at
            .is_none_or(|at| at.elapsed() + BEAT / 2 >= every);
        let days = is_due.then(|| {
            self.derived_at = Some(Instant::now());
            std::mem::take(&mut self.touched)
        });
        let parts = self.parts.clone();
        self.deriving = Some(Box::pin(async move {
            let (home, of) = (parts.databases.clone(), days.clone());
            let round =
                home.at_home(async move { derive::round(&parts, of.as_ref(), is_first).await });
            round
                .await
                .map_err(|error| (error, days.unwrap_or_default()))
        }));
    }
}

/// Resolves once `running` has; never while there is none.
async fn finished<T>(running: &mut Running<T>) -> T {
    let outcome = match running {
        Some(work) => work.await,
        None => std::future::pending().await,
    };
    *running = None;
    outcome
}
