//! The control face of the application under test: signing in, making and changing things, reading the books.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::app::{App, OPERATOR_PASSWORD, PROVIDER_KEY};
use super::client::Answer;
use super::eventually;

/// Longer than the writer may need after a disk that stood still: 10 s until it counts as stuck, a restart, a wait for the
/// database and one more try.
const RECORDED_WITHIN: Duration = Duration::from_secs(60);

/// The body that creates an account.
pub fn account(protocol: &str, base_url: &str, models: &[&str]) -> Value {
    json!({"name": format!("{protocol} {base_url} {}", models.join(" ")), "provider": protocol, "protocol": protocol, "base_url": base_url,
        "api_key": PROVIDER_KEY, "models": models})
}

impl App {
    pub async fn sign_in(&self, username: &str, password: &str) -> String {
        let answer = self
            .api_as(
                "",
                Method::POST,
                "auth/login",
                Some(json!({"username": username, "password": password})),
            )
            .await
            .expect_status(200)
            .json();
        assert_eq!(answer["token_type"], "Bearer");
        answer["access_token"]
            .as_str()
            .expect("access_token")
            .to_owned()
    }

    /// Another operator, past the change of the first password; their id and access token.
    pub async fn operator(&self, username: &str, role: &str) -> (String, String) {
        let first = "the administrator's choice";
        let new = json!({"username": username, "password": first, "role": role, "display_name": username});
        let id = self.create("ops/users", new).await["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let token = self.sign_in(username, first).await;
        let change = json!({"current_password": first, "new_password": OPERATOR_PASSWORD});
        let changed = self
            .api_as(&token, Method::POST, "auth/password", Some(change))
            .await
            .expect_status(200)
            .json();
        (
            id,
            changed["access_token"]
                .as_str()
                .expect("access_token")
                .to_owned(),
        )
    }

    /// A call under `/api/v1/` with an access token or operator key; empty: none.
    pub async fn api_as(
        &self,
        bearer: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.api_with(bearer, method, path, &[], body).await
    }

    pub async fn api_with(
        &self,
        bearer: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let authorization = format!("Bearer {bearer}");
        let mut all = headers.to_vec();
        if !bearer.is_empty() {
            all.push(("authorization", &authorization));
        }
        if body.is_some() {
            all.push(("content-type", "application/json"));
        }
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        self.http
            .call(method, &self.url(&format!("/api/v1/{path}")), &all, body)
            .await
    }

    pub async fn api(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.api_as(&self.admin, method, path, body).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.api(Method::GET, path, None)
            .await
            .expect_status(200)
            .json()
    }

    pub async fn create(&self, resource: &str, body: Value) -> Value {
        self.api(Method::POST, resource, Some(body))
            .await
            .expect_status(201)
            .json()
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.api(Method::PATCH, path, Some(body))
            .await
            .expect_status(200)
            .json()
    }

    pub async fn remove(&self, path: &str) {
        let answer = self.api(Method::DELETE, path, None).await;
        assert!(
            (200..300).contains(&answer.status),
            "{} {}",
            answer.status,
            answer.text()
        );
    }

    /// Another token; its secret and its id.
    pub async fn token(&self, body: Value) -> (String, String) {
        let token = self.create("tokens", body).await;
        (
            token["token"].as_str().expect("the secret").to_owned(),
            token["id"].as_str().expect("an id").to_owned(),
        )
    }

    /// The record of a call, once it is in the database.
    pub async fn record(&self, request_id: &str) -> Value {
        let path = format!("logs/requests/{request_id}");
        let deadline = Instant::now() + RECORDED_WITHIN;
        loop {
            let answer = self.api(Method::GET, &path, None).await;
            if answer.status == 200 {
                return answer.json();
            }
            assert!(
                Instant::now() < deadline,
                "no record {request_id} in {RECORDED_WITHIN:?}; the last answer: {} {}; the books: {:?}",
                answer.status,
                answer.text(),
                self.loss_ledger().await,
            );
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    /// Asks for a job; its result, once it is done.
    pub async fn job(&self, path: &str, body: Value) -> Value {
        let accepted = self.api(Method::POST, path, Some(body)).await;
        let id = accepted.expect_status(202).json()["job"]["id"].clone();
        let path = format!("jobs/{}", id.as_str().expect("a job's id"));
        eventually(&path, || async {
            let job = self.get(&path).await;
            match job["state"].as_str() {
                Some("succeeded") => Some(job["result"].clone()),
                Some("failed" | "cancelled") => panic!("{job}"),
                _ => None,
            }
        })
        .await
    }

    /// The loss ledger: (accepted, stored, spooled, dead-lettered, dropped).
    pub async fn loss_ledger(&self) -> [i64; 5] {
        let ledger = self.get("supervision/ledger").await;
        ["accepted", "stored", "spooled", "dead_lettered", "dropped"].map(|k| {
            ledger[k]
                .as_i64()
                .unwrap_or_else(|| panic!("{k} in {ledger}"))
        })
    }
}
