//! The request log over HTTP when it is long, and how long a start on it takes.

use std::time::Instant;

use crate::client::Blocking;
use crate::load::block_on;
use crate::process::{self, PASSWORD};
use crate::relay::percentile;
use crate::seed;
use crate::table::{Spread, Table};

const CALLS: usize = 60;
const STARTS: usize = 3;

pub(crate) fn most_rows() -> u64 {
    let rows = std::env::var("STEWARD_BENCH_ROWS").ok();
    rows.and_then(|rows| rows.parse().ok())
        .unwrap_or(10_000_000)
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(crate) fn measure(table: &mut Table) {
    let most = most_rows();
    for rows in [most / 10, most] {
        at(rows, table);
    }
}

pub(crate) fn millions(rows: u64) -> String {
    format!("{:.3}", rows as f64 / 1e6)
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
        + " M rows"
}

/// An access token of the operator.
pub(crate) fn sign_in(connection: &mut Blocking) -> String {
    let credentials = format!("{{\"username\":\"admin\",\"password\":\"{PASSWORD}\"}}");
    let (status, body) = connection.call(&post("/api/v1/auth/login", &credentials));
    assert_eq!(status, 200, "signing in failed");
    let access: serde_json::Value = serde_json::from_slice(&body).unwrap();
    access["access_token"].as_str().unwrap().to_owned()
}

fn at(rows: u64, table: &mut Table) {
    let size = millions(rows);
    let dir = tempfile::tempdir().unwrap();
    process::migrate(dir.path());
    block_on(seed::ledger(dir.path(), rows));
    // The first start makes the operator.
    drop(process::steward(dir.path()));
    let starts = (1..STARTS).map(|_| process::steward(dir.path()).1.as_secs_f64() * 1e3);
    let starts: Vec<f64> = starts.collect();
    let (steward, last) = process::steward(dir.path());
    let starts = Spread::of(starts.into_iter().chain([last.as_secs_f64() * 1e3]));
    table.row(
        &format!("{size}: start to ready"),
        format!("{:.0} ms ({})", starts.median, starts.range(0)),
        String::new(),
        String::new(),
        "≤ 1000 ms",
    );
    let mut connection = Blocking::open(steward.address);
    let access = sign_in(&mut connection);
    for (label, query) in [
        ("no filter", "limit=50"),
        ("one token", "limit=50&token_id=tok_00000000000000000007"),
        ("one model", "limit=50&model=model-3"),
        ("status 502", "limit=50&status_code=502"),
        ("30 days", "limit=50&range=30d"),
        ("by duration", "limit=50&sort=-duration_ms"),
        (
            "sparse: user and app",
            "limit=50&user=user-77&app=app-3&min_duration_ms=5000",
        ),
        ("sparse: nobody", "limit=50&user=nobody-at-all"),
    ] {
        let path = format!("/api/v1/logs/requests?{query}");
        let row = format!("{size}: list, {label}");
        Asked::again(&mut connection, &access, &path, "request_at").tell(table, &row, 20);
    }
}

/// One question, asked so often.
pub(crate) struct Asked {
    times_ms: Vec<f64>,
    /// Items of the answer.
    found: usize,
}

impl Asked {
    /// Asks on a connection that stays open; an item of the answer has the field `mark`.
    pub(crate) fn again(connection: &mut Blocking, access: &str, path: &str, mark: &str) -> Self {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {access}\r\n\r\n");
        let mark = format!("\"{mark}\"");
        let mut asked = Self {
            times_ms: Vec::new(),
            found: 0,
        };
        for _ in 0..CALLS {
            let started = Instant::now();
            let (status, body) = connection.call(request.as_bytes());
            assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
            asked.times_ms.push(started.elapsed().as_secs_f64() * 1e3);
            asked.found = memchr::memmem::find_iter(&body, mark.as_bytes()).count();
        }
        asked
    }

    pub(crate) fn tell(&self, table: &mut Table, row: &str, bar_ms: u32) {
        table.row(
            row,
            format!("p95 {:.2} ms", percentile(&self.times_ms, 0.95)),
            String::new(),
            format!(
                "p50 {:.2} ms, {} items, first {:.1} ms",
                percentile(&self.times_ms, 0.5),
                self.found,
                self.times_ms[0]
            ),
            &format!("≤ {bar_ms} ms"),
        );
    }
}
