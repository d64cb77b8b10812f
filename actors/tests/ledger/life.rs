//! One life of a process: spool, databases and the ledger group, opened on a thread of their own and ended in
//! order or by a crash. What survives is what lies on disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::System;
use arc_swap::ArcSwap;
use prost::Message;
use steward_actors::domain::clock::{ManualClock, SharedClock};
use steward_actors::domain::record::RECORD_KIND;
use steward_actors::domain::setting::Settings;
use steward_actors::ledger_store::LedgerStore;
use steward_actors::spool::{LossLedger, Spool, SpoolConfig};
use steward_actors::supervision::{
    ActorRef, FaultPlan, Group, GroupExit, Intensity, Supervisor, SupervisorHandle,
};
use steward_actors::tree::ledger::batch_writer::delivery::{BatchCommitted, Condition, Parts};
use steward_actors::tree::ledger::{LedgerSettings, group, request_logger};
use steward_entities::database::{DatabaseConfig, Databases};
use tokio::sync::{broadcast, watch};

use crate::faulty;
use crate::records::{NODE, NOW_MS, record};

/// What a test sets.
#[derive(Clone)]
pub(crate) struct Rhythm {
    pub(crate) batch_records: usize,
    pub(crate) flush_after: Duration,
    pub(crate) ledger: LedgerSettings,
}

/// Everything quick, so that a test sees many restarts.
pub(crate) fn quick() -> Rhythm {
    let ledger = LedgerSettings {
        commit_within: Duration::from_millis(150),
        retry_first: Duration::from_millis(2),
        retry_max: Duration::from_millis(20),
        restart_first: Duration::from_millis(1),
        restart_max: Duration::from_millis(10),
        drain_within: Duration::from_secs(10),
        hang_after: Duration::from_millis(100),
        maintain_every: Duration::from_millis(20),
        maintain_idle: Duration::from_millis(100),
    };
    Rhythm {
        batch_records: 40,
        flush_after: Duration::from_millis(5),
        ledger,
    }
}

/// What a test holds of a running process.
pub(crate) struct Life {
    pub(crate) spool: Arc<Spool>,
    pub(crate) databases: Databases,
    pub(crate) supervisor: SupervisorHandle,
    pub(crate) committed: broadcast::Receiver<BatchCommitted>,
    pub(crate) condition: watch::Receiver<Condition>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Life {
    async fn begin(
        config: &DatabaseConfig,
        spool_dir: &Path,
        rhythm: Rhythm,
        plan: &Arc<FaultPlan>,
    ) -> Self {
        let databases = Databases::open(config).await.unwrap();
        let mut spool_config = SpoolConfig::new(spool_dir, NODE);
        spool_config.segment_bytes = 64 * 1024;
        spool_config.min_free_bytes = 0;
        let (spool, _) = Spool::open(spool_config).unwrap();
        let store: Arc<dyn LedgerStore> = faulty::store(&databases, plan);
        spool.reconcile(store.cursor(NODE).await.unwrap());
        let clock = Arc::new(ManualClock::at_micros(NOW_MS * 1_000));
        let shared: SharedClock = clock.clone();
        let (committed_sender, committed) = broadcast::channel(10_000);
        let (condition_sender, condition) = watch::channel(Condition::default());
        let parts = Parts {
            spool: Arc::clone(&spool),
            store,
            node: NODE,
            clock: shared,
            settings: rhythm.ledger.clone(),
            in_force: Arc::new(ArcSwap::from_pointee(Settings {
                batch_records: rhythm.batch_records,
                flush_after: rhythm.flush_after,
                ..Settings::default()
            })),
            committed: committed_sender,
            condition: condition_sender,
            left_out: Arc::new(|_| {}),
        };
        let logger = request_logger::Parts {
            spool: Arc::clone(&spool),
            settings: rhythm.ledger,
        };
        let root = Group::new("root")
            .intensity(Intensity {
                max: 0,
                within: Duration::from_secs(1),
            })
            .child(group(
                &ActorRef::new(8),
                &ActorRef::new(8),
                logger,
                Arc::new(parts),
            ));
        let supervisor = Supervisor::new(root).unwrap().start();
        Self {
            spool,
            databases,
            supervisor,
            committed,
            condition,
            clock,
        }
    }

    /// Appends the records numbered by `numbers`, as callers do: now and then.
    pub(crate) async fn append(&self, numbers: std::ops::Range<u64>) {
        for n in numbers {
            let bytes = record(n).encode_to_vec();
            self.spool.append(RECORD_KIND, &bytes).unwrap();
            assert!(self.spool.ledger().balances());
            if n.is_multiple_of(13) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Rids announced since the last time this was asked.
    pub(crate) fn announced(&mut self) -> BTreeSet<i64> {
        let mut rids = BTreeSet::new();
        while let Ok(batch) = self.committed.try_recv() {
            assert!(batch.count <= batch.records.len() as u64);
            rids.extend(batch.records.iter().map(|record| record.rid));
        }
        rids
    }

    /// Polls until `reached` holds of the loss ledger.
    ///
    /// # Panics
    /// When it does not within 20 s.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&LossLedger) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ledger = self.spool.ledger();
            assert!(ledger.balances(), "{ledger:?}");
            if reached(&ledger) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not within 20 s: {what}; {ledger:?}, {:?}, {:?}, {:#?}",
                self.spool.stats(),
                self.condition.borrow().clone(),
                self.supervisor.tree_now(),
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends as a crash does: nothing is finished, nothing is flushed.
    pub(crate) async fn crash(self) {
        self.supervisor.shutdown(Duration::ZERO).await;
    }

    /// Ends as SIGTERM does.
    pub(crate) async fn end(self) -> GroupExit {
        let exit = self.supervisor.shutdown(Duration::from_secs(10)).await;
        self.databases.close().await;
        exit
    }
}

/// Runs `story` in a process of its own (a thread with its own actix system).
pub(crate) fn live<S, F, T>(
    config: &DatabaseConfig,
    spool_dir: &Path,
    rhythm: Rhythm,
    plan: &Arc<FaultPlan>,
    story: S,
) -> T
where
    S: FnOnce(Life) -> F + Send,
    F: Future<Output = T>,
    T: Send,
{
    std::thread::scope(|scope| {
        let process = scope.spawn(|| {
            System::new().block_on(async {
                let life = Life::begin(config, spool_dir, rhythm, plan).await;
                story(life).await
            })
        });
        process
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
