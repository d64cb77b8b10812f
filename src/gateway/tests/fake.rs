//! A scripted upstream: raw TCP, so that a test says exactly which bytes go out and when the line is cut.
//! It runs inside the test's own task (see [`super::house`]), nothing is spawned.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One thing the upstream does after it has read a request.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Waits until the test calls [`Fake::go_on`].
    Wait,
    /// Says nothing more until the other side hangs up.
    Stall,
    /// Closes the connection.
    Close,
}

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: String,
}

pub(super) struct Fake {
    listener: TcpListener,
    scripts: RefCell<Vec<Vec<Step>>>,
    pub(super) seen: RefCell<Vec<Seen>>,
    go: tokio::sync::Semaphore,
    /// Connections on which the other side hung up while we stalled.
    pub(super) hung_up: Cell<usize>,
}

impl Fake {
    /// Answers its requests with `scripts`, in order; the last one repeats.
    pub(super) async fn new(scripts: Vec<Vec<Step>>) -> Rc<Self> {
        Rc::new(Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            scripts: RefCell::new(scripts),
            seen: RefCell::default(),
            go: tokio::sync::Semaphore::new(0),
            hung_up: Cell::new(0),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Lets one waiting script continue.
    pub(super) fn go_on(&self) {
        self.go.add_permits(1);
    }

    /// Serves until dropped.
    pub(super) async fn serve(&self) {
        let mut lines = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => lines.push(self.line(accepted.unwrap().0)),
                Some(()) = lines.next() => {}
            }
        }
    }

    async fn line(&self, mut socket: TcpStream) {
        let mut read = Vec::new();
        while let Some(request) = read_request(&mut socket, &mut read).await {
            self.seen.borrow_mut().push(request);
            let script = {
                let mut scripts = self.scripts.borrow_mut();
                if scripts.len() > 1 {
                    scripts.remove(0)
                } else {
                    scripts[0].clone()
                }
            };
            for step in script {
                match step {
                    Step::Send(bytes) => {
                        if socket.write_all(&bytes).await.is_err() {
                            self.hung_up.set(self.hung_up.get() + 1);
                            return;
                        }
                    }
                    Step::Wait => self.go.acquire().await.unwrap().forget(),
                    Step::Stall => {
                        let mut sink = [0; 64];
                        while matches!(socket.read(&mut sink).await, Ok(1..)) {}
                        self.hung_up.set(self.hung_up.get() + 1);
                        return;
                    }
                    Step::Close => return,
                }
            }
        }
    }
}

async fn read_request(socket: &mut TcpStream, read: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read.drain(..end).collect()).unwrap();
    let length: usize = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(|n| n.trim().parse().unwrap())
        })
        .unwrap_or(0);
    while read.len() < length {
        if socket.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(read.drain(..length).collect()).unwrap();
    Some(Seen { head, body })
}

/// An answer with a length.
pub(super) fn json(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-request-id: up-1\r\nopenai-version: v9\r\nset-cookie: a=b\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The head of a stream.
pub(super) fn sse_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_vec()
}

/// One piece of a chunked body.
pub(super) fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// The end of a chunked body.
pub(super) fn end() -> Vec<u8> {
    b"0\r\n\r\n".to_vec()
}

/// Longest a test waits for something to become true.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
