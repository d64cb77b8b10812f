//! What orchestrators and monitoring ask: alive, ready, healthy, metrics, the API's own description.

use http::Method;

use crate::support::App;
use crate::support::database::Kind;

#[tokio::test]
async fn the_operations_face_answers() {
    let app = App::serving().await;
    app.chat("gpt-4o").await.expect_status(200);
    for path in ["/livez", "/readyz", "/health"] {
        app.http
            .call(Method::GET, &app.url(path), &[], "")
            .await
            .expect_status(200);
    }
    let metrics = app
        .http
        .call(Method::GET, &app.url("/metrics"), &[], "")
        .await
        .expect_status(200);
    let text = metrics.text();
    assert!(
        text.contains("# TYPE ") && text.trim_end().ends_with("# EOF"),
        "OpenMetrics: {text}"
    );
    assert!(!text.contains(&app.key));
    let of_ledger = "steward_sqlite_wal_bytes{file=\"ledger.db\"} ";
    let bytes = text.lines().find_map(|line| line.strip_prefix(of_ledger));
    let bytes: Option<u64> = bytes.map(|bytes| bytes.parse().expect("a number"));
    match Kind::of_this_run() {
        Kind::Postgres => assert_eq!(bytes, None),
        Kind::Sqlite => assert!(bytes.expect("a log") > 0, "the start has written to it"),
    }
    let openapi = app
        .http
        .call(Method::GET, &app.url("/openapi.json"), &[], "")
        .await
        .expect_status(200)
        .json();
    assert!(
        openapi["openapi"].as_str().unwrap().starts_with("3."),
        "{}",
        openapi["openapi"]
    );
    let paths = openapi["paths"].as_object().unwrap();
    for path in [
        "/api/v1/auth/login",
        "/api/v1/tokens",
        "/api/v1/accounts",
        "/api/v1/logs/requests",
        "/api/v1/supervision/tree",
        "/api/v1/ops/users",
    ] {
        assert!(paths.contains_key(path), "{path} is not described");
    }
}
