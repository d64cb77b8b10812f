//! kill -9 under load: the test binary runs itself as the victim.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{assert_balanced, payload, small, stored};
use crate::spool::{Spool, SpoolConfig};

const DIR: &str = "STEWARD_SPOOL_VICTIM_DIR";
const KILLS: u64 = 6;

fn config(dir: &Path) -> SpoolConfig {
    SpoolConfig {
        segment_bytes: 64 << 10,
        cache_capacity: 50,
        ..small(dir)
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // One write per line: what the parent reads whole was said whole.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Does nothing as a test; as the victim it appends, leases and acks until it is killed.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let (spool, _) = Spool::open(config(Path::new(&dir))).expect("opens");
    let spool = &spool;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                loop {
                    let seq = spool.append(1, &payload(1, 300)).expect("appends").seq;
                    say(&format!("+ {seq}\n"));
                }
            });
        }
        scope.spawn(move || {
            loop {
                if let Ok(Some(lease)) = spool.lease(0, 20) {
                    let seqs: Vec<String> =
                        lease.entries.iter().map(|e| e.seq.to_string()).collect();
                    say(&format!("- {}\n", seqs.join(" ")));
                    let settled = stored(&lease);
                    lease.ack(settled).expect("acks");
                }
                let _ = spool.sync_now();
                spool.maintain_now();
            }
        });
    });
}

#[test]
fn what_was_appended_before_a_kill_is_there_after_it() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut appended = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for round in 0..KILLS {
        let mut victim = Command::new(std::env::current_exe().expect("own binary"))
            .args([
                "spool::tests::kill::victim",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut out = BufReader::new(victim.stdout.take().expect("piped"));
        let mut line = String::new();
        let (mut heard, mut killed) = (0, false);
        while out.read_line(&mut line).expect("reads") > 0 {
            // Killed mid-line, the last one may be cut: not said.
            if line.ends_with('\n') {
                // libtest prints its own words before the first line.
                let said = line.trim_end().rsplit("... ").next().unwrap_or_default();
                let numbers = said.get(2..).unwrap_or_default().split(' ');
                let numbers = numbers.filter_map(|number| number.parse::<u64>().ok());
                match said.chars().next() {
                    Some('+') => appended.extend(numbers),
                    Some('-') => taken.extend(numbers),
                    _ => {}
                }
            }
            line.clear();
            heard += 1;
            if heard > 200 + 173 * round && !killed {
                victim.kill().expect("killed");
                killed = true;
            }
        }
        victim.wait().expect("waits");
        assert!(killed, "the victim ended by itself");
        let (spool, recovery) = Spool::open(config(dir.path())).expect("opens");
        assert_eq!(recovery.lost, 0, "{recovery:?}");
        assert!(recovery.cursor_rebuilt.is_none());
        let mut found = BTreeSet::new();
        spool
            .replay_unacked(|entry| {
                assert_eq!(entry.payload, payload(1, 300));
                found.insert(entry.seq);
            })
            .expect("readable");
        let missing: Vec<_> = appended
            .iter()
            .filter(|seq| !found.contains(seq) && !taken.contains(seq))
            .collect();
        assert!(missing.is_empty(), "round {round}: {missing:?}");
        assert!(appended.len() as u64 > 100);
        let ledger = spool.ledger();
        assert!(ledger.accepted >= *appended.last().expect("some"));
        assert_eq!((ledger.spooled, ledger.dropped), (found.len() as u64, 0));
        assert_balanced(&spool);
    }
}
