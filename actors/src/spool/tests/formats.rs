//! Directories written by other versions. The fixtures are committed; with `STEWARD_WRITE_FIXTURES` set the
//! first test writes them anew, otherwise it checks that this code still writes the same bytes.

use std::path::{Path, PathBuf};

use super::{assert_balanced, drain, payload, small};
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

/// A copy of a fixture to work on.
fn fixture(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temp dir");
    for entry in std::fs::read_dir(fixtures().join(name)).expect("fixture") {
        let entry = entry.expect("fixture");
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copies");
    }
    dir
}

#[test]
fn the_fixtures_are_what_this_code_writes() {
    for (name, bytes) in [
        ("v1", segment(OLDEST)),
        ("v2", segment(CURRENT)),
        ("v_next", segment_of_the_next_version()),
    ] {
        let path = fixtures().join(name).join("segment-0000000001.spool");
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
    let Err(error) = Spool::open(small(dir.path())) else {
        panic!("a newer version must not be opened");
    };
    assert!(
        matches!(error, OpenError::NewerVersion { found, newest, .. } if found == CURRENT + 1 && newest == CURRENT)
    );
    let sentence = error.to_string();
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
