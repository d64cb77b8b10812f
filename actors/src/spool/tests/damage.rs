//! Bytes that rot: a bad record costs itself, never its neighbours.

use std::path::Path;
use std::sync::Arc;

use super::disk::MemDisk;
use super::{assert_balanced, drain, open_mem, payload, unacked};
use crate::spool::format::{CURRENT, Layout};

const LEN: usize = 40;
const RECORD: usize = 24 + LEN;

/// One segment with entries 1..=count and nothing settled.
fn segment(count: u64) -> (Arc<MemDisk>, std::path::PathBuf, Vec<u8>) {
    let disk = MemDisk::seeded(5);
    let (spool, _) = open_mem(&disk);
    for seq in 1..=count {
        spool.append(1, &payload(seq, LEN)).expect("appends");
    }
    let path = disk.segments().remove(0);
    let bytes = disk.read(&path);
    (disk.copy(), path, bytes)
}

fn reopen_with(disk: &MemDisk, path: &Path, bytes: Vec<u8>) -> (Vec<u64>, super::Recovery) {
    let disk = disk.copy();
    disk.write(path, bytes);
    let (spool, recovery) = open_mem(&disk);
    let seqs = unacked(&spool);
    spool
        .replay_unacked(|entry| assert_eq!(entry.payload, payload(entry.seq, LEN)))
        .expect("readable");
    assert_balanced(&spool);
    assert_eq!(drain(&spool, 0), seqs);
    assert_balanced(&spool);
    (seqs, recovery)
}

