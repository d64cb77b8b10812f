//! The gateway beside the proxy that does nothing, with everything on: credential, limits, metering, spool,
//! database, totals.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use memchr::memmem;
use tempfile::TempDir;

use crate::client::{Blocking, Connection};
use crate::load::{Done, block_on, closed, request, request_of};
use crate::process::{self, Process};
use crate::provider::{self, CHUNKS, SENT_AT, now_ns};
use crate::seed;
use crate::table::{Spread, Table};

const ROUNDS: usize = 5;
pub(crate) const UNBOUNDED: u64 = u64::MAX;

/// Both sides, running.
pub(crate) struct Stage {
    pub(crate) steward: Process,
    bare: Process,
    pub(crate) token: String,
    _dir: TempDir,
}

impl Stage {
    pub(crate) fn open(provider: std::net::SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        process::migrate(dir.path());
        let token = block_on(seed::gateway(dir.path(), provider));
        let stage = Self {
            steward: process::steward(dir.path()).0,
            bare: process::bare(provider),
            token,
            _dir: dir,
        };
        for side in stage.sides() {
            for stream in [false, true] {
                let warm = closed(
                    side.address,
                    &stage.request("fast", stream),
                    16,
                    Duration::from_secs(1),
                    UNBOUNDED,
                );
                assert_eq!(warm.failures, 0, "calls fail");
            }
        }
        stage
    }

    fn sides(&self) -> [&Process; 2] {
        [&self.bare, &self.steward]
    }

    pub(crate) fn request(&self, model: &str, stream: bool) -> Vec<u8> {
        request(&self.token, model, stream)
    }
}

/// Processor time of `side` for a closed loop, until it rests again; the loop's own figures.
fn cpu_of(side: &Process, request: &[u8], connections: usize, length: Duration) -> (f64, Done) {
    side.settle();
    let before = side.cpu_us();
    let done = closed(side.address, request, connections, length, UNBOUNDED);
    side.settle();
    (side.cpu_us() - before, done)
}

/// Alternating rounds; per side the cost of one unit (`units` of them a call), and per round their ratio.
fn alternate(
    stage: &Stage,
    request: &[u8],
    connections: usize,
    length: Duration,
    units: f64,
) -> Alternated {
    let mut costs = [Vec::new(), Vec::new()];
    let mut rates = [Vec::new(), Vec::new()];
    let mut failures = 0;
    for _ in 0..ROUNDS {
        for (side, (costs, rates)) in stage
            .sides()
            .into_iter()
            .zip(costs.iter_mut().zip(&mut rates))
        {
            let (cpu, done) = cpu_of(side, request, connections, length);
            costs.push(cpu / (done.calls as f64 * units));
            rates.push(done.calls as f64 / done.seconds);
            failures += done.failures;
        }
    }
    let ratio = Spread::of(
        costs[0]
            .iter()
            .zip(&costs[1])
            .map(|(bare, ours)| ours / bare),
    );
    let [bare, ours] = costs.map(Spread::of);
    let [bare_rate, our_rate] = rates.map(Spread::of);
    Alternated {
        bare,
        ours,
        ratio,
        bare_rate,
        our_rate,
        failures,
    }
}

struct Alternated {
    bare: Spread,
    ours: Spread,
    ratio: Spread,
    bare_rate: Spread,
    our_rate: Spread,
    failures: u64,
}

impl Alternated {
    /// Median of the rounds' ratios, their range, and the ratio of the least disturbed round of each side.
    fn ratios(&self) -> String {
        let quietest = self.ours.low / self.bare.low;
        format!(
            "{:.2} ({}; least to least {quietest:.2})",
            self.ratio.median,
            self.ratio.range(2)
        )
    }
}

fn micros(spread: Spread) -> String {
    format!("{:.1} µs ({})", spread.median, spread.range(1))
}

pub(crate) fn per_request(stage: &Stage, at: &[usize], table: &mut Table) {
    let request = stage.request("fast", false);
    for &connections in at {
        let bar = if connections == 64 { "≤ 1.8" } else { "" };
        let length = Duration::from_millis(if connections == 64 { 2_500 } else { 800 });
        let run = alternate(stage, &request, connections, length, 1.0);
        table.row(
            &format!("CPU per request, c{connections}"),
            micros(run.ours),
            micros(run.bare),
            run.ratios(),
            bar,
        );
        table.row(
            &format!("requests/s, c{connections}"),
            format!("{:.0} ({})", run.our_rate.median, run.our_rate.range(0)),
            format!("{:.0} ({})", run.bare_rate.median, run.bare_rate.range(0)),
            format!(
                "{:.2}; {} failures",
                run.our_rate.median / run.bare_rate.median,
                run.failures
            ),
            "",
        );
    }
}

