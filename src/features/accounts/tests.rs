use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{Ask, World};

const ACCOUNTS: &str = "/api/v1/accounts";

/// A provider that gives the same answer to `times` requests; answers its base URL and what it was asked.
#[allow(
    clippy::disallowed_methods,
    reason = "the test plays the provider on a thread of its own"
)]
fn provider(status: &str, body: &str, times: usize) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let (asked, questions) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().take(times) {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = asked.send(String::from_utf8(head).unwrap());
        }
    });
    (format!("http://{address}"), questions)
}

fn new(base_url: &str) -> Value {
    json!({
        "name": "main", "provider": "openai", "protocol": "openai", "base_url": base_url,
        "api_key": "key-of-the-account-9876", "models": ["*"], "aliases": {"gpt-x": "gpt-4o"}, "priority": 0,
        "weight": 1, "enabled": true,
    })
}

#[actix_web::test]
async fn a_life_of_an_account() {
    life_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_life_of_an_account_postgres() {
    life_on(World::postgres().await).await;
}

async fn life_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let made = Ask::post(ACCOUNTS, new("https://api.openai.com/v1/")).bearer(&root);
    let made = made.to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let expected = json!({
        "base_url": "https://api.openai.com/v1", "last4": "9876", "aliases": {"gpt-x": "gpt-4o"},
        "in_flight": 0, "unusable_reason": null,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&made.body[field], value, "{field}");
    }
    assert_eq!(made.body["breaker"]["state"], "closed");
    assert!(!made.body.to_string().contains("key-of-the-account"));
    // In force when it is answered, the secret opened again.
    let held = |world: &World| world.state.snapshot.load().accounts.first().cloned();
    assert_eq!(
        held(&world).unwrap().secret.reveal(),
        "key-of-the-account-9876"
    );

    let path = format!("{ACCOUNTS}/{}", made.body["id"].as_str().unwrap());
    let changes = json!({"api_key": "another-key-of-it-1234", "weight": 0, "concurrency": 3});
    let changed = Ask::patch(&path, changes)
        .bearer(&root)
        .header("if-match", "\"1\"");
    let changed = changed.to(&app).await;
    assert_eq!(
        (&changed.body["last4"], changed.header("etag")),
        (&json!("1234"), "\"2\"")
    );
    assert_eq!(
        held(&world).unwrap().secret.reveal(),
        "another-key-of-it-1234"
    );
    // The key goes to no server that it was not given for.
    let away = Ask::patch(&path, json!({"base_url": "https://api.openai.example/v1"}));
    let away = away.bearer(&root).to(&app).await;
    assert_eq!(away.status, StatusCode::UNPROCESSABLE_ENTITY, "{away:?}");
    assert_eq!(away.body["errors"][0]["field"], "api_key");
    assert_eq!(held(&world).unwrap().base_url, "https://api.openai.com/v1");
    let beside = Ask::patch(&path, json!({"base_url": "https://api.openai.com/v2"}));
    let beside = beside.bearer(&root).to(&app).await;
    assert_eq!(beside.status, StatusCode::OK, "{beside:?}");
    let cleared = Ask::patch(&path, json!({"concurrency": null})).bearer(&root);
    assert_eq!(cleared.to(&app).await.body["concurrency"], Value::Null);
    let told = serde_json::to_string(&world.audited("accounts.update").await).unwrap();
    assert!(
        told.contains("\"weight\":[1,0]") && !told.contains("key-of-it"),
        "{told}"
    );

    let gone = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert!(held(&world).is_none());
    assert_eq!(
        Ask::get(&path).bearer(&root).to(&app).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        Ask::get(ACCOUNTS).bearer(&root).to(&app).await.body["total"],
        0
    );
}

