//! Places where a test kills the process, as `kill -9` and a machine that loses its power do.
//!
//! A build for release has none. In any other, `STEWARD_FAULT_FILE` names a file: whoever comes to the place whose name
//! stands in it is killed there and then. Nothing is flushed, no destructor runs, no other thread finishes what it does.

/// A process that has come this far dies if it was told to.
#[inline]
pub fn reached(place: &str) {
    #[cfg(debug_assertions)]
    armed::reached(place);
    #[cfg(not(debug_assertions))]
    let _ = place;
}

#[cfg(debug_assertions)]
mod armed {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    use rustix::process::{Signal, getpid, kill_process};

    static FILE: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("STEWARD_FAULT_FILE").map(PathBuf::from));

    pub(super) fn reached(place: &str) {
        let Some(file) = FILE.as_deref() else {
            return;
        };
        if std::fs::read_to_string(file).is_ok_and(|told| told.trim() == place) {
            let _ = kill_process(getpid(), Signal::KILL);
            // The signal comes; until then this thread does nothing more.
            loop {
                std::thread::park();
            }
        }
    }
}