pub(crate) fn per_chunk(stage: &Stage, table: &mut Table) {
    let request = stage.request("fast", true);
    let run = alternate(
        stage,
        &request,
        16,
        Duration::from_millis(1_500),
        CHUNKS as f64,
    );
    table.row(
        "CPU per chunk, no gaps, c16",
        micros(run.ours),
        micros(run.bare),
        run.ratios(),
        "≤ 1.25",
    );
}

/// One call every 5 ms, timed on a blocking socket from the moment it is sent; microseconds, without the first ten.
pub(crate) fn paced(address: std::net::SocketAddr, request: &[u8], calls: u32) -> Vec<f64> {
    const PERIOD: Duration = Duration::from_millis(5);
    let mut connection = Blocking::open(address);
    let started = Instant::now();
    let timed = (0..calls).map(|call| {
        let due = started + PERIOD * call;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        let (status, _) = connection.call(request);
        assert_eq!(status, 200);
        sent.elapsed().as_secs_f64() * 1e6
    });
    timed.collect::<Vec<f64>>().split_off(10)
}

pub(crate) fn added_latency(stage: &Stage, table: &mut Table) {
    let request = stage.request("fast", false);
    let mut all: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let mut medians: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (index, side) in stage.sides().into_iter().enumerate() {
            side.settle();
            let round = paced(side.address, &request, 300);
            medians[index].push(percentile(&round, 0.5));
            all[index].extend(round);
        }
    }
    let added = Spread::of(
        medians[0]
            .iter()
            .zip(&medians[1])
            .map(|(bare, ours)| ours - bare),
    );
    let [bare, ours] = medians.map(Spread::of);
    table.row(
        "latency p50 at 200/s",
        micros(ours),
        micros(bare),
        format!("+{:.0} µs ({})", added.median, added.range(0)),
        "≤ +60 µs",
    );
    let [bare, ours] = all.map(|all| percentile(&all, 0.99));
    table.row(
        "latency p99 at 200/s",
        format!("{ours:.0} µs"),
        format!("{bare:.0} µs"),
        format!("{:+.0} µs", ours - bare),
        "≤ +300 µs",
    );
}

pub(crate) fn percentile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * at) as usize]
}

struct Streamed {
    /// Nanoseconds from the provider's write to our read, of every chunk.
    delays: Vec<u32>,
    cpu_us: f64,
    failures: usize,
    resident_early: f64,
    resident_late: f64,
}

fn stream_many(stage: &Stage, side: &Process, streams: usize) -> Streamed {
    let request: Rc<[u8]> = stage.request("paced", true).into();
    let delays = Rc::new(RefCell::new(Vec::with_capacity(1 << 19)));
    side.settle();
    let before = side.cpu_us();
    let (failures, resident_early, resident_late) = block_on(async {
        let calls = (0..streams).map(|index| {
            let (request, delays) = (Rc::clone(&request), Rc::clone(&delays));
            async move {
                // Spread over one period, as real streams are.
                tokio::time::sleep(Duration::from_micros(index as u64 * 1_000)).await;
                let mut connection = Connection::open(side.address).await.unwrap();
                let seen = |bytes: &[u8]| {
                    let now = now_ns();
                    let mut delays = delays.borrow_mut();
                    for at in memmem::find_iter(bytes, SENT_AT) {
                        let digits = &bytes[at + SENT_AT.len()..];
                        let Some(end) = digits.iter().position(|byte| !byte.is_ascii_digit())
                        else {
                            continue;
                        };
                        let sent: u64 = std::str::from_utf8(&digits[..end])
                            .unwrap()
                            .parse()
                            .unwrap();
                        delays.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
                    }
                };
                let answer = connection.call(&request, seen).await;
                usize::from(!answer.is_ok_and(|answer| answer.status == 200))
            }
        });
        let watch = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let early = side.resident_mib();
            tokio::time::sleep(Duration::from_secs(provider::PACED_SECONDS - 5)).await;
            (early, side.resident_mib())
        };
        let (failures, (early, late)) = futures_util::future::join(join_all(calls), watch).await;
        (failures.iter().sum(), early, late)
    });
    side.settle();
    Streamed {
        delays: Rc::into_inner(delays).unwrap().into_inner(),
        cpu_us: side.cpu_us() - before,
        failures,
        resident_early,
        resident_late,
    }
}

