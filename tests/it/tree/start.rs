//! What keeps a Steward from starting says so in one sentence and ends the process.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use crate::support::Setup;
use crate::support::database::PostgresDatabase;

/// Starts the binary with a data directory of its own and waits for its end.
fn start(database_url: &str, node: u8) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_steward"));
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(directory.path())
        .env("STEWARD__DATABASE__URL", database_url)
        .env("STEWARD__NODE__ID", node.to_string())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let status = command.status().expect("run steward");
    Output {
        status,
        stdout: std::fs::read(directory.path().join("log")).unwrap(),
        stderr: Vec::new(),
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn two_of_one_node_on_one_postgres() {
    let database = PostgresDatabase::empty().await;
    let url = database.url();
    let mut first = Setup::new().on_database(url.clone()).start().await;
    let second = start(&url, 0);
    assert!(!second.status.success());
    assert!(
        said(&second).contains("another Steward is node 0 on this database"),
        "{}",
        said(&second)
    );
    // Whoever was killed has let go of the node by the time it is started again.
    first.kill();
    first.start_process().await;
}

#[test]
fn a_postgres_that_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://a:b@{}/c", silent.local_addr().unwrap());
    let output = start(&url, 1);
    assert!(!output.status.success());
    let text = said(&output);
    assert!(
        text.contains("does not answer") || text.contains("the database cannot be used"),
        "{text}"
    );
    assert!(!text.contains("a:b@"), "the password is told: {text}");
}
