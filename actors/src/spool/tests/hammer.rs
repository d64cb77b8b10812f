//! Many threads at once: the books balance whenever anybody looks.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{assert_balanced, payload, small, stored};
use crate::spool::{FsyncPolicy, Spool, SpoolConfig};

const WRITERS: usize = 3;
const EACH: usize = 1500;

#[test]
fn the_books_balance_at_every_instant() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = SpoolConfig {
        segment_bytes: 64 << 10,
        cache_capacity: 100,
        fsync: FsyncPolicy::Interval(std::time::Duration::from_millis(1)),
        ..small(dir.path())
    };
    let (spool, _) = Spool::open(config.clone()).expect("opens");
    let done = AtomicBool::new(false);
    let (spool, done) = (&spool, &done);
    let delivered = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(move || {
                    for _ in 0..EACH {
                        spool.append(1, &payload(1, 200)).expect("appends");
                    }
                })
            })
            .collect();
        let looking = scope.spawn(move || {
            let mut looks = 0u64;
            while !done.load(Ordering::Acquire) {
                assert_balanced(spool);
                looks += 1;
            }
            looks
        });
        scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                spool.sync_if_due();
                spool.maintain();
                std::thread::yield_now();
            }
        });
        let reading = scope.spawn(move || {
            let mut delivered = BTreeSet::new();
            let mut turn = 0;
            while delivered.len() < WRITERS * EACH {
                let Some(lease) = spool.lease(turn / 50, 64).expect("readable") else {
                    std::thread::yield_now();
                    continue;
                };
                assert!(lease.entries.is_sorted_by_key(|entry| entry.seq));
                turn += 1;
                if turn % 7 == 0 {
                    continue; // Dropped: given back.
                }
                if turn % 50 == 0 {
                    spool.revoke_before(turn / 50);
                }
                let seqs: Vec<u64> = lease.entries.iter().map(|entry| entry.seq).collect();
                let settled = stored(&lease);
                if lease.ack(settled).is_ok() {
                    for seq in seqs {
                        assert!(delivered.insert(seq), "{seq} was acked twice");
                    }
                }
            }
            delivered
        });
        for writer in writers {
            writer.join().expect("no panic");
        }
        let delivered = reading.join().expect("no panic");
        done.store(true, Ordering::Release);
        assert!(looking.join().expect("balanced") > 0);
        delivered
    });
    let all = (WRITERS * EACH) as u64;
    assert_eq!(delivered, (1..=all).collect::<BTreeSet<_>>());
    assert_eq!((spool.ledger().accepted, spool.ledger().stored), (all, all));
    spool.flush().expect("flushes");
    let (again, _) = Spool::open(config).expect("opens");
    assert_eq!(again.ledger(), spool.ledger());
}
