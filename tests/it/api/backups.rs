//! Backups: made while Steward serves, restored by the command line on a clean machine, with the same numbers there.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::database::{Kind, PostgresDatabase};
use crate::support::{App, Setup, eventually};

/// A Steward with calls, kept conversations, a prompt, and a backup of it all in `place`, restored once already.
async fn backed_up(kind: Kind, place: &Path) -> App {
    let mut app = Setup::new().on(kind).serving().await;
    let kept = json!({"name": "kept", "enable_conversation_logging": true});
    let (key, _) = app.token(kept).await;
    let mut last = String::new();
    for number in 0..12 {
        let said = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": format!("question {number} 对话记录")}]});
        let answer = app.post_as(&key, "/v1/chat/completions", &said).await;
        last = answer.expect_status(200).request_id();
    }
    app.chat("gpt-4o+status=500").await;
    app.record(&last).await;
    eventually("every call on the books", async || {
        let page = app.get("logs/requests").await;
        (page["total"] == 13).then_some(())
    })
    .await;
    eventually("every conversation kept", async || {
        let page = app.get("conversations").await;
        (page["items"].as_array()?.len() == 12).then_some(())
    })
    .await;
    let plan = json!({"kind": "folder", "path": place});
    let set = app.api(Method::PUT, "ops/backups/plan", Some(plan)).await;
    set.expect_status(200);
    let made = app.job("ops/backups", json!({})).await;
    assert!(made["rows"].as_i64().unwrap() > 25, "{made}");
    let state = app.get("ops/backups/plan").await;
    assert_eq!(state["newest"]["state"], "complete", "{state}");
    assert_eq!(state["last_drill"]["drill_works"], true, "{state}");
    app.key = key;
    app
}

/// What the console shows.
async fn numbers(app: &App) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        "stats/overview?range=30d",
        "stats/top?by=model&range=30d",
        "logs/requests",
        "tokens",
        "accounts",
        "conversations",
        "conversations/search?q=%E5%AF%B9%E8%AF%9D",
    ] {
        let mut answer = app.get(path).await;
        // When it was asked is not a number of the installation's.
        for field in ["from", "to", "previous"] {
            answer.as_object_mut().map(|fields| fields.remove(field));
        }
        for field in ["health", "breaker", "state"] {
            for item in answer["items"].as_array_mut().into_iter().flatten() {
                item.as_object_mut().map(|fields| fields.remove(field));
            }
        }
        seen.push(answer);
    }
    seen
}

async fn there_and_back(from: Kind, to: Kind) {
    let place = tempfile::tempdir().unwrap();
    let mut app = backed_up(from, place.path()).await;
    let before = numbers(&app).await;
    let key_file = app.data_dir().join("steward.key");
    app.terminate();
    assert_eq!(app.exit_code().await, Some(0));
    let restored = Setup::new()
        .on(to)
        .restored(place.path(), &key_file)
        .start()
        .await;
    for (before, after) in before.iter().zip(numbers(&restored).await) {
        assert_eq!(*before, after);
    }
    // Secrets open, tokens are known, and the books go on.
    let answer = restored
        .post_as(
            &app.key,
            "/v1/chat/completions",
            &crate::support::calls::chat("gpt-4o"),
        )
        .await;
    let id = answer.expect_status(200).request_id();
    restored.record(&id).await;
    assert_eq!(restored.get("logs/requests").await["total"], 14);
    // The backup was under way when it read its own row. The copy knows it as what it was restored from, ends the job, and
    // makes no backup of its own where the original's are.
    let backups = restored.get("ops/backups").await;
    assert_eq!(backups["total"], 1, "{backups}");
    assert_eq!(backups["items"][0]["state"], "complete", "{backups}");
    let jobs = restored.get("jobs?kind=backup.database").await;
    assert_eq!(jobs["items"][0]["state"], "failed", "{jobs}");
    assert_eq!(jobs["items"][0]["error"], "interrupted by a restore");
    let plan = restored.get("ops/backups/plan").await;
    assert_eq!(plan["plan"]["enabled"], false, "{plan}");
    let manifests = || {
        let there = std::fs::read_dir(place.path()).unwrap();
        let manifest = |backup: std::io::Result<std::fs::DirEntry>| {
            backup.unwrap().path().join("manifest.json").exists()
        };
        there.map(manifest).filter(|is| *is).count()
    };
    assert_eq!(manifests(), 1);
    // It can be told to.
    let enabled = json!({"kind": "folder", "enabled": true});
    let set = restored.api(Method::PUT, "ops/backups/plan", Some(enabled));
    set.await.expect_status(200);
    restored.job("ops/backups", json!({})).await;
    assert_eq!(manifests(), 2);
}

#[tokio::test]
async fn a_backup_goes_from_sqlite_to_sqlite() {
    there_and_back(Kind::Sqlite, Kind::Sqlite).await;
}

