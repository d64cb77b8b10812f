//! A model provider that does what it is told: the upstream of every test that needs one.
//!
//! It speaks HTTP/1.1 by hand over a socket, because the tests care for what a library would hide: the exact bytes of a
//! request's head, a body cut in the middle of a chunk, one byte a write, a connection that stalls. What it answers is
//! scripted by the request's model name (`gpt-4o+status=429+retry_after=2`, see [`script`]), which reaches it
//! unchanged through a gateway, or by the path an account's base URL adds (see [`FakeProvider::script_path`]).
//! It leaves out TLS, HTTP/2 and any judgement of the request: a request is recorded as it came, the tests judge.
//!
//! Two hosts compile this folder: the test binary `it` and `examples/fake_provider.rs` for tests in other languages.
#![allow(dead_code)] // each of the two hosts uses a part
#![allow(
    clippy::disallowed_methods,
    reason = "a program that only tests start; nobody supervises it"
)]

pub mod anthropic;
pub mod openai;
pub mod script;
pub mod wire;

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use script::Script;

/// How many requests are remembered; older ones are forgotten so that a long soak does not grow.
const REMEMBERED_REQUESTS: usize = 2_000;

/// How an exchange ended, as the provider saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was written.
    Finished,
    /// The caller closed the connection before everything was written.
    CallerLeft,
    /// The script asked for a cut connection.
    Cut,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    /// Which connection, counted from 0; two requests of one number were kept alive.
    pub connection: u64,
    /// Request line and headers byte for byte, without the closing empty line.
    pub raw_head: Vec<u8>,
    pub method: String,
    pub target: String,
    /// In order of arrival, names as they were spelt.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub ending: Option<(Ending, Instant)>,
}

impl Received {
    /// All values of a header, whatever its case.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).first().copied()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or(serde_json::Value::Null)
    }

    pub fn model(&self) -> Option<String> {
        self.json()
            .get("model")
            .and_then(|m| m.as_str())
            .map(str::to_owned)
    }
}

#[derive(Default)]
pub struct Shared {
    received: Mutex<VecDeque<(u64, Received)>>,
    next_request: AtomicU64,
    next_connection: AtomicU64,
    pub open_connections: AtomicUsize,
    total_requests: AtomicU64,
    /// Scripts by path prefix; each is used up in order, the last one stays.
    by_path: Mutex<HashMap<String, VecDeque<Script>>>,
    /// How often a script with `fail_times` has failed, by model name.
    failures: Mutex<HashMap<String, u64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn record(&self, request: Received) -> u64 {
        let number = self.next_request.fetch_add(1, Ordering::Relaxed);
        self.total_requests.fetch_add(1, Ordering::Relaxed);
        let mut received = locked(&self.received);
        if received.len() == REMEMBERED_REQUESTS {
            received.pop_front();
        }
        received.push_back((number, request));
        number
    }

    pub(crate) fn ended(&self, number: u64, ending: Ending) {
        if let Some((_, request)) = locked(&self.received)
            .iter_mut()
            .rev()
            .find(|(n, _)| *n == number)
        {
            request.ending = Some((ending, Instant::now()));
        }
    }

    pub(crate) fn connection_number(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// The script for a request: the path's if one was set, else the model name's, or what is wrong with that.
    pub(crate) fn script_for(&self, target: &str, model: &str) -> Result<Script, String> {
        let mut by_path = locked(&self.by_path);
        for (prefix, scripts) in by_path.iter_mut() {
            if target.starts_with(prefix.as_str()) {
                let next = if scripts.len() > 1 {
                    scripts.pop_front()
                } else {
                    scripts.front().cloned()
                };
                if let Some(script) = next {
                    return Ok(script);
                }
            }
        }
        drop(by_path);
        let mut script = Script::parse(model)?;
        if script.fail_times > 0 {
            let mut failures = locked(&self.failures);
            let so_far = failures.entry(model.to_owned()).or_default();
            if *so_far < script.fail_times {
                *so_far += 1;
            } else {
                script.status = None;
                script.drop_before_head = false;
            }
        }
        Ok(script)
    }

    pub fn received(&self) -> Vec<Received> {
        locked(&self.received)
            .iter()
            .map(|(_, r)| r.clone())
            .collect()
    }

    pub fn total_requests(&self) -> u64 {
        self.total_requests.load(Ordering::Relaxed)
    }

    pub fn forget(&self) {
        locked(&self.received).clear();
        locked(&self.failures).clear();
    }
}

/// A running provider on a thread of its own, so that a test that blocks does not stop it. Ends when dropped.
pub struct FakeProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FakeProvider {
    /// Starts on a free loopback port.
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    pub fn start_at(address: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(address).expect("bind the fake provider");
        let address = listener.local_addr().expect("address of the fake provider");
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-provider".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("runtime");
                runtime.block_on(async {
                    tokio::select! {
                        () = wire::serve(listener, for_thread) => {}
                        _ = stopped => {}
                    }
                });
            })
            .expect("thread of the fake provider");
        Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an OpenAI SDK calls base URL.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What an Anthropic SDK calls base URL.
    pub fn anthropic_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An OpenAI base URL under a path of its own, to be scripted with [`Self::script_path`].
    pub fn openai_url_at(&self, path: &str) -> String {
        format!("http://{}/{path}/v1", self.address)
    }

    pub fn anthropic_url_at(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Answers requests under `/path/` by these scripts, in order; the last one holds from then on.
    pub fn script_path(&self, path: &str, scripts: &[&str]) {
        let parsed = scripts
            .iter()
            .map(|s| Script::parse(&format!("+{s}")).unwrap_or_else(|wrong| panic!("{wrong}")))
            .collect();
        locked(&self.shared.by_path).insert(format!("/{path}/"), parsed);
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received()
    }

    /// Requests whose path starts with `/path/`.
    pub fn received_at(&self, path: &str) -> Vec<Received> {
        let prefix = format!("/{path}/");
        self.received()
            .into_iter()
            .filter(|r| r.target.starts_with(&prefix))
            .collect()
    }

    /// The only request of this model; a test that sent another number of them is wrong.
    pub fn received_of(&self, model: &str) -> Vec<Received> {
        self.received()
            .into_iter()
            .filter(|r| r.model().as_deref() == Some(model))
            .collect()
    }

    pub fn total_requests(&self) -> u64 {
        self.shared.total_requests()
    }

    pub fn open_connections(&self) -> usize {
        self.shared.open_connections.load(Ordering::Relaxed)
    }

    pub fn forget(&self) {
        self.shared.forget();
    }

    /// Blocks until the provider ends, which it does only with its process.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
