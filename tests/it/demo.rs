//! `steward demo`: a pretended world around the real product, and never in real data.

use http::Method;

use crate::support::database::{ledger, number};
use crate::support::{App, Setup, eventually};

/// Few calls a second: a day's history rises to them, and is written before the process listens.
const OPTIONS: [&str; 4] = ["--history-days", "1", "--calls-per-second", "2"];

/// Rows of the history and of live calls, and the calls that the tokens' totals tell.
async fn books(app: &App) -> [i64; 3] {
    let database = ledger(app.kind, &app.data_dir(), app.database_url.as_deref()).await;
    let totals = "SELECT CAST(coalesce(sum(total_requests), 0) AS BIGINT) FROM token_totals";
    [
        number(
            &database,
            "SELECT count(*) FROM request_logs WHERE node = 255",
        )
        .await,
        number(
            &database,
            "SELECT count(*) FROM request_logs WHERE node = 0",
        )
        .await,
        number(&database, totals).await,
    ]
}

async fn live_calls(app: &App, at_least: i64) {
    eventually("live calls on the books", || async {
        let [accepted, stored, spooled, dead, dropped] = app.loss_ledger().await;
        assert_eq!(accepted, stored + spooled + dead + dropped);
        assert_eq!((dead, dropped), (0, 0));
        (stored >= at_least).then_some(())
    })
    .await;
}

async fn stop(app: &mut App) {
    app.terminate();
    assert_eq!(app.exit_code().await, Some(0), "{}", app.log());
}

/// Runs a command that ends by itself; its exit code and what it said.
fn refused(app: &App, arguments: &[&str]) -> (Option<i32>, String) {
    let before = app.log().len();
    let status = app.command(arguments).status().expect("run steward");
    (status.code(), app.log()[before..].to_owned())
}

#[tokio::test]
async fn a_demonstration_lives_is_told_as_one_and_goes_on_after_a_restart() {
    let mut app = Setup::new().demo(&OPTIONS).start().await;
    let public = app
        .api_as("", Method::GET, "instance/public", None)
        .await
        .expect_status(200)
        .json();
    assert_eq!(public["demo"], true);
    assert_eq!(public["demo_password"], "demo-steward");
    assert_eq!(app.get("instance").await["demo"], true);
    assert!(app.log().contains("DEMONSTRATION"), "{}", app.log());
    app.sign_in("viewer", "demo-steward").await;
    let group = app.get("supervision/actors/root/demo/demo_caller").await;
    assert_eq!(group["state"], "running");
    for (list, at_least) in [
        ("accounts", 8),
        ("tokens", 16),
        ("ops/tenants", 6),
        ("jobs", 3),
    ] {
        let total = app.get(list).await["total"].as_i64();
        assert!(total >= Some(at_least), "{list}: {total:?}");
    }
    // Before the first live call there is something to read and to find.
    let kept = app.get("conversations/stats").await["contents"].as_i64();
    assert!(kept > Some(50), "{kept:?}");
    for question in ["warehouse", "%E5%8F%91%E8%B4%A7"] {
        let found = app.get(&format!("conversations/search?q={question}")).await;
        assert_ne!(
            found["items"][0]["id"],
            serde_json::Value::Null,
            "{question}"
        );
    }
    // What the merchants know is written once the process listens; the templates go out by a job.
    for (list, at_least) in [
        ("ops/templates", 9),
        ("prompts", 3),
        ("ops/knowledge/qa-pairs", 15 + 9 * 5),
    ] {
        eventually(list, || async {
            let total = app.get(list).await["total"].as_i64();
            (total >= Some(at_least)).then_some(())
        })
        .await;
    }
    live_calls(&app, 10).await;
    let answered =
        "SELECT count(*) FROM request_logs WHERE node = 0 AND success AND NOT usage_estimated";
    let database = ledger(app.kind, &app.data_dir(), app.database_url.as_deref()).await;
    assert!(number(&database, answered).await > 3);
    stop(&mut app).await;
    let [history, live, totals] = books(&app).await;
    assert!(history > 20_000, "{history}");
    assert!(live >= 10);
    assert_eq!(totals, history + live);

    let (code, said) = refused(&app, &["serve"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("holds a demonstration"), "{said}");

    app.start_process().await;
    app.admin = app.sign_in("admin", "demo-steward").await;
    eventually("further live calls", || async {
        (books(&app).await[1] > live).then_some(())
    })
    .await;
    stop(&mut app).await;
    let [again, more, totals] = books(&app).await;
    assert_eq!(again, history);
    assert!(more > live);
    assert_eq!(totals, again + more);
}

#[tokio::test]
async fn real_data_is_refused_and_left_as_it_was() {
    let mut app = Setup::new().start().await;
    stop(&mut app).await;
    let kept = |app: &App| {
        let mut names: Vec<_> = std::fs::read_dir(app.data_dir())
            .expect("the data directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        names
    };
    let before = kept(&app);
    let (code, said) = refused(&app, &["demo", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("touches no real data"), "{said}");
    assert_eq!(kept(&app), before);
    app.start_process().await;
}
