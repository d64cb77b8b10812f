use actix_web::http::StatusCode;
use serde_json::{Value, json};
use steward_migration::testing::TestDatabase;

use super::offline;
use crate::testing::{Answer, Ask, World};

const USERS: &str = "/api/v1/ops/users";

async fn made(
    app: &impl actix_web::dev::Service<
        actix_http::Request,
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody + 'static>,
        Error = actix_web::Error,
    >,
    access: &str,
    body: Value,
) -> Answer {
    Ask::post(USERS, body).bearer(access).to(app).await
}

fn path(answer: &Answer) -> String {
    format!("{USERS}/{}", answer.body["id"].as_str().unwrap())
}

#[actix_web::test]
async fn a_life_of_an_operator() {
    life_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_life_of_an_operator_postgres() {
    life_on(World::postgres().await).await;
}

async fn life_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let new = json!({"username": "ada", "role": "ops_admin", "password": "a good password"});
    let ada = made(&app, &root, new.clone()).await;
    assert_eq!(ada.status, StatusCode::CREATED, "{ada:?}");
    assert_eq!(ada.header("etag"), "\"1\"");
    assert_eq!(ada.body["password"], Value::Null);
    let twice = made(&app, &root, new).await;
    assert_eq!(
        (twice.status, &twice.body["errors"][0]["field"]),
        (StatusCode::CONFLICT, &json!("username"))
    );
    let credentials = json!({"username": "ada", "password": "a good password"});
    let login = || Ask::post("/api/v1/auth/login", credentials.clone());
    let access = login().to(&app).await.body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        Ask::get(USERS).bearer(&access).to(&app).await.status,
        StatusCode::OK
    );

    // A new role acts on the next request; so does a closed account.
    let demoted = Ask::patch(&path(&ada), json!({"role": "ops_viewer"}))
        .header("if-match", "\"1\"")
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(demoted.header("etag"), "\"2\"", "{demoted:?}");
    assert_eq!(
        Ask::get(USERS).bearer(&access).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    let access = login().to(&app).await.body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        Ask::get(USERS).bearer(&access).to(&app).await.status,
        StatusCode::OK
    );
    let refused = made(
        &app,
        &access,
        json!({"username": "eve", "role": "ops_viewer"}),
    )
    .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("write:operators")
    );

    let stale = Ask::patch(&path(&ada), json!({"enabled": false}))
        .header("if-match", "\"1\"")
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert!(
        stale.body["detail"]
            .as_str()
            .unwrap()
            .contains("root changed it first")
    );
    let closed = Ask::patch(&path(&ada), json!({"enabled": false}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(closed.body["enabled"], false);
    assert_eq!(
        Ask::get(USERS).bearer(&access).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(login().to(&app).await.status, StatusCode::UNAUTHORIZED);

    let updates = world.audited("operators.update").await;
    assert_eq!(updates[0].details, json!({"enabled": [true, false]}));
    assert_eq!(
        updates[1].details,
        json!({"role": ["ops_admin", "ops_viewer"]})
    );
    assert_eq!(updates[0].operator_name, "root");
    assert_eq!(updates[0].ip, "127.0.0.1");
    assert_eq!(updates[0].request_id, closed.header("x-request-id"));

    let removed = Ask::delete(&path(&ada)).bearer(&root).to(&app).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(
        Ask::get(&path(&ada)).bearer(&root).to(&app).await.status,
        StatusCode::NOT_FOUND
    );
}

#[actix_web::test]
async fn somebody_can_always_administer() {
    last_administrator_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn somebody_can_always_administer_postgres() {
    last_administrator_on(World::postgres().await).await;
}

async fn last_administrator_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let listed = Ask::get(USERS).bearer(&root).to(&app).await;
    let path = format!(
        "{USERS}/{}",
        listed.body["items"][0]["id"].as_str().unwrap()
    );
    for body in [json!({"enabled": false}), json!({"role": "ops_viewer"})] {
        let refused = Ask::patch(&path, body).bearer(&root).to(&app).await;
        assert_eq!(refused.body["code"], "last_administrator");
    }
    let refused = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(refused.body["code"], "last_administrator");
    let renamed = Ask::patch(&path, json!({"display_name": "根"}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(renamed.status, StatusCode::OK);
    assert_eq!(
        Ask::get(&path).bearer(&root).to(&app).await.body["display_name"],
        "根"
    );
    world.operator("deputy", "ops_admin").await;
    let gone = Ask::patch(&path, json!({"enabled": false}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(gone.status, StatusCode::OK);
}

#[actix_web::test]
async fn nobody_gives_more_than_they_may_do() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let clerk =
        json!({"name": "clerk", "permissions": ["read:*", "write:operators", "write:roles"]});
    let role = Ask::post("/api/v1/ops/roles", clerk)
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(role.status, StatusCode::CREATED, "{role:?}");
    let victim = made(
        &app,
        &root,
        json!({"username": "boss", "role": "ops_admin"}),
    )
    .await;
    assert_eq!(victim.body["password"].as_str().unwrap().len(), 20);
    let clerk = world.signed_in("clerk", "clerk").await;

    let upwards = made(&app, &clerk, json!({"username": "x", "role": "ops_admin"})).await;
    assert_eq!(upwards.status, StatusCode::FORBIDDEN);
    let reset = Ask::post(&format!("{}/password", path(&victim)), json!({}));
    assert_eq!(
        reset.bearer(&clerk).to(&app).await.status,
        StatusCode::FORBIDDEN
    );
    let wider = json!({"name": "wider", "permissions": ["*"]});
    let refused = Ask::post("/api/v1/ops/roles", wider)
        .bearer(&clerk)
        .to(&app)
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let level = made(
        &app,
        &clerk,
        json!({"username": "viewer", "role": "ops_viewer"}),
    )
    .await;
    assert_eq!(level.status, StatusCode::CREATED);
    let reset = Ask::post(&format!("{}/password", path(&level)), json!({}));
    let reset = reset.bearer(&clerk).to(&app).await;
    let password = reset.body["password"].as_str().unwrap();
    let login = json!({"username": "viewer", "password": password});
    let login = Ask::post("/api/v1/auth/login", login).to(&app).await;
    assert_eq!(login.body["must_change_password"], true);
    // Until it is changed the password opens nothing but its change.
    let given = login.body["access_token"].as_str().unwrap();
    for (path, status) in [
        ("/api/v1/auth/me", StatusCode::OK),
        ("/api/v1/tokens", StatusCode::FORBIDDEN),
        ("/api/v1/auth/keys", StatusCode::FORBIDDEN),
    ] {
        let answer = Ask::get(path).bearer(given).to(&app).await;
        assert_eq!(answer.status, status, "{path}");
        if status == StatusCode::FORBIDDEN {
            assert_eq!(answer.body["code"], "password_change_required", "{path}");
        }
    }
    let own = json!({"current_password": password, "new_password": "a password of my own"});
    let own = Ask::post("/api/v1/auth/password", own)
        .bearer(given)
        .to(&app)
        .await;
    let own = own.body["access_token"]
        .as_str()
        .unwrap_or(given)
        .to_owned();
    let answer = Ask::get("/api/v1/tokens").bearer(&own).to(&app).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let audit = serde_json::to_string(&world.audited("operators.reset_password").await).unwrap();
    assert!(!audit.contains(password));
}

#[actix_web::test]
async fn a_post_sent_twice_has_its_effect_once() {
    idempotency_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_post_sent_twice_has_its_effect_once_postgres() {
    idempotency_on(World::postgres().await).await;
}

async fn idempotency_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ask = |body: Value| {
        Ask::post(USERS, body)
            .bearer(&root)
            .header("idempotency-key", "k-1")
    };
    let body = json!({"username": "ada", "role": "ops_viewer"});
    let first = ask(body.clone()).to(&app).await;
    let again = ask(body).to(&app).await;
    assert_eq!(
        (first.status, again.status),
        (StatusCode::CREATED, StatusCode::CREATED)
    );
    assert_eq!(first.body, again.body, "the generated password too");
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(world.audited("operators.create").await.len(), 1);
    let other = ask(json!({"username": "eve", "role": "ops_viewer"}))
        .to(&app)
        .await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.body["code"], "idempotency_mismatch");

    // An answer without a row of its own is kept as well.
    let path = format!("{}/password", path(&first));
    let reset = || {
        Ask::post(&path, json!({}))
            .bearer(&root)
            .header("idempotency-key", "k-2")
    };
    let first = reset().to(&app).await;
    assert_eq!(first.body, reset().to(&app).await.body);
    assert_eq!(world.audited("operators.reset_password").await.len(), 1);
    // A refused request is not kept: it may succeed later.
    let refused = || {
        Ask::post(USERS, json!({"username": "ada", "role": "ops_viewer"}))
            .bearer(&root)
            .header("idempotency-key", "k-3")
    };
    assert_eq!(refused().to(&app).await.status, StatusCode::CONFLICT);
    assert_eq!(refused().to(&app).await.status, StatusCode::CONFLICT);
    let kept =
        steward_entities::idempotency_key::find(&world.database.control_read, 1, "k-1").await;
    let kept = kept.unwrap().unwrap().response.to_string();
    assert!(!kept.contains("ada"), "kept answers are sealed");
}

#[actix_web::test]
async fn a_change_whose_audit_row_fails_has_not_happened() {
    use sea_orm::ConnectionTrait;

    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let hinder =
        "CREATE TRIGGER no_audit BEFORE INSERT ON ops_logs BEGIN SELECT RAISE(ABORT, 'full'); END";
    world
        .database
        .control
        .execute_unprepared(hinder)
        .await
        .unwrap();
    let failed = made(
        &app,
        &root,
        json!({"username": "ada", "role": "ops_viewer"}),
    )
    .await;
    assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(failed.header("content-type"), "application/problem+json");
    assert!(!failed.body.to_string().contains("full"), "{}", failed.body);
    assert_eq!(failed.body["request_id"], failed.header("x-request-id"));
    assert_eq!(
        Ask::get(USERS).bearer(&root).to(&app).await.body["total"],
        1
    );
}

#[actix_web::test]
async fn the_first_operator_is_made_once() {
    first_operator_on(TestDatabase::sqlite().await).await;
}

#[actix_web::test]
async fn the_first_operator_is_made_once_postgres() {
    first_operator_on(TestDatabase::postgres().await).await;
}

async fn first_operator_on(database: TestDatabase) {
    let world = World::on(database, |_| {});
    let app = world.app().await;
    let clock = &*world.state.clock;
    let made = offline::ensure_first_operator(&world.database, None, clock)
        .await
        .unwrap()
        .unwrap();
    let again = offline::ensure_first_operator(&world.database, Some("x"), clock)
        .await
        .unwrap();
    assert!(again.is_none());
    assert!(!format!("{made:?}").contains(made.password.reveal()));
    let login = |password: &str| {
        Ask::post(
            "/api/v1/auth/login",
            json!({"username": "admin", "password": password}),
        )
    };
    assert_eq!(
        login(made.password.reveal()).to(&app).await.status,
        StatusCode::OK
    );
    offline::set_operator_password(&world.database, "admin", "another one", clock)
        .await
        .unwrap();
    assert_eq!(
        login(made.password.reveal()).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(login("another one").to(&app).await.status, StatusCode::OK);
    let weak = offline::add_operator(&world.database, "b", "short", "ops_viewer", clock).await;
    assert!(weak.is_err());
    offline::add_operator(&world.database, "b", "long enough", "ops_viewer", clock)
        .await
        .unwrap();
    let taken =
        offline::add_operator(&world.database, "b", "long enough", "ops_viewer", clock).await;
    assert!(taken.is_err());
}

#[actix_web::test]
async fn the_given_first_password_holds_as_it_is() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let clock = &*world.state.clock;
    let made = offline::ensure_first_operator(&world.database, Some("pw"), clock)
        .await
        .unwrap();
    assert!(made.is_none());
    let login = json!({"username": "admin", "password": "pw"});
    let login = Ask::post("/api/v1/auth/login", login).to(&app).await;
    assert_eq!(login.body["must_change_password"], false);
}

#[actix_web::test]
async fn people_of_a_tenant_see_and_manage_its_people_only() {
    people_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn people_of_a_tenant_see_and_manage_its_people_only_postgres() {
    people_on(World::postgres().await).await;
}

async fn people_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let mut tenants = Vec::new();
    for name in ["Kimono One", "Kimono Two"] {
        let tenant = Ask::post("/api/v1/ops/tenants", json!({"name": name})).bearer(&root);
        tenants.push(
            tenant.to(&app).await.body["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let [one, two] = [&tenants[0], &tenants[1]];
    let person = |name: &str, role: &str, tenant: Option<&str>| {
        let mut new = json!({"username": name, "role": role, "password": "a good password"});
        if let Some(tenant) = tenant {
            new["tenant_id"] = json!(tenant);
        }
        new["must_change_password"] = json!(false);
        new
    };
    let names = |answer: &Answer| -> Vec<String> {
        let items = answer.body["items"].as_array().unwrap().iter();
        let name = |one: &Value| one["username"].as_str().unwrap().to_owned();
        items.map(name).collect()
    };

    let ann = made(&app, &root, person("ann", "tenant_admin", Some(one))).await;
    assert_eq!(ann.status, StatusCode::CREATED, "{ann:?}");
    assert_eq!(ann.body["tenant_name"], "Kimono One");
    made(&app, &root, person("eve", "tenant_admin", Some(two))).await;
    for (role, tenant, field) in [
        ("tenant_admin", None, "role"),
        ("ops_viewer", Some(one.as_str()), "role"),
        ("tenant_staff", Some("ten_nowhere"), "tenant_id"),
    ] {
        let refused = made(&app, &root, person("bad", role, tenant)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{role}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }

    // Ann makes colleagues, for her tenant only and no mightier than she is.
    let login = json!({"username": "ann", "password": "a good password"});
    let login = Ask::post("/api/v1/auth/login", login).to(&app).await;
    let access = login.body["access_token"].as_str().unwrap().to_owned();
    let bob = made(&app, &access, person("bob", "tenant_staff", None)).await;
    assert_eq!(bob.body["tenant_id"], json!(one), "{bob:?}");
    let abroad = made(&app, &access, person("x", "tenant_staff", Some(two))).await;
    assert_eq!(abroad.body["errors"][0]["field"], "tenant_id", "{abroad:?}");
    let upwards = made(&app, &access, person("x", "ops_viewer", None)).await;
    assert_eq!(upwards.status, StatusCode::FORBIDDEN);
    let list = |bearer: &str, query: &str| Ask::get(&format!("{USERS}{query}")).bearer(bearer);
    assert_eq!(names(&list(&access, "").to(&app).await), ["bob", "ann"]);
    let foreign = list(&access, &format!("?tenant_id={two}"));
    assert_eq!(names(&foreign.to(&app).await), [""; 0]);
    let own = list(&root, &format!("?tenant_id={two}"));
    assert_eq!(names(&own.to(&app).await), ["eve"]);
    let unknown = list(&root, "?tenant_id=ten_x").to(&app).await;
    assert_eq!(unknown.body["total"], 0, "{unknown:?}");
    let tenants = Ask::get("/api/v1/ops/tenants").bearer(&access);
    assert_eq!(tenants.to(&app).await.body["total"], 1);

    let login = json!({"username": "bob", "password": "a good password"});
    let login = Ask::post("/api/v1/auth/login", login).to(&app).await;
    let staff = login.body["access_token"].as_str().unwrap();
    let barred = list(staff, "").to(&app).await;
    assert_eq!(barred.status, StatusCode::FORBIDDEN);
    let promoted = Ask::patch(&path(&bob), json!({"role": "ops_viewer"})).bearer(&root);
    let promoted = promoted.to(&app).await;
    assert_eq!(promoted.body["errors"][0]["field"], "role", "{promoted:?}");
    let promoted = Ask::patch(&path(&bob), json!({"role": "tenant_admin"})).bearer(&access);
    assert_eq!(promoted.to(&app).await.body["role"], "tenant_admin");

    // Whoever sees one tenant only does not administer the installation.
    world.signed_in_of_tenant("tom", "ops_admin", 1).await;
    let all = list(&root, "").to(&app).await;
    let items = all.body["items"].as_array().unwrap();
    let me = items.iter().find(|one| one["username"] == "root").unwrap();
    let alone = format!("{USERS}/{}", me["id"].as_str().unwrap());
    let alone = Ask::patch(&alone, json!({"enabled": false})).bearer(&root);
    assert_eq!(alone.to(&app).await.body["code"], "last_administrator");
}
