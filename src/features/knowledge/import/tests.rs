use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, read_body};
use encoding_rs::GB18030;
use serde_json::{Value, json};
use steward_entities::database::begin_write;
use steward_entities::job as jobs;
use steward_entities::job::Ending;
use steward_entities::qa_pair;

use super::ImportPairs;
use crate::features::knowledge::tests::{House, code};
use crate::testing::{Answer, Ask, World};
use steward_migration::testing::TestDatabase;

/// A world whose data directory is the test's own.
fn on(database: TestDatabase) -> World {
    let dir = database.dir().to_owned();
    World::on(database, |config| config.data.dir = dir)
}

async fn send(house: &House, bearer: &str, query: &str, file: impl Into<Vec<u8>>) -> Answer {
    let path = format!("/import{query}");
    house.put_file(bearer, &path, file.into()).await
}

fn kind(house: &House) -> ImportPairs {
    ImportPairs {
        databases: (*house.world.database).clone(),
        clock: Arc::clone(&house.world.state.clock),
        dir: super::dir(house.world.database.dir()),
        news: house.world.state.tree.knowledge.news.clone(),
    }
}

/// Asks for the job; its row.
async fn asked(house: &House, id: &str, body: Value) -> jobs::Model {
    let path = format!("/import/{id}/run");
    let accepted = house.ask(&house.root, Method::POST, &path, body).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    let job = accepted.body["job"]["id"].as_str().unwrap();
    let row = jobs::by_public_id(&house.world.database.control_read, job).await;
    row.unwrap().unwrap()
}

/// Ends a job as the runner would.
async fn end(house: &House, job: &jobs::Model, ending: Ending) {
    let txn = begin_write(&house.world.database.control).await.unwrap();
    let node = i64::from(house.world.state.config.node.id);
    jobs::claim(&txn, &[super::job::KIND.to_owned()], node, job.created_at)
        .await
        .unwrap();
    jobs::finish(&txn, job.id, node, ending, job.created_at)
        .await
        .unwrap();
    txn.commit().await.unwrap();
}

/// Asks for the job and does it.
async fn run(house: &House, id: &str, body: Value) -> Value {
    let job = asked(house, id, body).await;
    let kind = kind(house);
    let done = kind
        .perform(job.params.clone(), job.public_id.clone(), &|_| {}, &|| {
            false
        })
        .await
        .unwrap();
    end(house, &job, Ending::Succeeded(done.clone())).await;
    done
}

fn counts(done: &Value) -> [i64; 6] {
    ["rows", "created", "updated", "unchanged", "kept", "bad"].map(|of| done[of].as_i64().unwrap())
}

const FILE: &str = "编号;问题;答案;分类;质量\n\
    1;租借价格是多少？;三千円起。;价格;0.95\n\
    2;如何预约？;;预约;\n\
    3;营业时间？;九点到六点。;;\n\
    4;租借价格 是多少?;四千円。;价格;0.5\n\
    5;退款政策是什么？;七日内可退。;政策;2\n\
    6;How do I pay?;\"Cash; or card.\";;0.5\n";

#[actix_web::test]
async fn a_file_is_tried_brought_in_and_changes_nothing_the_second_time() {
    brought_in(on(TestDatabase::sqlite().await)).await;
}

#[actix_web::test]
async fn a_file_is_tried_brought_in_and_changes_nothing_the_second_time_postgres() {
    brought_in(on(TestDatabase::postgres().await)).await;
}