pub(crate) fn many_streams(stage: &Stage, table: &mut Table) {
    const STREAMS: usize = 512;
    let [bare, ours] = stage.sides().map(|side| {
        let mut run = stream_many(stage, side, STREAMS);
        run.delays.sort_unstable();
        run
    });
    let millis = |run: &Streamed, at: f64| {
        f64::from(run.delays[((run.delays.len() - 1) as f64 * at) as usize]) / 1e6
    };
    let cost = |run: &Streamed| run.cpu_us / run.delays.len() as f64;
    let delays = |run: &Streamed| {
        let late = run
            .delays
            .iter()
            .filter(|delay| **delay > 20_000_000)
            .count();
        format!(
            "p50 {:.2}, p99.9 {:.1}, latest {:.1} ms ({late} of {} late)",
            millis(run, 0.5),
            millis(run, 0.999),
            millis(run, 1.0),
            run.delays.len()
        )
    };
    table.row(
        "512 streams at 50/s: chunk delay",
        delays(&ours),
        delays(&bare),
        format!(
            "{:+.1} ms; {} failures",
            millis(&ours, 1.0) - millis(&bare, 1.0),
            ours.failures
        ),
        "latest ≤ 20 ms",
    );
    table.row(
        "512 streams at 50/s: CPU per chunk",
        format!("{:.1} µs", cost(&ours)),
        format!("{:.1} µs", cost(&bare)),
        format!("{:.2}", cost(&ours) / cost(&bare)),
        "≤ 1.25",
    );
    table.row(
        "512 streams: resident at 4 s, 14 s",
        format!("{:.1}, {:.1} MiB", ours.resident_early, ours.resident_late),
        format!("{:.1}, {:.1} MiB", bare.resident_early, bare.resident_late),
        format!("{:+.1} MiB", ours.resident_late - ours.resident_early),
        "flat",
    );
}

/// Requests of 30 MB that are work to read, and what the small ones beside them wait for. One worker serves both.
pub(crate) fn large_bodies(stage: &Stage, table: &mut Table) {
    const BYTES: usize = 30_000_000;
    const CALLS: usize = 7;
    let text = |unit: &str| {
        let text = unit.repeat(BYTES / unit.len());
        format!(r#"{{"model":"fast","messages":[{{"role":"user","content":"{text}"}}]}}"#)
    };
    let numbers = "17,".repeat(BYTES / 3);
    let small = stage.request("fast", false);
    for (what, body) in [
        ("plain text", text("The quick brown fox. ")),
        (
            "numbers",
            format!(r#"{{"model":"fast","input":[{numbers}17]}}"#),
        ),
        ("escapes", text(r"\n\u00e9")),
        ("Chinese", text("界")),
    ] {
        let request = request_of(&stage.token, &body);
        let [bare, ours] = stage.sides().map(|side| {
            let mut large = Blocking::open(side.address);
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let beside = scope.spawn(|| {
                    let mut connection = Blocking::open(side.address);
                    let mut waits = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let sent = Instant::now();
                        assert_eq!(connection.call(&small).0, 200);
                        waits.push(sent.elapsed().as_secs_f64() * 1e3);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    waits
                });
                let mut took = Vec::new();
                let mut statuses = Vec::new();
                for _ in 0..CALLS {
                    let sent = Instant::now();
                    statuses.push(large.call(&request).0);
                    took.push(sent.elapsed().as_secs_f64() * 1e3);
                }
                stop.store(true, Ordering::Relaxed);
                assert_eq!(statuses, [200; CALLS]);
                (took, beside.join().unwrap())
            })
        });
        let middle = |run: &(Vec<f64>, Vec<f64>)| percentile(&run.0, 0.5);
        let shown = |run: &(Vec<f64>, Vec<f64>)| {
            format!(
                "{:.0} ms; small ones beside it p50 {:.1}, p99 {:.1} ms",
                middle(run),
                percentile(&run.1, 0.5),
                percentile(&run.1, 0.99)
            )
        };
        table.row(
            &format!("a request of 30 MB: {what}"),
            shown(&ours),
            shown(&bare),
            format!("{:+.1} ms", middle(&ours) - middle(&bare)),
            "≤ +20 ms",
        );
    }
}

/// A thousand calls at the same time, three times over, to a provider that takes a second.
pub(crate) fn slow_provider(stage: &Stage, table: &mut Table) {
    let before = stage.steward.resident_mib();
    let done: Done = closed(
        stage.steward.address,
        &stage.request("slow", false),
        1_000,
        Duration::from_millis(2_500),
        UNBOUNDED,
    );
    table.row(
        "1,000 calls at once, provider takes 1 s",
        format!("{} calls, {} errors", done.calls, done.failures),
        String::new(),
        format!(
            "{:.1} s; {before:.1} → {:.1} MiB",
            done.seconds,
            stage.steward.resident_mib()
        ),
        "no error",
    );
}
