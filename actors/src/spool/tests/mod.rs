//! The spool against a simple model, a hostile disk, damaged bytes, other versions, many threads and a killer.

mod bounds;
mod damage;
mod disk;
mod faults;
mod formats;
mod hammer;
mod kill;
mod model;
mod plain;

use std::sync::Arc;

use super::{FsyncPolicy, Lease, Overflow, Recovery, Settled, Spool, SpoolConfig};
use disk::MemDisk;

/// 8 KiB segments and a cache of 4, so that rolling and reading back happen all the time.
fn small(dir: impl Into<std::path::PathBuf>) -> SpoolConfig {
    SpoolConfig {
        segment_bytes: 8 << 10,
        fsync: FsyncPolicy::Never,
        overflow: Overflow::Refuse,
        min_free_bytes: 0,
        cache_capacity: 4,
        ..SpoolConfig::new(dir, 3)
    }
}

fn open_mem(disk: &Arc<MemDisk>) -> (Arc<Spool>, Recovery) {
    Spool::open_on(disk.clone(), small("spool")).expect("opens")
}

fn payload(seq: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seq as usize * 31 + at) as u8).collect()
}

fn stored(lease: &Lease) -> Settled {
    Settled {
        stored: lease.entries.len() as u64,
        dead_lettered: 0,
    }
}

fn unacked(spool: &Spool) -> Vec<u64> {
    let mut seqs = Vec::new();
    spool
        .replay_unacked(|entry| seqs.push(entry.seq))
        .expect("readable");
    seqs
}

/// Leases and acks everything; answers the delivered numbers.
fn drain(spool: &Spool, epoch: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(lease) = spool.lease(epoch, 7).expect("readable") {
        seqs.extend(lease.entries.iter().map(|entry| entry.seq));
        let settled = stored(&lease);
        lease.ack(settled).expect("not revoked");
    }
    seqs
}

fn assert_balanced(spool: &Spool) {
    let ledger = spool.ledger();
    assert!(ledger.balances(), "{ledger:?}");
}