async fn brought_in(world: World) {
    let house = House::on(world).await;
    let root = house.root.clone();
    house.add(0, "营业时间？", "时间", None).await;
    let (bytes, _, _) = GB18030.encode(FILE);
    let query = format!("?tenant_id={}&file_name=pairs.csv", house.tenants[0].0);
    let sent = send(&house, &root, &query, bytes.to_vec()).await;
    assert_eq!(sent.status, StatusCode::CREATED, "{sent:?}");
    let it = &sent.body;
    assert_eq!(
        (
            &it["format"],
            &it["encoding"],
            &it["delimiter"],
            &it["rows"]
        ),
        (&json!("csv"), &json!("gb18030"), &json!(";"), &json!(7))
    );
    assert_eq!(
        it["sample"][1],
        json!({"row": 2, "cells": ["1", "租借价格是多少？", "三千円起。", "价格", "0.95"]})
    );
    let mapping =
        json!({"has_header": true, "question": 1, "answer": 2, "category": 3, "quality_score": 4});
    assert_eq!(it["suggestion"], mapping);
    assert_eq!((&it["job"], &it["outcome"]), (&Value::Null, &Value::Null));
    let id = it["id"].as_str().unwrap().to_owned();

    // Tried: it says what would come of it, and writes nothing.
    let tried = run(&house, &id, json!({"dry_run": true, "mapping": mapping})).await;
    assert_eq!(counts(&tried), [7, 2, 0, 0, 1, 3]);
    assert_eq!(house.questions(&root, "").await, ["营业时间？"]);
    let path = format!("/import/{id}/errors");
    let errors = house.ask(&root, Method::GET, &path, Value::Null).await;
    let told: Vec<Value> = errors.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| json!([error["row"], error["field"], error["reason"]]))
        .collect();
    assert_eq!(
        json!(told),
        json!([
            [3, "answer", "empty"],
            [5, "question", "repeated"],
            [6, "quality_score", "not_a_score"]
        ])
    );
    assert_eq!(errors.body["total"], 3);
    assert_eq!(errors.body["items"][1]["message"], "asks the same as row 2");
    let first = house
        .ask(&root, Method::GET, &format!("{path}?limit=2"), Value::Null)
        .await;
    let next = format!(
        "{path}?cursor={}",
        first.body["next_cursor"].as_str().unwrap()
    );
    let rest = house.ask(&root, Method::GET, &next, Value::Null).await;
    assert_eq!(rest.body["items"][0]["row"], 6, "{rest:?}");

    let done = run(
        &house,
        &id,
        json!({"dry_run": false, "mapping": mapping, "category": "其他"}),
    )
    .await;
    assert_eq!(counts(&done), [7, 2, 0, 0, 1, 3]);
    assert_eq!(
        house.questions(&root, "").await,
        ["How do I pay?", "租借价格是多少？", "营业时间？"]
    );
    assert_eq!(
        house
            .questions(&root, "?category=%E5%85%B6%E4%BB%96&source=import")
            .await,
        ["How do I pay?"]
    );
    assert_eq!(
        house.questions(&root, "?quality_min=0.9").await,
        ["租借价格是多少？"]
    );
    let shown = house
        .ask(&root, Method::GET, &format!("/import/{id}"), Value::Null)
        .await;
    assert_eq!(shown.body["outcome"]["created"], 2);
    assert_eq!(shown.body["job"]["state"], "succeeded");
    assert_eq!(shown.body["sample"], json!([]), "the file is gone");
    assert!(shown.body["ended_at"].is_string());
    let again = json!({"dry_run": false, "mapping": mapping});
    let refused = house
        .ask(&root, Method::POST, &format!("/import/{id}/run"), again)
        .await;
    assert_eq!(code(&refused), (409, "conflict"));
    let left = std::fs::read_dir(super::dir(house.world.database.dir())).unwrap();
    assert_eq!(left.count(), 0, "nothing is left on the disk");

    // The same file once more: what is there is known by its question.
    let sent = send(&house, &root, &query, FILE.as_bytes()).await;
    let id = sent.body["id"].as_str().unwrap().to_owned();
    let replacing = json!({"dry_run": false, "mapping": mapping, "existing": "replace"});
    let done = run(&house, &id, replacing.clone()).await;
    assert_eq!(counts(&done), [7, 0, 1, 2, 0, 3]);
    assert_eq!(house.questions(&root, "").await.len(), 3);
    let sent = send(&house, &root, &query, FILE.as_bytes()).await;
    let id = sent.body["id"].as_str().unwrap().to_owned();
    assert_eq!(
        counts(&run(&house, &id, replacing).await),
        [7, 0, 0, 3, 0, 3]
    );
    let found = house
        .ask(
            &root,
            Method::GET,
            "/qa-pairs?keyword=%E8%90%A5%E4%B8%9A",
            Value::Null,
        )
        .await;
    assert_eq!(found.body["items"][0]["answer"], "九点到六点。");
    assert_eq!(
        found.body["items"][0]["category"], "时间",
        "the file says nothing of it"
    );
}

