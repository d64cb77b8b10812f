//! What the latest pass did, and what the present one is at: written by a pass, read by the console.

use parking_lot::Mutex;

use super::kind::Kind;
use super::pass::Report;

/// A pass under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Running {
    /// Microseconds since the Unix epoch.
    pub began_at: i64,
    /// What it is at.
    pub kind: Kind,
    /// Rows removed so far.
    pub removed: u64,
    /// Rows that were due when it began; of each kind as many as are counted.
    pub due: u64,
}

/// How it stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub running: Option<Running>,
    /// What the latest pass did, and when it ended.
    pub last: Option<(i64, Report)>,
}

/// See the module. One per process.
#[derive(Debug, Default)]
pub struct Board(Mutex<Standing>);

/// The right to make a pass; given back when it is dropped.
pub(super) struct Turn<'a>(&'a Board);

impl Board {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.0.lock().clone()
    }

    /// Takes the turn; `None` while another has it.
    pub(super) fn begin(&self, now_micros: i64) -> Option<Turn<'_>> {
        let mut standing = self.0.lock();
        if standing.running.is_some() {
            return None;
        }
        standing.running = Some(Running {
            began_at: now_micros,
            kind: Kind::ALL[0],
            removed: 0,
            due: 0,
        });
        Some(Turn(self))
    }
}

impl Turn<'_> {
    pub(super) fn expects(&self, due: u64) {
        if let Some(running) = &mut self.0.0.lock().running {
            running.due = due;
        }
    }

    pub(super) fn is_at(&self, kind: Kind, removed: u64) {
        if let Some(running) = &mut self.0.0.lock().running {
            running.kind = kind;
            running.removed = removed;
        }
    }

    pub(super) fn done(self, now_micros: i64, report: &Report) {
        self.0.0.lock().last = Some((now_micros, report.clone()));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.lock().running = None;
    }
}
