use actix_web::http::StatusCode;
use serde_json::{Value, json};
use sha2::Digest as _;

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
    // What everybody wrote is there, once, and a rollback says what the version it brings back said.
    let items = listed.body["items"].as_array().unwrap();
    let said = |item: &Value| item["messages"][0]["content"].as_str().unwrap().to_owned();
    let mut written: Vec<String> = items
        .iter()
        .filter(|item| item["restores"].is_null())
        .map(said)
        .collect();
    written.sort_by_key(|text| text.parse::<usize>().unwrap());
    let expected: Vec<String> = (0..=WRITERS)
        .filter(|writer| *writer == 0 || writer % 3 != 0)
        .map(|writer| writer.to_string())
        .collect();
    assert_eq!(written, expected);
    let brought_back = items.iter().filter(|item| item["restores"] == 1);
    assert_eq!(brought_back.clone().count(), WRITERS / 3);
    let first = items.last().unwrap();
    for item in brought_back {
        assert_eq!(
            (said(item), &item["content_hash"]),
            ("0".into(), &first["content_hash"])
        );
    }
    // The chain as anybody can check it, from the file: each hash covers its parent's.
    let file = Ask::get(&format!("{PROMPTS}/export"))
        .bearer(&root)
        .to(&app)
        .await;
    let versions = file.body["prompts"][0]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), WRITERS + 1);
    let mut parent = "";
    for (version, number) in versions.iter().zip(1_i64..) {
        let text = |field: &str| version[field].as_str().unwrap();
        let content_hash = hex::encode(sha2::Sha256::digest(text("content")));
        let mut hasher = sha2::Sha256::new();
        hasher.update("prompt version 1\n");
        for part in [
            parent,
            &number.to_string(),
            text("author"),
            &version["created_at"].to_string(),
            text("message"),
            &content_hash,
        ] {
            hasher.update(format!("{}:{part}\n", part.len()));
        }
        assert_eq!(text("hash"), hex::encode(hasher.finalize()), "v{number}");
        parent = text("hash");
    }

    // Somebody who edits the books by hand is found out: also one who edits what no hash covers.
    use sea_orm::ConnectionTrait;
    let control = &world.state.databases.control;
    let holds = async || {
        let shown = Ask::get(&path).bearer(&root).to(&app).await;
        shown.body["chain_holds"].as_bool().unwrap()
    };
    let restored = items
        .iter()
        .find(|item| item["restores"] == 1)
        .and_then(|item| item["number"].as_i64())
        .unwrap();
    let other = items
        .iter()
        .find(|item| item["restores"].is_null() && item["number"] != 1)
        .and_then(|item| item["number"].as_i64())
        .unwrap();
    for (field, wrong, right, number) in [
        ("restores", "2000", "1", restored),
        ("restores", &*restored.to_string(), "1", restored),
        ("restores", "1", "NULL", other),
        (
            "content_hash",
            "'x' || content_hash",
            "substr(content_hash, 2)",
            other,
        ),
    ] {
        for (value, expected) in [(wrong, false), (right, true)] {
            let edit =
                format!("UPDATE ai_prompt_versions SET {field} = {value} WHERE number = {number}");
            control.execute_unprepared(&edit).await.unwrap();
            assert_eq!(holds().await, expected, "{edit}");
        }
    }
    control
        .execute_unprepared("UPDATE ai_prompt_versions SET content = '{\"messages\":[{\"content\":\"x\",\"role\":\"system\"}]}' WHERE number = 5")
        .await
        .unwrap();
    let shown = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(shown.body["chain_holds"], false);
}

