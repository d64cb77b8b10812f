//! Memory and processor time of a Steward that has nothing to do, and memory after a million records.

use std::time::Duration;

use crate::load::closed;
use crate::process;
use crate::relay::Stage;
use crate::table::Table;

/// From an empty directory: first start, then the second one, which makes no password.
pub(crate) fn idle(table: &mut Table) {
    const WATCHED: Duration = Duration::from_secs(5);
    let dir = tempfile::tempdir().unwrap();
    for (label, bar) in [("first start", "≤ 45 MiB"), ("later start", "≤ 45 MiB")] {
        let (process, took) = process::steward(dir.path());
        std::thread::sleep(Duration::from_secs(3));
        let before = process.cpu_us();
        std::thread::sleep(WATCHED);
        let used = process.cpu_us() - before;
        table.row(
            &format!("idle, {label}"),
            format!(
                "{:.1} MiB resident ({:.1} anonymous)",
                process.resident_mib(),
                process.anonymous_mib()
            ),
            String::new(),
            format!(
                "{:.1} % of a processor; ready in {:.0} ms",
                used / WATCHED.as_secs_f64() / 1e4,
                took.as_secs_f64() * 1e3
            ),
            bar,
        );
    }
}

/// A million calls, each a record through spool and writer.
pub(crate) fn million(stage: &Stage, table: &mut Table) {
    let request = stage.request("fast", false);
    let run = |calls| {
        let done = closed(
            stage.steward.address,
            &request,
            64,
            Duration::from_secs(90),
            calls,
        );
        stage.steward.settle();
        (done, stage.steward.resident_mib())
    };
    let (_, early) = run(100_000);
    let (done, late) = run(900_000);
    table.row(
        "resident after 0.1 and 1 million records",
        format!("{early:.1}, {late:.1} MiB"),
        String::new(),
        format!(
            "{:+.1} MiB; {} calls at {:.0}/s, {} errors",
            late - early,
            done.calls + 100_000,
            done.calls as f64 / done.seconds,
            done.failures
        ),
        "flat",
    );
}
