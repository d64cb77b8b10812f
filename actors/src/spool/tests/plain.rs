//! What a caller sees when nothing goes wrong, on a real file system.

use std::time::Duration;

use super::{assert_balanced, drain, open_mem, payload, small, stored, unacked};
use crate::spool::tests::disk::MemDisk;
use crate::spool::{
    AppendError, Entry, Fenced, FsyncPolicy, Overflow, ReadError, Settled, Spool, SpoolConfig,
};

#[test]
fn entries_come_back_in_order_and_segments_go_when_acked() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (spool, recovery) = Spool::open(small(dir.path())).expect("opens");
    assert_eq!(recovery, super::Recovery::default());
    for seq in 1..=100 {
        assert_eq!(
            spool.append(1, &payload(seq, 600)).expect("appends").seq,
            seq
        );
    }
    let stats = spool.stats();
    assert!(stats.segments > 5, "{stats:?}");
    assert_eq!(stats.cached, 4, "memory is bounded by the cache");
    assert_eq!(drain(&spool, 0), (1..=100).collect::<Vec<_>>());
    spool.maintain_now();
    assert_eq!(spool.stats().segments, 1, "only the active one is left");
    assert_eq!(spool.ledger().stored, 100);
    assert_balanced(&spool);
    drop(spool);
    let (spool, recovery) = Spool::open(small(dir.path())).expect("opens");
    assert_eq!(
        (recovery.last_seq, recovery.unacked, recovery.lost),
        (100, 0, 0)
    );
    assert_eq!(spool.append(1, b"x").expect("appends").seq, 101);
    assert_eq!(spool.ledger().stored, 100);
    assert_balanced(&spool);
}

#[test]
fn how_much_is_kept_in_memory_changes_while_it_runs() {
    let (spool, _) = open_mem(&MemDisk::seeded(1));
    let append = |seqs: std::ops::RangeInclusive<u64>| {
        for seq in seqs {
            spool.append(1, &payload(seq, 60)).expect("appends");
        }
    };
    append(1..=10);
    assert_eq!(spool.stats().cached, 4);
    spool.keep_in_memory(8);
    // What lies on the disk is read in order, eight at a time.
    assert_eq!(drain(&spool, 0), (1..=10).collect::<Vec<_>>());
    append(11..=30);
    assert_eq!(spool.stats().cached, 8);
    spool.keep_in_memory(2);
    assert_eq!(drain(&spool, 0), (11..=30).collect::<Vec<_>>());
    append(31..=40);
    assert_eq!(spool.stats().cached, 2);
    assert_eq!(drain(&spool, 0), (31..=40).collect::<Vec<_>>());
    assert_balanced(&spool);
}

#[test]
fn out_of_order_acks_are_remembered_across_a_restart() {
    let disk = MemDisk::seeded(1);
    let (spool, _) = open_mem(&disk);
    for seq in 1..=12 {
        spool.append(1, &payload(seq, 300)).expect("appends");
    }
    let first = spool.lease(0, 4).expect("reads").expect("some");
    let second = spool.lease(0, 4).expect("reads").expect("some");
    assert_eq!(second.entries[0].seq, 5);
    let settled = stored(&second);
    second.ack(settled).expect("acks");
    assert_eq!(spool.stats().acked_seq, 0);
    spool.maintain_now();
    let (spool, recovery) = open_mem(&disk.copy());
    assert_eq!(recovery.unacked, 8);
    assert_eq!(unacked(&spool), [1, 2, 3, 4, 9, 10, 11, 12]);
    assert_eq!(spool.ledger().stored, 4);
    assert_balanced(&spool);
    drop(first);
}

