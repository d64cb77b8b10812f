//! The commands of the binary beside `serve`: what operators do at a shell, also while Steward runs.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use http::Method;
use serde_json::json;

use crate::support::app::PROVIDER_KEY;
use crate::support::{App, Setup, eventually};

/// Runs a command to its end, `typed` on its standard input.
fn run(command: &mut Command, typed: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run steward");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(typed.as_bytes()).expect("type");
    drop(stdin);
    child.wait_with_output().expect("its end")
}

#[track_caller]
fn done(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{complaints}");
    told
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn signs_in(app: &App, username: &str, password: &str) -> bool {
    let body = json!({"username": username, "password": password});
    let answer = app.api_as("", Method::POST, "auth/login", Some(body)).await;
    answer.status == 200
}

#[tokio::test]
async fn operators_are_added_and_given_passwords_beside_a_running_steward() {
    let app = Setup::new().start().await;
    let add = ["user", "add", "grace", "--role", "ops_viewer"];
    let weak = run(&mut app.command(&add), "short\n");
    assert!(refused(&weak).contains("at least"), "{weak:?}");
    let nothing = run(&mut app.command(&add), "\n");
    assert!(refused(&nothing).contains("assword"), "{nothing:?}");
    let first = "the first password of grace";
    let added = done(&run(&mut app.command(&add), &format!("{first}\n")));
    assert!(added.contains("grace") && !added.contains(first), "{added}");
    let again = run(&mut app.command(&add), "the first password of grace\n");
    assert!(refused(&again).contains("taken"), "{again:?}");
    eventually("the operator can sign in", || async {
        signs_in(&app, "grace", first).await.then_some(())
    })
    .await;

    let second = "the second password of grace";
    let set = app.command(&["user", "passwd", "grace"]);
    done(&run(&mut { set }, &format!("{second}\r\n")));
    assert!(signs_in(&app, "grace", second).await);
    assert!(!signs_in(&app, "grace", first).await);
    let stranger = run(
        &mut app.command(&["user", "passwd", "nobody"]),
        "some password\n",
    );
    assert!(
        refused(&stranger).contains("no such operator"),
        "{stranger:?}"
    );
}

#[tokio::test]
async fn keys_are_rotated_beside_a_running_steward() {
    let mut app = App::serving().await;
    assert_eq!(app.chat("gpt-4o").await.status, 200);
    let told = done(&run(&mut app.command(&["keys", "rotate"]), ""));
    assert!(told.contains("2 stored secrets"), "{told}");
    // What runs opens what the new key sealed: also what it has to read anew.
    assert_eq!(app.chat("gpt-4o").await.status, 200);
    let accounts = app.get("accounts").await;
    let id = accounts["items"][0]["id"].as_str().unwrap();
    app.patch(&format!("accounts/{id}"), json!({"priority": 3}))
        .await;
    assert_eq!(app.chat("gpt-4o").await.status, 200);
    let before = app.provider().received().len();
    app.kill();
    app.start_process().await;
    assert_eq!(app.chat("gpt-4o").await.status, 200);
    let received = app.provider().received();
    assert!(received.len() > before);
    let sent = received
        .last()
        .unwrap()
        .header("authorization")
        .unwrap()
        .to_owned();
    assert_eq!(sent, format!("Bearer {PROVIDER_KEY}"));
}

#[tokio::test]
async fn a_configuration_is_shown_without_its_secrets_and_judged() {
    let app = Setup::new()
        .set("SMTP__URL", "smtp://ada:hunter2@127.0.0.1:2525")
        .set("SMTP__FROM", "steward@example.com")
        .set("ALERTS__HEARTBEAT_URL", "http://127.0.0.1:9/hunter2")
        .start()
        .await;
    let shown = done(&run(&mut app.command(&["config", "print"]), ""));
    assert!(
        shown.contains("[ledger]") && !shown.contains("hunter2"),
        "{shown}"
    );
    done(&run(&mut app.command(&["config", "check"]), ""));
    let mut misspelt = app.command(&["config", "check"]);
    misspelt.env("STEWARD__LEDGER__BATCHSIZE", "5");
    let complaint = refused(&run(&mut misspelt, ""));
    assert!(complaint.contains("batch_size"), "{complaint}");
    // The directory belongs to who runs.
    let busy = run(&mut app.command(&["migrate"]), "");
    assert!(
        refused(&busy).contains("in use by another Steward"),
        "{busy:?}"
    );
}

#[tokio::test]
async fn databases_are_brought_up_to_date_without_a_server() {
    let mut app = Setup::new().start().await;
    app.kill();
    for _ in 0..2 {
        let told = done(&run(&mut app.command(&["migrate"]), ""));
        assert!(told.contains("up to date"), "{told}");
    }
    app.start_process().await;
    assert_eq!(app.get("auth/me").await["username"], "admin");
}
