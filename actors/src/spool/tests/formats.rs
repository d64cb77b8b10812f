//! Directories written by other versions. The fixtures are committed; with `STEWARD_WRITE_FIXTURES` set the
//! first test writes them anew, otherwise it checks that this code still writes the same bytes.

use std::path::{Path, PathBuf};

use super::{assert_balanced, drain, payload, small, unacked};
use crate::spool::book::Settlement;
use crate::spool::cursor;
use crate::spool::format::{CURRENT, Layout, OLDEST};
use crate::spool::{OpenError, Spool};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spool")
}

fn segment(version: u16) -> Vec<u8> {
    let layout = Layout::new(version, 3, 1, 0x5EED_0000_0000_0001);
    let mut bytes = layout.header_block();
    let mut record = Vec::new();
    for seq in 1..=5 {
        layout.encode(&mut record, 1, seq, &payload(seq, 100));
        bytes.extend_from_slice(&record);
    }
    bytes
}

/// A header as the next version may write it: the same promised prefix, unknown fields after it.
fn segment_of_the_next_version() -> Vec<u8> {
    let mut header = b"STWSPOOL".to_vec();
    header.extend_from_slice(&(CURRENT + 1).to_le_bytes());
    header.extend_from_slice(&60u16.to_le_bytes());
    header.resize(56, 0x42);
    let crc = crc32fast::hash(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header.resize(4096 + 200, 0x17);
    header
}

/// Of the segment's five entries 1, 2 and 4 are settled, each in a way of its own.
fn settlement() -> Settlement {
    Settlement {
        last_seq: 5,
        acked: 2,
        beyond: [(4, 4)].into_iter().collect(),
        stored: 1,
        dead_lettered: 1,
        dropped: 1,
    }
}

/// A copy of a fixture to work on.
fn fixture(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temp dir");
    copy(&fixtures().join(name), dir.path());
    dir
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("fixture") {
        let entry = entry.expect("fixture");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("fixture").is_dir() {
            std::fs::create_dir(&target).expect("creates");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}

/// Opening fails, with this sentence.
fn refusal(dir: &Path) -> (OpenError, String) {
    let Err(error) = Spool::open(small(dir)) else {
        panic!("a newer version must not be opened");
    };
    let sentence = error.to_string();
    (error, sentence)
}

#[test]
fn the_fixtures_are_what_this_code_writes() {
    for (name, bytes) in [
        ("v1/segment-0000000001.spool", segment(OLDEST)),
        ("v2/segment-0000000001.spool", segment(CURRENT)),
        (
            "v_next/segment-0000000001.spool",
            segment_of_the_next_version(),
        ),
        ("cursor_v1/cursor", cursor::encode(3, &settlement())),
    ] {
        let path = fixtures().join(name);
        if std::env::var_os("STEWARD_WRITE_FIXTURES").is_some() {
            std::fs::create_dir_all(path.parent().expect("has one")).expect("creates");
            std::fs::write(&path, &bytes).expect("writes");
        }
        assert!(
            std::fs::read(&path).expect("fixture") == bytes,
            "{name}: the format has changed without a new version"
        );
    }
}

#[test]
fn the_previous_and_the_current_version_are_read_and_continued() {
    for (name, older) in [("v1", 1), ("v2", 0)] {
        let dir = fixture(name);
        let (spool, recovery) = Spool::open(small(dir.path())).expect("opens");
        assert_eq!(
            (recovery.unacked, recovery.lost, recovery.older_segments),
            (5, 0, older),
            "{name}"
        );
        spool
            .replay_unacked(|entry| assert_eq!(entry.payload, payload(entry.seq, 100)))
            .expect("readable");
        spool.append(1, b"new").expect("appends");
        assert_eq!(drain(&spool, 0), [1, 2, 3, 4, 5, 6], "{name}");
        assert_balanced(&spool);
        spool.flush().expect("flushes");
        assert!(
            !dir.path().join("segment-0000000001.spool").exists(),
            "{name}: upgraded by emptying"
        );
    }
}

#[test]
fn a_newer_version_stops_the_start_with_a_sentence_and_is_left_alone() {
    let dir = fixture("v_next");
    // A blank left-over beside it must not be tidied away either.
    std::fs::write(dir.path().join("segment-0000000002.spool"), [0; 100]).expect("writes");
    let (error, sentence) = refusal(dir.path());
    assert!(
        matches!(error, OpenError::NewerVersion { found, newest, .. } if found == CURRENT + 1 && newest == CURRENT)
    );
    for part in [
        "version 3",
        "versions 1 to 2",
        "newer Steward",
        "empty the spool",
    ] {
        assert!(sentence.contains(part), "{sentence}");
    }
    assert!(
        std::fs::read(dir.path().join("segment-0000000001.spool")).expect("there")
            == segment_of_the_next_version()
    );
    assert!(dir.path().join("segment-0000000002.spool").exists());
}

#[test]
fn a_cursor_that_was_kept_says_what_is_settled() {
    let dir = fixture("cursor_v1");
    let (spool, recovery) = Spool::open(small(dir.path())).expect("opens");
    assert_eq!((recovery.cursor_rebuilt, recovery.lost), (None, 0));
    assert_eq!(unacked(&spool), [3, 5]);
    let ledger = spool.ledger();
    assert_eq!(
        (ledger.stored, ledger.dead_lettered, ledger.dropped),
        (1, 1, 1)
    );
    assert_balanced(&spool);
}

#[test]
fn a_newer_cursor_stops_the_start_with_a_sentence_and_is_left_alone() {
    let dir = fixture("cursor_next");
    let (error, sentence) = refusal(dir.path());
    assert!(matches!(
        error,
        OpenError::NewerVersion {
            found: 2,
            newest: 1,
            ..
        }
    ));
    for part in ["cursor", "version 2", "versions 1 to 1", "newer Steward"] {
        assert!(sentence.contains(part), "{sentence}");
    }
    for name in ["cursor", "segment-0000000001.spool"] {
        let kept = std::fs::read(fixtures().join("cursor_next").join(name)).expect("fixture");
        let left = std::fs::read(dir.path().join(name)).expect("left");
        assert!(kept == left, "{name}");
    }
}

#[test]
fn dead_letters_that_were_kept_are_read_and_known() {
    let dir = fixture("dead_v2");
    let (spool, _) = Spool::open(small(dir.path())).expect("opens");
    let read = || -> Vec<_> {
        let letters = spool.dead_letters().map(|letter| letter.expect("reads"));
        letters
            .map(|letter| (letter.entry.seq, letter.entry.kind, letter.reason))
            .collect()
    };
    let expected = [
        (2, 1, "rid_conflict".to_owned()),
        (4, 9, "unknown kind 9".to_owned()),
    ];
    assert_eq!(read(), expected);
    for letter in spool.dead_letters() {
        let entry = letter.expect("reads").entry;
        assert_eq!(entry.payload, payload(entry.seq, 100));
        spool.dead_letter(&entry, "again").expect("kept");
    }
    assert_eq!(read(), expected, "each once");
}

#[test]
fn newer_dead_letters_stop_the_start_and_are_left_alone() {
    let dir = fixture("v2");
    let dead = dir.path().join("dead");
    std::fs::create_dir(&dead).expect("creates");
    copy(&fixtures().join("v_next"), &dead);
    let (error, sentence) = refusal(dir.path());
    assert!(
        matches!(error, OpenError::NewerVersion { .. }),
        "{sentence}"
    );
    assert!(sentence.contains("dead"), "{sentence}");
    let left = std::fs::read(dead.join("segment-0000000001.spool")).expect("left");
    assert!(left == segment_of_the_next_version());
}
