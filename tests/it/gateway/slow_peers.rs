//! Clients that read slowly, bodies that trickle in, answers larger than any buffer: memory stays flat.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::App;
use crate::support::calls::chat;
use crate::support::raw::{read_answer, status};

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_provider_back_not_the_memory() {
    let app = App::serving().await;
    app.chat("gpt-4o").await.expect_status(200);
    let before = app.resident_kib();
    let body = chat("gpt-4o+big=150000000+chunked").to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        app.key,
        body.len()
    );
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0_u8; 1024];
    let read = tokio::time::timeout(Duration::from_secs(30), socket.read(&mut start))
        .await
        .expect("a head")
        .unwrap();
    assert!(String::from_utf8_lossy(&start[..read]).starts_with("HTTP/1.1 200"));
    // Nothing more is read: whatever is buffered shows within a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = app.resident_kib().saturating_sub(before);
    assert!(
        grown < 64 * 1024,
        "{grown} KiB are kept for one client that does not read"
    );
    app.chat("gpt-4o").await.expect_status(200);
}

#[tokio::test]
async fn a_huge_answer_passes_whole() {
    let app = App::serving().await;
    let answer = app.chat("gpt-4o+big=50000000").await.expect_status(200);
    assert!(answer.body.len() > 50_000_000);
    let record = app.record(&answer.request_id()).await;
    assert_eq!(record["completion_tokens"], 5);
}

#[tokio::test]
async fn a_body_that_trickles_in_is_served() {
    let app = App::serving().await;
    let body = chat("gpt-4o").to_string();
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        app.key
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    for byte in body.as_bytes() {
        socket
            .write_all(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n'])
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut socket, Duration::from_secs(20)).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(
        String::from_utf8(app.provider().received().pop().unwrap().body).unwrap(),
        body
    );
}

#[tokio::test]
async fn pipelined_and_kept_alive_requests_are_answered_in_order() {
    let app = App::serving().await;
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let mut all = String::new();
    for n in [1, 2, 3] {
        let body = chat(&format!("gpt-4o+n={n}")).to_string();
        all.push_str(&format!("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", app.key, body.len()));
    }
    socket.write_all(all.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0_u8; 4096];
    let _ = tokio::time::timeout(Duration::from_secs(20), async {
        while String::from_utf8_lossy(&seen)
            .matches("\"completion_tokens\"")
            .count()
            < 3
        {
            let read = socket.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                break;
            }
            seen.extend_from_slice(&buffer[..read]);
        }
    })
    .await;
    let text = String::from_utf8_lossy(&seen).into_owned();
    let order: Vec<_> = text
        .match_indices("\"completion_tokens\":")
        .map(|(at, m)| text.as_bytes()[at + m.len()])
        .collect();
    assert_eq!(order, b"123", "{text}");
}
