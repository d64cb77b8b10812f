//! A gateway of its own for one test: real sockets, real spool, settings a test may change.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer};
use arc_swap::ArcSwap;
use prost::Message;
use steward_actors::contents::Content;
use steward_actors::contents::intake::{self, Intake};
use steward_actors::domain::clock::SystemClock;
use steward_actors::domain::record::{RECORD_KIND, Record};
use steward_actors::domain::redaction::RedactionMode;
use steward_actors::domain::rid::{Rid, RidAllocator};
use steward_actors::domain::snapshot::{
    AccountView, Protocol, Secret, Snapshot, TokenKey, TokenView,
};
use steward_actors::spool::{FsyncPolicy, Spool, SpoolConfig};
use steward_actors::vault::Vault;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::budget::Budgets;
use super::super::limits::Limits;
use super::super::{Gateway, Parts, configure, on_connect, token_key};
use super::fake::{Fake, PATIENCE};
use super::panics::trap;
use crate::config::Config;

/// What most tests ask, and what most upstreams say to it.
pub(super) const CHAT: &str = "/v1/chat/completions";
pub(super) const ASK: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}"#;
pub(super) const ASK_STREAM: &str =
    r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
pub(super) const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
pub(super) const DONE: &str = "data: [DONE]\n\n";

pub(super) struct House {
    pub(super) gateway: Arc<Gateway>,
    pub(super) spool: Arc<Spool>,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) address: SocketAddr,
    /// A token that may do everything.
    pub(super) secret: String,
    /// Conversations that were kept, sealed; and what opens them.
    pub(super) contents: Arc<Spool>,
    pub(super) vault: Arc<Vault>,
    directory: TempDir,
}

/// An account at `fake`.
pub(super) fn account(id: i64, protocol: Protocol, fake: &Fake) -> AccountView {
    let base = match protocol {
        Protocol::OpenAi => format!("http://{}/v1", fake.address()),
        Protocol::Anthropic => format!("http://{}", fake.address()),
    };
    AccountView {
        id,
        public_id: format!("acc_{id}"),
        name: format!("account {id}"),
        provider: protocol.as_str().into(),
        protocol,
        base_url: base,
        secret: Secret::new("sk-upstream-secret".into()),
        models: vec!["*".into()],
        aliases: HashMap::from([("nick".to_owned(), "real-name".to_owned())]),
        priority: i32::try_from(id).unwrap(),
        weight: 1,
        concurrency: None,
        enabled: true,
    }
}

pub(super) fn token() -> TokenView {
    TokenView {
        id: 1,
        public_id: "tok_1".into(),
        name: "the token".into(),
        tenant_id: 0,
        tenant_public_id: String::new(),
        tenant_name: String::new(),
        tenant_suspended: false,
        app: String::new(),
        enabled: true,
        expires_at: None,
        allowed_models: None,
        rpm: None,
        tpm: None,
        concurrency: None,
        token_quota: None,
        budget: Default::default(),
        tenant_budget: Default::default(),
        enable_conversation_logging: false,
        knowledge: false,
        redaction: RedactionMode::Redact,
    }
}

/// Runs `test` against a gateway as it is by default, with one OpenAI account at `fake`.
pub(super) async fn at<F, Fut>(fake: &Rc<Fake>, test: F)
where
    F: FnOnce(Rc<House>) -> Fut,
    Fut: Future<Output = ()>,
{
    let accounts = vec![account(1, Protocol::OpenAi, fake)];
    with(accounts, token(), &[fake], |_, _| {}, test).await;
}

/// Runs `test` against a gateway with these accounts, while the upstreams serve.
pub(super) async fn with<F, Fut>(
    accounts: Vec<AccountView>,
    token: TokenView,
    fakes: &[&Rc<Fake>],
    tune: impl FnOnce(&mut crate::config::Gateway, &mut SpoolConfig),
    test: F,
) where
    F: FnOnce(Rc<House>) -> Fut,
    Fut: Future<Output = ()>,
{
    let directory = tempfile::tempdir().unwrap();
    let mut spool_config = SpoolConfig::new(directory.path(), 0);
    spool_config.segment_bytes = 64 << 10;
    spool_config.min_free_bytes = 0;
    let mut whole = Config::load(None, []).unwrap();
    tune(&mut whole.gateway, &mut spool_config);
    let defaults = whole.setting_defaults().unwrap();
    let settings = Arc::new(ArcSwap::from_pointee(defaults.settings().clone()));
    let config = whole.gateway;
    let wait_durable = spool_config.fsync == FsyncPolicy::Always;
    let (spool, _) = Spool::open(spool_config).unwrap();
    let key = token_key::TOKEN.generate();
    let snapshot = Snapshot {
        tokens: HashMap::from([(
            key.hash,
            TokenKey {
                token: Arc::new(token),
                valid_until: None,
            },
        )]),
        accounts: accounts.into_iter().map(Arc::new).collect(),
        ..Snapshot::default()
    };
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    let clock = Arc::new(SystemClock);
    let vault = Arc::new(Vault::open(directory.path()).unwrap());
    let mut contents_config = SpoolConfig::new(directory.path().join("contents-spool"), 0);
    contents_config.segment_bytes = 8 << 20;
    contents_config.min_free_bytes = 0;
    let (contents, _) = Spool::open(contents_config).unwrap();
    let intake = Intake::new(
        Arc::clone(&contents),
        Arc::clone(&vault),
        Arc::default(),
        64 << 20,
    );
    let gateway = Gateway::new(Parts {
        contents: Some(intake),
        knowledge: None,
        snapshot: Arc::clone(&snapshot),
        spool: Arc::clone(&spool),
        rids: Arc::new(RidAllocator::new(0, Rid(0), clock.clone())),
        clock,
        limits: Arc::new(Limits::new()),
        budgets: Arc::new(Budgets::new(chrono_tz::UTC, Arc::default())),
        health: Arc::default(),
        config,
        settings,
        wait_durable,
    })
    .unwrap();
    let app_gateway = Arc::clone(&gateway);
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(trap))
            .configure(configure(&app_gateway))
    })
    .workers(1)
    .tcp_nodelay(true)
    .h1_allow_half_closed(false)
    .on_connect(on_connect)
    .disable_signals()
    .bind("127.0.0.1:0")
    .unwrap();
    let house = Rc::new(House {
        gateway,
        spool,
        snapshot,
        contents,
        vault,
        address: server.addrs()[0],
        secret: key.secret.reveal().to_owned(),
        directory,
    });
    let server = server.run();
    let handle = server.handle();
    let upstreams = futures_util::future::join_all(fakes.iter().map(|fake| fake.serve()));
    tokio::select! {
        served = server => served.unwrap(),
        _ = upstreams, if !fakes.is_empty() => {}
        () = test(house) => {}
    }
    handle.stop(false).await;
}

