//! A canary in every place where a secret can enter; then everything that leaves is searched for it: answers, logs, the
//! live tail, the audit, exports, and the files on disk.
//!
//! Each place has a canary of its own, so that a leak says where it came from. Where providers echo a key the canary has
//! a key's shape; elsewhere it looks like nothing in particular, so that only not telling it at all helps.

use std::path::Path;

use http::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::push::socket::Socket;
use crate::support::app::OPERATOR_PASSWORD;
use crate::support::calls::chat;
use crate::support::control::account;
use crate::support::database::{Kind, PostgresDatabase};
use crate::support::{App, Setup, eventually};

/// The beginning of every canary; nothing else here is spelt so.
const CANARY: &str = "kanarienvogel";

/// The canary of a place.
fn canary(place: &str) -> String {
    format!("{CANARY}-{place}-7Qm2")
}

/// The same in the shape of a provider's key.
fn key(place: &str) -> String {
    format!("sk-{CANARY}-{place}-0123456789")
}

/// What was seen so far, and where.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn note(&mut self, what: &str, text: impl Into<String>) {
        self.0.push((what.to_owned(), text.into()));
    }

    /// Every canary in it, with its surroundings.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for (what, text) in &self.0 {
            for (at, _) in text.match_indices(CANARY) {
                let from = text.floor_char_boundary(at.saturating_sub(80));
                let to = text.ceil_char_boundary((at + 80).min(text.len()));
                leaks.push(format!("{what}: …{}…", &text[from..to]));
            }
        }
        leaks
    }
}

/// Calls the control face and notes what it answers.
async fn ask(app: &App, seen: &mut Seen, method: Method, path: &str, body: Option<Value>) -> Value {
    let answer = app.api(method.clone(), path, body).await;
    let text = answer.text();
    seen.note(&format!("{method} {path} ({})", answer.status), &text);
    serde_json::from_str(&text).unwrap_or_default()
}

/// Accounts, channels, operators: what is sealed or hashed.
async fn plant_in_the_control_face(app: &App, seen: &mut Seen) {
    let provider = app.provider().openai_url();
    let mut with_key = account("openai", &provider, &["echoing*"]);
    with_key["api_key"] = json!(key("account"));
    with_key["priority"] = json!(9);
    let made = ask(app, seen, Method::POST, "accounts", Some(with_key)).await;
    let id = made["id"].as_str().expect("an account").to_owned();
    let changed = json!({"api_key": key("changed-account")});
    ask(
        app,
        seen,
        Method::PATCH,
        &format!("accounts/{id}"),
        Some(changed),
    )
    .await;
    let test = format!("accounts/{id}/test");
    ask(app, seen, Method::POST, &test, Some(json!({}))).await;
    let user_info = |place: &str, host: &str| format!("https://ada:{}@{host}/v1", canary(place));
    let mut in_url = account(
        "openai",
        &user_info("account-url", "127.0.0.1:9"),
        &["nothing"],
    );
    in_url["name"] = json!("with user info");
    ask(app, seen, Method::POST, "accounts", Some(in_url)).await;

    for (kind, url, secret) in [
        (
            "webhook",
            format!(
                "{}?token={}",
                user_info("hook-url", "127.0.0.1:9"),
                canary("hook-query")
            ),
            None,
        ),
        (
            "dingtalk",
            format!(
                "http://127.0.0.1:9/robot/send?access_token={}",
                canary("robot-query")
            ),
            Some(canary("robot-secret")),
        ),
        (
            "feishu",
            format!("http://127.0.0.1:9/hook/{}", canary("robot-path")),
            Some(canary("feishu-secret")),
        ),
        (
            "pagerduty",
            "http://127.0.0.1:9/v2/enqueue".to_owned(),
            Some(canary("routing-key")),
        ),
    ] {
        let channel = json!({"name": kind, "kind": kind, "url": url, "secret": secret});
        let made = ask(
            app,
            seen,
            Method::POST,
            "ops/alerts/channels",
            Some(channel),
        )
        .await;
        if let Some(id) = made["id"].as_str() {
            let test = format!("ops/alerts/channels/{id}/test");
            ask(app, seen, Method::POST, &test, Some(json!({}))).await;
        }
    }
    let mail = json!({"name": "mail", "kind": "email", "to": ["ops@example.com"]});
    let made = ask(app, seen, Method::POST, "ops/alerts/channels", Some(mail)).await;
    if let Some(id) = made["id"].as_str() {
        let test = format!("ops/alerts/channels/{id}/test");
        ask(app, seen, Method::POST, &test, Some(json!({}))).await;
    }

    plant_in_places(app, seen).await;
    plant_in_issuers(app, seen).await;
    let password = format!("{} and more", canary("password"));
    let new = json!({"username": "bob", "password": password, "role": "ops_viewer"});
    ask(app, seen, Method::POST, "ops/users", Some(new)).await;
    for wrong in [
        json!({"username": "admin", "password": canary("wrong-password")}),
        json!({"username": canary("password-as-name"), "password": "x"}),
        json!({"username": "admin", "password": {"odd": canary("odd-password")}}),
    ] {
        let refused = app
            .api_as("", Method::POST, "auth/login", Some(wrong))
            .await;
        seen.note("auth/login", refused.text());
    }
    let change = json!({"current_password": canary("current"), "new_password": canary("new")});
    ask(app, seen, Method::POST, "auth/password", Some(change)).await;
}

