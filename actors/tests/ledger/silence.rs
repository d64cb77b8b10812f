//! A transaction that never ends: its thread is blocked, the network swallows the answer, a backend is stopped.
//! The writer comes back on another connection, and every record is on the books once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use steward_actors::domain::record::Record;
use steward_actors::ledger_store::{
    Batch, Breakpoint, LedgerStore, PostgresStore, SqliteStore, WriteError,
};
use steward_actors::supervision::FaultPlan;
use steward_entities::database::{DatabaseConfig, DatabaseKind, Databases};
use steward_migration::testing::TestDatabase;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::life::{Rhythm, live, quick};
use crate::records::{NODE, NOW_MS, assert_books, entries};

fn patient() -> Rhythm {
    let mut rhythm = quick();
    rhythm.ledger.commit_within = Duration::from_millis(700);
    rhythm.ledger.hang_after = Duration::from_secs(5);
    rhythm
}

async fn write(store: &dyn LedgerStore, entries: &[(u64, Record)]) -> Result<u64, WriteError> {
    let batch = Batch {
        node: NODE,
        entries,
        upto_seq: entries.last().map_or(0, |(seq, _)| *seq),
        now_micros: NOW_MS * 1_000,
    };
    store.write(batch).await.map(|outcome| outcome.inserted)
}

/// A thread is blocked inside a transaction, for ever as far as its successor can tell.
async fn a_blocked_writer_is_superseded(database: TestDatabase) {
    let mut from = 1;
    for point in [
        Breakpoint::Begun,
        Breakpoint::RowsInserted,
        Breakpoint::BeforeCommit,
    ] {
        let (blocked, mut is_blocked) = mpsc::unbounded_channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let armed = AtomicBool::new(true);
        let hook = Arc::new(move |breakpoint| {
            if breakpoint == point && armed.swap(false, Ordering::SeqCst) {
                blocked.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }
        });
        let store: Arc<dyn LedgerStore> = match database.kind {
            DatabaseKind::Sqlite => {
                Arc::new(SqliteStore::new(&database.ledger).with_breakpoints(hook))
            }
            DatabaseKind::Postgres => {
                Arc::new(PostgresStore::new(&database.ledger).with_breakpoints(hook))
            }
        };
        let mine = entries(from..from + 100);
        let (theirs, shared) = (mine.clone(), Arc::clone(&store));
        let zombie = std::thread::spawn(move || runtime().block_on(write(&*shared, &theirs)));
        is_blocked.recv().await.unwrap();
        let written = timeout(Duration::from_secs(6), write(&*store, &mine)).await;
        let inserted = written.expect("the successor is held up").unwrap();
        assert_eq!(inserted, 100, "{point:?}");
        release.send(()).unwrap();
        let late = zombie.join().unwrap();
        assert!(
            matches!(late, Err(WriteError::Unavailable(_))),
            "{point:?}: {late:?}"
        );
        from += 100;
        assert_books(&database.ledger_read, 1..from).await;
    }
}

