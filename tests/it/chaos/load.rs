//! A bounded load that remembers every answer it saw finished.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::App;
use crate::support::calls::{chat, messages};
use crate::support::client::{Client, End};

const CALLERS: usize = 16;
const GPT: &str = "gpt-4o+n=4+delay_ms=4+pause_ms=2";
const CLAUDE: &str = "claude+n=4+delay_ms=4+pause_ms=2";
/// Between two calls of one caller: short beside a call, so that a kill finds nearly all of them in the middle of one.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Seen {
    finished: Mutex<HashSet<String>>,
    count: AtomicUsize,
    broken: AtomicUsize,
    first_failure: Mutex<Option<String>>,
    stop: AtomicBool,
}

pub struct Load {
    seen: Arc<Seen>,
    callers: Mutex<JoinSet<()>>,
}

impl Load {
    /// Every model of the load has a price: sums of nothing would equal sums of nothing.
    pub async fn start(app: &App) -> Self {
        for (provider, model) in [("openai", GPT), ("anthropic", CLAUDE)] {
            let named = form_urlencoded::byte_serialize(model.as_bytes()).collect::<String>();
            let path = format!("prices?provider={provider}&model={named}");
            let price = json!({"currency": "USD", "input": "2.50", "output": "10"});
            app.api(Method::PUT, &path, Some(price))
                .await
                .expect_status(200);
        }
        let seen = Arc::new(Seen::default());
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let (seen, url, key) = (Arc::clone(&seen), app.url(""), app.key.clone());
            callers.spawn(async move {
                let mut http = Client::new();
                let mut turn = number;
                while !seen.stop.load(Ordering::Relaxed) {
                    turn += 1;
                    match call(&http, &url, &key, turn).await {
                        Ok(id) => {
                            assert!(
                                seen.finished.lock().unwrap().insert(id.clone()),
                                "{id} was given twice"
                            );
                            seen.count.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(why) => {
                            seen.broken.fetch_add(1, Ordering::Relaxed);
                            seen.first_failure.lock().unwrap().get_or_insert(why);
                            // A dead process's connections are of no use to the next one.
                            http = Client::new();
                        }
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self {
            seen,
            callers: Mutex::new(callers),
        }
    }

    pub fn count(&self) -> usize {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// Calls that did not end well: expected while the process is being killed, and only then.
    pub fn broken(&self) -> usize {
        self.seen.broken.load(Ordering::Relaxed)
    }

    pub fn first_failure(&self) -> Option<String> {
        self.seen.first_failure.lock().unwrap().clone()
    }

    pub fn finished(&self) -> HashSet<String> {
        self.seen.finished.lock().unwrap().clone()
    }

    pub async fn stop(&self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        let mut callers = std::mem::take(&mut *self.callers.lock().unwrap());
        while let Some(done) = callers.join_next().await {
            done.expect("a caller found an id twice");
        }
    }
}

/// One call; the id of an answer that was seen to its end.
async fn call(http: &Client, url: &str, key: &str, turn: usize) -> Result<String, String> {
    let (path, mut body) = match turn % 3 {
        0 => ("/v1/messages", messages(CLAUDE)),
        1 => ("/v1/responses", json!({"model": GPT, "input": "x"})),
        _ => ("/v1/chat/completions", chat(GPT)),
    };
    let streamed = turn.is_multiple_of(2);
    body["stream"] = json!(streamed);
    let authorization = format!("Bearer {key}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("anthropic-version", "2023-06-01"),
        ("content-type", "application/json"),
    ];
    let headers = if path == "/v1/messages" {
        &headers[..]
    } else {
        &[headers[0], headers[2]][..]
    };
    let mut stream = http
        .begin(
            Method::POST,
            &format!("{url}{path}"),
            headers,
            body.to_string(),
        )
        .await?;
    if stream.status != 200 {
        let _ = stream.rest().await;
        return Err(format!("{path}: {} {}", stream.status, stream.text()));
    }
    // A stream is finished for its reader when the terminal event was read, whatever happens to the connection then.
    let terminal = [
        "data: [DONE]",
        "\"type\":\"response.completed\"",
        "\"type\":\"message_stop\"",
    ];
    loop {
        match stream.next().await {
            Ok(_) if streamed && terminal.iter().any(|t| stream.text().contains(t)) => break,
            Ok(_) => {}
            Err(End::Clean) if !streamed => break,
            Err(end) => {
                return Err(format!(
                    "{path} streamed={streamed}: {end:?} after {}",
                    stream.text()
                ));
            }
        }
    }
    let id = stream.request_id();
    let _ = stream.rest().await;
    Ok(id)
}

/// How often each id stands in the list of the API.
pub async fn all_listed(app: &App) -> HashMap<String, usize> {
    let mut listed = HashMap::new();
    let mut path = "logs/requests?limit=200".to_owned();
    loop {
        let page = app.get(&path).await;
        for item in page["items"].as_array().unwrap() {
            *listed
                .entry(item["id"].as_str().unwrap().to_owned())
                .or_insert(0) += 1;
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("logs/requests?limit=200&cursor={cursor}"),
            None => return listed,
        }
    }
}

/// The file of what operators change, to be locked as well: no call may need it.
pub async fn control_file(data_dir: &Path) -> DatabaseConnection {
    let mut options = ConnectOptions::new(format!(
        "sqlite://{}?mode=rw",
        data_dir.join("steward.db").display()
    ));
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}