#[test]
fn a_revoked_lease_is_fenced_and_its_entries_come_first() {
    let (spool, _) = open_mem(&MemDisk::seeded(1));
    for seq in 1..=6 {
        spool.append(1, &payload(seq, 10)).expect("appends");
    }
    let zombie = spool.lease(1, 3).expect("reads").expect("some");
    spool.revoke_before(2);
    assert!(matches!(
        spool.lease(1, 3),
        Err(ReadError::Fenced {
            epoch: 1,
            current: 2
        })
    ));
    let heir = spool.lease(2, 6).expect("reads").expect("some");
    assert_eq!(
        heir.entries
            .iter()
            .map(|entry| entry.seq)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    let settled = stored(&zombie);
    assert_eq!(zombie.ack(settled), Err(Fenced));
    let settled = stored(&heir);
    heir.ack(settled).expect("acks");
    assert_eq!(spool.ledger().stored, 6);
}

#[test]
fn an_ack_that_does_not_add_up_keeps_the_books_straight() {
    let (spool, _) = open_mem(&MemDisk::seeded(1));
    for (settled, expect) in [((1, 0), (1, 0, 2)), ((9, 9), (1, 3, 2))] {
        for seq in 1..=3 {
            spool.append(1, &payload(seq, 10)).expect("appends");
        }
        let lease = spool.lease(0, 3).expect("reads").expect("some");
        lease
            .ack(Settled {
                stored: settled.0,
                dead_lettered: settled.1,
            })
            .expect("acks");
        let ledger = spool.ledger();
        assert_eq!(
            (ledger.stored, ledger.dead_lettered, ledger.dropped),
            expect
        );
        assert_balanced(&spool);
    }
}

#[test]
fn dead_letters_are_kept_with_their_reason_and_once() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (spool, _) = Spool::open(small(dir.path())).expect("opens");
    spool.append(7, b"poison").expect("appends");
    let entry = Entry {
        seq: 1,
        kind: 7,
        payload: "poison".into(),
    };
    spool.dead_letter(&entry, "CHECK failed").expect("kept");
    drop(spool); // Killed before the ack.
    let (spool, _) = Spool::open(small(dir.path())).expect("opens");
    spool
        .dead_letter(&entry, "CHECK failed again")
        .expect("kept");
    let letters: Vec<_> = spool
        .dead_letters()
        .map(|letter| letter.expect("reads"))
        .collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].entry.clone(), letters[0].reason.as_str()),
        (entry, "CHECK failed")
    );
    let lease = spool.lease(0, 1).expect("reads").expect("some");
    lease
        .ack(Settled {
            stored: 0,
            dead_lettered: 1,
        })
        .expect("acks");
    assert_eq!(spool.ledger().dead_lettered, 1);
}

#[test]
fn reconcile_gives_no_number_out_again_and_settles_nothing_unseen() {
    let disk = MemDisk::seeded(1);
    let (spool, _) = open_mem(&disk);
    for seq in 1..=6 {
        spool.append(1, &payload(seq, 10)).expect("appends");
    }
    // The database has settled 4: these, or another spool's of the same node. The writer finds out.
    assert_eq!(spool.reconcile(4), 0);
    assert_eq!(spool.ledger().spooled, 6);
    assert_balanced(&spool);
    // It has settled 20: the node has run elsewhere meanwhile.
    assert_eq!(spool.reconcile(20), 14);
    assert_eq!(spool.reconcile(20), 0, "once is enough");
    let ledger = spool.ledger();
    assert_eq!(
        (ledger.accepted, ledger.stored, ledger.spooled),
        (20, 14, 6)
    );
    assert_eq!(spool.append(1, &payload(21, 10)).expect("appends").seq, 21);
    // The gap and what was given out anew survive a restart, with or without the cursor file of it.
    for flushed in [false, true] {
        if flushed {
            spool.maintain_now();
        }
        let (again, _) = open_mem(&disk.copy());
        again.reconcile(20);
        assert_eq!(unacked(&again), [1, 2, 3, 4, 5, 6, 21], "{flushed}");
        assert_eq!(again.ledger().dropped, 0, "{flushed}");
        assert_balanced(&again);
    }
    assert_eq!(drain(&spool, 0), [1, 2, 3, 4, 5, 6, 21]);
    assert_eq!(spool.ledger().stored, 21);
    // A database that is ahead: this directory was replaced.
    let (fresh, _) = open_mem(&MemDisk::seeded(2));
    assert_eq!(fresh.reconcile(1000), 1000);
    assert_eq!(fresh.append(1, b"x").expect("appends").seq, 1001);
    assert_eq!(fresh.stats().cached, 1, "nothing is to be read before it");
    assert_eq!(drain(&fresh, 0), [1001]);
    assert_balanced(&fresh);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = small(dir.path());
    let tiny = SpoolConfig {
        segment_bytes: 100,
        ..config.clone()
    };
    assert!(Spool::open(tiny).is_err());
    let one = SpoolConfig {
        max_bytes: Some(10_000),
        ..config.clone()
    };
    assert!(Spool::open(one).is_err());
    let (spool, _) = Spool::open(config.clone()).expect("opens");
    assert!(matches!(
        spool.append(1, &[0; 9000]),
        Err(AppendError::TooLarge { .. })
    ));
    spool.append(1, b"x").expect("appends");
    drop(spool);
    let other = Spool::open(SpoolConfig { node: 4, ..config }).map(|_| ());
    let sentence = other.expect_err("another node").to_string();
    assert!(
        sentence.contains("belongs to node 3") && sentence.contains("node 4"),
        "{sentence}"
    );
}

