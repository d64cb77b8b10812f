//! The overflow policies, each at both bounds.

use super::disk::MemDisk;
use super::{assert_balanced, drain, payload, small};
use crate::spool::{Admission, DropReason, Overflow, RefuseReason, Spool, SpoolConfig};

fn bounded(overflow: Overflow) -> SpoolConfig {
    SpoolConfig {
        overflow,
        max_bytes: Some(32 << 10),
        ..small("spool")
    }
}

#[test]
fn refuse_says_no_before_the_call_but_records_those_under_way() {
    let disk = MemDisk::seeded(1);
    let (spool, _) = Spool::open_on(disk, bounded(Overflow::Refuse)).expect("opens");
    let mut appended = 0;
    while spool.admits() == Admission::Open {
        spool.append(1, &payload(1, 600)).expect("appends");
        appended += 1;
        assert!(appended < 100);
    }
    assert_eq!(spool.admits(), Admission::Refuse(RefuseReason::SizeReached));
    spool
        .append(1, &payload(1, 600))
        .expect("a call under way is recorded");
    assert_eq!(drain(&spool, 0).len(), appended + 1);
    spool.maintain_now();
    assert_eq!(spool.admits(), Admission::Open);
    assert_eq!(spool.ledger().dropped, 0);
}

#[test]
fn low_disk_refuses_until_there_is_room() {
    let disk = MemDisk::seeded(1);
    let config = SpoolConfig {
        min_free_bytes: 20 << 10,
        ..small("spool")
    };
    let (spool, _) = Spool::open_on(disk.clone(), config).expect("opens");
    disk.plan(|plan| plan.capacity = Some(30 << 10));
    spool.append(1, &payload(1, 600)).expect("appends");
    spool.maintain_now();
    assert_eq!(spool.admits(), Admission::Refuse(RefuseReason::DiskLow));
    disk.plan(|plan| plan.capacity = Some(60 << 10));
    spool.maintain_now();
    assert_eq!(spool.admits(), Admission::Open);
}

#[test]
fn drop_oldest_keeps_the_newest_and_the_leased() {
    let disk = MemDisk::seeded(1);
    let (spool, _) = Spool::open_on(disk.clone(), bounded(Overflow::DropOldest)).expect("opens");
    spool.append(1, &payload(1, 600)).expect("appends");
    let lease = spool.lease(0, 1).expect("reads").expect("some");
    for seq in 2..=200 {
        spool.append(1, &payload(seq, 600)).expect("appends");
        assert_balanced(&spool);
        assert!(spool.stats().used_bytes <= 41 << 10);
    }
    assert_eq!(spool.admits(), Admission::Open);
    let ledger = spool.ledger();
    assert!(ledger.dropped > 100, "{ledger:?}");
    assert_eq!(
        spool.stats().dropped_since_start[DropReason::Overflow as usize],
        ledger.dropped
    );
    // Killed here, the leased entry, no longer on disk, is lost and counted; the rest is as it was.
    let (again, recovery) =
        Spool::open_on(disk.copy(), bounded(Overflow::DropOldest)).expect("opens");
    assert_eq!(
        (recovery.lost, again.ledger().dropped),
        (1, ledger.dropped + 1)
    );
    assert_balanced(&again);
    drop(lease);
    let seqs = drain(&spool, 0);
    assert_eq!(seqs[0], 1, "given back from memory");
    assert_eq!(
        seqs[1..],
        (201 - (seqs.len() as u64 - 1)..=200).collect::<Vec<_>>()
    );
    assert_balanced(&spool);
}

#[test]
fn drop_oldest_also_meets_a_disk_that_is_really_full() {
    let disk = MemDisk::seeded(1);
    let config = SpoolConfig {
        overflow: Overflow::DropOldest,
        ..small("spool")
    };
    let (spool, _) = Spool::open_on(disk.clone(), config).expect("opens");
    disk.plan(|plan| plan.capacity = Some(60 << 10));
    for seq in 1..=300 {
        spool.append(1, &payload(seq, 600)).expect("makes room");
        assert_balanced(&spool);
    }
    assert!(spool.ledger().dropped > 0);
    assert_eq!(drain(&spool, 0).last(), Some(&300));
}

#[test]
fn serve_unrecorded_counts_what_it_lets_pass() {
    let disk = MemDisk::seeded(1);
    let (spool, _) =
        Spool::open_on(disk.clone(), bounded(Overflow::ServeUnrecorded)).expect("opens");
    let recorded = (1..=100)
        .filter(|seq| {
            spool
                .append(1, &payload(*seq, 600))
                .expect("never fails")
                .recorded
        })
        .count() as u64;
    assert!((20..80).contains(&recorded), "{recorded}");
    assert_eq!(spool.admits(), Admission::Open);
    assert_eq!(spool.ledger().dropped, 100 - recorded);
    spool.maintain_now();
    let (again, _) =
        Spool::open_on(disk.copy(), bounded(Overflow::ServeUnrecorded)).expect("opens");
    assert_eq!(again.ledger(), spool.ledger());
    assert_eq!(drain(&spool, 0).len() as u64, recorded);
    spool.maintain_now();
    let after = spool.append(1, b"x").expect("appends");
    assert!(after.recorded && after.seq == 101);
    assert_eq!(drain(&spool, 0), [101]);
    assert_balanced(&spool);
}
