use std::sync::Arc;

use actix_http::Request;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::{App, Error, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use steward_entities::{jwt_issuer, revision};
use steward_migration::testing::TestDatabase;

use crate::testing::{Ask, START, World};

const ISSUERS: &str = "/api/v1/jwt-issuers";
const SHARED: &str = "a secret of at least thirty-two bytes";
const NOW_S: i64 = START / 1_000_000;

async fn token<B: MessageBody + 'static>(
    app: &impl Service<Request, Response = ServiceResponse<B>, Error = Error>,
    root: &str,
    more: Value,
) -> String {
    let mut body = json!({"name": "web users"});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let made = Ask::post("/api/v1/tokens", body).bearer(root).to(app).await;
    made.body["id"].as_str().unwrap().to_owned()
}

fn claims() -> Value {
    json!({"iss": "https://id.example.com", "aud": "steward", "sub": "user-1", "exp": NOW_S + 600})
}

fn signed(header: &Header, claims: &Value, key: &[u8]) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key)).unwrap()
}

/// What the gateway says to `GET /v1/models` with that credential.
async fn knocks<B: MessageBody + 'static>(
    app: &impl Service<Request, Response = ServiceResponse<B>, Error = Error>,
    jwt: &str,
) -> (StatusCode, Value) {
    let answer = Ask::get("/v1/models").bearer(jwt).to(app).await;
    (answer.status, answer.body["error"]["code"].clone())
}

async fn a_shared_secret_opens_what_it_should_and_nothing_else(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let token_id = token(&app, &root, json!({})).await;
    let body = json!({"name": "supabase", "kind": "secret", "issuer": "https://id.example.com", "audience": "steward", "token_id": token_id, "secret": SHARED});
    let made = Ask::post(ISSUERS, body.clone())
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert!(!made.text.contains(SHARED) && !made.text.contains(&URL_SAFE_NO_PAD.encode(SHARED)));
    assert_eq!(made.body["keys"][0]["algorithm"], "HS256");
    let again = Ask::post(ISSUERS, body).bearer(&root).to(&app).await;
    assert_eq!(again.status, StatusCode::CONFLICT);

    let hs = Header::new(Algorithm::HS256);
    let good = signed(&hs, &claims(), SHARED.as_bytes());
    assert_eq!(knocks(&app, &good).await.0, StatusCode::OK);
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signed(&hs, &claims, SHARED.as_bytes())
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        signed(&hs, &claims, SHARED.as_bytes())
    };
    // Any audience among several will do, and a key id the issuer gave itself does not matter.
    assert_eq!(
        knocks(&app, &with("aud", json!(["a", "steward"]))).await.0,
        StatusCode::OK
    );
    let mut named = hs.clone();
    named.kid = Some("theirs".into());
    assert_eq!(
        knocks(&app, &signed(&named, &claims(), SHARED.as_bytes()))
            .await
            .0,
        StatusCode::OK
    );
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    let (message, _) = good.rsplit_once('.').unwrap();
    for (what, bad) in [
        (
            "another key",
            signed(&hs, &claims(), b"another secret of thirty-two bytes"),
        ),
        (
            "another algorithm",
            signed(&Header::new(Algorithm::HS512), &claims(), SHARED.as_bytes()),
        ),
        ("no algorithm", none),
        ("no signature", format!("{message}.")),
        (
            "another issuer",
            with("iss", json!("https://evil.example.com")),
        ),
        ("another audience", with("aud", json!("other"))),
        ("no audience", without("aud")),
        ("no user", without("sub")),
        ("an empty user", with("sub", json!(" "))),
        ("no end", without("exp")),
        ("an end that is none", with("exp", json!("soon"))),
        ("not yet", with("nbf", json!(NOW_S + 120))),
        ("garbage", "ey.ey.ey".to_owned()),
    ] {
        assert_eq!(
            knocks(&app, &bad).await,
            (StatusCode::UNAUTHORIZED, json!("user_token_invalid")),
            "{what}"
        );
    }
    let over = with("exp", json!(NOW_S - 1));
    assert_eq!(
        knocks(&app, &over).await,
        (StatusCode::UNAUTHORIZED, json!("user_token_expired"))
    );
    // What was remembered ends too.
    world.clock.advance_micros(600_000_000);
    assert_eq!(knocks(&app, &good).await.1, "user_token_expired");
    world.clock.advance_micros(-600_000_000);

    // A revoked key closes the door to the issuer's users, on the next request.
    let path = format!("/api/v1/tokens/{token_id}");
    let gone = Ask::delete(&path).bearer(&root).to(&app).await;
    assert!(gone.status.is_success(), "{}", gone.text);
    assert_eq!(knocks(&app, &good).await.1, "user_token_invalid");
    for row in world.audited("jwt_issuers.create").await {
        assert!(!row.details.to_string().contains(SHARED));
    }
}

