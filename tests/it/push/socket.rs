//! A WebSocket on the application under test.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::support::{App, PATIENCE};

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Of the process that answered.
    pub epoch: i64,
}

/// A ticket for a WebSocket.
pub async fn ticket(app: &App, bearer: &str) -> String {
    let answer = app
        .api_as(bearer, Method::POST, "auth/ws-ticket", Some(json!({})))
        .await;
    answer.expect_status(200).json()["ticket"]
        .as_str()
        .expect("a ticket")
        .to_owned()
}

/// The status of the answer to an upgrade with this ticket and origin: 101 when it succeeded.
pub async fn knock(
    app: &App,
    ticket: &str,
    origin: Option<&str>,
) -> (u16, Option<WebSocketStream<TcpStream>>) {
    let mut request = Request::builder()
        .uri(format!("ws://{}/api/v1/ws?ticket={ticket}", app.address))
        .header("host", app.address.to_string())
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key());
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let connection = TcpStream::connect(app.address).await.expect("a connection");
    let config = WebSocketConfig::default();
    let request = request.body(()).expect("a request");
    match client_async_with_config(request, connection, Some(config)).await {
        Ok((stream, _)) => (101, Some(stream)),
        Err(Error::Http(answer)) => (answer.status().as_u16(), None),
        Err(error) => panic!("no answer: {error}"),
    }
}

impl Socket {
    /// Opened by whoever has this access token.
    pub async fn open(app: &App, bearer: &str) -> Self {
        let ticket = ticket(app, bearer).await;
        let (status, stream) = knock(app, &ticket, None).await;
        assert_eq!(status, 101);
        let mut socket = Self {
            stream: stream.expect("a socket"),
            epoch: 0,
        };
        let hello = socket.next().await;
        assert_eq!(hello["op"], "hello", "{hello}");
        socket.epoch = hello["epoch"].as_i64().expect("an epoch");
        socket
    }

    /// The same, subscribed to `topics` from now on.
    pub async fn on(app: &App, bearer: &str, topics: &[&str]) -> Self {
        let mut socket = Self::open(app, bearer).await;
        socket
            .say(json!({"op": "subscribe", "topics": topics}))
            .await;
        let told = socket.until(|frame| frame["op"] == "subscribed").await;
        assert_eq!(told["topics"], json!(topics));
        socket
    }

    pub async fn say(&mut self, message: Value) {
        self.send(message.to_string()).await;
    }

    /// Says it if the connection still takes it at once.
    pub async fn try_say(&mut self, message: Value) -> bool {
        let sent = self.stream.send(Message::text(message.to_string()));
        let sent = tokio::time::timeout(Duration::from_secs(1), sent).await;
        matches!(sent, Ok(Ok(())))
    }

    pub async fn send(&mut self, text: String) {
        self.stream.send(Message::text(text)).await.expect("sent");
    }

    /// The next frame, whatever it is; answers pings on the way.
    async fn frame(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.stream.next())
            .await
            .expect("a frame in time")
            .expect("a connection")
            .expect("a frame")
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        loop {
            match self.frame().await {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("instead of a message: {other:?}"),
            }
        }
    }

    /// The first message that is `wanted`.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let message = self.next().await;
            if wanted(&message) {
                return message;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "in vain; last: {message}"
            );
        }
    }

    /// The code of the close frame that ends it.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(reason) = self.frame().await {
                return reason.expect("a reason").code.into();
            }
        }
    }

    /// Reads nothing for as long as it takes until `over`, then tells the code of the close frame that lay waiting.
    pub async fn stall_until(mut self, over: impl Future<Output = ()>) -> u16 {
        over.await;
        tokio::time::timeout(Duration::from_secs(5), self.closed())
            .await
            .expect("a close frame at the end of what lay waiting")
    }
}