#[actix_web::test]
async fn applications_get_versions_by_label_and_number() {
    served_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn applications_get_versions_by_label_and_number_postgres() {
    served_on(World::postgres().await).await;
}

async fn served_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let secret = Ask::post("/api/v1/tokens", json!({"name": "shop"})).bearer(&root);
    let secret = secret.to(&app).await.body["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let new = json!({"name": "support/greeting", "content": "Hello {{name}}."});
    let made = Ask::post(PROMPTS, new).bearer(&root).to(&app).await;
    let path = format!("{PROMPTS}/{}", made.body["id"].as_str().unwrap());
    let second = json!({"content": "Hi {{name}}.", "model": "gpt-4o", "parameters": {"top_p": 1}});
    Ask::put(&path, second).bearer(&root).to(&app).await;
    let get = |query: &str| {
        Ask::get(&format!("/v1/prompts/support/greeting{query}")).header("x-api-key", &secret)
    };

    let newest = get("").to(&app).await;
    assert_eq!(newest.status, StatusCode::OK, "{newest:?}");
    assert_eq!(newest.body["version"], 2);
    assert_eq!(newest.body["name"], "support/greeting");
    assert_eq!(newest.body["model"], "gpt-4o");
    assert_eq!(newest.body["parameters"], json!({"top_p": 1}));
    assert_eq!(newest.body["variables"], json!(["name"]));
    assert_eq!(newest.header("x-prompt"), "support/greeting@2");
    assert_eq!(newest.header("cache-control"), "private, no-cache");
    assert!(!newest.header("x-request-id").is_empty());
    let first = get("?version=1").to(&app).await;
    assert_eq!(
        first.body["messages"],
        json!([{"role": "system", "content": "Hello {{name}}."}])
    );
    let escaped = Ask::get("/v1/prompts/support%2Fgreeting?version=1").bearer(&secret);
    assert_eq!(escaped.to(&app).await.text, first.text);

    // A label moves, and the tag with it.
    let label = format!("{path}/labels/production");
    let point = |version: i64| Ask::put(&label, json!({"version": version})).bearer(&root);
    point(1).to(&app).await;
    let labelled = get("?label=production").to(&app).await;
    assert_eq!(labelled.text, first.text);
    let tag = labelled.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", first.body["hash"].as_str().unwrap()));
    let same = get("?label=production").header("if-none-match", &tag);
    let same = same.to(&app).await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED, "{same:?}");
    assert_eq!((same.text.as_str(), same.header("etag")), ("", &tag[..]));
    point(2).to(&app).await;
    let moved = get("?label=production").header("if-none-match", &tag);
    let moved = moved.to(&app).await;
    assert_eq!((moved.status, moved.text), (StatusCode::OK, newest.text));

    // What was read once is served without the table; so is that nothing changed.
    use sea_orm::ConnectionTrait;
    let control = &world.state.databases.control;
    let hide = "ALTER TABLE ai_prompt_versions RENAME TO hidden";
    control.execute_unprepared(hide).await.unwrap();
    assert_eq!(get("?version=1").to(&app).await.status, StatusCode::OK);
    let back = "ALTER TABLE hidden RENAME TO ai_prompt_versions";
    control.execute_unprepared(back).await.unwrap();

    for (asked, status, code) in [
        (get("?label=staging"), 404, "prompt_not_found"),
        (get("?version=3"), 404, "prompt_not_found"),
        (get("x"), 404, "prompt_not_found"),
        (get("?version=one"), 400, "invalid_request"),
        (get("?label=2"), 400, "invalid_request"),
        (get("?label=a&version=1"), 400, "invalid_request"),
        (
            Ask::get("/v1/prompts/support/greeting"),
            401,
            "invalid_api_key",
        ),
        (
            Ask::get("/v1/prompts/support/greeting").bearer(&root),
            401,
            "user_token_invalid",
        ),
        (
            Ask::post("/v1/prompts/support/greeting", json!({})).bearer(&secret),
            405,
            "method_not_allowed",
        ),
    ] {
        let answer = asked.to(&app).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.body["error"]["code"], code, "{answer:?}");
    }
    let dialect = get("?version=3").header("anthropic-version", "2023-06-01");
    let dialect = dialect.to(&app).await;
    assert_eq!(dialect.body["error"]["type"], "not_found_error");

    // What somebody wrote behind our back is not handed out.
    let forge = "UPDATE ai_prompt_versions SET content = '{\"messages\":[]}' WHERE number = 3";
    Ask::put(&path, json!({"content": "third"}))
        .bearer(&root)
        .to(&app)
        .await;
    control.execute_unprepared(forge).await.unwrap();
    let forged = get("").to(&app).await;
    assert_eq!(forged.body["error"]["code"], "internal_error", "{forged:?}");

    Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(
        get("?version=1").to(&app).await.status,
        StatusCode::NOT_FOUND
    );
}

