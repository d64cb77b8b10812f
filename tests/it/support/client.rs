//! A plain HTTP client: no retries, no redirects, no decompression, so that a test sees what was sent.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|v| v.to_str().expect("a readable header"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{} is not JSON ({e}): {}", self.status, self.text()))
    }

    /// The id under which this call is on the books.
    #[track_caller]
    pub fn request_id(&self) -> String {
        self.header("x-request-id")
            .unwrap_or_else(|| panic!("no x-request-id on {} {}", self.status, self.text()))
            .to_owned()
    }

    /// Fails the test with the body when the status is another.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// An answer whose body is read bit by bit.
pub struct Streaming {
    pub status: u16,
    pub headers: HeaderMap,
    body: Incoming,
    pub seen: Vec<u8>,
    /// What the client said of a broken stream.
    pub cause: Option<String>,
}

/// Why a stream gave no more.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Clean,
    Broken,
}

impl Streaming {
    pub fn request_id(&self) -> String {
        self.headers
            .get("x-request-id")
            .expect("x-request-id")
            .to_str()
            .expect("readable")
            .to_owned()
    }

    /// The next piece as it came, or how the stream ended.
    pub async fn next(&mut self) -> Result<Bytes, End> {
        loop {
            let frame = tokio::time::timeout(ANSWER_WITHIN, self.body.frame())
                .await
                .expect("a stream that goes on");
            match frame {
                None => return Err(End::Clean),
                Some(Err(cause)) => {
                    self.cause = Some(format!("{cause:?}"));
                    return Err(End::Broken);
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.seen.extend_from_slice(&data);
                        return Ok(data);
                    }
                }
            }
        }
    }

    /// Reads until the text was seen; panics when the stream ends before.
    pub async fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.seen).contains(text) {
            if let Err(end) = self.next().await {
                panic!(
                    "{end:?} before {text:?}: {}",
                    String::from_utf8_lossy(&self.seen)
                );
            }
        }
    }

    pub async fn rest(&mut self) -> End {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

#[derive(Clone)]
pub struct Client {
    inner: HyperClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            inner: HyperClient::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(20))
                .build(connector),
        }
    }

    pub async fn begin(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Streaming, String> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.inner.request(request))
            .await
            .map_err(|_| format!("{url} did not answer"))?;
        let (head, body) = answer.map_err(|e| format!("{url}: {e:?}"))?.into_parts();
        Ok(Streaming {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            seen: Vec::new(),
            cause: None,
        })
    }

    /// One call; an error is a connection that failed before the whole answer came.
    pub async fn try_call(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut streaming = self.begin(method, url, headers, body).await?;
        match streaming.rest().await {
            End::Clean => Ok(Answer {
                status: streaming.status,
                headers: streaming.headers,
                body: streaming.seen.into(),
            }),
            End::Broken => Err(format!(
                "{url}: the body broke off after {} bytes",
                streaming.seen.len()
            )),
        }
    }

    pub async fn call(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.try_call(method, url, headers, body)
            .await
            .expect("an answer")
    }
}

/// The data of the events of a stream, comments left out.
pub fn events(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    text.split("\n\n")
        .filter_map(|event| {
            let data: Vec<_> = event
                .lines()
                .filter_map(|l| l.strip_prefix("data:"))
                .map(|d| d.strip_prefix(' ').unwrap_or(d))
                .collect();
            (!data.is_empty()).then(|| data.join("\n"))
        })
        .collect()
}

/// How long something took.
pub async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (future.await, began.elapsed())
}
