//! Records pass a logger and a writer that keep dying in every way there is; not one may be lost.
//!
//! Seeded: a failing run prints its seed, `STEWARD_FAULT_SEED` repeats it.

use crate::support::{LONG, clean, real_time, virtual_time};
use actix::prelude::*;
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use steward_actors::supervision::{Supervisor, *};

#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Record(u64);

/// A table with a unique key, written in transactions.
#[derive(Default)]
struct Table {
    rows: Mutex<HashMap<u64, u32>>,
    conflicts: AtomicU64,
}

impl Table {
    fn commit(&self, keys: impl Iterator<Item = u64>) {
        let mut rows = self.rows.lock();
        for key in keys {
            let seen = rows.entry(key).or_default();
            *seen += 1;
            if *seen > 1 {
                self.conflicts.fetch_add(1, Relaxed);
            }
        }
    }
}

struct Logger {
    queue: Arc<WorkQueue<Record>>,
    faults: Arc<FaultPlan>,
}

impl Actor for Logger {
    type Context = Context<Self>;
}

impl Handler<Record> for Logger {
    type Result = ();

    fn handle(&mut self, record: Record, ctx: &mut Context<Self>) {
        if self.faults.at("logger: before push").is_some() {
            panic!("logger fault at {}", record.0);
        }
        if let Err(QueueFull(record)) = self.queue.try_push(record) {
            // Back-pressure: the mailbox stops until there is room.
            let queue = Arc::clone(&self.queue);
            ctx.wait(
                async move {
                    let _ = queue.push(record).await;
                }
                .into_actor(self),
            );
        }
    }
}

struct Writer {
    me: Incarnation<Writer>,
    queue: Arc<WorkQueue<Record>>,
    table: Arc<Table>,
    faults: Arc<FaultPlan>,
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let wakes = futures_util::stream::unfold(Arc::clone(&self.queue), |queue| async move {
            queue.ready().await;
            Some(((), queue))
        });
        ctx.add_stream(wakes.boxed_local());
        ctx.run_interval(Duration::from_millis(5), Self::write);
    }
}

impl StreamHandler<()> for Writer {
    fn handle(&mut self, (): (), ctx: &mut Context<Self>) {
        self.write(ctx);
    }
}

impl Writer {
    fn write(&mut self, ctx: &mut Context<Self>) {
        while let Ok(Some(lease)) = self.queue.lease(self.me.epoch(), 20) {
            match self.faults.at("writer: before commit") {
                Some(Fault::Panic) => panic!("before commit"),
                Some(Fault::Fail) => return self.me.fail("cannot write"),
                Some(Fault::PanicSpawned) => {
                    ctx.spawn(async { panic!("in a spawned future") }.into_actor(self));
                }
                Some(Fault::Hang) => {
                    let hang = async move {
                        let _held = lease;
                        std::future::pending::<()>().await;
                    };
                    return ctx.wait(hang.into_actor(self));
                }
                Some(Fault::Block) => std::thread::sleep(Duration::from_millis(80)),
                None => {}
            }
            // A zombie may still commit: the key makes that harmless.
            self.table
                .commit(lease.items().iter().map(|(_, record)| record.0));
            if self.faults.at("writer: before ack").is_some() {
                panic!("committed, not acknowledged");
            }
            let _ = lease.ack();
        }
    }
}

struct Pipeline {
    table: Arc<Table>,
    queue: Arc<WorkQueue<Record>>,
    logger: ActorRef<Logger>,
    writer: ActorRef<Writer>,
    root: Group,
}

fn pipeline(
    strategy: Strategy,
    logger_faults: Arc<FaultPlan>,
    writer_faults: Arc<FaultPlan>,
    hang_after: Duration,
) -> Pipeline {
    let queue = WorkQueue::<Record>::new(256);
    let table = Arc::new(Table::default());
    let logger = ActorRef::<Logger>::new(128);
    let writer = ActorRef::<Writer>::new(8);
    let make_writer = {
        let (queue, table) = (Arc::clone(&queue), Arc::clone(&table));
        move |me| Writer {
            me,
            queue: Arc::clone(&queue),
            table: Arc::clone(&table),
            faults: Arc::clone(&writer_faults),
        }
    };
    let make_logger = {
        let queue = Arc::clone(&queue);
        move |_| Logger {
            queue: Arc::clone(&queue),
            faults: Arc::clone(&logger_faults),
        }
    };
    let (gate, fence) = (Arc::clone(&queue), Arc::clone(&queue));
    let root = Group::new("root")
        .strategy(strategy)
        .intensity(Intensity {
            max: 1_000_000,
            within: LONG,
        })
        .backoff(Backoff {
            first: Duration::from_micros(200),
            max: Duration::from_millis(5),
            jitter: 0.3,
            reset_after: Duration::from_millis(1),
        })
        .child(
            ChildSpec::new("writer", &writer, make_writer)
                .hang_after(hang_after)
                .kill_grace(Duration::from_millis(10))
                .shutdown_within(LONG)
                .drain_gate(move || !gate.is_empty())
                .on_fence(move |epoch| fence.revoke_before(epoch)),
        )
        .child(
            ChildSpec::new("logger", &logger, make_logger)
                .never_hangs()
                .shutdown_within(LONG),
        );
    Pipeline {
        table,
        queue,
        logger,
        writer,
        root,
    }
}

