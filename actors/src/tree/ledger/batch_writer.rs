//! `batch_writer`: leases records, commits them in one transaction, acks.
//!
//! One loop in the background of the actor, so that its mailbox stays responsive while it waits for records
//! or for a database that takes nothing; then it keeps its lease and tries again, more and more slowly, and
//! its [`Condition`](delivery::Condition) says so. A transaction has a bound: one that
//! hangs is dropped, which rolls it back, and tried again. What becomes of a lease is told in [`delivery`].

pub mod delivery;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::ledger_store::WriteError;
use crate::spool::{Lease, ReadError};
use crate::supervision::{ActorRef, ChildSpec, Incarnation, Placement};

use delivery::{Parts, deliver};

/// Pause before partitions that could not be made at the turn of a month are tried again.
const PREPARE_AGAIN: Duration = Duration::from_secs(60);

/// Most batches of one transaction, reached only when records have piled up.
const BATCHES_MAX: usize = 5;

/// Write what waits now, without waiting for a full batch or for a pause to pass.
#[derive(Clone, Copy, Debug)]
pub struct Flush;

impl Message for Flush {
    type Result = ();
}

/// The actor.
pub struct BatchWriter {
    parts: Arc<Parts>,
    me: Incarnation<Self>,
    hurry: Arc<Notify>,
}

/// The child spec of `root/ledger/batch_writer`: on a thread of its own, draining until the spool is empty.
pub fn spec(actor: &ActorRef<BatchWriter>, parts: Arc<Parts>) -> ChildSpec {
    let (gate, fence) = (Arc::clone(&parts.spool), Arc::clone(&parts.spool));
    let settings = parts.settings.clone();
    ChildSpec::new("batch_writer", actor, move |me| BatchWriter {
        parts: Arc::clone(&parts),
        me,
        hurry: Arc::new(Notify::new()),
    })
    .placement(Placement::Dedicated)
    .hang_after(settings.hang_after)
    .shutdown_within(settings.drain_within)
    .drain_gate(move || gate.ledger().spooled > 0)
    .on_fence(move |epoch| fence.revoke_before(epoch))
}

impl Actor for BatchWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let writing = Writing {
            parts: Arc::clone(&self.parts),
            me: self.me.clone(),
            hurry: Arc::clone(&self.hurry),
            prepared: None,
            backfilling: true,
            prepare_after: Instant::now(),
        };
        let me = self.me.clone();
        let write = async move {
            let why = writing.run().await;
            me.fail(why);
        };
        ctx.spawn(write.into_actor(self));
    }
}

impl Handler<Flush> for BatchWriter {
    type Result = ();

    fn handle(&mut self, _: Flush, _: &mut Self::Context) {
        self.hurry.notify_one();
    }
}

/// The loop and what it remembers.
struct Writing {
    parts: Arc<Parts>,
    me: Incarnation<BatchWriter>,
    hurry: Arc<Notify>,
    /// The hour in which the store was last prepared, since the Unix epoch.
    prepared: Option<i64>,
    /// Rows from before there were rollups may be left to count; done between batches.
    backfilling: bool,
    /// No preparation before, after one that failed.
    prepare_after: Instant,
}

