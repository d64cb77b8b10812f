//! Calls beside retention: how late answers come while a million rows of the request log are being forgotten.
//!
//! 500 calls a second, each due at its own moment and timed from it, whether or not the one before it is done. First
//! nothing else happens, then the job `retention.run` does; both on the same process and the same log. The longest time
//! that a step held the ledger's writer is the job's own word.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Blocking;
use crate::load::{block_on, request};
use crate::process::{self, PASSWORD};
use crate::relay::percentile;
use crate::seed;
use crate::table::Table;

/// Nine days in ten of them are older than the days that are kept.
const ROWS: u64 = 1_100_000;
const KEPT_DAYS: &str = "9";
const PER_SECOND: u32 = 500;
const LINES: u32 = 20;
const QUIET: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(600);

fn asked(method: &str, path: &str, bearer: &str, body: &str) -> Vec<u8> {
    let bytes = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {bearer}\r\n\
         content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The control face, signed in.
struct Control {
    line: Blocking,
    access: String,
}

impl Control {
    fn open(address: SocketAddr) -> Self {
        let mut line = Blocking::open(address);
        let credentials = format!("{{\"username\":\"admin\",\"password\":\"{PASSWORD}\"}}");
        let (status, body) = line.call(&asked("POST", "/api/v1/auth/login", "", &credentials));
        assert_eq!(status, 200, "signing in failed");
        let answer: Value = serde_json::from_slice(&body).unwrap();
        Self {
            line,
            access: answer["access_token"].as_str().unwrap().to_owned(),
        }
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = self.line.call(&asked(method, path, &self.access, body));
        assert!(status < 300, "{method} {path}: {status}");
        serde_json::from_slice(&answer).unwrap()
    }

    /// What came of the job.
    fn run_retention(&mut self) -> Value {
        let accepted = self.ask("POST", "/api/v1/ops/retention/run", "{}");
        let path = format!("/api/v1/jobs/{}", accepted["job"]["id"].as_str().unwrap());
        let begun = Instant::now();
        loop {
            let job = self.ask("GET", &path, "");
            if job["finished_at"].is_string() {
                assert_eq!(job["state"], "succeeded", "{job}");
                return job["result"].clone();
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {job}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Calls at their pace until `over`; how late each answer was, in milliseconds.
fn calls_until(address: SocketAddr, request: &[u8], over: &AtomicBool) -> Vec<f64> {
    let late = Mutex::new(Vec::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for line in 0..LINES {
            let late = &late;
            scope.spawn(move || {
                let mut connection = Blocking::open(address);
                let mut mine = Vec::new();
                let mut call = line;
                while !over.load(Ordering::Relaxed) {
                    let due = begun + Duration::from_secs(1) * call / PER_SECOND;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let (status, _) = connection.call(request);
                    assert_eq!(status, 200, "a call failed");
                    mine.push(due.elapsed().as_secs_f64() * 1e3);
                    call += LINES;
                }
                late.lock().unwrap().extend(mine);
            });
        }
    });
    late.into_inner().unwrap()
}

pub(crate) fn measure(provider: SocketAddr, table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    process::migrate(dir.path());
    let token = block_on(seed::gateway(dir.path(), provider));
    block_on(seed::ledger(dir.path(), ROWS));
    let (steward, _) = process::steward(dir.path());
    let mut control = Control::open(steward.address);
    let request = request(&token, "fast", false);
    let during = |work: &mut dyn FnMut() -> Value| {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let calls = scope.spawn(|| calls_until(steward.address, &request, &over));
            let done = work();
            over.store(true, Ordering::Relaxed);
            (calls.join().unwrap(), done)
        })
    };
    let quiet = || {
        let (late, _) = during(&mut || {
            std::thread::sleep(QUIET);
            Value::Null
        });
        late
    };
    // Caches fill.
    quiet();
    let before = quiet();
    let days = format!("{{\"values\":{{\"retention.request_logs_days\":\"{KEPT_DAYS}\"}}}}");
    control.ask("PATCH", "/api/v1/settings", &days);
    let began = Instant::now();
    let (beside, report) = during(&mut || control.run_retention());
    let seconds = began.elapsed().as_secs_f64();
    let after = quiet();
    let p99 = |late: &[f64]| percentile(late, 0.99);
    let alone = p99(&before).max(p99(&after));
    table.row(
        &format!("calls at {PER_SECOND}/s beside retention: p50, p99"),
        format!("{:.2}, {:.2} ms", percentile(&beside, 0.5), p99(&beside)),
        format!(
            "{:.2}, {:.2} ms before; {:.2}, {:.2} ms after",
            percentile(&before, 0.5),
            p99(&before),
            percentile(&after, 0.5),
            p99(&after)
        ),
        format!("p99 {:+.0} %", (p99(&beside) / alone - 1.0) * 100.0),
        "≤ +20 %",
    );
    table.row(
        "retention: longest hold of the writer",
        format!(
            "{:.1} ms",
            report["longest_hold_us"].as_f64().unwrap() / 1e3
        ),
        String::new(),
        format!(
            "{} rows in {seconds:.0} s, {} steps, {} of them too long",
            report["removed"]["request_logs"], report["steps"], report["slow_steps"]
        ),
        "≤ 50 ms",
    );
}