impl House {
    /// Every record on the books so far, oldest first.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.spool
            .replay_unacked(|entry| {
                assert_eq!(entry.kind, RECORD_KIND);
                records.push(Record::decode(entry.payload.clone()).unwrap());
            })
            .unwrap();
        records
    }

    /// Every conversation kept so far, once none is on its way any more.
    pub(super) async fn contents(&self) -> Vec<Content> {
        let intake = self.gateway.contents.as_ref().unwrap();
        eventually(|| intake.pending_count() == 0).await;
        let mut contents = Vec::new();
        self.contents
            .replay_unacked(|entry| contents.push(intake::open(&self.vault, entry).unwrap()))
            .unwrap();
        contents
    }

    /// Whether `text` stands anywhere in a file of this house.
    pub(super) fn is_on_disk(&self, text: &str) -> bool {
        self.contents.flush().unwrap();
        let mut directories = vec![self.directory.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for file in std::fs::read_dir(directory).unwrap() {
                let file = file.unwrap();
                if file.file_type().unwrap().is_dir() {
                    directories.push(file.path());
                } else if memchr::memmem::find(
                    &std::fs::read(file.path()).unwrap(),
                    text.as_bytes(),
                )
                .is_some()
                {
                    return true;
                }
            }
        }
        false
    }

    /// The only record, once it is there.
    pub(super) async fn record(&self) -> Record {
        eventually(|| self.spool.ledger().accepted > 0).await;
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{records:#?}");
        records.remove(0)
    }

    /// Opens a connection and sends a JSON POST with the token.
    pub(super) async fn post(&self, path: &str, body: &str) -> TcpStream {
        self.send(
            "POST",
            path,
            &format!("authorization: Bearer {}\r\n", self.secret),
            body,
        )
        .await
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: steward\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }
}

/// Adds the next piece; false when the line has ended.
async fn read_more(socket: &mut TcpStream, seen: &mut String) -> bool {
    let mut piece = vec![0; 4096];
    match socket.read(&mut piece).await {
        Ok(0) | Err(_) => return false,
        Ok(n) => piece.truncate(n),
    }
    // It may end within a character: the rest of that belongs to it.
    while std::str::from_utf8(&piece).is_err_and(|error| error.error_len().is_none()) {
        match socket.read_u8().await {
            Ok(byte) => piece.push(byte),
            Err(_) => break,
        }
    }
    seen.push_str(&String::from_utf8_lossy(&piece));
    true
}

/// Reads until `wanted` has come or the line ends; answers all that came.
pub(super) async fn read_until(socket: &mut TcpStream, seen: &mut String, wanted: &str) -> bool {
    let reading = async {
        let mut looked_at = 0;
        loop {
            // What is wanted may have begun in the piece before.
            let from = seen.floor_char_boundary(looked_at);
            if seen[from..].contains(wanted) {
                return true;
            }
            looked_at = seen.len().saturating_sub(wanted.len());
            if !read_more(socket, seen).await {
                return false;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}

/// A whole answer with a length, or a whole chunked one; and whether it ended properly.
pub(super) async fn read_answer(socket: &mut TcpStream) -> (String, bool) {
    let mut seen = String::new();
    assert!(
        read_until(socket, &mut seen, "\r\n\r\n").await,
        "no head: {seen}"
    );
    let head = seen.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    let complete = if head.contains("transfer-encoding: chunked") {
        read_until(socket, &mut seen, "\r\n0\r\n\r\n").await
    } else {
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let whole = head.len() + 4 + length;
        let rest = async { while seen.len() < whole && read_more(socket, &mut seen).await {} };
        tokio::time::timeout(PATIENCE, rest).await.unwrap();
        seen.len() == whole
    };
    (seen, complete)
}

/// Waits until `condition` holds.
pub(super) async fn eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it never came true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
