//! A bare socket, for requests no HTTP client would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends the bytes as they are and reads until the server closes, a whole head with its announced body is there, or
/// the time is over. Empty: the server closed without a word.
pub async fn exchange(address: SocketAddr, bytes: &[u8], patience: Duration) -> String {
    let mut socket = TcpStream::connect(address).await.expect("connect");
    // The server may refuse and close while we still write.
    let _ = tokio::time::timeout(patience, socket.write_all(bytes)).await;
    read_answer(&mut socket, patience).await
}

pub async fn read_answer(socket: &mut TcpStream, patience: Duration) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(patience, async {
        let mut buffer = [0_u8; 16 * 1024];
        while !complete(&answer) {
            match socket.read(&mut buffer).await {
                Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
                _ => break,
            }
        }
    })
    .await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let lower = head.to_ascii_lowercase();
    if let Some(length) = lower
        .lines()
        .find_map(|l| l.strip_prefix("content-length:"))
    {
        return body.len() >= length.trim().parse().unwrap_or(usize::MAX);
    }
    lower.contains("transfer-encoding: chunked") && body.ends_with("0\r\n\r\n")
}

/// The status of an answer's first line; 0 when there is none.
pub fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(0)
}
