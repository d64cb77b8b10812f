//! Live push to a crowd: how late news come, what a session weighs, and what becomes of readers that stall.
//!
//! `STEWARD_BENCH_SUBSCRIBERS` (10,000) sockets subscribe to `requests`; a call every 240 ms makes about four pushes a
//! second. Lateness is from the moment a message says it was published (a whole millisecond of the same clock) to the
//! moment its last byte was read. Then 100 more subscribe and never read: they must be gone after three heartbeats.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::client::{Blocking, Connection};
use crate::load::block_on;
use crate::process::PASSWORD;
use crate::relay::{Stage, percentile};
use crate::table::Table;

const STALLED: usize = 100;
const WATCHED: Duration = Duration::from_secs(20);
const CALL_EVERY: Duration = Duration::from_millis(240);
/// Three heartbeats of 15 s, and a look every 5 s.
const EVICTED_WITHIN: Duration = Duration::from_secs(60);

fn subscribers() -> usize {
    let many = std::env::var("STEWARD_BENCH_SUBSCRIBERS").ok();
    many.and_then(|many| many.parse().ok()).unwrap_or(10_000)
}

/// Two files for each socket pair live in two processes; the server raises its own limit.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

fn post(path: &str, bearer: &str, body: &str) -> Vec<u8> {
    let bytes = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {bearer}\r\n\
         content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn field(body: &[u8], name: &str) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap();
    value[name].as_str().unwrap().to_owned()
}

/// Opens sockets, one after the other: the crowd arrives before the measurement.
struct Door {
    address: SocketAddr,
    control: Blocking,
    access: String,
}

type Socket = WebSocketStream<TcpStream>;

impl Door {
    fn open(address: SocketAddr) -> Self {
        let mut control = Blocking::open(address);
        let credentials = format!("{{\"username\":\"admin\",\"password\":\"{PASSWORD}\"}}");
        let (status, body) = control.call(&post("/api/v1/auth/login", "", &credentials));
        assert_eq!(status, 200, "signing in failed");
        Self {
            address,
            control,
            access: field(&body, "access_token"),
        }
    }

    async fn subscriber(&mut self) -> Socket {
        let (status, body) = self
            .control
            .call(&post("/api/v1/auth/ws-ticket", &self.access, ""));
        assert_eq!(status, 200, "no ticket");
        let ticket = field(&body, "ticket");
        let stream = TcpStream::connect(self.address).await.unwrap();
        let url = format!("ws://{}/api/v1/ws?ticket={ticket}", self.address);
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0);
        let (mut socket, _) = client_async_with_config(url, stream, Some(config))
            .await
            .unwrap();
        let subscribe = r#"{"op":"subscribe","topics":["requests"]}"#;
        socket.send(Message::text(subscribe)).await.unwrap();
        socket
    }

    fn sessions(&mut self) -> usize {
        let ask = b"GET /metrics HTTP/1.1\r\nhost: bench\r\n\r\n";
        let (_, page) = self.control.call(ask);
        let page = String::from_utf8(page).unwrap();
        let line = page
            .lines()
            .find(|line| line.starts_with("steward_push_sessions "));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap()
    }
}

/// Milliseconds since a message says it was published; `None` for messages that are no news.
fn lateness_ms(text: &str) -> Option<f64> {
    let (_, rest) = text.split_once(r#""at":""#)?;
    let at = chrono::DateTime::parse_from_rfc3339(rest.get(..24)?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Some(now.as_secs_f64() * 1e3 - at.timestamp_millis() as f64)
}

async fn read_all(mut socket: Socket, late: Rc<RefCell<Vec<f64>>>) {
    // Reading answers pings too.
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message
            && let Some(ms) = lateness_ms(&text)
        {
            late.borrow_mut().push(ms);
        }
    }
}

async fn call_every(address: SocketAddr, request: Vec<u8>) {
    let mut gateway = Connection::open(address).await.unwrap();
    let mut beat = tokio::time::interval(CALL_EVERY);
    loop {
        beat.tick().await;
        let answer = gateway.call(&request, |_| {}).await.unwrap();
        assert_eq!(answer.status, 200);
    }
}

pub(crate) fn measure(stage: &Stage, table: &mut Table) {
    raise_file_limit();
    let many = subscribers();
    let steward = &stage.steward;
    let before = steward.resident_mib();
    let late = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        let mut door = Door::open(steward.address);
        for _ in 0..many {
            let socket = door.subscriber().await;
            tokio::task::spawn_local(read_all(socket, Rc::clone(&late)));
        }
        assert_eq!(door.sessions(), many);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let request = stage.request("fast", false);
        let calls = tokio::task::spawn_local(call_every(steward.address, request));
        tokio::time::sleep(Duration::from_secs(2)).await;
        late.borrow_mut().clear();
        let used = steward.cpu_us();
        tokio::time::sleep(WATCHED).await;
        let used = steward.cpu_us() - used;
        let taken = late.take();
        let pushes = taken.len() as f64 / many as f64 / WATCHED.as_secs_f64();
        let weight = (steward.resident_mib() - before) * 1024.0 / many as f64;
        table.row(
            &format!("push to {many}: lateness p50, p99"),
            format!(
                "{:.0}, {:.0} ms",
                percentile(&taken, 0.5),
                percentile(&taken, 0.99)
            ),
            String::new(),
            format!(
                "{pushes:.1} pushes/s; {:.0} % of a processor",
                used / WATCHED.as_secs_f64() / 1e4
            ),
            "p99 ≤ 250 ms",
        );
        table.row(
            "push: memory of a session",
            format!("{weight:.1} KiB"),
            String::new(),
            String::new(),
            "≤ 20 KiB",
        );
        let crowded = steward.resident_mib();
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            stalled.push(door.subscriber().await);
        }
        let begun = Instant::now();
        while door.sessions() > many && begun.elapsed() < EVICTED_WITHIN {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        table.row(
            &format!("push: {STALLED} readers that stall"),
            format!(
                "{} left after {:.0} s",
                door.sessions() - many,
                begun.elapsed().as_secs_f64()
            ),
            String::new(),
            format!("{:+.1} MiB", steward.resident_mib() - crowded),
            "0 left within 60 s",
        );
        calls.abort();
    });
}
