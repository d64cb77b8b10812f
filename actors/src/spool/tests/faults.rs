//! A disk that is full, fails its writes and syncs, or loses power.

use std::io;
use std::sync::Arc;

use super::disk::{MemDisk, Plan};
use super::{assert_balanced, drain, open_mem, payload, small, stored, unacked};
use crate::spool::{
    Admission, AppendError, FsyncPolicy, ReadError, RefuseReason, Spool, SpoolConfig,
};

/// A short life with a bit of everything; answers the accepted numbers.
fn live(spool: &Spool) -> Vec<u64> {
    let mut accepted = Vec::new();
    for round in 0..4 {
        for seq in 0..8 {
            if let Ok(appended) = spool.append(1, &payload(seq, 700)) {
                accepted.push(appended.seq);
            }
            assert_balanced(spool);
        }
        if let Ok(Some(lease)) = spool.lease(0, 3 + round) {
            let settled = stored(&lease);
            lease.ack(settled).expect("not revoked");
        }
        let _ = spool.sync_now();
        spool.maintain_now();
        assert_balanced(spool);
    }
    accepted
}

#[test]
fn a_disk_that_fails_at_any_operation_loses_nothing_accepted() {
    let healthy = MemDisk::seeded(3);
    let (spool, _) = open_mem(&healthy);
    live(&spool);
    let operations = healthy.operations();
    assert!(operations > 40);
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for from in 0..operations {
            for count in [1, 3, 1000] {
                let disk = MemDisk::seeded(3);
                disk.plan(|plan| plan.failing = Some((from, count, kind)));
                let (spool, _) = open_mem(&disk);
                let accepted = live(&spool);
                let before = spool.ledger();
                assert_eq!(before.accepted, accepted.len() as u64);
                assert_eq!(before.dropped, 0);
                assert_eq!(unacked(&spool).len() as u64, before.spooled);
                let left = disk.copy();
                let (again, recovery) = open_mem(&left);
                // The number of a half-written entry may not be there again; nothing accepted is missing.
                assert_eq!(recovery.lost, 0, "{from} {count}");
                assert!(recovery.unacked >= before.spooled, "{from} {count}");
                assert_balanced(&again);
                let delivered = drain(&again, 0);
                assert_eq!(
                    delivered.last().or(Some(&0)),
                    delivered.iter().max().or(Some(&0))
                );
                // The old one recovers as well once the disk does.
                disk.plan(|plan| *plan = Plan::default());
                spool.maintain_now();
                assert_eq!(spool.admits(), Admission::Open, "{from} {count}");
                spool.append(1, b"again").expect("appends");
                assert_eq!(drain(&spool, 0).len() as u64, before.spooled + 1);
                assert_balanced(&spool);
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_says_so_and_frees_itself_by_acks() {
    let disk = MemDisk::seeded(3);
    disk.plan(|plan| plan.capacity = Some(60 << 10));
    let (spool, _) = open_mem(&disk);
    let mut accepted = 0;
    let error = loop {
        match spool.append(1, &payload(1, 600)) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Full(_)), "{error}");
    assert_eq!(
        spool.admits(),
        Admission::Refuse(RefuseReason::WriteFailing)
    );
    assert!(accepted > 30);
    assert_eq!(drain(&spool, 0).len(), accepted);
    spool.maintain_now();
    assert_eq!(spool.admits(), Admission::Open);
    spool.append(1, b"x").expect("room again");
    assert_balanced(&spool);
}

fn always(disk: &Arc<MemDisk>) -> Arc<Spool> {
    let config = SpoolConfig {
        fsync: FsyncPolicy::Always,
        ..small("spool")
    };
    Spool::open_on(disk.clone(), config).expect("opens").0
}

#[test]
fn what_a_sync_covered_survives_a_power_failure() {
    for seed in 0..40 {
        let disk = MemDisk::seeded(seed);
        let spool = always(&disk);
        let mut durable = 0;
        for seq in 1..=30 {
            spool.append(1, &payload(seq, 500)).expect("appends");
            if seq % 7 == seed % 7 {
                // Some of the syncs fail, on the way to succeeding elsewhere.
                disk.plan(|plan| plan.failing_syncs = Some((seed % 3, seq % 3)));
                durable = match spool.sync_now() {
                    Ok(()) => seq,
                    Err(_) => durable,
                };
                disk.plan(|plan| plan.failing_syncs = None);
            }
        }
        let (again, recovery) = open_mem(&disk.power_loss());
        let found = unacked(&again);
        let synced: Vec<u64> = (1..=durable).collect();
        assert_eq!(
            found[..synced.len().min(found.len())],
            synced[..],
            "seed {seed} {recovery:?}"
        );
        again
            .replay_unacked(|entry| assert_eq!(entry.payload, payload(entry.seq, 500)))
            .expect("readable");
        assert_balanced(&again);
        assert_eq!(drain(&again, 0), found);
    }
}

#[test]
fn a_failed_sync_abandons_the_segment_and_moves_its_entries() {
    let disk = MemDisk::seeded(3);
    let spool = always(&disk);
    for seq in 1..=9 {
        spool.append(1, &payload(seq, 300)).expect("appends");
        if seq == 3 {
            spool.sync_now().expect("syncs");
        }
    }
    disk.plan(|plan| plan.failing_syncs = Some((0, 1)));
    // The disk itself asserts that no file is synced again after it failed.
    spool.sync_now().expect("synced elsewhere");
    let stats = spool.stats();
    assert_eq!(
        (
            stats.abandoned_segments,
            stats.sync_errors,
            stats.durable_seq
        ),
        (1, 1, 9)
    );
    spool.append(1, &payload(10, 300)).expect("appends");
    spool.sync_now().expect("syncs");
    assert_eq!(
        unacked(&open_mem(&disk.power_loss()).0),
        (1..=10).collect::<Vec<_>>()
    );
    assert_eq!(drain(&spool, 0), (1..=10).collect::<Vec<_>>());
    spool.maintain_now();
    assert_eq!(spool.stats().segments, 1);
}

#[tokio::test]
async fn a_disk_that_syncs_nothing_tells_the_waiters_and_refuses() {
    let disk = MemDisk::seeded(3);
    let spool = always(&disk);
    spool.append(1, b"x").expect("appends");
    disk.plan(|plan| plan.failing_syncs = Some((0, 100)));
    let error = spool.durable(1).await.expect_err("nothing syncs");
    assert!(
        matches!(error, AppendError::NotDurable { seq: 1, .. }),
        "{error}"
    );
    assert_eq!(
        spool.admits(),
        Admission::Refuse(RefuseReason::WriteFailing)
    );
    disk.plan(|plan| *plan = Plan::default());
    spool
        .durable(1)
        .await
        .expect("durable once the disk is well");
    assert_eq!(spool.admits(), Admission::Open);
    assert_eq!(unacked(&open_mem(&disk.power_loss()).0), [1]);
}

#[test]
fn after_a_failed_sync_upkeep_tries_again_though_nobody_waits() {
    let disk = MemDisk::seeded(3);
    let spool = always(&disk);
    spool.append(1, b"x").expect("appends");
    disk.plan(|plan| plan.failing_syncs = Some((0, 100)));
    spool.sync_now().expect_err("nothing syncs");
    assert_eq!(
        spool.admits(),
        Admission::Refuse(RefuseReason::WriteFailing)
    );
    disk.plan(|plan| *plan = Plan::default());
    let start = std::time::Instant::now();
    while spool.admits() != Admission::Open {
        assert!(start.elapsed().as_secs() < 10, "it stays closed for good");
        std::thread::sleep(std::time::Duration::from_millis(5));
        spool.sync_if_due();
        spool.maintain_now();
    }
    assert_eq!(spool.stats().durable_seq, 1);
}

#[test]
fn an_unreadable_segment_is_an_error_first_and_given_up_later() {
    let disk = MemDisk::seeded(3);
    let (spool, _) = open_mem(&disk);
    for seq in 1..=10 {
        spool.append(1, &payload(seq, 300)).expect("appends");
    }
    let cached = spool.lease(0, 4).expect("in memory").expect("some");
    disk.plan(|plan| plan.failing_reads = 2);
    for _ in 0..2 {
        assert!(matches!(spool.lease(0, 10), Err(ReadError::Io { .. })));
    }
    drop(cached);
    assert_eq!(
        drain(&spool, 0),
        (1..=10).collect::<Vec<_>>(),
        "a passing error costs nothing"
    );
    for seq in 1..=10 {
        spool.append(1, &payload(seq, 300)).expect("appends");
    }
    let cached = spool.lease(0, 4).expect("in memory").expect("some");
    disk.plan(|plan| plan.failing_reads = 1000);
    while spool.lease(0, 10).is_err() {}
    disk.plan(|plan| plan.failing_reads = 0);
    drop(cached);
    drain(&spool, 0);
    assert_balanced(&spool);
    assert_eq!(spool.ledger().spooled, 0);
    assert!(spool.ledger().dropped > 0);
}
