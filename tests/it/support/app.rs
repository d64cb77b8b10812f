//! A Steward of one's own: child process, data directory, database, a signed-in operator, and usually an upstream.
//!
//! Two levels: [`Setup::start`] is the bare process with an operator; [`App::serving`] adds a fake provider, one account
//! per protocol for every model, and a token.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::PATIENCE;
use super::client::Client;
use super::control::account;
use super::database::{Kind, PostgresDatabase};
use crate::fake_provider::FakeProvider;

/// What operators made by [`App::operator`] sign in with.
pub const OPERATOR_PASSWORD: &str = "a password of their own";
pub const ADMIN_PASSWORD: &str = "correct horse battery staple";
/// The accounts' credential: must never be seen by a client, in a log or in an answer of the API.
pub const PROVIDER_KEY: &str = "sk-provider-0123456789abcdef-secret";

/// What to start; `start()` starts it.
pub struct Setup {
    kind: Kind,
    environment: Vec<(String, String)>,
    database_url: Option<String>,
    command: Vec<String>,
    admin_password: &'static str,
    /// Where a backup is, and the key file that opens it.
    restored: Option<(PathBuf, PathBuf)>,
    /// A data directory that becomes this one's.
    data: Option<PathBuf>,
}

impl Setup {
    pub fn new() -> Self {
        Self {
            kind: Kind::of_this_run(),
            environment: Vec::new(),
            database_url: None,
            command: vec!["serve".into()],
            admin_password: ADMIN_PASSWORD,
            restored: None,
            data: None,
        }
    }

    /// `steward demo` with these options instead of `steward serve`.
    pub fn demo(mut self, options: &[&str]) -> Self {
        self.command = std::iter::once("demo")
            .chain(options.iter().copied())
            .map(str::to_owned)
            .collect();
        self.admin_password = "demo-steward";
        self
    }

    /// Begins with what `steward restore` makes of the newest backup there.
    pub fn restored(mut self, place: &Path, key_file: &Path) -> Self {
        self.restored = Some((place.to_owned(), key_file.to_owned()));
        self
    }

    /// Begins with a data directory that is there already; it is moved.
    pub fn with_data(mut self, dir: &Path) -> Self {
        self.data = Some(dir.to_owned());
        self
    }

    /// Another kind of database than this run's, for tests about one kind.
    pub fn on(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// A given PostgreSQL database instead of a fresh one.
    pub fn on_database(mut self, url: String) -> Self {
        self.kind = Kind::Postgres;
        self.database_url = Some(url);
        self
    }

    /// Sets `STEWARD__…`: `set("GATEWAY__IDLE_TIMEOUT_MS", 500)`.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.environment
            .push((format!("STEWARD__{key}"), value.to_string()));
        self
    }

    /// Sets a variable that is not Steward's own.
    pub fn variable(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.push((key.to_owned(), value.to_string()));
        self
    }

    pub async fn start(self) -> App {
        let postgres = match (self.kind, &self.database_url) {
            // What is restored makes its own tables.
            (Kind::Postgres, None) if self.restored.is_some() => {
                Some(PostgresDatabase::empty().await)
            }
            (Kind::Postgres, None) => Some(PostgresDatabase::create().await),
            _ => None,
        };
        let mut environment = self.environment;
        let database_url = self
            .database_url
            .or_else(|| postgres.as_ref().map(PostgresDatabase::url));
        if let Some(url) = &database_url {
            environment.push(("STEWARD__DATABASE__URL".into(), url.clone()));
        }
        // A test may ask more often in a second than any person.
        environment.insert(
            0,
            (
                "STEWARD__API__RATE_LIMIT_PER_OPERATOR".into(),
                "1000000".into(),
            ),
        );
        environment.insert(
            0,
            (
                "STEWARD__API__RATE_LIMIT_PER_ADDRESS".into(),
                "1000000".into(),
            ),
        );
        // What a provider receives is what a test sent.
        environment.insert(0, ("STEWARD__HEALTH__ACCOUNTS".into(), "false".into()));
        // A disk that is nearly full is no reason for a test to fail.
        environment.insert(
            0,
            (
                "STEWARD__SPOOL__MIN_FREE_BYTES".into(),
                (64 << 20).to_string(),
            ),
        );
        let directory = tempfile::tempdir().expect("a directory");
        let mut app = App {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            http: Client::new(),
            kind: self.kind,
            key: String::new(),
            token_id: String::new(),
            admin: String::new(),
            database_url,
            provider: None,
            environment,
            start_with: self.command,
            process: None,
            directory,
            _postgres: postgres,
        };
        if let Some(dir) = &self.data {
            std::fs::rename(dir, app.data_dir()).expect("move the data directory");
        }
        if let Some((place, key_file)) = &self.restored {
            let from = format!("--from={}", place.display());
            let key_file = format!("--key-file={}", key_file.display());
            let done = app
                .command(&["restore", &from, &key_file])
                .status()
                .expect("run steward restore");
            assert!(done.success(), "steward restore:\n{}", app.log());
        }
        app.start_process().await;
        app.admin = app.sign_in("admin", self.admin_password).await;
        app
    }

