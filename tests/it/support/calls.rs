//! Calls through the gateway of the application under test, as applications make them.

use http::Method;
use serde_json::{Value, json};

use super::app::App;
use super::client::{Answer, Streaming};

impl App {
    /// A call with the token, as an OpenAI client signs in.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_as(&self.key, path, body).await
    }

    pub async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        let authorization = format!("Bearer {key}");
        self.http
            .call(
                Method::POST,
                &self.url(path),
                &[
                    ("authorization", &authorization),
                    ("content-type", "application/json"),
                ],
                body.to_string(),
            )
            .await
    }

    /// A call with the token, as an Anthropic client signs in.
    pub async fn post_claude(&self, path: &str, body: &Value) -> Answer {
        let headers = [
            ("x-api-key", self.key.as_str()),
            ("anthropic-version", "2023-06-01"),
            ("content-type", "application/json"),
        ];
        self.http
            .call(Method::POST, &self.url(path), &headers, body.to_string())
            .await
    }

    pub async fn chat(&self, model: &str) -> Answer {
        self.post("/v1/chat/completions", &chat(model)).await
    }

    pub async fn messages(&self, model: &str) -> Answer {
        self.post_claude("/v1/messages", &messages(model)).await
    }

    /// Begins a streamed call and gives it back as soon as its head is there.
    pub async fn stream(&self, path: &str, body: &Value) -> Streaming {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let authorization = format!("Bearer {}", self.key);
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        if path.starts_with("/v1/messages") {
            headers.push(("anthropic-version", "2023-06-01"));
        }
        self.http
            .begin(Method::POST, &self.url(path), &headers, body.to_string())
            .await
            .expect("a head")
    }

    pub async fn chat_stream(&self, model: &str) -> Streaming {
        self.stream("/v1/chat/completions", &chat(model)).await
    }
}

/// A chat request's body.
pub fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Say hello"}]})
}

/// A messages request's body.
pub fn messages(model: &str) -> Value {
    json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello"}]})
}