async fn keys_of_our_own_are_rotated(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let token_id = token(&app, &root, json!({})).await;
    for algorithm in ["EdDSA", "HS256"] {
        let body = json!({"name": algorithm, "kind": "own", "issuer": format!("steward-{algorithm}"), "audience": "steward", "token_id": token_id, "algorithm": algorithm});
        let made = Ask::post(ISSUERS, body).bearer(&root).to(&app).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let path = format!("{ISSUERS}/{}", made.body["id"].as_str().unwrap());
        assert_eq!(
            made.body["keys"][0]["public_key"].is_string(),
            algorithm == "EdDSA"
        );
        let issue = async || {
            let wish = json!({"sub": "ada"});
            let issued = Ask::post(&format!("{path}/tokens"), wish)
                .bearer(&root)
                .to(&app)
                .await;
            assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.text);
            issued.body["token"].as_str().unwrap().to_owned()
        };
        let first = issue().await;
        assert_eq!(knocks(&app, &first).await.0, StatusCode::OK);
        let rotated = Ask::post(&format!("{path}/rotate"), json!({"grace_s": 60}))
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(
            rotated.body["keys"].as_array().unwrap().len(),
            2,
            "{}",
            rotated.text
        );
        let second = issue().await;
        assert_ne!(
            jsonwebtoken::decode_header(&first).unwrap().kid,
            jsonwebtoken::decode_header(&second).unwrap().kid
        );
        for jwt in [&first, &second] {
            assert_eq!(knocks(&app, jwt).await.0, StatusCode::OK);
        }
        world.clock.advance_micros(61_000_000);
        assert_eq!(knocks(&app, &first).await.1, "user_token_expired");
        assert_eq!(knocks(&app, &second).await.0, StatusCode::OK);
        world.clock.advance_micros(-61_000_000);
        // Disabled, it opens nothing; enabled again, it does.
        for (enabled, status) in [(false, StatusCode::UNAUTHORIZED), (true, StatusCode::OK)] {
            let changed = Ask::patch(&path, json!({"enabled": enabled}))
                .bearer(&root)
                .to(&app)
                .await;
            assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
            assert_eq!(knocks(&app, &second).await.0, status);
        }
        let removed = Ask::delete(&path).bearer(&root).to(&app).await;
        assert_eq!(removed.status, StatusCode::NO_CONTENT);
        assert_eq!(knocks(&app, &second).await.0, StatusCode::UNAUTHORIZED);
    }
}

