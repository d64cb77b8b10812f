//! Random lives of a spool, checked step by step against sets in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::disk::MemDisk;
use super::{assert_balanced, drain, open_mem, payload};
use crate::spool::{Lease, Settled, Spool};

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Lease(usize),
    Ack(usize, u64),
    GiveBack(usize),
    Revoke,
    Maintain,
    Sync,
    FailSync,
    FailWrite(u64),
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0usize..900).prop_map(Step::Append),
        6 => (1usize..12).prop_map(Step::Lease),
        5 => (0usize..4, 0u64..3).prop_map(|(which, dead)| Step::Ack(which, dead)),
        2 => (0usize..4).prop_map(Step::GiveBack),
        1 => Just(Step::Revoke),
        2 => Just(Step::Maintain),
        2 => Just(Step::Sync),
        1 => Just(Step::FailSync),
        1 => (1u64..3).prop_map(Step::FailWrite),
        1 => Just(Step::Kill),
    ]
}

struct Life {
    disk: Arc<MemDisk>,
    spool: Arc<Spool>,
    leases: Vec<(Lease, bool)>,
    epoch: u64,
    /// Everything accepted, with its payload.
    accepted: BTreeMap<u64, Vec<u8>>,
    pending: BTreeSet<u64>,
    leased: BTreeSet<u64>,
}

impl Life {
    fn step(&mut self, step: Step) {
        match step {
            Step::Append(len) => {
                let bytes = payload(self.accepted.len() as u64 + 1, len);
                let before = self.spool.ledger().accepted;
                match self.spool.append(9, &bytes) {
                    Ok(appended) => {
                        assert_eq!(appended.seq, before + 1);
                        self.accepted.insert(appended.seq, bytes);
                        self.pending.insert(appended.seq);
                    }
                    Err(_) => assert_eq!(self.spool.ledger().accepted, before),
                }
            }
            Step::Lease(max) => {
                let lease = self.spool.lease(self.epoch, max).expect("readable");
                let free = self.pending.difference(&self.leased).copied();
                let Some(lease) = lease else {
                    assert_eq!(free.count(), 0, "there was something to lease");
                    return;
                };
                let seqs: Vec<u64> = lease.entries.iter().map(|entry| entry.seq).collect();
                assert_eq!(
                    seqs,
                    free.take(seqs.len()).collect::<Vec<_>>(),
                    "the oldest first"
                );
                assert!(!seqs.is_empty() && seqs.len() <= max);
                for entry in &lease.entries {
                    assert_eq!(entry.kind, 9);
                    assert_eq!(entry.payload, self.accepted[&entry.seq]);
                }
                self.leased.extend(seqs);
                self.leases.push((lease, true));
            }
            Step::Ack(which, dead) if which < self.leases.len() => {
                let (lease, valid) = self.leases.remove(which);
                let seqs: Vec<u64> = lease.entries.iter().map(|entry| entry.seq).collect();
                let dead_lettered = dead.min(seqs.len() as u64);
                let settled = Settled {
                    stored: seqs.len() as u64 - dead_lettered,
                    dead_lettered,
                };
                assert_eq!(lease.ack(settled).is_ok(), valid);
                if valid {
                    for seq in seqs {
                        self.leased.remove(&seq);
                        self.pending.remove(&seq);
                    }
                }
            }
            Step::GiveBack(which) if which < self.leases.len() => {
                let (lease, valid) = self.leases.remove(which);
                if valid {
                    for entry in &lease.entries {
                        self.leased.remove(&entry.seq);
                    }
                }
                lease.give_back();
            }
            Step::Ack(..) | Step::GiveBack(_) => {}
            Step::Revoke => {
                self.epoch += 1;
                self.spool.revoke_before(self.epoch);
                self.leased.clear();
                for (_, valid) in &mut self.leases {
                    *valid = false;
                }
                assert!(self.spool.lease(self.epoch - 1, 1).is_err());
            }
            Step::Maintain => self.spool.maintain_now(),
            Step::Sync => {
                let _ = self.spool.sync_now();
            }
            Step::FailSync => self.disk.plan(|plan| plan.failing_syncs = Some((0, 2))),
            Step::FailWrite(count) => {
                let from = self.disk.operations() + 1;
                let kind = std::io::ErrorKind::StorageFull;
                self.disk
                    .plan(|plan| plan.failing = Some((from, count, kind)));
            }
            Step::Kill => self.kill(),
        }
        let ledger = self.spool.ledger();
        assert!(ledger.balances(), "{ledger:?}");
        assert_eq!(ledger.spooled, self.pending.len() as u64);
        assert_eq!(ledger.dropped, 0, "{:?}", self.spool.stats());
    }

    fn kill(&mut self) {
        self.disk = self.disk.copy();
        let (spool, recovery) = open_mem(&self.disk);
        assert_eq!(recovery.lost, 0, "{recovery:?}");
        assert!(recovery.cursor_rebuilt.is_none(), "{recovery:?}");
        let mut found = BTreeSet::new();
        spool
            .replay_unacked(|entry| {
                assert_eq!(entry.payload, self.accepted[&entry.seq]);
                assert!(found.insert(entry.seq), "seen twice");
            })
            .expect("readable");
        // What was acked since the cursor was written comes again; nothing else may.
        assert!(self.pending.is_subset(&found), "lost");
        self.pending = found;
        self.leased.clear();
        self.leases.clear();
        self.epoch = 0;
        self.spool = spool;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 2000, ..ProptestConfig::default() })]
    #[test]
    fn lives_like_its_model(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..120)) {
        let disk = MemDisk::seeded(seed);
        let (spool, _) = open_mem(&disk);
        let mut life = Life {
            disk,
            spool,
            leases: Vec::new(),
            epoch: 0,
            accepted: BTreeMap::new(),
            pending: BTreeSet::new(),
            leased: BTreeSet::new(),
        };
        for step in steps {
            life.step(step);
        }
        life.disk.plan(|plan| *plan = super::disk::Plan::default());
        life.kill();
        let delivered = drain(&life.spool, 0);
        assert_eq!(delivered, life.pending.iter().copied().collect::<Vec<_>>());
        assert_balanced(&life.spool);
        life.spool.flush().expect("flushes");
        let (again, recovery) = open_mem(&life.disk.copy());
        assert_eq!(recovery.unacked, 0);
        assert_eq!(again.ledger(), life.spool.ledger());
    }
}