#[actix_web::test]
async fn prompts_travel_as_files_with_their_chains() {
    travel_on(World::sqlite().await, World::sqlite().await).await;
}

#[actix_web::test]
async fn prompts_travel_as_files_with_their_chains_postgres() {
    travel_on(World::postgres().await, World::postgres().await).await;
}

async fn travel_on(here: World, there: World) {
    let (app, other) = (here.app().await, there.app().await);
    let root = here.signed_in("root", "ops_admin").await;
    let ann = there.signed_in("ann", "ops_admin").await;
    for (name, contents) in [("b/c", &["one", "two", "three"][..]), ("a", &["x"][..])] {
        let new = json!({"name": name, "content": contents[0], "description": "d"});
        let made = Ask::post(PROMPTS, new).bearer(&root).to(&app).await;
        let path = format!("{PROMPTS}/{}", made.body["id"].as_str().unwrap());
        for content in &contents[1..] {
            let next = json!({"content": content, "message": content});
            Ask::put(&path, next).bearer(&root).to(&app).await;
        }
        if name == "b/c" {
            let back = json!({"version": 1});
            Ask::post(&format!("{path}/rollback"), back)
                .bearer(&root)
                .to(&app)
                .await;
            let label = format!("{path}/labels/production");
            Ask::put(&label, json!({"version": 2}))
                .bearer(&root)
                .to(&app)
                .await;
        }
    }
    let export = format!("{PROMPTS}/export");
    let file = Ask::get(&export).bearer(&root).to(&app).await;
    assert_eq!(file.header("content-type"), "application/json", "{file:?}");
    assert!(file.header("content-disposition").contains("prompts.json"));
    let prompts = file.body["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 2, "{file:?}");
    let file = file.body.clone();

    let import = format!("{PROMPTS}/import");
    let outcomes = |answer: &Answer| -> Vec<(String, String, i64)> {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let each = answer.body["prompts"].as_array().unwrap().iter();
        each.map(|one| {
            let text = |field: &str| one[field].as_str().unwrap().to_owned();
            (
                text("kept_as"),
                text("outcome"),
                one["head"].as_i64().unwrap(),
            )
        })
        .collect()
    };
    let found = |name: &str, outcome: &str, head: i64| (name.to_owned(), outcome.to_owned(), head);

    // Told first, then done, then done already.
    let told = Ask::post(&format!("{import}?dry_run=true"), file.clone()).bearer(&ann);
    let told = told.to(&other).await;
    assert_eq!(
        outcomes(&told),
        [found("a", "created", 1), found("b/c", "created", 4)]
    );
    let listed = Ask::get(PROMPTS).bearer(&ann).to(&other).await;
    assert_eq!(listed.body["total"], 0);
    let done = Ask::post(&import, file.clone())
        .bearer(&ann)
        .to(&other)
        .await;
    assert_eq!(outcomes(&done), outcomes(&told));
    let again = Ask::post(&import, file.clone())
        .bearer(&ann)
        .to(&other)
        .await;
    assert_eq!(
        outcomes(&again),
        [found("a", "unchanged", 1), found("b/c", "unchanged", 4)]
    );
    let back = Ask::get(&export).bearer(&ann).to(&other).await;
    let sorted = |file: &Value| {
        let mut prompts = file["prompts"].as_array().unwrap().clone();
        prompts.sort_by_key(|prompt| prompt["name"].as_str().unwrap().to_owned());
        prompts
    };
    assert_eq!(
        sorted(&back.body),
        sorted(&file),
        "the same chains and labels"
    );
    let listed = Ask::get(&format!("{PROMPTS}?q=b/c"))
        .bearer(&ann)
        .to(&other)
        .await;
    let path = format!(
        "{PROMPTS}/{}",
        listed.body["items"][0]["id"].as_str().unwrap()
    );
    let shown = Ask::get(&path).bearer(&ann).to(&other).await;
    assert_eq!(shown.body["chain_holds"], true, "{shown:?}");

    // One that goes on is taken on; one that fell behind changes nothing.
    let listed = Ask::get(&format!("{PROMPTS}?q=b/c"))
        .bearer(&root)
        .to(&app)
        .await;
    let source = format!(
        "{PROMPTS}/{}",
        listed.body["items"][0]["id"].as_str().unwrap()
    );
    Ask::put(&source, json!({"content": "four"}))
        .bearer(&root)
        .to(&app)
        .await;
    let id = source.rsplit('/').next().unwrap();
    let longer = Ask::get(&format!("{export}?id={id}"))
        .bearer(&root)
        .to(&app)
        .await
        .body;
    assert_eq!(longer["prompts"].as_array().unwrap().len(), 1);
    let forward = Ask::post(&import, longer.clone())
        .bearer(&ann)
        .to(&other)
        .await;
    assert_eq!(outcomes(&forward), [found("b/c", "forwarded", 5)]);
    let behind = Ask::post(&import, file.clone())
        .bearer(&ann)
        .to(&other)
        .await;
    assert_eq!(outcomes(&behind)[1], found("b/c", "unchanged", 5));

    // One that went another way: left, taken as the next version, or kept beside.
    Ask::put(&path, json!({"content": "theirs"}))
        .bearer(&ann)
        .to(&other)
        .await;
    Ask::put(&source, json!({"content": "ours"}))
        .bearer(&root)
        .to(&app)
        .await;
    let ours = Ask::get(&format!("{export}?id={id}"))
        .bearer(&root)
        .to(&app)
        .await
        .body;
    for (how, expected) in [
        ("", found("b/c", "skipped", 6)),
        ("?on_conflict=append", found("b/c", "appended", 7)),
        ("?on_conflict=append", found("b/c", "unchanged", 7)),
        ("?on_conflict=copy", found("b/c-imported", "copied", 6)),
        ("?on_conflict=copy", found("b/c-imported-2", "copied", 6)),
    ] {
        let answer = Ask::post(&format!("{import}{how}"), ours.clone()).bearer(&ann);
        assert_eq!(outcomes(&answer.to(&other).await), [expected], "{how}");
    }
    let shown = Ask::get(&path).bearer(&ann).to(&other).await;
    assert_eq!(shown.body["newest"]["messages"][0]["content"], "ours");
    assert_eq!(shown.body["chain_holds"], true);
    assert_eq!(there.audited("prompts.import").await.len(), 9);

    // A file that was changed on its way is refused whole.
    let broken = |change: fn(&mut Value)| {
        let mut file = ours.clone();
        file["prompts"][0]["name"] = json!("new");
        change(&mut file);
        file
    };
    for (file, field) in [
        (broken(|file| file["format"] = json!("other")), "format"),
        (
            broken(|file| {
                file["prompts"][0]["versions"][1]["content"] =
                    json!("{\"messages\":[{\"content\":\"x\",\"role\":\"user\"}]}")
            }),
            "prompts[0].versions[1].content_hash",
        ),
        (
            broken(|file| file["prompts"][0]["versions"][1]["content"] = json!("{}")),
            "prompts[0].versions[1].content",
        ),
        (
            broken(|file| file["prompts"][0]["versions"][2]["author"] = json!("eve")),
            "prompts[0].versions[2].hash",
        ),
        (
            broken(|file| file["prompts"][0]["versions"][0]["created_at"] = json!(1)),
            "prompts[0].versions[0].hash",
        ),
        (
            broken(|file| {
                file["prompts"][0]["versions"]
                    .as_array_mut()
                    .unwrap()
                    .remove(1);
            }),
            "prompts[0].versions[1].number",
        ),
        (
            broken(|file| file["prompts"][0]["labels"]["staging"] = json!(9)),
            "prompts[0].labels.staging",
        ),
        (
            broken(|file| {
                let twice = file["prompts"][0].clone();
                file["prompts"].as_array_mut().unwrap().push(twice);
            }),
            "prompts[1].name",
        ),
    ] {
        let answer = Ask::post(&import, file).bearer(&ann).to(&other).await;
        assert_eq!(answer.body["errors"][0]["field"], field, "{answer:?}");
    }
    let listed = Ask::get(&format!("{PROMPTS}?q=new"))
        .bearer(&ann)
        .to(&other)
        .await;
    assert_eq!(listed.body["total"], 0);
    let viewer = there.signed_in("eve", "ops_viewer").await;
    let refused = Ask::post(&import, file).bearer(&viewer).to(&other).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
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