#[actix_web::test]
async fn a_shared_secret_opens_what_it_should_and_nothing_else_sqlite() {
    a_shared_secret_opens_what_it_should_and_nothing_else(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_shared_secret_opens_what_it_should_and_nothing_else_postgres() {
    a_shared_secret_opens_what_it_should_and_nothing_else(World::postgres().await).await;
}

#[actix_web::test]
async fn keys_of_our_own_are_rotated_sqlite() {
    keys_of_our_own_are_rotated(World::sqlite().await).await;
}

#[actix_web::test]
async fn keys_of_our_own_are_rotated_postgres() {
    keys_of_our_own_are_rotated(World::postgres().await).await;
}

#[actix_web::test]
async fn who_may_and_what_is_refused() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("viewer", "ops_viewer").await;
    let tenant = world.signed_in_of_tenant("tina", "ops_admin", 1).await;
    assert_eq!(
        Ask::get(ISSUERS).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        Ask::get(ISSUERS).bearer(&tenant).to(&app).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        Ask::get(ISSUERS).bearer(&viewer).to(&app).await.body["total"],
        0
    );
    let token_id = token(&app, &root, json!({})).await;
    let good = json!({"name": "a", "kind": "jwks", "issuer": "i", "audience": "a", "token_id": token_id, "jwks_url": "http://127.0.0.1:1/jwks"});
    let refused = Ask::post(ISSUERS, good.clone())
        .bearer(&viewer)
        .to(&app)
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    // Nobody's metadata, nobody's neighbours.
    for url in [
        "https://127.0.0.1:1/jwks",
        "https://169.254.169.254/latest",
        "https://localhost/jwks",
        "https://metadata.google.internal/jwks",
    ] {
        let mut body = good.clone();
        body["jwks_url"] = json!(url);
        let refused = Ask::post(ISSUERS, body).bearer(&root).to(&app).await;
        assert_eq!(
            refused.body["code"], "egress_refused",
            "{url}: {}",
            refused.text
        );
    }
    for (field, value) in [
        ("secret", json!("short")),
        ("token_id", json!("tok_none")),
        ("name", json!("")),
        ("ttl_s", json!(1)),
        ("jwks_url", json!("https://id.example.com/jwks")),
        ("algorithm", json!("EdDSA")),
    ] {
        let mut body = json!({"name": "a", "kind": "secret", "issuer": "i", "audience": "a", "token_id": token_id, "secret": SHARED});
        body[field] = value;
        let refused = Ask::post(ISSUERS, body).bearer(&root).to(&app).await;
        assert_eq!(
            refused.body["errors"][0]["field"],
            json!(field),
            "{}",
            refused.text
        );
    }
    // Keys that are fetched in clear can be replaced on the way.
    let mut clear = good.clone();
    clear["jwks_url"] = json!("http://id.example.com/jwks");
    let refused = Ask::post(ISSUERS, clear).bearer(&root).to(&app).await;
    assert_eq!(refused.body["errors"][0]["field"], "jwks_url");
    assert!(world.audited("jwt_issuers.create").await.is_empty());
}

/// An issuer's own server on this machine: `/keys` serves `set`, the others do what servers do.
async fn key_server(set: Arc<Mutex<Value>>) -> String {
    let server = HttpServer::new(move || {
        let set = Arc::clone(&set);
        let keys = move || {
            let set = set.lock().clone();
            async move { HttpResponse::Ok().json(set) }
        };
        let away = |to: &'static str| async move {
            HttpResponse::Found()
                .insert_header(("location", to))
                .finish()
        };
        App::new()
            .route("/keys", web::get().to(keys))
            .route("/garbage", web::get().to(|| async { "<html>" }))
            .route("/huge", web::get().to(|| async { "[".repeat(300 << 10) }))
            .route(
                "/oct",
                web::get().to(|| async { r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"# }),
            )
            .route("/error", web::get().to(HttpResponse::ServiceUnavailable))
            .route(
                "/hang",
                web::get().to(|| async { std::future::pending::<HttpResponse>().await }),
            )
            .route(
                "/metadata",
                web::get().to(move || away("http://169.254.169.254/latest")),
            )
            .route("/round", web::get().to(move || away("/keys")))
    });
    let server = server.workers(1).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    #[allow(
        clippy::disallowed_methods,
        reason = "the server is the test's, not the product's"
    )]
    actix_web::rt::spawn(server.run());
    format!("http://{address}")
}

/// A key pair as another issuer has it: its JWK, and what signs.
fn pair(kid: &str) -> (Value, impl Fn(&Value) -> String + use<>) {
    let made = crate::issuing::new_key(steward_actors::domain::issuer::Algorithm::EdDSA).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": made.public, "alg": "EdDSA", "use": "sig"});
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    let seed = URL_SAFE_NO_PAD.decode(&made.secret).unwrap();
    let key = EncodingKey::from_ed_der(&crate::issuing::pkcs8(&seed));
    let sign = move |claims: &Value| jsonwebtoken::encode(&header, claims, &key).unwrap();
    (jwk, sign)
}

