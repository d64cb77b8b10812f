use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{Answer, Ask, World};

const PROMPTS: &str = "/api/v1/prompts";

#[actix_web::test]
async fn a_life_of_a_prompt() {
    life_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_life_of_a_prompt_postgres() {
    life_on(World::postgres().await).await;
}

async fn life_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let new = json!({"name": "support/greeting", "content": "Hello {{name}}.\nBe kind.", "message": "first"});
    let made = Ask::post(PROMPTS, new.clone()).bearer(&root).to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["newest"]["variables"], json!(["name"]));
    assert_eq!(
        made.body["newest"]["messages"],
        json!([{"role": "system", "content": "Hello {{name}}.\nBe kind."}])
    );
    let again = Ask::post(PROMPTS, new).bearer(&root).to(&app).await;
    assert_eq!(again.body["code"], "conflict", "{again:?}");
    let path = format!("{PROMPTS}/{}", made.body["id"].as_str().unwrap());

    let second = json!({
        "messages": [{"role": "system", "content": "Hello {{name}}.\nBe brief."}],
        "model": "gpt-4o", "parameters": {"temperature": 0.2}, "message": "shorter",
    });
    let saved = Ask::put(&path, second.clone())
        .bearer(&root)
        .header("if-match", "\"1\"")
        .to(&app)
        .await;
    assert_eq!(saved.body["head"], 2, "{saved:?}");
    assert_eq!(saved.body["newest"]["parent"], 1);
    // The same words make no version; a stale base is told.
    let same = Ask::put(&path, second).bearer(&root).to(&app).await;
    assert_eq!(same.body["head"], 2, "{same:?}");
    let stale = json!({"content": "mine"});
    let stale = Ask::put(&path, stale)
        .bearer(&root)
        .header("if-match", "\"1\"");
    assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);

    let filled = json!({"variables": {"name": "李雷"}});
    let filled = Ask::post(&format!("{path}/versions/1/fill"), filled).bearer(&root);
    let filled = filled.to(&app).await;
    assert_eq!(
        filled.body["messages"][0]["content"], "Hello 李雷.\nBe kind.",
        "{filled:?}"
    );
    assert_eq!(filled.body["missing"], json!([]));
    let label = format!("{path}/labels/production");
    let pointed = Ask::put(&label, json!({"version": 2})).bearer(&root);
    assert_eq!(
        pointed.to(&app).await.body["labels"],
        json!({"production": 2})
    );
    let nowhere = Ask::put(&label, json!({"version": 9})).bearer(&root);
    assert_eq!(nowhere.to(&app).await.status, StatusCode::NOT_FOUND);

    let compared = Ask::get(&format!("{path}/versions/1/diff/2"))
        .bearer(&root)
        .to(&app)
        .await;
    let lines = compared.body["lines"].as_array().unwrap();
    let changed: Vec<&Value> = lines
        .iter()
        .filter(|line| line["change"] != "kept")
        .collect();
    assert!(
        changed
            .iter()
            .any(|line| line["words"][1] == json!({"text": "brief", "changed": true})),
        "{compared:?}"
    );

    let back = Ask::post(&format!("{path}/rollback"), json!({"version": 1}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(back.body["head"], 3, "{back:?}");
    assert_eq!(back.body["newest"]["restores"], 1);
    assert_eq!(back.body["newest"]["message"], "Back to version 1");
    let listed = Ask::get(&format!("{path}/versions?limit=2"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(listed.body["total"], 3);
    assert_eq!(numbers(&listed), [3, 2]);
    let cursor = listed.body["next_cursor"].as_str().unwrap();
    let rest = Ask::get(&format!("{path}/versions?limit=2&cursor={cursor}"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(numbers(&rest), [1]);
    let first = &rest.body["items"][0];
    assert_eq!(first["content_hash"], back.body["newest"]["content_hash"]);
    assert_ne!(first["hash"], back.body["newest"]["hash"]);
    let shown = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(shown.body["chain_holds"], true);

    let viewer = world.signed_in("eve", "ops_viewer").await;
    let read = Ask::get(&path).bearer(&viewer).to(&app).await;
    assert_eq!(read.status, StatusCode::OK);
    let written = Ask::post(&format!("{path}/rollback"), json!({"version": 1})).bearer(&viewer);
    assert_eq!(written.to(&app).await.status, StatusCode::FORBIDDEN);
    let gone = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let listed = Ask::get(PROMPTS).bearer(&root).to(&app).await;
    assert_eq!(listed.body["total"], 0);
    assert_eq!(world.audited("prompts.rollback").await.len(), 1);
}

fn numbers(listed: &Answer) -> Vec<i64> {
    let items = listed.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["number"].as_i64().unwrap())
        .collect()
}

#[actix_web::test]
async fn people_who_save_at_once_lose_nothing() {
    race_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn people_who_save_at_once_lose_nothing_postgres() {
    race_on(World::postgres().await).await;
}

async fn race_on(world: World) {
    const WRITERS: usize = 12;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let new = json!({"name": "p", "content": "0"});
    let made = Ask::post(PROMPTS, new).bearer(&root).to(&app).await;
    let path = format!("{PROMPTS}/{}", made.body["id"].as_str().unwrap());
    let saves = (1..=WRITERS).map(|writer| {
        let (app, path, root) = (&app, &path, &root);
        async move {
            let answer = if writer % 3 == 0 {
                Ask::post(&format!("{path}/rollback"), json!({"version": 1}))
            } else {
                Ask::put(path, json!({"content": format!("{writer}")}))
            };
            answer.bearer(root).to(app).await
        }
    });
    for answer in futures_util::future::join_all(saves).await {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let listed = Ask::get(&format!("{path}/versions?limit=200"))
        .bearer(&root)
        .to(&app)
        .await;
    let expected: Vec<i64> = (1..=WRITERS as i64 + 1).rev().collect();
    assert_eq!(numbers(&listed), expected);
    let shown = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(shown.body["chain_holds"], true, "{shown:?}");

    // Somebody who edits the books by hand is found out.
    use sea_orm::ConnectionTrait;
    let control = &world.state.databases.control;
    control
        .execute_unprepared("UPDATE ai_prompt_versions SET content = '{\"messages\":[{\"content\":\"x\",\"role\":\"system\"}]}' WHERE number = 5")
        .await
        .unwrap();
    let shown = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(shown.body["chain_holds"], false);
}

#[actix_web::test]
async fn bad_input_is_named() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    for (body, field) in [
        (json!({"name": "../x", "content": "a"}), "name"),
        (json!({"name": "a//b", "content": "a"}), "name"),
        (json!({"name": "a"}), "messages"),
        (
            json!({"name": "a", "content": "a", "messages": []}),
            "messages",
        ),
        (json!({"name": "a", "messages": []}), "messages"),
        (json!({"name": "a", "content": ""}), "messages[0].content"),
        (json!({"name": "a", "content": "a", "model": "*"}), "model"),
        (
            json!({"name": "a", "content": "a", "parameters": {"x": "y".repeat(20_000)}}),
            "parameters",
        ),
        (
            json!({"name": "a", "messages": [{"role": "robot", "content": "a"}]}),
            "messages[0].role",
        ),
    ] {
        let answer = Ask::post(PROMPTS, body).bearer(&root).to(&app).await;
        assert_eq!(answer.body["errors"][0]["field"], field, "{answer:?}");
    }
    let made = Ask::post(PROMPTS, json!({"name": "a", "content": "a"})).bearer(&root);
    let id = made.to(&app).await.body["id"].as_str().unwrap().to_owned();
    let latest = format!("{PROMPTS}/{id}/labels/latest");
    let latest = Ask::put(&latest, json!({"version": 1})).bearer(&root);
    assert_eq!(latest.to(&app).await.body["errors"][0]["field"], "label");
}
