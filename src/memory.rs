//! Gives memory back to the system after work that will not be done again soon.
//!
//! A gateway that idles should be small, and two things stay resident although nobody needs them: what the allocator
//! keeps at hand for the next allocation, and the code and tables that only start-up read. Nothing here is needed for
//! anything to be right, so what cannot be given back is kept without a word. It does not touch memory in use, and does
//! not watch how much that is.

#![allow(
    unsafe_code,
    reason = "the allocator's interface is C, and advice about memory takes a raw address"
)]

use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::mm::{Advice, madvise};

/// Has the allocator return what was freed. By itself it does so while others allocate; in an idle process nobody does,
/// and a password's hash alone would leave 19 MiB.
pub(crate) fn return_freed() {
    // SAFETY: nothing is passed but a flag; the function is thread-safe and has no precondition.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// How long after it began to listen a process has settled: every actor has done its first round.
const SETTLES_AFTER: Duration = Duration::from_secs(5);

/// `mi_option_purge_delay`, which the bindings do not name: milliseconds that freed pages are kept at hand.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Start-up, as far as memory is concerned: what it frees goes back to the system at once, because nobody comes after it
/// who would. Under load that would cost a call more processor time, so it ends when the process has settled.
pub(crate) struct Startup {
    purge_delay: std::ffi::c_long,
}

impl Startup {
    /// To be called before there is a second thread.
    pub(crate) fn begin() -> Self {
        // SAFETY: reads and writes an option of the allocator; no other thread is there to do the same.
        let purge_delay = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        set_purge_delay(0);
        Self { purge_delay }
    }

    /// Waits until the process has settled, gives back what start-up leaves behind, and never returns.
    pub(crate) async fn settle(self) -> std::convert::Infallible {
        tokio::time::sleep(SETTLES_AFTER).await;
        set_purge_delay(self.purge_delay);
        forget_code();
        std::future::pending().await
    }
}

fn set_purge_delay(ms: std::ffi::c_long) {
    // SAFETY: the option is one aligned word that the allocator only reads; a thread that sees the old value a moment longer
    // returns its pages by that one.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, ms) }
}

/// Unmaps the pages of this program's file that were read so far. What is still needed is mapped again at the next
/// touch, mostly from the system's cache of the file; what only start-up needed stays away.
fn forget_code() {
    #[cfg(target_os = "linux")]
    if let (Ok(smaps), Ok(program)) = (
        std::fs::read_to_string("/proc/self/smaps"),
        std::fs::read_link("/proc/self/exe"),
    ) && let Some(program) = program.to_str()
    {
        for (from, to) in unchanged(&smaps, program) {
            // SAFETY: `unchanged` names mappings of this program's own file that cannot be written and of which no page was
            // ever changed: dropped, a page comes back from the file with the same bytes.
            let _ = unsafe {
                madvise(
                    std::ptr::with_exposed_provenance_mut(from),
                    to - from,
                    Advice::LinuxDontNeed,
                )
            };
        }
    }
}

/// The addresses of mappings of the file `program` that are read-only and have no page that differs from it, in memory or
/// swapped out. Relocated tables are read-only too, but changed: they have pages that are no file's any more.
#[cfg(target_os = "linux")]
fn unchanged(smaps: &str, program: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut current, mut changed) = (None, false);
    for line in smaps.lines() {
        if let Some(range) = heading(line) {
            current = range.filter(|_| line.ends_with(program)).and_then(|range| {
                let permissions = line.split(' ').nth(1)?;
                (permissions.starts_with('r') && permissions[1..].starts_with('-')).then_some(range)
            });
            changed = false;
        } else if line.starts_with("Anonymous:") {
            changed |= line.split_whitespace().nth(1) != Some("0");
        } else if line.starts_with("Swap:")
            && let Some(range) = current.take()
            && !changed
            && line.split_whitespace().nth(1) == Some("0")
        {
            found.push(range);
        }
    }
    found
}

/// `Some` when the line begins a mapping; its addresses, when they can be read.
#[cfg(target_os = "linux")]
fn heading(line: &str) -> Option<Option<(usize, usize)>> {
    let (range, _) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(from).zip(address(to)))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-3000 r--p 00000000 08:01 7                  /opt/steward
Rss:                   8 kB
Anonymous:             0 kB
Swap:                  0 kB
AnonHugePages:         0 kB
3000-9000 r-xp 00002000 08:01 7                  /opt/steward
Rss:                  24 kB
Anonymous:             0 kB
Swap:                  0 kB
9000-a000 r--p 00008000 08:01 7                  /opt/steward
Rss:                   4 kB
Anonymous:             4 kB
Swap:                  0 kB
a000-b000 rw-p 00009000 08:01 7                  /opt/steward
Anonymous:             0 kB
Swap:                  0 kB
b000-c000 r-xp 00000000 08:01 9                  /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                  0 kB
b800-bc00 r--p 00009000 08:01 7                  /opt/steward
Anonymous:             0 kB
Swap:                  4 kB
c000-d000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
Swap:                  0 kB
";

    #[test]
    fn only_unchanged_read_only_pages_of_the_program_are_given_back() {
        assert_eq!(
            unchanged(SMAPS, "/opt/steward"),
            [(0x1000, 0x3000), (0x3000, 0x9000)]
        );
        assert_eq!(unchanged(SMAPS, "/opt/other"), []);
        assert_eq!(unchanged("", "/opt/steward"), []);
    }

    /// What [`PURGE_DELAY`] means is known from the allocator alone: another process of this binary is told the delay by its
    /// name, and says it by our number.
    #[test]
    fn the_option_is_the_one_that_is_meant() {
        const TOLD: &str = "MIMALLOC_PURGE_DELAY";
        let us = "memory::tests::the_option_is_the_one_that_is_meant";
        if let Ok(told) = std::env::var(TOLD) {
            // SAFETY: as in `Startup::begin`.
            let read = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
            assert_eq!(read.to_string(), told);
            let startup = Startup::begin();
            assert_eq!(startup.purge_delay, read);
            // SAFETY: likewise.
            assert_eq!(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }, 0);
            return;
        }
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let again = again.args(["--exact", us]).env(TOLD, "4321").output();
        let again = again.unwrap();
        let said = String::from_utf8_lossy(&again.stdout);
        assert!(
            again.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }

    /// The mapped part of this process that is a file's.
    fn file_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssFile:"));
        let words = line.unwrap().split_whitespace().nth(1);
        words.unwrap().parse().unwrap()
    }

    #[test]
    fn code_is_given_back_and_still_runs() {
        let table: &'static [u8] = include_bytes!("../static/openapi.json");
        let sum = || table.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let (before, resident) = (sum(), file_kib());
        forget_code();
        assert!(file_kib() < resident, "{} of {resident} KiB", file_kib());
        assert_eq!(sum(), before);
    }
}