/// Sends `count` records while everything dies, then shuts down: all must be in the table.
async fn survive(pipeline: Pipeline, seed: u64, count: u64, one_thread: bool, operator: bool) {
    println!("STEWARD_FAULT_SEED={seed}");
    let Pipeline {
        table,
        queue,
        logger,
        writer,
        root,
    } = pipeline;
    let supervisor = Supervisor::new(root).unwrap().seed(seed);
    let tree = if one_thread {
        supervisor.on_one_thread().start()
    } else {
        supervisor.start()
    };
    let sending = async {
        for key in 0..count {
            let mut record = Record(key);
            loop {
                match logger.try_send_sure(record, 50) {
                    Ok(()) => break,
                    Err(TrySendError::Closed(_)) => panic!("seed {seed}: closed during restarts"),
                    Err(TrySendError::Full(back)) => record = back,
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
    };
    let operating = async {
        if !operator {
            return std::future::pending().await;
        }
        loop {
            for path in ["root/logger", "root/writer"] {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let _ = tree.restart(path).await;
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = operating => {}
    }
    // Half of it may still be on its way: the drain must bring it home.
    assert_eq!(tree.shutdown(LONG).await, clean(), "seed {seed}");
    let rows = table.rows.lock();
    let lost = (0..count).filter(|key| !rows.contains_key(key)).count();
    assert_eq!((lost, rows.len() as u64), (0, count), "seed {seed}");
    assert!(queue.is_empty(), "seed {seed}: {queue:?}");
    assert_eq!(logger.snapshot().dead_letters, 0, "seed {seed}");
    println!(
        "  rows {count}, conflicts absorbed {}, redelivered {}, restarts {} + {}",
        table.conflicts.load(Relaxed),
        queue.redelivered(),
        logger.snapshot().restarts,
        writer.snapshot().restarts,
    );
}

const ALL_BUT_BLOCK: [Fault; 4] = [Fault::Panic, Fault::PanicSpawned, Fault::Fail, Fault::Hang];

#[test]
fn nothing_is_lost_in_virtual_time_whatever_the_seed_and_strategy() {
    for seed in 0..20 {
        let strategy = match seed % 3 {
            0 => Strategy::OneForOne,
            1 => Strategy::RestForOne,
            _ => Strategy::OneForAll,
        };
        virtual_time(async {
            let logger_faults = FaultPlan::new(seed, 300, &[Fault::Panic]);
            let writer_faults = FaultPlan::new(seed, 20, &ALL_BUT_BLOCK);
            let pipe = pipeline(
                strategy,
                logger_faults,
                Arc::clone(&writer_faults),
                Duration::from_millis(100),
            );
            let seed = writer_faults.seed();
            survive(pipe, seed, 3_000, true, seed.is_multiple_of(2)).await;
            assert!(
                writer_faults.struck() > 3,
                "seed {seed}: the plan was too kind"
            );
        });
    }
}

#[test]
fn nothing_is_lost_on_threads_that_panic_hang_and_block() {
    let mut kinds = ALL_BUT_BLOCK.to_vec();
    kinds.push(Fault::Block);
    for seed in 100..106 {
        real_time(async {
            let logger_faults = FaultPlan::new(seed, 300, &[Fault::Panic]);
            let writer_faults = FaultPlan::new(seed, 30, &kinds);
            let pipe = pipeline(
                Strategy::OneForOne,
                logger_faults,
                Arc::clone(&writer_faults),
                Duration::from_millis(40),
            );
            survive(pipe, writer_faults.seed(), 3_000, false, seed == 105).await;
        });
    }
}

/// A writer that panics about every thousand records, at the lab's scale.
#[test]
fn twenty_thousand_records_with_a_writer_that_keeps_panicking() {
    real_time(async {
        let faults = FaultPlan::new(7, 50, &[Fault::Panic]);
        let pipe = pipeline(
            Strategy::OneForOne,
            FaultPlan::none(),
            Arc::clone(&faults),
            LONG,
        );
        survive(pipe, faults.seed(), 20_000, false, false).await;
    });
}

/// SIGTERM in the middle of a crash loop: everything accepted is drained, then the intake is closed.
#[test]
fn shutdown_during_a_crash_loop_loses_nothing() {
    for seed in 200..204 {
        real_time(async {
            let faults = FaultPlan::new(seed, 3, &[Fault::Panic, Fault::Fail]);
            let Pipeline {
                table,
                queue,
                logger,
                root,
                ..
            } = pipeline(
                Strategy::OneForOne,
                FaultPlan::new(seed, 200, &[Fault::Panic]),
                Arc::clone(&faults),
                LONG,
            );
            println!("STEWARD_FAULT_SEED={}", faults.seed());
            let tree = Supervisor::new(root).unwrap().seed(seed).start();
            let mut accepted = 0;
            for _ in 0..40 {
                while logger.try_send_sure(Record(accepted), 50).is_ok() {
                    accepted += 1;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(tree.shutdown(LONG).await, clean(), "seed {seed}");
            assert_eq!(table.rows.lock().len() as u64, accepted, "seed {seed}");
            assert!(queue.is_empty());
            assert!(matches!(
                logger.try_send(Record(0)),
                Err(TrySendError::Closed(_))
            ));
        });
    }
}