/// Where backups, archives and statistics go: each is set, tried, used while nobody answers there, and refused once.
async fn plant_in_places(app: &App, seen: &mut Seen) {
    // A backup of all that was planted before, where its files are searched.
    let folder = json!({"kind": "folder", "path": app.data_dir().join("backups")});
    ask(app, seen, Method::PUT, "ops/backups/plan", Some(folder)).await;
    ask(app, seen, Method::POST, "ops/backups", Some(json!({}))).await;
    eventually("a backup", || async {
        let made = app.get("ops/backups").await;
        let is_complete = |row: &Value| row["state"] == "complete";
        made["items"]
            .as_array()?
            .iter()
            .any(is_complete)
            .then_some(())
    })
    .await;
    let bucket = |place: &str, endpoint: &str| {
        json!({"kind": "bucket", "endpoint": endpoint, "bucket": "b",
            "access_key": canary(&format!("{place}-access")), "secret_key": canary(&format!("{place}-secret"))})
    };
    for (place, path) in [
        ("backup", "ops/backups/plan"),
        ("archive", "archives/place"),
    ] {
        for endpoint in [
            "https://127.0.0.1:9",
            "http://169.254.169.254",
            "no address",
        ] {
            let body = bucket(place, endpoint);
            ask(app, seen, Method::PUT, path, Some(body)).await;
        }
        let test = format!("{path}/test");
        ask(app, seen, Method::POST, &test, Some(json!({}))).await;
        ask(app, seen, Method::GET, path, None).await;
    }
    for path in ["ops/backups", "archives", "archives/find"] {
        ask(app, seen, Method::POST, path, Some(json!({}))).await;
    }
    let remotes = [
        json!({"kind": "postgres", "url": format!("postgres://ada:{}@127.0.0.1:9/stats", canary("remote-url"))}),
        json!({"kind": "postgres", "url": format!("nonsense://ada:{}@127.0.0.1:9/stats", canary("remote-bad"))}),
        json!({"kind": "postgrest", "url": "http://127.0.0.1:9", "key": canary("remote-key")}),
    ];
    for remote in remotes {
        ask(app, seen, Method::PUT, "ops/backups/remote", Some(remote)).await;
        for doing in ["test", "push"] {
            let path = format!("ops/backups/remote/{doing}");
            ask(app, seen, Method::POST, &path, Some(json!({}))).await;
        }
        let path = "ops/backups/remote/comparison";
        ask(app, seen, Method::GET, path, None).await;
    }
    // What is refused hides nothing.
    for (path, at) in [
        ("ops/backups/plan", "/plan/place"),
        ("archives/place", "/place/place"),
        ("ops/backups/remote", "/remote/kind"),
    ] {
        let planted = app.get(path).await;
        let planted = planted.pointer(at).map(ToString::to_string);
        let is_there = |text: &str| text.contains("127.0.0.1:9/b") || text.contains("postgrest");
        assert!(
            planted.as_deref().is_some_and(is_there),
            "{path}: {planted:?}"
        );
    }
}

