//! Another `stats.time_zone`: what is counted by hours and days is counted anew, and a job follows.

use http::Method;
use serde_json::{Value, json};

use sea_orm::ConnectionTrait;

use crate::support::database::{control, number};
use crate::support::{Setup, eventually};

#[tokio::test]
async fn another_time_zone_counts_the_log_anew() {
    let mut app = Setup::new()
        .set("STATS__TIME_ZONE", "Asia/Shanghai")
        .serving()
        .await;
    let price = json!({"currency": "USD", "input": "0", "output": "0", "per_call": "1"});
    app.api(
        Method::PUT,
        "prices?provider=openai&model=gpt-4o",
        Some(price),
    )
    .await
    .expect_status(200);
    let limits = json!({"name": "spender", "daily_budget": "3"});
    let (key, token_id) = app.token(limits).await;
    for _ in 0..3 {
        let body = crate::support::calls::chat("gpt-4o");
        let call = app.post_as(&key, "/v1/chat/completions", &body).await;
        app.record(&call.expect_status(200).request_id()).await;
    }
    let numbers = async |app: &crate::support::App| {
        app.get(&format!("stats/trend?by=day&range=7d&token_id={token_id}"))
            .await
    };
    // What was refused is on the books too.
    let calls = |days: &Value| -> i64 {
        let days = days["items"].as_array().unwrap().iter();
        days.map(|day| day["success_count"].as_i64().unwrap()).sum()
    };
    let before = numbers(&app).await;
    assert_eq!(
        (calls(&before), &before["time_zone"]),
        (3, &json!("Asia/Shanghai"))
    );
    let chat = crate::support::calls::chat("gpt-4o");
    let refused = app.post_as(&key, "/v1/chat/completions", &chat).await;
    assert_eq!(refused.status, 429, "the budget is used up");

    app.terminate();
    assert_eq!(app.exit_code().await, Some(0));
    // Of a day whose calls are gone nothing else is left.
    let control = control(app.kind, &app.data_dir(), app.database_url.as_deref()).await;
    control
        .execute_unprepared(
            "INSERT INTO dashboard_stats (stat_date, daily_active_users, jwt_active_users, ai_requests, total_tokens, \
             updated_at) VALUES ('2020-02-02', 3, 0, 42, 7, 1)",
        )
        .await
        .unwrap();
    app.set("STATS__TIME_ZONE", "America/New_York");
    app.start_process().await;
    // What was spent is known from the first call on, whatever is counted yet.
    let refused = app.post_as(&key, "/v1/chat/completions", &chat).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let job = eventually("the job's end", async || {
        let jobs = app.get("jobs?kind=stats.rebuild").await;
        let job = jobs["items"][0].clone();
        (job["state"] == "succeeded").then_some(job)
    })
    .await;
    assert_eq!(
        job["result"],
        json!({"days": 1, "time_zone": "America/New_York"})
    );
    let after = numbers(&app).await;
    assert_eq!(after["time_zone"], "America/New_York");
    assert_eq!(
        (calls(&after), &after["is_backfilling"]),
        (3, &json!(false))
    );
    for bucket in after["items"].as_array().unwrap() {
        let at = bucket["at"].as_str().unwrap();
        assert!(
            at.contains("T04:00") || at.contains("T05:00"),
            "midnight there: {at}"
        );
    }
    let days = app.get("stats/ai-requests").await;
    assert_eq!(calls(&days), 3, "{days}");

    let kept = "SELECT ai_requests FROM dashboard_stats WHERE stat_date = '2020-02-02'";
    assert_eq!(number(&control, kept).await, 42);

    // The same zone again changes nothing.
    app.terminate();
    assert_eq!(app.exit_code().await, Some(0));
    app.start_process().await;
    let jobs = app.get("jobs?kind=stats.rebuild").await;
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
}