    /// [`Self::start`] with an upstream, accounts for every model and a token.
    pub async fn serving(self) -> App {
        let mut app = self.start().await;
        let provider = FakeProvider::start();
        app.create(
            "accounts",
            account("openai", &provider.openai_url(), &["*"]),
        )
        .await;
        app.create(
            "accounts",
            account("anthropic", &provider.anthropic_url(), &["*"]),
        )
        .await;
        app.provider = Some(provider);
        let token = app.create("tokens", json!({"name": "test token"})).await;
        app.key = token["token"].as_str().expect("the secret").to_owned();
        app.token_id = token["id"].as_str().expect("an id").to_owned();
        app
    }
}

pub struct App {
    pub address: SocketAddr,
    pub http: Client,
    pub kind: Kind,
    /// A token's secret, when serving.
    pub key: String,
    pub token_id: String,
    /// The administrator's access token.
    pub admin: String,
    pub database_url: Option<String>,
    provider: Option<FakeProvider>,
    environment: Vec<(String, String)>,
    start_with: Vec<String>,
    process: Option<Child>,
    directory: tempfile::TempDir,
    _postgres: Option<PostgresDatabase>,
}

impl App {
    /// The usual: everything at its default, an upstream behind it.
    pub async fn serving() -> Self {
        Setup::new().serving().await
    }

    #[track_caller]
    pub fn provider(&self) -> &FakeProvider {
        self.provider
            .as_ref()
            .expect("an app that was started with `serving`")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Sets `STEWARD__…` for the next start of the process.
    pub fn set(&mut self, key: &str, value: &str) {
        self.environment
            .push((format!("STEWARD__{key}"), value.to_owned()));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running process").id()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The part of it that is no file's: what the build's size is not in.
    pub fn anonymous_kib(&self) -> u64 {
        self.memory_kib("RssAnon:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = status
            .lines()
            .find(|line| line.starts_with(what))
            .expect("a line of it");
        line.split_whitespace()
            .nth(1)
            .and_then(|v| v.parse().ok())
            .expect("a number")
    }

    /// What the process has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Starts the process and waits until it serves. The first start picks the port, later ones keep it.
    pub async fn start_process(&mut self) {
        for _ in 0..5 {
            let said_before = self.log().len();
            let address = self.address.to_string();
            let mut arguments: Vec<&str> = self.start_with.iter().map(String::as_str).collect();
            arguments.extend(["--listen", &address]);
            let child = self.command(&arguments).spawn().expect("start steward");
            self.process = Some(child);
            // A demonstration writes its history before it listens.
            let patience = match self.start_with.first().map(String::as_str) {
                Some("demo") => PATIENCE * 8,
                _ => PATIENCE * 2,
            };
            if self.ready_within(patience, said_before).await {
                return;
            }
            let taken = self.log().to_lowercase().contains("address already in use")
                || self.log().contains("AddrInUse");
            assert!(taken, "steward did not become ready:\n{}", self.log());
            // Somebody else took the port that was kept.
            self.address.set_port(0);
        }
        panic!("found no free port");
    }

    /// The binary with this application's data directory and environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_steward"));
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir())
            .current_dir(self.directory.path())
            .env("STEWARD_ADMIN_PASSWORD", ADMIN_PASSWORD)
            .env("NO_COLOR", "1")
            .envs(
                self.environment
                    .iter()
                    .map(|(k, v)| (k.as_str(), v.as_str())),
            )
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a log file"))
            .stdout(log);
        command
    }

    /// Asks only who says in its own log that it listens: at that port somebody else may serve until then.
    async fn ready_within(&mut self, time: Duration, said_before: usize) -> bool {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if !matches!(self.process.as_mut().map(Child::try_wait), Some(Ok(None))) {
                return false;
            }
            if let Some(address) = listening_at(self.log().get(said_before..).unwrap_or_default()) {
                self.address = address;
                if let Ok(answer) = self
                    .http
                    .try_call(Method::GET, &self.url("/readyz"), &[], "")
                    .await
                    && answer.status == 200
                {
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .expect("signal the child");
    }

    /// Waits for the process's own end; its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let process = self.process.as_mut().expect("a running process");
            if let Some(status) = process.try_wait().expect("ask for the child") {
                self.process = None;
                return status.code();
            }
            assert!(
                Instant::now() < deadline,
                "steward did not end:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The address in the line that says so, in either format of the log.
fn listening_at(log: &str) -> Option<SocketAddr> {
    let lines = log.lines().filter(|line| line.contains("listening"));
    let mut told = lines.filter_map(|line| line.split_once("address").map(|(_, rest)| rest));
    told.find_map(|rest| {
        let address = &rest[rest.find(|c: char| c.is_ascii_digit())?..];
        let to = address.find(|c: char| c.is_whitespace() || c == '"');
        address[..to.unwrap_or(address.len())].parse().ok()
    })
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(6_000);
            let tail = log.get(from..).unwrap_or(&log);
            eprintln!("--- the end of Steward's log:\n{tail}");
        }
    }
}
