//! The fake provider's HTTP/1.1: reads requests from a socket and writes scripted answers to it, byte by byte if told so.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::script::Script;
use super::{Ending, Received, Shared, anthropic, openai};

pub enum Payload {
    Whole(Vec<u8>),
    Events(Vec<Vec<u8>>),
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub payload: Payload,
}

/// Accepts until dropped.
pub async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    listener
        .set_nonblocking(true)
        .expect("non-blocking listener");
    let listener = TcpListener::from_std(listener).expect("listener");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    shared.open_connections.fetch_add(1, Ordering::Relaxed);
                    let number = shared.connection_number();
                    let _ = stream.set_nodelay(true);
                    Connection::new(stream, number, Arc::clone(&shared)).run().await;
                    shared.open_connections.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The caller has closed its side, or the script asked for an end.
struct Over(Ending);

struct Connection {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    /// Bytes read and not yet used.
    buffered: Vec<u8>,
    number: u64,
    shared: Arc<Shared>,
}

impl Connection {
    fn new(stream: TcpStream, number: u64, shared: Arc<Shared>) -> Self {
        let (read, write) = stream.into_split();
        Self {
            read,
            write,
            buffered: Vec::new(),
            number,
            shared,
        }
    }

    async fn run(mut self) {
        while let Some(request) = self.read_request().await {
            let control = request.target.starts_with("/__fake/");
            let number = if control {
                None
            } else {
                Some(self.shared.record(request.clone()))
            };
            let result = self.answer(&request).await;
            let (ending, goes_on) = match result {
                Ok(goes_on) => (Ending::Finished, goes_on),
                Err(Over(ending)) => (ending, false),
            };
            if let Some(number) = number {
                self.shared.ended(number, ending);
            }
            if !goes_on {
                return;
            }
        }
    }

    /// More bytes into the buffer; false at the end of the stream.
    async fn fill(&mut self) -> bool {
        matches!(self.read.read_buf(&mut self.buffered).await, Ok(n) if n > 0)
    }