#[test]
fn a_tail_torn_at_any_byte_costs_the_last_record_only() {
    let (disk, path, bytes) = segment(4);
    let end = 4096 + 4 * RECORD;
    for cut in end - RECORD..end {
        // Cut off, and, as preallocation leaves it, zeroed.
        let mut zeroed = bytes.clone();
        zeroed[cut..].fill(0);
        // A record whose last byte is zero is whole.
        let expect: Vec<u64> = if zeroed[..end] == bytes[..end] {
            vec![1, 2, 3, 4]
        } else {
            vec![1, 2, 3]
        };
        let (seqs, recovery) = reopen_with(&disk, &path, zeroed);
        assert_eq!((seqs, recovery.lost), (expect, 0), "zeroed at {cut}");
        let (seqs, recovery) = reopen_with(&disk, &path, bytes[..cut].to_vec());
        assert_eq!((seqs, recovery.lost), (vec![1, 2, 3], 0), "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_costs_its_own_record_only() {
    let (disk, path, bytes) = segment(4);
    for bit in 4096 * 8..(4096 + 4 * RECORD) * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let hit = ((bit / 8 - 4096) / RECORD) as u64 + 1;
        let expect: Vec<u64> = (1..=4).filter(|seq| *seq != hit).collect();
        let (seqs, recovery) = reopen_with(&disk, &path, bad);
        assert_eq!(seqs, expect, "bit {bit}");
        // The last one cannot be told from a torn tail.
        assert_eq!(recovery.lost, u64::from(hit < 4), "bit {bit}");
        if hit < 4 {
            assert_eq!(recovery.lost_ranges, [(hit, hit)]);
            assert!(recovery.damaged_bytes > 0);
        } else {
            assert!(recovery.torn_bytes > 0);
        }
    }
}

#[test]
fn one_copy_of_the_header_may_rot() {
    let (disk, path, bytes) = segment(2);
    for bit in (0..36 * 8).chain(2048 * 8..(2048 + 36) * 8) {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(reopen_with(&disk, &path, bad).0, [1, 2], "bit {bit}");
    }
}

#[test]
fn a_segment_without_a_header_is_set_aside_not_deleted() {
    let (disk, path, mut bytes) = segment(2);
    bytes[..4096].fill(0xAA);
    disk.write(&path, bytes);
    let (_, recovery) = open_mem(&disk);
    assert_eq!(recovery.set_aside.len(), 1);
    assert!(
        disk.paths()
            .iter()
            .any(|path| path.extension().is_some_and(|e| e == "damaged"))
    );
}

/// A segment file of version 2 with these entries.
fn written(id: u64, salt: u64, entries: &[(u64, &[u8])]) -> Vec<u8> {
    let layout = Layout::new(CURRENT, 3, id, salt);
    let mut bytes = layout.header_block();
    let mut record = Vec::new();
    for (seq, payload) in entries {
        layout.encode(&mut record, 1, *seq, payload);
        bytes.extend_from_slice(&record);
    }
    bytes
}

#[test]
fn a_payload_cannot_smuggle_a_record_in() {
    // A perfect record, but for the salt, inside a payload whose own record then rots.
    for (salt, found) in [(1, vec![1, 2, 3]), (2, vec![1, 3])] {
        let forged = &written(1, salt, &[(2, b"forged")])[4096..];
        let mut bytes = written(1, 1, &[(1, b"before"), (2, forged), (3, b"after")]);
        bytes[4096 + 24 + 6 + 5] ^= 1;
        let disk = MemDisk::seeded(5);
        disk.write(Path::new("spool/segment-0000000001.spool"), bytes);
        assert_eq!(unacked(&open_mem(&disk).0), found, "salt {salt}");
    }
}

#[test]
fn where_two_segments_hold_an_entry_the_later_is_right() {
    let disk = MemDisk::seeded(5);
    // A write that failed after all its bytes had arrived, and the number's next owner.
    let ghost = written(1, 1, &[(1, b"one"), (2, b"ghost")]);
    let right = written(2, 2, &[(2, b"two"), (3, b"three")]);
    disk.write(Path::new("spool/segment-0000000001.spool"), ghost);
    disk.write(Path::new("spool/segment-0000000002.spool"), right);
    let (spool, recovery) = open_mem(&disk);
    assert_eq!((recovery.unacked, recovery.lost), (3, 0));
    let lease = spool.lease(0, 9).expect("reads").expect("some");
    let payloads: Vec<_> = lease
        .entries
        .iter()
        .map(|entry| &entry.payload[..])
        .collect();
    assert_eq!(payloads, [&b"one"[..], b"two", b"three"]);
}

#[test]
fn damage_while_running_is_counted_and_stepped_over() {
    let disk = MemDisk::seeded(5);
    let (spool, _) = open_mem(&disk);
    for seq in 1..=20 {
        spool.append(1, &payload(seq, LEN)).expect("appends");
    }
    let path = disk.segments().remove(0);
    // In place: the spool's file handle must see it.
    let at = 4096 + 9 * RECORD as u64 + 30;
    use crate::spool::storage::Storage;
    let file = disk.open(&path).expect("opens");
    crate::spool::storage::write_all_at(&*file, &[0xEE; 4], at).expect("writes");
    let expect: Vec<u64> = (1..=20).filter(|seq| *seq != 10).collect();
    assert_eq!(drain(&spool, 0), expect);
    assert_eq!(spool.ledger().dropped, 1);
    assert_balanced(&spool);
}

#[test]
fn a_damaged_cursor_delivers_again_rather_than_losing() {
    let disk = MemDisk::seeded(5);
    let (spool, _) = open_mem(&disk);
    for seq in 1..=100 {
        spool.append(1, &payload(seq, 600)).expect("appends");
    }
    let lease = spool.lease(0, 4).expect("reads").expect("some");
    let settled = super::stored(&lease);
    lease.ack(settled).expect("acks");
    spool.flush().expect("flushes");
    for bytes in [b"rubbish".to_vec(), Vec::new()] {
        let disk = disk.copy();
        disk.write(Path::new("spool/cursor"), bytes);
        let (spool, recovery) = open_mem(&disk);
        assert!(recovery.cursor_rebuilt.is_some());
        assert_eq!(recovery.lost, 0);
        assert_eq!(unacked(&spool), (1..=100).collect::<Vec<_>>());
        assert_balanced(&spool);
    }
}
