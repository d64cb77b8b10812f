//! Closed loops: so many connections, each sending its next request when the last answer is whole.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::client::Connection;

/// What a closed loop did.
#[derive(Default, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) seconds: f64,
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(tokio::task::LocalSet::new().run_until(future))
}

/// A request as it goes over the wire, with the headers an SDK sends.
pub(crate) fn request(token: &str, model: &str, stream: bool) -> Vec<u8> {
    let body = format!(
        "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"}},\
         {{\"role\":\"user\",\"content\":\"Say hello to the people who read this.\"}}],\"temperature\":0.7,\
         \"max_tokens\":256{}}}",
        if stream { ",\"stream\":true" } else { "" }
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\
         accept-encoding: gzip, deflate\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n\
         user-agent: OpenAI/Python 2.7.0\r\nx-stainless-arch: x64\r\nx-stainless-async: false\r\n\
         x-stainless-lang: python\r\nx-stainless-os: Linux\r\nx-stainless-package-version: 2.7.0\r\n\
         x-stainless-retry-count: 0\r\nx-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.13.1\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// [`request`] for `fast`, with more header lines.
pub(crate) fn request_with(token: &str, headers: &str) -> Vec<u8> {
    let plain = String::from_utf8(request(token, "fast", false)).unwrap();
    plain
        .replacen("host: ", &format!("{headers}host: "), 1)
        .into_bytes()
}

/// The same around a body of the caller's making.
pub(crate) fn request_of(token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Keeps `connections` busy for `length`, or until `most` calls were made.
pub(crate) fn closed(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    length: Duration,
    most: u64,
) -> Done {
    let request: Rc<[u8]> = request.into();
    let calls = Rc::new(Cell::new(0_u64));
    let failures = Rc::new(Cell::new(0_u64));
    let started = Instant::now();
    block_on(join_all((0..connections).map(|_| {
        let (request, calls, failures) =
            (Rc::clone(&request), Rc::clone(&calls), Rc::clone(&failures));
        async move {
            let mut connection = Connection::open(address).await.unwrap();
            while started.elapsed() < length && calls.get() < most {
                calls.set(calls.get() + 1);
                match connection.call(&request, |_| {}).await {
                    Ok(answer) if answer.status == 200 => {}
                    _ => {
                        failures.set(failures.get() + 1);
                        connection = Connection::open(address).await.unwrap();
                    }
                }
            }
        }
    })));
    Done {
        calls: calls.get(),
        failures: failures.get(),
        seconds: started.elapsed().as_secs_f64(),
    }
}
