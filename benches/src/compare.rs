//! The bare proxy and several builds of Steward, in turns so short that a noisy machine disturbs them alike.
//!
//! For telling whether a change made a call cheaper, which two runs one after the other cannot on a shared machine.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::load::{block_on, closed, request};
use crate::process::{self, Process};
use crate::relay::{UNBOUNDED, paced, percentile};
use crate::seed;
use crate::table::{Spread, Table};

const ROUNDS: usize = 24;
const TURN: Duration = Duration::from_millis(700);
const CONNECTIONS: usize = 64;
/// Calls at 200 a second, a turn.
const PACED: u32 = 110;

struct Side {
    name: String,
    process: Process,
    request: Vec<u8>,
    /// Processor time of a call at 64 connections, in microseconds, of each turn.
    costs: Vec<f64>,
    /// Median latency at 200 a second, in microseconds, of each turn.
    latencies: Vec<f64>,
    _dir: Option<TempDir>,
}

impl Side {
    fn bare(provider: std::net::SocketAddr) -> Self {
        Self {
            name: "bare".to_owned(),
            process: process::bare(provider),
            request: request("sk-none", "fast", false),
            costs: Vec::new(),
            latencies: Vec::new(),
            _dir: None,
        }
    }

    fn open(binary: &Path, provider: std::net::SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        process::migrate_of(binary, dir.path());
        let token = block_on(seed::gateway(dir.path(), provider));
        Self {
            name: binary.display().to_string(),
            process: process::steward_of(binary, dir.path()).0,
            request: request(&token, "fast", false),
            costs: Vec::new(),
            latencies: Vec::new(),
            _dir: Some(dir),
        }
    }

    /// Processor time of one call, in microseconds.
    fn turn(&self) -> f64 {
        self.process.settle();
        let before = self.process.cpu_us();
        let address = self.process.address;
        let done = closed(address, &self.request, CONNECTIONS, TURN, UNBOUNDED);
        assert_eq!(done.failures, 0, "calls fail");
        self.process.settle();
        (self.process.cpu_us() - before) / done.calls as f64
    }
}

/// `binaries`: paths of builds. Ratios are to the bare proxy and to the first of them.
pub(crate) fn measure(binaries: &[String], provider: std::net::SocketAddr, table: &mut Table) {
    let builds = binaries
        .iter()
        .map(|binary| Side::open(Path::new(binary), provider));
    let mut sides: Vec<Side> = std::iter::once(Side::bare(provider))
        .chain(builds)
        .collect();
    for side in &sides {
        side.turn();
    }
    for _ in 0..ROUNDS {
        for side in &mut sides {
            let cost = side.turn();
            side.costs.push(cost);
            let latencies = paced(side.process.address, &side.request, PACED);
            side.latencies.push(percentile(&latencies, 0.5));
        }
    }
    let costs: Vec<_> = sides.iter().map(|side| side.costs.clone()).collect();
    let latencies: Vec<_> = sides.iter().map(|side| side.latencies.clone()).collect();
    let middle = |ours: &[f64], others: &[f64], of: fn(f64, f64) -> f64| {
        let pairs = ours
            .iter()
            .zip(others)
            .map(|(ours, other)| of(*ours, *other));
        Spread::of(pairs).median
    };
    for (at, side) in sides.iter().enumerate() {
        // The bare proxy comes first, then what the others are compared with.
        let first = at.min(1);
        for (what, turns, told) in [
            (
                "c64",
                &costs,
                format!(
                    "{:.2} of bare, {:.3} of the first",
                    middle(&costs[at], &costs[0], |ours, other| ours / other),
                    middle(&costs[at], &costs[first], |ours, other| ours / other)
                ),
            ),
            (
                "p50",
                &latencies,
                format!(
                    "bare {:+.0} µs, the first {:+.0}",
                    middle(&latencies[at], &latencies[0], |ours, other| ours - other),
                    middle(&latencies[at], &latencies[first], |ours, other| ours
                        - other)
                ),
            ),
        ] {
            let mut sorted = turns[at].clone();
            sorted.sort_by(f64::total_cmp);
            table.row(
                &format!("{what} {}", side.name),
                format!(
                    "{:.1} µs ({:.1}–{:.1})",
                    sorted[ROUNDS / 2],
                    sorted[0],
                    sorted[ROUNDS - 1]
                ),
                format!("first quarter {:.1} µs", sorted[ROUNDS / 4]),
                told,
                "",
            );
        }
    }
}
