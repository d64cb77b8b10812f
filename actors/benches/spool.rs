//! How fast the spool accepts 600-byte records, beside a bare `pwrite` loop on the same disk.
//!
//! `cargo bench -p steward-actors --bench spool`; STEWARD_BENCH_RECORDS (default 400,000) sets the length,
//! TMPDIR the disk. Rounds alternate, the median is printed with the spread. Leaves out the consumer.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use steward_actors::spool::{FsyncPolicy, Overflow, Spool, SpoolConfig};

const RECORD_BYTES: usize = 600;
const ROUNDS: usize = 5;
/// Under `always` each of these waits for its sync.
const DURABLE_WAITERS: usize = 256;

fn bare(records: u64) -> f64 {
    let file = tempfile::tempfile().unwrap();
    let bytes = [7u8; RECORD_BYTES + 24];
    rustix::fs::fallocate(
        &file,
        rustix::fs::FallocateFlags::empty(),
        0,
        records * bytes.len() as u64,
    )
    .unwrap();
    let begin = Instant::now();
    for at in 0..records {
        file.write_all_at(&bytes, at * bytes.len() as u64).unwrap();
    }
    records as f64 / begin.elapsed().as_secs_f64()
}

fn config(dir: &std::path::Path, fsync: FsyncPolicy) -> SpoolConfig {
    SpoolConfig {
        fsync,
        overflow: Overflow::Refuse,
        min_free_bytes: 0,
        segment_bytes: 64 << 20,
        ..SpoolConfig::new(dir, 0)
    }
}

fn spooled(records: u64, fsync: FsyncPolicy) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(config(dir.path(), fsync)).unwrap();
    let payload = [7u8; RECORD_BYTES];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // What the request logger does: every 10 ms.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                spool.sync_if_due();
                spool.maintain();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let begin = Instant::now();
        for _ in 0..records {
            spool.append(1, &payload).unwrap();
        }
        let rate = records as f64 / begin.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        rate
    })
}

fn durable(records: u64) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(config(dir.path(), FsyncPolicy::Always)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let payload = [7u8; RECORD_BYTES];
    let begin = Instant::now();
    runtime.block_on(async {
        let caller = async || {
            for _ in 0..records / DURABLE_WAITERS as u64 {
                let seq = spool.append(1, &payload).unwrap().seq;
                spool.durable(seq).await.unwrap();
            }
        };
        futures_util::future::join_all((0..DURABLE_WAITERS).map(|_| caller())).await;
    });
    records as f64 / begin.elapsed().as_secs_f64()
}

fn main() {
    let records = std::env::var("STEWARD_BENCH_RECORDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(400_000);
    let interval = FsyncPolicy::Interval(Duration::from_millis(10));
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rates[0].push(bare(records));
        rates[1].push(spooled(records, FsyncPolicy::Never));
        rates[2].push(spooled(records, interval));
        rates[3].push(durable(records / 20));
    }
    let labels = [
        "bare pwrite",
        "spool, never",
        "spool, interval 10 ms",
        "spool, always (256 waiters)",
    ];
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let base = median(&mut rates[0]);
    println!("{records} records of {RECORD_BYTES} bytes, median of {ROUNDS} rounds");
    for (label, rates) in labels.iter().zip(&mut rates) {
        let middle = median(rates);
        println!(
            "{label:<28} {middle:>10.0} records/s   ratio {:.2}   spread {:.0}..{:.0}",
            middle / base,
            rates[0],
            rates[ROUNDS - 1]
        );
    }
}