#[tokio::test]
async fn a_backup_goes_from_sqlite_to_postgres() {
    there_and_back(Kind::Sqlite, Kind::Postgres).await;
}

#[tokio::test]
async fn a_backup_goes_from_postgres_to_sqlite() {
    there_and_back(Kind::Postgres, Kind::Sqlite).await;
}

#[tokio::test]
async fn a_backup_goes_from_postgres_to_postgres() {
    there_and_back(Kind::Postgres, Kind::Postgres).await;
}

/// `steward restore` with these arguments; its exit code and what it said.
fn restore(
    dir: &Path,
    place: &Path,
    key_file: Option<&Path>,
    database: Option<&str>,
) -> (Option<i32>, String) {
    let output = command(dir, place, key_file, database).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

fn command(
    dir: &Path,
    place: &Path,
    key_file: Option<&Path>,
    database: Option<&str>,
) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_steward"));
    command
        .arg("restore")
        .arg("--data-dir")
        .arg(dir)
        .arg("--from")
        .arg(place)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1");
    if let Some(key_file) = key_file {
        command.arg("--key-file").arg(key_file);
    }
    if let Some(url) = database {
        command.env("STEWARD__DATABASE__URL", url);
    }
    command
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .map(|entries| {
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

#[tokio::test]
async fn a_restore_is_refused_before_it_touches_anything() {
    let place = tempfile::tempdir().unwrap();
    let app = backed_up(Kind::Sqlite, place.path()).await;
    let key_file = app.data_dir().join("steward.key");
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let lock = ["steward.lock"];

    let (code, said) = restore(&dir, place.path(), None, None);
    assert_eq!(code, Some(1));
    assert!(said.contains("--key-file"), "{said}");
    let nowhere = home.path().join("nowhere");
    let (code, said) = restore(&dir, &nowhere, Some(&key_file), None);
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no backup there"), "{said}");
    assert_eq!(files(&dir), lock);
    // A byte of one part is another.
    let backup = std::fs::read_dir(place.path()).unwrap().next().unwrap();
    let part = backup.unwrap().path().join("control-00000.part");
    let whole = std::fs::read(&part).unwrap();
    let mut touched = whole.clone();
    touched[100] ^= 1;
    std::fs::write(&part, &touched).unwrap();
    let (code, said) = restore(&dir, place.path(), Some(&key_file), None);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("control-00000.part is not as it was written"),
        "{said}"
    );
    assert_eq!(files(&dir), lock);
    std::fs::write(&part, &whole).unwrap();
    // Somebody lives there.
    let (code, said) = restore(&app.data_dir(), place.path(), None, None);
    assert_eq!(code, Some(1));
    assert!(said.contains("in use by another Steward"), "{said}");
    std::fs::write(dir.join("ledger.db"), "").unwrap();
    let (code, said) = restore(&dir, place.path(), Some(&key_file), None);
    assert_eq!(code, Some(1));
    assert!(said.contains("not empty"), "{said}");
}

async fn killed(url: Option<&str>) {
    let place = tempfile::tempdir().unwrap();
    let mut app = backed_up(Kind::Sqlite, place.path()).await;
    let key_file = app.data_dir().join("steward.key");
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    // Killed sooner and later, until one gets through.
    let mut interrupted = 0;
    let said = home.path().join("said");
    let mut after = Duration::from_millis(2);
    loop {
        let mut child = command(&dir, place.path(), Some(&key_file), url)
            .stderr(std::fs::File::create(&said).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(after).await;
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        // Its last step is to take the mark away; it may be killed after that, before it said so.
        let left = files(&dir);
        let has = |name: &str| left.iter().any(|file| file == name);
        if ended.success() || has("steward.key") && !has("restoring") {
            break;
        }
        interrupted += 1;
        after = after.mul_f64(1.25);
        assert!(
            after < Duration::from_secs(60),
            "it never gets through: {}",
            std::fs::read_to_string(&said).unwrap()
        );
        if has("restoring") {
            // Nothing serves what is half there.
            let mut serve = std::process::Command::new(env!("CARGO_BIN_EXE_steward"));
            serve
                .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
                .arg(&dir);
            if let Some(url) = url {
                serve.env("STEWARD__DATABASE__URL", url);
            }
            let output = serve.output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("steward restore"), "{said}");
        }
    }
    assert!(interrupted > 3, "{interrupted}");
    let before = numbers(&app).await;
    app.terminate();
    app.exit_code().await;
    let mut setup = Setup::new().on(Kind::Sqlite);
    if let Some(url) = url {
        setup = setup.on_database(url.to_owned());
    }
    let restored = setup.with_data(&dir).start().await;
    assert_eq!(numbers(&restored).await, before);
}

#[tokio::test]
async fn a_restore_that_was_killed_begins_again() {
    killed(None).await;
}

#[tokio::test]
async fn a_restore_into_postgres_that_was_killed_begins_again() {
    let database = PostgresDatabase::empty().await;
    killed(Some(&database.url())).await;
}
