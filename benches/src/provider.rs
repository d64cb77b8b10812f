//! A provider that answers at once, from memory, on a thread of its own.
//!
//! The model's name says how: `fast` (JSON, or fifty events without a gap when a stream is asked for),
//! `paced` (fifty events a second, each with the time it was sent at), `slow` (JSON after a second).
//!
//! Every JSON answer has an id of its own, as real ones do: the books remember ids, and one that is always the same
//! would hide what that costs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

pub(crate) const CHUNKS: usize = 50;
pub(crate) const CHUNKS_PER_SECOND: u64 = 50;
/// Length of a paced stream.
pub(crate) const PACED_SECONDS: u64 = 15;
const SLOW: Duration = Duration::from_secs(1);
/// What stands before the time in a paced event.
pub(crate) const SENT_AT: &[u8] = b"\"content\":\" t";

/// Before the part of an answer's id that is its own.
const ID: &str = "chatcmpl-";
const JSON: &str = r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4.1-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":"Hello! How can I assist you today?","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default"}"#;
const EVENTS_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
    x-request-id: req_123456789\r\nopenai-processing-ms: 12\r\ntransfer-encoding: chunked\r\n\r\n";
const USAGE: &str = "data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\
    \"model\":\"gpt-4.1\",\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[],\"usage\":{\"prompt_tokens\":19,\
    \"completion_tokens\":50,\"total_tokens\":69}}\n\n";

/// The clock that provider and driver share, in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Starts it; it ends with the process.
pub(crate) fn start() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::Builder::new()
        .name("provider".into())
        .spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(accept(listener));
        })
        .unwrap();
    address
}

async fn accept(listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                connections.spawn(async move {
                    // A proxy that hangs up is no news.
                    let _ = serve(stream).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut fast = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-request-id: req_123456789\r\n\
         openai-organization: bench\r\nopenai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\n\
         x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n\r\n{JSON}",
        JSON.len()
    )
    .into_bytes();
    let id_at = memmem::find(&fast, ID.as_bytes()).unwrap() + ID.len();
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        buffer.clear();
        let body_at = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            if let Some(at) = memmem::find(&buffer, b"\r\n\r\n") {
                break at + 4;
            }
        };
        let length = content_length(&buffer[..body_at]);
        while buffer.len() < body_at + length {
            stream.read_buf(&mut buffer).await?;
        }
        let body = &buffer[body_at..];
        let has = |what: &str| memmem::find(body, what.as_bytes()).is_some();
        let usage = has("include_usage");
        if has("\"paced\"") {
            paced(&mut stream, usage).await?;
        } else if has("\"stream\":true") {
            events(&mut stream, usage).await?;
        } else {
            if has("\"slow\"") {
                sleep(SLOW).await;
            }
            fast[id_at..id_at + 16].copy_from_slice(&next_id());
            stream.write_all(&fast).await?;
        }
    }
}

/// Sixteen hexadecimal digits, no two the same and in no order.
fn next_id() -> [u8; 16] {
    static ANSWERS: AtomicU64 = AtomicU64::new(0);
    // An odd factor permutes the numbers of 64 bits (Weyl's sequence; the factor is the golden ratio's).
    let id = ANSWERS
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    std::array::from_fn(|at| b"0123456789abcdef"[(id >> (60 - 4 * at)) as usize & 15])
}

fn content_length(head: &[u8]) -> usize {
    let text = std::str::from_utf8(head).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap())
}

fn event(content: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"gpt-4.1\",\
         \"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" {content}\"}},\
         \"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
    )
}

fn framed(event: &str) -> Vec<u8> {
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

async fn close(stream: &mut TcpStream, usage: bool) -> std::io::Result<()> {
    if usage {
        stream.write_all(&framed(USAGE)).await?;
    }
    stream.write_all(&framed("data: [DONE]\n\n")).await?;
    stream.write_all(b"0\r\n\r\n").await
}

async fn events(stream: &mut TcpStream, usage: bool) -> std::io::Result<()> {
    stream.write_all(EVENTS_HEAD).await?;
    let event = framed(&event("word"));
    for _ in 0..CHUNKS {
        stream.write_all(&event).await?;
    }
    close(stream, usage).await
}

async fn paced(stream: &mut TcpStream, usage: bool) -> std::io::Result<()> {
    stream.write_all(EVENTS_HEAD).await?;
    let mut ticks = interval(Duration::from_micros(1_000_000 / CHUNKS_PER_SECOND));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..PACED_SECONDS * CHUNKS_PER_SECOND {
        ticks.tick().await;
        let event = event(&format!("t{}", now_ns()));
        stream.write_all(&framed(&event)).await?;
    }
    close(stream, usage).await
}