#[actix_web::test]
async fn what_is_wrong_with_an_account_is_named() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("a\u{0}b")),
        ("provider", json!("x".repeat(65))),
        ("protocol", json!("gopher")),
        ("base_url", json!("https://user:pass@api.openai.com/v1")),
        ("base_url", json!("http://169.254.169.254/v1")),
        ("base_url", json!("http://2852039166/v1")),
        ("api_key", json!("")),
        ("api_key", json!("with a blank")),
        ("models", json!(["a*b"])),
        ("aliases", json!({"a": "b*"})),
        ("aliases", json!({"": "b"})),
        ("priority", json!(-1)),
        ("weight", json!(i64::MAX)),
        ("concurrency", json!(0)),
        ("secret_sealed", json!("x")),
    ] {
        let mut body = new("https://api.openai.com/v1");
        body[field] = value.clone();
        let answer = Ask::post(ACCOUNTS, body).bearer(&root).to(&app).await;
        assert_eq!(answer.status.as_u16(), 422, "{field} {value}: {answer:?}");
        let named = answer.body["errors"][0]["field"].as_str().unwrap();
        assert!(named.starts_with(field), "{field} {value}: {answer:?}");
    }
    let metadata = Ask::post(ACCOUNTS, new("http://metadata.google.internal")).bearer(&root);
    assert_eq!(metadata.to(&app).await.body["code"], "egress_refused");
}

#[actix_web::test]
async fn an_account_is_tested_against_its_provider() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let list = r#"{"object":"list","data":[{"id":"b","owned_by":"x","created":1},{"id":"a"}]}"#;
    let (base, questions) = provider("200 OK", list, 2);
    let made = Ask::post(ACCOUNTS, new(&format!("{base}/v1")))
        .bearer(&root)
        .to(&app)
        .await;
    let path = format!("{ACCOUNTS}/{}", made.body["id"].as_str().unwrap());
    let test = || Ask::post(&format!("{path}/test"), json!({})).bearer(&root);
    let tested = test().to(&app).await;
    assert_eq!(tested.body["ok"], true, "{tested:?}");
    assert_eq!(
        (&tested.body["status"], &tested.body["models"]),
        (&json!(200), &json!(2))
    );
    let question = questions.recv().unwrap().to_ascii_lowercase();
    assert!(question.starts_with("get /v1/models "), "{question}");
    assert!(question.contains("authorization: bearer key-of-the-account-9876"));

    // Two looks at the list, one question.
    let models = || Ask::get(&format!("{path}/models")).bearer(&root);
    let listed = models().to(&app).await;
    assert_eq!(listed.body["items"][0]["id"], "a", "{listed:?}");
    assert_eq!(
        listed.body["items"][1]["created_at"],
        "1970-01-01T00:00:01.000Z"
    );
    assert_eq!(models().to(&app).await.body, listed.body);
    assert_eq!(questions.recv().iter().count(), 1);

    // The provider is gone: an answer all the same, also for the list once the account has changed.
    let tested = test().to(&app).await;
    assert_eq!(tested.body["ok"], false, "{tested:?}");
    assert_eq!(tested.body["error_code"], "upstream_unreachable");
    let renamed = Ask::patch(&path, json!({"name": "other"}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(renamed.status, StatusCode::OK);
    let listed = models().to(&app).await;
    assert_eq!(listed.body["answer"]["ok"], false);
    assert_eq!(listed.body["items"], json!([]));
}

#[actix_web::test]
async fn a_provider_that_echoes_the_secret_does_not_tell_it() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let refusal = r#"{"error":{"message":"Incorrect API key provided: key-of-the-account-9876."}}"#;
    let (base, questions) = provider("401 Unauthorized", refusal, 1);
    let mut body = new(&base);
    body["protocol"] = json!("anthropic");
    let made = Ask::post(ACCOUNTS, body).bearer(&root).to(&app).await;
    let path = format!("{ACCOUNTS}/{}/test", made.body["id"].as_str().unwrap());
    let tested = Ask::post(&path, json!({})).bearer(&root).to(&app).await;
    assert_eq!(
        tested.body["error_code"], "upstream_credential",
        "{tested:?}"
    );
    let message = tested.body["message"].as_str().unwrap();
    assert!(
        message.starts_with("Incorrect API key provided") && !message.contains("9876"),
        "{message}"
    );
    let question = questions.recv().unwrap().to_ascii_lowercase();
    assert!(
        question.starts_with("get /v1/models?limit=1000 "),
        "{question}"
    );
    assert!(question.contains("x-api-key: key-of-the-account-9876"));
    assert!(question.contains("anthropic-version: "));
}