#[actix_web::test]
async fn an_import_that_was_interrupted_goes_on_without_doubles() {
    goes_on(on(TestDatabase::sqlite().await)).await;
}

#[actix_web::test]
async fn an_import_that_was_interrupted_goes_on_without_doubles_postgres() {
    goes_on(on(TestDatabase::postgres().await)).await;
}

async fn goes_on(world: World) {
    let house = House::on(world).await;
    let mut file = "question,answer\n".to_owned();
    for n in 0..1_300 {
        // Every hundredth is asked before, further than a step away, and before the interruption.
        let asks = if n > 0 && n % 100 == 0 { 0 } else { n };
        file.push_str(&format!("问题 {asks} question,答案 {n}\n"));
    }
    let query = format!("?tenant_id={}", house.tenants[0].0);
    let sent = send(&house, &house.root, &query, file).await;
    let id = sent.body["id"].as_str().unwrap().to_owned();
    let mapping = sent.body["suggestion"].clone();
    let job = asked(&house, &id, json!({"dry_run": false, "mapping": mapping})).await;
    let steps = AtomicU32::new(0);
    let once = || steps.fetch_add(1, Ordering::Relaxed) == 1;
    let kind = kind(&house);
    let stopped = kind
        .perform(job.params.clone(), job.public_id.clone(), &|_| {}, &once)
        .await;
    assert_eq!(stopped.unwrap_err(), "stopped after 500 rows");
    let half = house
        .ask(
            &house.root,
            Method::GET,
            &format!("/import/{id}"),
            Value::Null,
        )
        .await;
    assert_eq!(half.body["outcome"]["created"], 495);
    // While its job has not ended nobody removes it or begins another.
    let path = format!("/import/{id}");
    let refused = house
        .ask(&house.root, Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(code(&refused), (409, "in_use"));

    let done = kind
        .perform(job.params.clone(), job.public_id.clone(), &|_| {}, &|| {
            false
        })
        .await
        .unwrap();
    assert_eq!(counts(&done), [1_301, 1_288, 0, 0, 0, 12]);
    let again = kind
        .perform(job.params, job.public_id, &|_| {}, &|| false)
        .await;
    assert_eq!(again.unwrap(), done, "what is done stays done");
    let overview = house
        .ask(&house.root, Method::GET, "/overview", Value::Null)
        .await;
    assert_eq!(overview.body["by_source"], json!({"import": 1_288}));
}

#[actix_web::test]
async fn what_is_no_file_and_who_may_not_is_refused() {
    let house = House::on(on(TestDatabase::sqlite().await)).await;
    let root = house.root.clone();
    let query = format!("?tenant_id={}", house.tenants[0].0);
    for (query, file, field) in [
        (query.clone(), &b""[..], "file"),
        (query.clone(), b"\x7fELF\0", "file"),
        (String::new(), b"q,a\n", "tenant_id"),
        ("?tenant_id=ten_x".into(), b"q,a\n", "tenant_id"),
        (format!("{query}&encoding=klingon"), b"q,a\n", "encoding"),
    ] {
        let refused = send(&house, &root, &query, file).await;
        assert_eq!(code(&refused), (422, "validation_failed"), "{query}");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    let dir = super::dir(house.world.database.dir());
    assert_eq!(
        std::fs::read_dir(dir).unwrap().count(),
        0,
        "nothing is left on the disk"
    );

    let (latin, _, _) = encoding_rs::BIG5.encode("問題,答案\n多少錢？,三千。\n");
    let sent = send(
        &house,
        &root,
        &format!("{query}&encoding=big5"),
        latin.to_vec(),
    )
    .await;
    assert_eq!(sent.body["sample"][1]["cells"][1], "三千。", "{sent:?}");
    let id = sent.body["id"].as_str().unwrap().to_owned();
    let same = json!({"has_header": true, "question": 0, "answer": 0, "category": null, "quality_score": null});
    let body = json!({"dry_run": true, "mapping": same});
    let refused = house
        .ask(&root, Method::POST, &format!("/import/{id}/run"), body)
        .await;
    assert_eq!(
        refused.body["errors"][0]["field"], "mapping.answer",
        "{refused:?}"
    );

    let viewer = house.world.signed_in("viewer", "ops_viewer").await;
    assert_eq!(
        code(&send(&house, &viewer, &query, b"q,a\n").await),
        (403, "forbidden")
    );
    let own = house
        .world
        .signed_in_of_tenant("own", "keeper", house.tenants[1].1)
        .await;
    for path in [format!("/import/{id}"), format!("/import/{id}/errors")] {
        let refused = house.ask(&own, Method::GET, &path, Value::Null).await;
        assert_eq!(code(&refused), (404, "not_found"));
    }
    let mine = send(&house, &own, "", b"q,a\n1,2\n").await;
    assert_eq!(mine.body["tenant_id"], json!(house.tenants[1].0));
    let gone = house
        .ask(&root, Method::DELETE, &format!("/import/{id}"), Value::Null)
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(
        house.world.audited("knowledge.import_removed").await.len(),
        1
    );

    // What nobody touches for a week is swept when the next one comes.
    house.world.clock.advance_micros(8 * 86_400 * 1_000_000);
    let bearer = house.world.signed_in("later", "ops_admin").await;
    send(&house, &bearer, &query, b"q,a\n1,2\n").await;
    let mine = mine.body["id"].as_str().unwrap();
    let swept = house
        .ask(
            &bearer,
            Method::GET,
            &format!("/import/{mine}"),
            Value::Null,
        )
        .await;
    assert_eq!(code(&swept), (404, "not_found"));
}

#[actix_web::test]
async fn an_export_is_taken_back_as_it_is() {
    taken_back(on(TestDatabase::sqlite().await)).await;
}

#[actix_web::test]
async fn an_export_is_taken_back_as_it_is_postgres() {
    taken_back(on(TestDatabase::postgres().await)).await;
}

async fn taken_back(world: World) {
    let house = House::on(world).await;
    let root = house.root.clone();
    let pairs = (0..510_usize).map(|n| qa_pair::New {
        tenant_id: house.tenants[n % 2].1,
        question: match n {
            0 => "=1+1 是多少？".to_owned(),
            n => format!("问题 {n}, \"quoted\"?"),
        },
        answer: format!("答案\n{n}"),
        category: "分类".to_owned(),
        source: qa_pair::Source::Manual,
        template_id: None,
        quality_score: (n == 2).then_some(0.25),
        created_by: "root".to_owned(),
    });
    let txn = begin_write(&house.world.database.control).await.unwrap();
    qa_pair::insert_all(&txn, pairs.collect(), 1).await.unwrap();
    txn.commit().await.unwrap();
    let app = house.world.app().await;
    let tenant = &house.tenants[0].0;
    for format in ["csv", "xlsx"] {
        let path = format!("/api/v1/ops/knowledge/export?format={format}&tenant_id={tenant}");
        let request = TestRequest::get()
            .uri(&path)
            .peer_addr(([127, 0, 0, 1], 40_000).into())
            .insert_header(("authorization", format!("Bearer {root}")));
        let answer = call_service(&app, request.to_request()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let bytes = read_body(answer).await.to_vec();
        if format == "csv" {
            assert_eq!(
                &bytes[..3],
                [0xef, 0xbb, 0xbf],
                "Excel needs a byte-order mark"
            );
        }
        let sent = send(&house, &root, &format!("?tenant_id={tenant}"), bytes).await;
        assert_eq!(
            (&sent.body["format"], &sent.body["rows"]),
            (&json!(format), &json!(256))
        );
        let mapping = sent.body["suggestion"].clone();
        assert_eq!(mapping["quality_score"], 3, "{sent:?}");
        let id = sent.body["id"].as_str().unwrap().to_owned();
        let done = run(&house, &id, json!({"dry_run": false, "mapping": mapping})).await;
        assert_eq!(counts(&done), [256, 0, 0, 255, 0, 0], "{format}");
    }
    let filtered = "/export?format=csv&bom=false&quality_min=0.2";
    let csv = house.ask(&root, Method::GET, filtered, Value::Null).await;
    assert!(
        csv.text
            .starts_with("question,answer,category,quality_score,"),
        "{csv:?}"
    );
    assert!(csv.text.contains("问题 2"), "{csv:?}");
    let own = house
        .world
        .signed_in_of_tenant("own", "keeper", house.tenants[1].1)
        .await;
    let theirs = house
        .ask(&own, Method::GET, "/export?format=csv", Value::Null)
        .await;
    assert!(theirs.text.contains("问题 3,") && !theirs.text.contains("问题 2,"));
}

/// A form of parts: what each is called, the name of its file if it is one, and what is in it.
fn form(parts: &[(&str, Option<&str>, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, file, text) in parts {
        body.push_str(&format!(
            "--edge\r\ncontent-disposition: form-data; name=\"{name}\""
        ));
        if let Some(file) = file {
            body.push_str(&format!("; filename=\"{file}\"\r\ncontent-type: text/csv"));
        }
        body.push_str(&format!("\r\n\r\n{text}\r\n"));
    }
    body.push_str("--edge--\r\n");
    body.into_bytes()
}

#[actix_web::test]
async fn a_file_comes_as_the_body_or_in_a_form_and_as_nothing_else() {
    let house = House::on(on(TestDatabase::sqlite().await)).await;
    let app = house.world.app().await;
    let path = format!(
        "/api/v1/ops/knowledge/import?tenant_id={}",
        house.tenants[0].0
    );
    let send = async |told: &str, body: Vec<u8>| {
        let ask = Ask::new(Method::POST, &path).bearer(&house.root);
        ask.header("content-type", told).bytes(body).to(&app).await
    };
    let csv = "question,answer\nHow?,So.\n";
    let multipart = "multipart/form-data; boundary=edge";
    let sent = send(multipart, form(&[("file", Some("pairs.csv"), csv)])).await;
    assert_eq!(sent.status, StatusCode::CREATED, "{sent:?}");
    assert_eq!(
        (
            &sent.body["file_name"],
            &sent.body["rows"],
            &sent.body["file_bytes"]
        ),
        (&json!("pairs.csv"), &json!(2), &json!(csv.len()))
    );
    assert_eq!(sent.body["sample"][1]["cells"], json!(["How?", "So."]));
    for told in ["text/csv; charset=utf-8", "Application/Octet-Stream"] {
        let sent = send(told, csv.into()).await;
        assert_eq!(sent.body["rows"], 2, "{told}: {sent:?}");
    }
    let two = [("file", Some("a.csv"), csv), ("file", Some("b.csv"), csv)];
    for (told, body, expected) in [
        (
            "application/json",
            csv.into(),
            (415, "unsupported_media_type"),
        ),
        (
            "application/x-www-form-urlencoded",
            csv.into(),
            (415, "unsupported_media_type"),
        ),
        (
            "multipart/mixed; boundary=edge",
            csv.into(),
            (415, "unsupported_media_type"),
        ),
        (multipart, form(&two), (422, "validation_failed")),
        (multipart, form(&[]), (422, "validation_failed")),
        (
            multipart,
            form(&[("tenant_id", None, "ten_x")]),
            (422, "validation_failed"),
        ),
        (multipart, csv.into(), (400, "invalid_request")),
        ("multipart/form-data", csv.into(), (400, "invalid_request")),
    ] {
        let refused = send(told, body).await;
        assert_eq!(code(&refused), expected, "{told}: {refused:?}");
    }
    // Nothing of what was refused is left behind.
    let mut kept = std::fs::read_dir(super::dir(house.world.database.dir())).unwrap();
    assert!(kept.all(|file| file.unwrap().path().extension().unwrap() == "rows"));
}