async fn keys_of_another_are_fetched(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let token_id = token(&app, &root, json!({})).await;
    let ((old, sign_old), (new, sign_new)) = (pair("old"), pair("new"));
    let set = Arc::new(Mutex::new(json!({ "keys": [old] })));
    let server = key_server(Arc::clone(&set)).await;
    let body = |path: &str| {
        json!({"name": "theirs", "kind": "jwks", "issuer": "https://id.example.com", "audience": "steward",
            "token_id": token_id, "jwks_url": format!("{server}{path}")})
    };
    for path in [
        "/garbage",
        "/huge",
        "/oct",
        "/error",
        "/missing",
        "/metadata",
        "/round",
    ] {
        let refused = Ask::post(ISSUERS, body(path)).bearer(&root).to(&app).await;
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("jwks_url")),
            "{path}: {}",
            refused.text
        );
    }
    let made = Ask::post(ISSUERS, body("/keys"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.body["keys"][0]["kid"], "old");
    let path = format!("{ISSUERS}/{}", made.body["id"].as_str().unwrap());
    assert_eq!(knocks(&app, &sign_old(&claims())).await.0, StatusCode::OK);
    assert_eq!(
        knocks(&app, &sign_new(&claims())).await.1,
        "user_token_invalid"
    );
    // The refusal asks for the keys to be fetched, once.
    let id = made.body["id"].as_str().unwrap();
    assert!(world.state.gateway.missing_keys().take(id));
    // A test fetches them; what is new is in force, what is gone is not.
    *set.lock() = json!({ "keys": [new] });
    let test = async |body: Value| {
        Ask::post(&format!("{path}/test"), body)
            .bearer(&root)
            .to(&app)
            .await
    };
    let tried = test(json!({})).await;
    assert_eq!(
        (&tried.body["ok"], &tried.body["keys"]),
        (&json!(true), &json!(1)),
        "{}",
        tried.text
    );
    assert_eq!(knocks(&app, &sign_new(&claims())).await.0, StatusCode::OK);
    assert_eq!(
        knocks(&app, &sign_old(&claims())).await.1,
        "user_token_invalid"
    );
    // A token is looked at, and what is wrong with it is said.
    let good = test(json!({"token": sign_new(&claims())})).await;
    assert_eq!(
        (&good.body["ok"], &good.body["user"]),
        (&json!(true), &json!("user-1"))
    );
    let bad = test(json!({"token": sign_old(&claims())})).await;
    assert_eq!(
        (&bad.body["ok"], &bad.body["code"]),
        (&json!(false), &json!("key_unknown"))
    );
    // An issuer that answers no more signs nobody out.
    *set.lock() = json!({ "keys": [] });
    let tried = test(json!({})).await;
    assert_eq!(
        (&tried.body["ok"], &tried.body["code"]),
        (&json!(false), &json!("no_key_set"))
    );
    assert_eq!(knocks(&app, &sign_new(&claims())).await.0, StatusCode::OK);
    assert_eq!(world.audited("jwt_issuers.test").await.len(), 4);
    let nothing = Ask::get(&format!("{path}/jwks")).to(&app).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    // The same keys were fetched all the same: that is written down once an hour, and nobody has to read anything anew.
    *set.lock() = json!({ "keys": [new] });
    let read = &world.database.control_read;
    for (user, minutes, fetched) in [("ann", 59, 0), ("bob", 2, 61), ("cid", 58, 61)] {
        world.clock.advance_micros(minutes * 60_000_000);
        let root = world.signed_in(user, "ops_admin").await;
        let before = revision::read(read).await.unwrap();
        let tried = Ask::post(&format!("{path}/test"), json!({})).bearer(&root);
        let tried = tried.to(&app).await;
        assert_eq!(tried.body["ok"], true, "{}", tried.text);
        assert_eq!(revision::read(read).await.unwrap(), before, "{user}");
        let row = jwt_issuer::by_public_id(read, id).await.unwrap().unwrap();
        let at = (row.jwks_fetched_at.unwrap() - START) / 60_000_000;
        assert_eq!(at, fetched, "{user}");
    }
}