#[tokio::test]
async fn a_blocked_writer_is_superseded_sqlite() {
    a_blocked_writer_is_superseded(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn a_blocked_writer_is_superseded_postgres() {
    a_blocked_writer_is_superseded(TestDatabase::postgres().await).await;
}

/// What the network does to the next `COMMIT`; the connection is a black hole from then on.
const CALM: u8 = 0;
const SWALLOWS_THE_COMMIT: u8 = 1;
const SWALLOWS_ITS_ANSWER: u8 = 2;

/// Forwards to `server` until told otherwise, on a thread that ends with the tests; answers its port.
fn network(server: String, mood: Arc<AtomicU8>) -> u16 {
    let (listens, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listens.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&mood)));
            }
        });
    });
    listening.recv().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn forward(mut client: TcpStream, mut server: TcpStream, mood: Arc<AtomicU8>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let asked = &asked[..length];
                let mut now = CALM;
                if asked.windows(7).any(|bytes| bytes == b"COMMIT\0") {
                    now = mood.swap(CALM, Ordering::SeqCst);
                }
                if now != SWALLOWS_THE_COMMIT {
                    server.write_all(asked).await.unwrap();
                }
                if now != CALM {
                    // Both ends stay open and nothing passes any more.
                    std::future::pending::<()>().await;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn address(url: &str) -> &str {
    let rest = url.split_once('@').unwrap().1;
    rest.split('/').next().unwrap()
}

#[test]
fn an_answer_that_never_comes_costs_a_connection_postgres() {
    let database = runtime().block_on(TestDatabase::postgres());
    let DatabaseConfig::Postgres { url } = database.config().clone() else {
        unreachable!("a PostgreSQL test database")
    };
    let mood = Arc::new(AtomicU8::new(CALM));
    let server = address(&url);
    let port = network(server.to_owned(), Arc::clone(&mood));
    let through = DatabaseConfig::Postgres {
        url: url.replace(server, &format!("127.0.0.1:{port}")),
    };
    let spool = database.dir().join("spool");
    live(
        &through,
        &spool,
        patient(),
        &FaultPlan::none(),
        async |process| {
            let mut from = 1;
            for now in [CALM, SWALLOWS_ITS_ANSWER, SWALLOWS_THE_COMMIT] {
                mood.store(now, Ordering::SeqCst);
                process.append(from..from + 100).await;
                from += 100;
                process
                    .until("the spool is empty", |ledger| ledger.spooled == 0)
                    .await;
                assert_eq!(mood.load(Ordering::SeqCst), CALM, "it struck");
            }
            assert_eq!(process.spool.ledger().stored, 300);
            assert_books(&process.databases.ledger_read, 1..from).await;
            process.end().await;
        },
    );
}

/// A server of this test's own, which may be stopped.
struct Server {
    script: PathBuf,
    dir: tempfile::TempDir,
}

impl Server {
    fn start() -> (Self, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/postgres.sh");
        let dir = tempfile::tempdir().unwrap();
        let server = Self { script, dir };
        let url = server.run("start");
        (server, url)
    }

    fn run(&self, command: &str) -> String {
        let output = Command::new(&self.script)
            .arg(command)
            .arg(self.dir.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(&self.script)
            .arg("stop")
            .arg(self.dir.path())
            .output();
    }
}

async fn backends(connection: &DatabaseConnection) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'steward'";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect()
}

fn signal(name: &str, pids: &[i32]) {
    let status = Command::new("kill")
        .arg(name)
        .args(pids.iter().map(i32::to_string))
        .status();
    assert!(status.unwrap().success(), "kill {name} {pids:?}");
}

#[test]
fn a_server_that_stops_is_left_and_found_again_postgres() {
    let (server, url) = Server::start();
    let config = DatabaseConfig::Postgres { url: url.clone() };
    let runtime = runtime();
    runtime.block_on(async {
        let databases = Databases::open(&config).await.unwrap();
        steward_migration::migrate_control(&databases.control)
            .await
            .unwrap();
        steward_migration::migrate_ledger(&databases.ledger)
            .await
            .unwrap();
        steward_migration::migrate_events(&databases.events)
            .await
            .unwrap();
        databases.close().await;
    });
    let spool = tempfile::tempdir().unwrap();
    live(
        &config,
        spool.path(),
        patient(),
        &FaultPlan::none(),
        async |mut process| {
            let emptied = "the spool is empty";
            process.append(1..100).await;
            process.until(emptied, |ledger| ledger.spooled == 0).await;

            // Every backend this process has: connected, and silent.
            let watcher = Database::connect(&url).await.unwrap();
            let stopped = backends(&watcher).await;
            signal("-STOP", &stopped);
            process.append(100..200).await;
            process.until(emptied, |ledger| ledger.spooled == 0).await;
            signal("-CONT", &stopped);
            watcher.close().await.unwrap();

            server.run("pause");
            process.append(200..300).await;
            process
                .condition
                .wait_for(|condition| condition.unavailable_since.is_some())
                .await
                .unwrap();
            assert!(process.spool.ledger().spooled > 0);
            server.run("resume");
            process.until(emptied, |ledger| ledger.spooled == 0).await;
            assert_eq!(process.spool.ledger().stored, 299);
            process.end().await;
        },
    );
    runtime.block_on(async {
        let databases = Databases::open(&config).await.unwrap();
        assert_books(&databases.ledger_read, 1..300).await;
        databases.close().await;
    });
}
