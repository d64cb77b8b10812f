//! A fake vector store behind a socket of this machine, until the test ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fake_stores::{Asked, FakeStore};

/// Its address.
pub async fn serve<S: FakeStore>(store: Arc<S>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let store = Arc::clone(&store);
            tokio::spawn(async move { answer(socket, &*store).await });
        }
    });
    address
}

async fn answer<S: FakeStore>(mut socket: TcpStream, store: &S) -> Option<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 16_384];
        match socket.read(&mut piece).await.ok()? {
            0 => return None,
            n => bytes.extend_from_slice(&piece[..n]),
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let length = header(&head, "content-length").map_or(Ok(0), str::parse::<usize>);
        let body = &bytes[end + 4..];
        if body.len() >= length.ok()? {
            break (head, body.to_vec());
        }
    };
    let mut words = head.split(' ');
    let (status, body) = store.answer(&Asked {
        method: words.next()?,
        target: words.next()?,
        key: header(&head, S::KEY_HEADER),
        body: &body,
    });
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(answer.as_bytes()).await.ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let found = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = found.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}