fn open_to_neighbours(config: &mut crate::config::Config) {
    config.egress.allow_private = true;
}

#[actix_web::test]
async fn keys_of_another_are_fetched_sqlite() {
    let database = TestDatabase::sqlite().await;
    keys_of_another_are_fetched(World::on(database, open_to_neighbours)).await;
}

#[actix_web::test]
async fn keys_of_another_are_fetched_postgres() {
    let database = TestDatabase::postgres().await;
    keys_of_another_are_fetched(World::on(database, open_to_neighbours)).await;
}

#[actix_web::test]
async fn an_issuer_that_says_nothing_is_not_waited_for() {
    let world = World::on(TestDatabase::sqlite().await, open_to_neighbours);
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let token_id = token(&app, &root, json!({})).await;
    let server = key_server(Arc::default()).await;
    let body = json!({"name": "a", "kind": "jwks", "issuer": "i", "audience": "a", "token_id": token_id, "jwks_url": format!("{server}/hang")});
    let refused = Ask::post(ISSUERS, body).bearer(&root).to(&app).await;
    assert_eq!(
        refused.body["errors"][0]["field"], "jwks_url",
        "{}",
        refused.text
    );
    assert!(
        refused.text.contains("no answer within 8 s"),
        "{}",
        refused.text
    );
}

#[actix_web::test]
async fn a_user_of_one_issuer_is_told_what_is_wrong_in_the_callers_dialect() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let token_id = token(&app, &root, json!({"rpm": 1})).await;
    let body = json!({"name": "own", "kind": "own", "issuer": "steward", "audience": "steward", "token_id": token_id});
    let made = Ask::post(ISSUERS, body).bearer(&root).to(&app).await;
    let mut wrong = claims();
    wrong["iss"] = json!("steward");
    let jwt = signed(&Header::new(Algorithm::HS256), &wrong, SHARED.as_bytes());
    let openai = Ask::post("/v1/chat/completions", json!({"model": "a"}))
        .bearer(&jwt)
        .to(&app)
        .await;
    assert_eq!(
        openai.body["error"]["code"], "user_token_invalid",
        "{}",
        openai.text
    );
    let said = openai.body["error"]["message"].as_str().unwrap();
    assert!(
        said.contains("no key of its `kid`") || said.contains("`alg`"),
        "{said}"
    );
    let anthropic = Ask::post("/v1/messages", json!({"model": "a"}))
        .header("x-api-key", &jwt)
        .to(&app)
        .await;
    assert_eq!(anthropic.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        anthropic.body["error"]["type"], "authentication_error",
        "{}",
        anthropic.text
    );
    // Its public key is there for everybody; the answer says how long it may be kept.
    let path = format!("{ISSUERS}/{}", made.body["id"].as_str().unwrap());
    let keys = Ask::get(&format!("{path}/jwks")).to(&app).await;
    assert_eq!(keys.header("cache-control"), "public, max-age=300");
    assert_eq!(keys.body["keys"][0]["kid"], made.body["keys"][0]["kid"]);
    assert_eq!(keys.body["keys"][0]["crv"], "Ed25519");
    // Two people at once: the second is told who came first.
    let rotate = || {
        Ask::post(&format!("{path}/rotate"), json!({}))
            .bearer(&root)
            .header("if-match", "\"1\"")
    };
    assert_eq!(rotate().to(&app).await.status, StatusCode::OK);
    assert_eq!(
        rotate().to(&app).await.status,
        StatusCode::PRECONDITION_FAILED
    );
    let keys = Ask::get(&format!("{path}/jwks")).to(&app).await;
    assert_eq!(keys.body["keys"].as_array().unwrap().len(), 2);
}