    async fn read_request(&mut self) -> Option<Received> {
        let end = loop {
            if let Some(end) = self.buffered.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await {
                return None;
            }
        };
        let raw_head = self.buffered[..end].to_vec();
        self.buffered.drain(..end + 4);
        let text = String::from_utf8_lossy(&raw_head).into_owned();
        let mut lines = text.split("\r\n");
        let mut request_line = lines.next()?.split(' ');
        let (method, target) = (
            request_line.next()?.to_owned(),
            request_line.next()?.to_owned(),
        );
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| {
                l.split_once(':')
                    .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
            })
            .collect();
        let header = |name: &str| {
            headers
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.clone())
        };
        if header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
            self.write
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .ok()?;
        }
        let body = if header("transfer-encoding").is_some() {
            self.read_chunked().await?
        } else {
            let length = header("content-length")
                .and_then(|v| v.parse().ok())
                .unwrap_or(0);
            while self.buffered.len() < length {
                if !self.fill().await {
                    return None;
                }
            }
            self.buffered.drain(..length).collect()
        };
        Some(Received {
            at: Instant::now(),
            connection: self.number,
            raw_head,
            method,
            target,
            headers,
            body,
            ending: None,
        })
    }

    async fn read_chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.buffered.windows(2).position(|w| w == b"\r\n") {
                    break end;
                }
                if !self.fill().await {
                    return None;
                }
            };
            let size = std::str::from_utf8(&self.buffered[..end])
                .ok()?
                .split(';')
                .next()?
                .trim()
                .to_owned();
            let size = usize::from_str_radix(&size, 16).ok()?;
            self.buffered.drain(..end + 2);
            while self.buffered.len() < size + 2 {
                if !self.fill().await {
                    return None;
                }
            }
            body.extend(self.buffered.drain(..size));
            self.buffered.drain(..2);
            if size == 0 {
                return Some(body);
            }
        }
    }

    /// Waits, and notices the caller's leaving meanwhile.
    async fn wait(&mut self, time: Duration) -> Result<(), Over> {
        if time.is_zero() {
            return Ok(());
        }
        let sleep = tokio::time::sleep(time);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return Ok(()),
                more = self.read.read_buf(&mut self.buffered) => match more {
                    Ok(n) if n > 0 => {}
                    _ => return Err(Over(Ending::CallerLeft)),
                }
            }
        }
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.write
            .write_all(bytes)
            .await
            .map_err(|_| Over(Ending::CallerLeft))
    }

    /// Answers one request; true when the connection may carry another.
    async fn answer(&mut self, request: &Received) -> Result<bool, Over> {
        if let Some(found) = self.control(request) {
            self.put_whole(
                200,
                &[("content-type".into(), "application/json".into())],
                found.to_string().as_bytes(),
                &Script::default(),
            )
            .await?;
            return Ok(true);
        }
        let body = request.json();
        let model = body
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut script = match self.shared.script_for(&request.target, &model) {
            Ok(script) => script,
            // Whoever misspelt a test's model name reads why; a fuzzer's is an ordinary unknown one.
            Err(wrong) => {
                let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": wrong}});
                let json = [("content-type".into(), "application/json".into())];
                let error = error.to_string();
                self.put_whole(400, &json, error.as_bytes(), &Script::default())
                    .await?;
                return Ok(true);
            }
        };
        // As the real ones do: an encoding only for who accepts it.
        let accepted = request.header_values("accept-encoding").join(",");
        script.gzip &= script.anyway || accepted.contains("gzip");
        script.br &= script.anyway || accepted.contains("br");
        if script.drop_before_head {
            return Err(Over(Ending::Cut));
        }
        self.wait(Duration::from_millis(script.delay_ms)).await?;
        let mut answer = choose(request, &body, &model, &script);
        if script.redirect {
            answer = Answer {
                status: 307,
                headers: vec![("location".into(), "/v1/elsewhere".into())],
                payload: Payload::Whole(Vec::new()),
            };
        }
        if script.cookies {
            for (name, value) in [
                ("set-cookie", "__cf_bm=secret; path=/; HttpOnly"),
                ("set-cookie", "_cfuvid=other; path=/"),
                ("alt-svc", "h3=\":443\"; ma=86400"),
                (
                    "strict-transport-security",
                    "max-age=31536000; includeSubDomains",
                ),
                ("keep-alive", "timeout=5"),
                ("proxy-authenticate", "Basic"),
            ] {
                answer.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        match answer.payload {
            Payload::Whole(bytes) => {
                let has_type = answer.headers.iter().any(|(n, _)| n == "content-type");
                if !has_type {
                    answer
                        .headers
                        .push(("content-type".into(), "application/json".into()));
                }
                self.put_whole(answer.status, &answer.headers, &bytes, &script)
                    .await?;
            }
            Payload::Events(events) => {
                let error_event = if is_anthropic(request) {
                    anthropic::error_event(&script)
                } else {
                    openai::error_event(
                        operation(&request.target),
                        script.error_after.unwrap_or_default(),
                        &script,
                    )
                };
                self.put_events(&answer.headers, events, error_event, &script)
                    .await?;
            }
        }
        Ok(!script.close_delimited)
    }

    /// The standalone program's own requests: what arrived, and a clean slate.
    fn control(&self, request: &Received) -> Option<Value> {
        match request.target.as_str() {
            "/__fake/requests" => Some(Value::Array(
                self.shared
                    .received()
                    .iter()
                    .map(|r| json!({"method": r.method, "target": r.target, "headers": r.headers, "body": String::from_utf8_lossy(&r.body),
                        "ending": r.ending.map(|(e, _)| format!("{e:?}"))}))
                    .collect(),
            )),
            "/__fake/total" => Some(json!({"requests": self.shared.total_requests(), "open_connections": self.shared.open_connections.load(Ordering::Relaxed)})),
            "/__fake/forget" => {
                self.shared.forget();
                Some(json!({}))
            }
            _ => None,
        }
    }

    async fn put_whole(
        &mut self,
        status: u16,
        headers: &[(String, String)],
        body: &[u8],
        script: &Script,
    ) -> Result<(), Over> {
        let (encoded, encoding) = encode(&[body.to_vec()], script);
        let body = encoded.concat();
        let mut head = head(status, headers, encoding);
        if script.close_delimited {
            head.push_str("connection: close\r\n");
        } else if script.chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        } else {
            let announced = body.len() + if script.short_body { 100 } else { 0 };
            head.push_str(&format!("content-length: {announced}\r\n"));
        }
        head.push_str("\r\n");
        if script.stall_ms == 0 && script.piece_bytes.is_none() && !script.chunked {
            let mut all = head.into_bytes();
            all.extend_from_slice(&body);
            self.put(&all).await?;
        } else {
            self.put(head.as_bytes()).await?;
            self.wait(Duration::from_millis(script.stall_ms)).await?;
            for piece in body.chunks(
                script
                    .piece_bytes
                    .unwrap_or(usize::MAX)
                    .max(1)
                    .min(body.len().max(1)),
            ) {
                self.put_piece(piece, script.chunked).await?;
            }
            if script.chunked {
                self.put(b"0\r\n\r\n").await?;
            }
        }
        if script.short_body || script.cut_after.is_some() {
            return Err(Over(Ending::Cut));
        }
        Ok(())
    }

    async fn put_piece(&mut self, piece: &[u8], chunked: bool) -> Result<(), Over> {
        if !chunked {
            return self.put(piece).await;
        }
        let mut framed = format!("{:x}\r\n", piece.len()).into_bytes();
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
        self.put(&framed).await
    }

    async fn put_events(
        &mut self,
        headers: &[(String, String)],
        mut events: Vec<Vec<u8>>,
        error_event: Vec<u8>,
        script: &Script,
    ) -> Result<(), Over> {
        if let Some(after) = script.error_after {
            events.truncate(after);
            events.push(error_event);
        }
        let (encoded, encoding) = encode(&events, script);
        let chunked = !script.close_delimited;
        let mut head = head(200, headers, encoding);
        head.push_str(
            "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n",
        );
        head.push_str(if chunked {
            "transfer-encoding: chunked\r\n\r\n"
        } else {
            "connection: close\r\n\r\n"
        });
        self.put(head.as_bytes()).await?;
        self.wait(Duration::from_millis(script.stall_ms)).await?;
        for (index, event) in encoded.iter().enumerate() {
            if script.cut_after == Some(index) {
                return Err(Over(Ending::Cut));
            }
            if script.hang_after == Some(index) {
                self.wait(Duration::from_secs(3_600)).await?;
            }
            if index > 0 {
                self.wait(Duration::from_millis(script.pause_ms)).await?;
            }
            for piece in event.chunks(
                script
                    .piece_bytes
                    .unwrap_or(usize::MAX)
                    .max(1)
                    .min(event.len().max(1)),
            ) {
                self.put_piece(piece, chunked).await?;
            }
        }
        if chunked {
            self.put(b"0\r\n\r\n").await?;
        }
        Ok(())
    }
}