/// Issuers of user tokens: secrets that are good, too short and for another kind, and tokens that are tried.
async fn plant_in_issuers(app: &App, seen: &mut Seen) {
    let token = app.get("tokens").await["items"][0]["id"].clone();
    let issuer = |name: &str, kind: &str, more: Value| {
        let mut body = json!({"name": name, "kind": kind, "issuer": format!("https://{name}.example.com"),
            "audience": "steward", "token_id": token});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let long = format!("{}-{}", canary("issuer"), "x".repeat(32));
    let jwks = format!("https://ada:{}@127.0.0.1:9/jwks", canary("jwks-url"));
    for body in [
        issuer("shared", "secret", json!({"secret": long})),
        issuer("short", "secret", json!({"secret": canary("short")})),
        issuer("confused", "own", json!({"secret": canary("confused")})),
        issuer("keys", "jwks", json!({"jwks_url": jwks})),
        issuer(
            "query",
            "jwks",
            json!({"jwks_url": format!("http://127.0.0.1:9/jwks?key={}", canary("jwks-query"))}),
        ),
        issuer("ours", "own", json!({"algorithm": "HS256"})),
    ] {
        let made = ask(app, seen, Method::POST, "jwt-issuers", Some(body)).await;
        let Some(id) = made["id"].as_str() else {
            continue;
        };
        let presented = format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", canary("tried-jwt"));
        let test = format!("jwt-issuers/{id}/test");
        ask(
            app,
            seen,
            Method::POST,
            &test,
            Some(json!({"token": presented})),
        )
        .await;
        let change = json!({"secret": format!("{}-{}", canary("new-issuer"), "y".repeat(32))});
        ask(
            app,
            seen,
            Method::PATCH,
            &format!("jwt-issuers/{id}"),
            Some(change),
        )
        .await;
        ask(
            app,
            seen,
            Method::POST,
            &format!("jwt-issuers/{id}/rotate"),
            Some(json!({})),
        )
        .await;
        for run in [
            json!({"issuer_id": id, "count": 1}),
            json!({"issuer_id": id, "count": 1, "token": presented}),
        ] {
            ask(app, seen, Method::POST, "jwt-tests", Some(run)).await;
        }
    }
    let made = app.get("jwt-issuers").await;
    let names: Vec<&str> = made["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert!(
        names.contains(&"shared") && names.contains(&"ours"),
        "{names:?}"
    );
}

/// Headers and query strings of every face, good and bad.
async fn plant_in_requests(app: &App, seen: &mut Seen) {
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", canary("jwt"));
    let bearer = format!("Bearer {}", canary("bearer"));
    let basic = format!("Basic {}", canary("basic"));
    let jwt = format!("Bearer {jwt}");
    let cookie = format!("steward_session={}", canary("cookie"));
    let heads: [(&str, &str); 5] = [
        ("authorization", &bearer),
        ("authorization", &basic),
        ("authorization", &jwt),
        ("x-api-key", &canary("x-api-key")),
        ("cookie", &cookie),
    ];
    for path in [
        "/v1/models",
        "/v1/chat/completions",
        "/v1/traces",
        "/api/v1/tokens",
        "/api/v1/auth/refresh",
        "/api/v1/ingest/records",
        "/metrics",
        "/nowhere",
    ] {
        let asked = format!("{path}?api_key={}", canary("query"));
        for (name, value) in heads {
            for method in [Method::GET, Method::POST] {
                let answer = app
                    .http
                    .call(method, &app.url(&asked), &[(name, value)], "{}")
                    .await;
                seen.note(&format!("{path} with {name}"), answer.text());
            }
        }
    }
    let ticket = format!("/api/v1/ws?ticket={}", canary("ticket"));
    let answer = app.http.call(Method::GET, &app.url(&ticket), &[], "").await;
    seen.note("ws", answer.text());
    // What is said in a call whose conversation is not kept, and a provider that echoes the account's key.
    for model in ["gpt-4o", "gpt-4o+status=500", "echoing+status=401+echo_key"] {
        let mut body = chat(model);
        body["messages"][0]["content"] = json!(canary("prompt"));
        body["user"] = json!("ada");
        let answer = app.post("/v1/chat/completions", &body).await;
        seen.note(&format!("a call of {model}"), answer.text());
    }
    let broken = format!("{{\"model\": \"gpt-4o\", \"{}\"", canary("broken-body"));
    for path in ["/v1/chat/completions", "/api/v1/tokens"] {
        let bearer = match path.starts_with("/v1") {
            true => format!("Bearer {}", app.key),
            false => format!("Bearer {}", app.admin),
        };
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let answer = app
            .http
            .call(Method::POST, &app.url(path), &headers, broken.clone())
            .await;
        seen.note(&format!("a broken body to {path}"), answer.text());
    }
}

/// Everything that can be read.
async fn read_everything(app: &App, seen: &mut Seen) {
    for path in [
        "ops/logs/query?level=TRACE&limit=200",
        "ops/logs/stats?level=TRACE",
        "ops/logs/export?level=TRACE",
        "ops/logs/operations?limit=200",
        "ops/system/env",
        "ops/system/components",
        "ops/system/status",
        "ops/alerts/channels",
        "ops/alerts/rules",
        "ops/users",
        "accounts",
        "tokens",
        "settings",
        "jobs",
        "instance",
        "supervision/tree",
        "conversations",
        "logs/requests?limit=200",
        "logs/requests/export?format=csv",
        "logs/requests/export?format=jsonl",
        "logs/dead-letters",
        "stats/overview",
        "notifications",
    ] {
        ask(app, seen, Method::GET, path, None).await;
    }
    // And whatever else the document says can be read.
    let url = app.url("/openapi.json");
    let document = app.http.call(Method::GET, &url, &[], "").await.text();
    let document: Value = serde_json::from_str(&document).expect("the document");
    let paths = document["paths"].as_object().expect("paths");
    let readable = paths.iter().filter(|(path, does)| {
        path.starts_with("/api/v1/") && !path.contains('{') && does.get("get").is_some()
    });
    let readable: Vec<&str> = readable
        .map(|(path, _)| path.trim_start_matches("/api/v1/"))
        // Only a WebSocket begins there.
        .filter(|path| *path != "ws")
        .collect();
    assert!(readable.len() > 40, "{} paths", readable.len());
    for path in readable {
        ask(app, seen, Method::GET, path, None).await;
    }
    let channels = app.get("ops/alerts/channels").await;
    for channel in channels["items"].as_array().into_iter().flatten() {
        let id = channel["id"].as_str().expect("an id");
        let path = format!("ops/alerts/channels/{id}/deliveries");
        ask(app, seen, Method::GET, &path, None).await;
    }
    for path in ["/metrics", "/health", "/openapi.json"] {
        let answer = app.http.call(Method::GET, &app.url(path), &[], "").await;
        seen.note(path, answer.text());
    }
    seen.note("the log", app.log());
}

/// Files below `dir`, as text.
fn read_files(dir: &Path, seen: &mut Seen) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_files(&path, seen);
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            seen.note(&path.display().to_string(), String::from_utf8_lossy(&bytes));
        }
    }
}