impl Writing {
    /// Runs until this incarnation may no longer lease.
    async fn run(mut self) -> String {
        loop {
            self.prepare().await;
            if self.backfilling {
                self.backfill().await;
            }
            if !self.backfilling {
                self.gather().await;
            }
            match self.lease().await {
                Ok(None) => {}
                Ok(Some(lease)) => self.write(lease).await,
                Err(error @ ReadError::Fenced { .. }) => return error.to_string(),
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be read; it is tried again");
                    self.pause(1).await;
                }
            }
        }
    }

    /// Waits for a full batch, or for the first record and the flush time.
    async fn gather(&self) {
        self.parts.spool.ready(1).await;
        if self.me.is_draining() {
            return;
        }
        let settings = self.parts.in_force.load_full();
        tokio::select! {
            () = self.parts.spool.ready(settings.batch_records) => {}
            () = sleep(settings.flush_after) => {}
            () = self.hurry.notified() => {}
        }
    }

    /// One step; a step that fails is tried again after the next batch or pause.
    async fn backfill(&mut self) {
        if self.me.is_draining() {
            self.backfilling = false;
            return;
        }
        match self.bounded(0, self.parts.store.backfill()).await {
            Ok(done) => self.backfilling = !done,
            Err(error) => {
                tracing::warn!(%error, "statistics of earlier calls cannot be counted yet");
                self.pause(1).await;
            }
        }
    }

    /// Leasing may read from disk, so it happens off this thread.
    async fn lease(&self) -> Result<Option<Lease>, ReadError> {
        let (spool, epoch) = (Arc::clone(&self.parts.spool), self.me.epoch());
        let settings = self.parts.in_force.load();
        spool.keep_in_memory(settings.queue_records);
        let most = settings.batch_records.saturating_mul(BATCHES_MAX);
        match tokio::task::spawn_blocking(move || spool.lease(epoch, most)).await {
            Ok(leased) => leased,
            // The runtime is going down, and this loop with it.
            Err(_) => Ok(None),
        }
    }

    async fn write(&self, lease: Lease) {
        let mut tries = 0;
        let settled = loop {
            match self.bounded(tries, deliver(&self.parts, &lease)).await {
                Ok(settled) => break settled,
                Err(error) => {
                    tries += 1;
                    self.unavailable(&error, tries);
                    self.pause(tries).await;
                }
            }
        };
        self.available();
        if lease.ack(settled).is_err() {
            tracing::warn!(
                "a batch was committed by an incarnation that had been replaced; its rows count once"
            );
        }
    }

    /// Partitions for what is coming, and a count of the rows that none claims: at start and in every hour in which
    /// something is written. Nothing is written before the
    /// first time; a later one may fail for weeks, there are two months ahead.
    async fn prepare(&mut self) {
        let now_ms = self.parts.clock.now_ms();
        let hour = now_ms.div_euclid(3_600_000);
        let mut tries = 0;
        while self.prepared != Some(hour) && Instant::now() >= self.prepare_after {
            match self.bounded(tries, self.parts.store.prepare(now_ms)).await {
                Ok(prepared) => {
                    if prepared.stray_rows > 0 {
                        tracing::warn!(
                            rows = prepared.stray_rows,
                            "request log rows lie outside every month's partition"
                        );
                    }
                    self.parts.condition.send_if_modified(|condition| {
                        let changed = condition.stray_rows != prepared.stray_rows;
                        condition.stray_rows = prepared.stray_rows;
                        changed
                    });
                    self.prepared = Some(hour);
                    self.available();
                }
                Err(error) if self.prepared.is_some() => {
                    tracing::warn!(%error, "partitions for the months ahead cannot be made yet");
                    self.prepare_after = Instant::now() + PREPARE_AGAIN;
                }
                Err(error) => {
                    tries += 1;
                    self.unavailable(&error, tries);
                    self.pause(tries).await;
                }
            }
        }
    }

    /// Dropping a transaction rolls it back; a database that says nothing is one that is not available. The
    /// bound doubles twice: a slow disk must not be asked the same for ever.
    async fn bounded<T>(
        &self,
        tries: u32,
        work: impl Future<Output = Result<T, WriteError>>,
    ) -> Result<T, WriteError> {
        let bound = self.parts.settings.commit_within * (1 << tries.min(2));
        timeout(bound, work).await.unwrap_or_else(|_| {
            Err(WriteError::Unavailable(format!(
                "no answer within {bound:?}"
            )))
        })
    }

    fn unavailable(&self, error: &WriteError, tries: u32) {
        if tries == 1 {
            tracing::error!(%error, "the ledger database takes nothing; records wait in the spool");
        }
        let now = self.parts.clock.now_micros();
        self.parts.condition.send_modify(|condition| {
            condition.unavailable_since.get_or_insert(now);
            condition.reason = Some(error.to_string());
            condition.tries = tries;
        });
    }

    fn available(&self) {
        let recovered = self.parts.condition.send_if_modified(|condition| {
            condition.reason = None;
            condition.tries = 0;
            condition.unavailable_since.take().is_some()
        });
        if recovered {
            tracing::info!("the ledger database takes records again");
        }
    }

    /// Waits before the next try: doubling, with jitter, cut short by [`Flush`].
    async fn pause(&self, tries: u32) {
        let settings = &self.parts.settings;
        let full = settings
            .retry_first
            .saturating_mul(1 << tries.saturating_sub(1).min(16))
            .min(settings.retry_max);
        let length = full.mul_f64(0.5 + 0.5 * rand::random::<f64>());
        let _ = timeout(length.max(Duration::from_millis(1)), self.hurry.notified()).await;
    }
}