fn head(status: u16, headers: &[(String, String)], encoding: Option<&str>) -> String {
    let reason = match status {
        200 => "OK",
        307 => "Temporary Redirect",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        529 => "Overloaded",
        _ => "Scripted",
    };
    let mut head = format!(
        "HTTP/1.1 {status} {reason}\r\ndate: Thu, 20 Nov 2025 22:00:00 GMT\r\nserver: fake\r\n"
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(encoding) = encoding {
        head.push_str(&format!("content-encoding: {encoding}\r\n"));
    }
    head
}

/// Compresses as the script says, each part flushed so that it can be read at once.
fn encode(parts: &[Vec<u8>], script: &Script) -> (Vec<Vec<u8>>, Option<&'static str>) {
    if script.gzip {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let mut encoded: Vec<Vec<u8>> = parts
            .iter()
            .map(|part| {
                encoder.write_all(part).expect("to memory");
                encoder.flush().expect("to memory");
                std::mem::take(encoder.get_mut())
            })
            .collect();
        encoded.push(encoder.finish().expect("to memory"));
        (encoded, Some("gzip"))
    } else if script.br {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        let mut encoded: Vec<Vec<u8>> = parts
            .iter()
            .map(|part| {
                encoder.write_all(part).expect("to memory");
                encoder.flush().expect("to memory");
                std::mem::take(encoder.get_mut())
            })
            .collect();
        encoded.push(encoder.into_inner());
        (encoded, Some("br"))
    } else {
        (parts.to_vec(), None)
    }
}

/// The path without whatever an account's base URL put before `/v1/`.
fn operation(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or(target);
    path.rfind("/v1/").map_or(path, |at| &path[at + 4..])
}

fn is_anthropic(request: &Received) -> bool {
    operation(&request.target).starts_with("messages")
        || request.header("anthropic-version").is_some()
}

fn choose(request: &Received, body: &Value, model: &str, script: &Script) -> Answer {
    let claude = is_anthropic(request);
    let key = request.header("x-api-key").map(str::to_owned).or_else(|| {
        Some(
            request
                .header("authorization")?
                .strip_prefix("Bearer ")?
                .to_owned(),
        )
    });
    let key = key.unwrap_or_default();
    let operation = operation(&request.target);
    let known = [
        "chat/completions",
        "completions",
        "responses",
        "embeddings",
        "messages",
        "messages/count_tokens",
    ]
    .contains(&operation);
    let status = if key.is_empty() || key.contains("invalid") {
        Some(401)
    } else if script.status.is_some() {
        script.status
    } else if known && (body.is_null() || script.strict && body.to_string().contains("forbidden")) {
        Some(400)
    } else {
        None
    };
    if let Some(status) = status.filter(|s| *s >= 400) {
        let error = if claude {
            anthropic::error(status, script, &key)
        } else {
            openai::error(status, script, &key)
        };
        let mut headers = if claude {
            anthropic::provider_headers(model)
        } else {
            vec![("x-request-id".to_owned(), openai::id_of("req_", model))]
        };
        if let Some(seconds) = script.retry_after {
            headers.push(("retry-after".into(), seconds.to_string()));
        }
        if let Some(ms) = script.retry_after_ms {
            headers.push(("retry-after-ms".into(), ms.to_string()));
        }
        let mut payload = error.to_string().into_bytes();
        if script.html {
            headers.push(("content-type".into(), "text/html".into()));
            payload = b"<html><body><h1>502 Bad Gateway</h1></body></html>".to_vec();
        }
        return Answer {
            status,
            headers,
            payload: Payload::Whole(payload),
        };
    }
    if script.garbage {
        return Answer {
            status: 200,
            headers: Vec::new(),
            payload: Payload::Whole(b"this is not JSON \xff\xfe".to_vec()),
        };
    }
    let ok = |value: Value| Answer {
        status: 200,
        headers: Vec::new(),
        payload: Payload::Whole(value.to_string().into_bytes()),
    };
    match (request.method.as_str(), operation) {
        ("GET", "models") => ok(if claude {
            anthropic::models()
        } else {
            openai::models()
        }),
        ("GET", path) if path.starts_with("models/") => {
            let id = &path["models/".len()..];
            ok(if claude {
                anthropic::model(id)
            } else {
                openai::model(id)
            })
        }
        ("POST", "messages" | "messages/count_tokens") => {
            anthropic::answer(operation, body, model, script)
        }
        ("POST", path) if known => openai::answer(path, body, model, script),
        _ => Answer {
            status: 404,
            headers: Vec::new(),
            payload: Payload::Whole(openai::error(404, script, &key).to_string().into_bytes()),
        },
    }
}