#[tokio::test]
async fn no_secret_leaves_by_any_way() {
    let smtp = format!("smtp://ada:{}@127.0.0.1:9", canary("smtp"));
    let heartbeat = format!("http://127.0.0.1:9/{}", canary("heartbeat"));
    let filter = "info,steward=trace,steward_actors=trace,steward_entities=trace";
    let app = Setup::new()
        .set("LOG__FILTER", filter)
        .set("SMTP__URL", smtp)
        .set("SMTP__FROM", "steward@example.com")
        .set("ALERTS__HEARTBEAT_URL", heartbeat)
        .set("ALERTS__INTERVAL_MS", 200)
        .set("EGRESS__ALLOW_PRIVATE", true)
        .serving()
        .await;
    let mut seen = Seen::default();
    let mut tail = Socket::on(&app, &app.admin, &["logs:TRACE", "alerts", "jobs"]).await;
    plant_in_the_control_face(&app, &mut seen).await;
    plant_in_requests(&app, &mut seen).await;

    // Whatever is still on its way is told before this is.
    let mark = "the end of the canaries";
    app.api(
        Method::POST,
        "auth/login",
        Some(json!({"username": "nobody", "password": OPERATOR_PASSWORD})),
    )
    .await;
    ask(
        &app,
        &mut seen,
        Method::POST,
        "ops/roles",
        Some(json!({"name": mark, "permissions": []})),
    )
    .await;
    eventually("the calls on the books", || async {
        let calls = app.get("logs/requests?limit=200").await;
        let echoed = |call: &Value| call["model"] == "echoing+status=401+echo_key";
        calls["items"].as_array()?.iter().any(echoed).then_some(())
    })
    .await;
    eventually("warnings in the table", || async {
        let stats = app.get("ops/logs/stats?level=WARN").await;
        stats["total"].as_u64().filter(|total| *total > 0)
    })
    .await;
    read_everything(&app, &mut seen).await;
    for _ in 0..3 {
        seen.note("the live tail", tail.next().await.to_string());
    }
    if app.kind == Kind::Sqlite {
        read_files(&app.data_dir(), &mut seen);
    }
    let leaks = seen.leaks();
    assert!(
        leaks.is_empty(),
        "{} leaks:\n{}",
        leaks.len(),
        leaks.join("\n")
    );
    // It was there to be found: the provider got the account's key, and the log tells of the day.
    assert!(app.log().contains("steward"), "the log is written");
    assert!(seen.0.len() > 100, "{} things were searched", seen.0.len());
}

#[tokio::test]
async fn a_database_password_is_in_no_log_and_no_answer_postgres() {
    let database = PostgresDatabase::empty().await;
    let url = database.url();
    let role = format!("it_{}", uuid::Uuid::new_v4().simple());
    let password = canary("database");
    let connection = sea_orm::Database::connect(&url).await.expect("the server");
    connection
        .execute_unprepared(&format!(
            "CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{password}'"
        ))
        .await
        .expect("a role");
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (_, host) = rest.rsplit_once('@').expect("a user");
    let secret = format!("{scheme}://{role}:{password}@{host}");
    let app = Setup::new().on_database(secret).start().await;
    let mut seen = Seen::default();
    read_everything(&app, &mut seen).await;
    assert_eq!(seen.leaks(), [] as [&str; 0]);
    let environment = app.get("ops/system/env").await;
    let shown = environment["config"]["database"]["url"].to_string();
    assert!(shown.contains(&format!("{role}:***@")), "{shown}");
}