#[tokio::test(start_paused = true)]
async fn ready_wakes_at_the_number_asked_for() {
    let (spool, _) = open_mem(&MemDisk::seeded(1));
    let second = Duration::from_secs(1);
    assert!(
        tokio::time::timeout(second, spool.ready(0)).await.is_err(),
        "0 means any"
    );
    let both = async {
        let three = spool.ready(3);
        tokio::pin!(three);
        for seq in 1..=2 {
            spool.append(1, &payload(seq, 10)).expect("appends");
            assert!(tokio::time::timeout(second, &mut three).await.is_err());
        }
        spool.append(1, b"third").expect("appends");
        three.await;
    };
    tokio::time::timeout(10 * second, both)
        .await
        .expect("woken");
    spool.ready(1).await;
    let lease = spool.lease(0, 3).expect("reads").expect("some");
    let ready = spool.ready(1);
    tokio::pin!(ready);
    assert!(
        tokio::time::timeout(second, &mut ready).await.is_err(),
        "all leased"
    );
    drop(lease);
    tokio::time::timeout(second, ready)
        .await
        .expect("a dropped lease wakes");
}

#[tokio::test]
async fn many_waiters_share_a_sync() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = SpoolConfig {
        fsync: FsyncPolicy::Always,
        overflow: Overflow::Refuse,
        ..small(dir.path())
    };
    let (spool, _) = Spool::open(config).expect("opens");
    let mut waiting = Vec::new();
    for seq in 1..=50 {
        let seq = spool.append(1, &payload(seq, 600)).expect("appends").seq;
        waiting.push(spool.durable(seq));
    }
    for outcome in futures_util::future::join_all(waiting).await {
        outcome.expect("durable");
    }
    assert_eq!(spool.stats().durable_seq, 50);
}

#[tokio::test]
async fn a_leader_that_gives_up_leaves_nobody_waiting() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = SpoolConfig {
        fsync: FsyncPolicy::Always,
        ..small(dir.path())
    };
    let (spool, _) = Spool::open(config).expect("opens");
    for seq in 1..=20 {
        spool.append(1, &payload(seq, 600)).expect("appends");
        let leader = spool.durable(seq);
        let follower = spool.durable(seq);
        {
            tokio::pin!(leader);
            let _ = futures_util::poll!(leader);
        }
        let waited = tokio::time::timeout(Duration::from_secs(10), follower).await;
        waited.expect("not stuck").expect("durable");
    }
    // A runtime that goes away with the sync still queued must not keep the lead.
    spool.append(1, b"x").expect("appends");
    let other = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .expect("runtime");
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    other.spawn_blocking(move || blocked.recv());
    {
        let _inside = other.enter();
        let stuck = spool.durable(21);
        tokio::pin!(stuck);
        assert!(futures_util::poll!(stuck).is_pending());
    }
    other.shutdown_background();
    drop(release);
    let waited = tokio::time::timeout(Duration::from_secs(10), spool.durable(21)).await;
    waited.expect("not stuck").expect("durable");
}

#[tokio::test]
async fn the_interval_syncs_off_the_async_thread() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = SpoolConfig {
        fsync: FsyncPolicy::Interval(Duration::from_millis(1)),
        ..small(dir.path())
    };
    let (spool, _) = Spool::open(config).expect("opens");
    spool.append(1, b"x").expect("appends");
    spool.durable(1).await.expect("returns at once");
    let synced = async {
        while spool.stats().durable_seq < 1 {
            spool.sync_if_due();
            spool.maintain();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), synced)
        .await
        .expect("synced");
}
