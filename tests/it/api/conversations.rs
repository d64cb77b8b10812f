//! Conversations: kept for who asks, found in any language, read by who may and not unseen, and gone when deleted.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::{App, Setup, eventually};

/// What the fake provider says to everybody.
const ANSWER: &str = "Hello naïve 你好 🌍 world";

/// An application with two tokens whose conversations are kept.
struct Talk {
    app: App,
    anna: (String, String),
    wang: (String, String),
}

impl Talk {
    async fn start() -> Self {
        let app = App::serving().await;
        let keeping = |name: &str| json!({"name": name, "app": name, "enable_conversation_logging": true, "redaction": "redact"});
        Self {
            anna: app.token(keeping("anna")).await,
            wang: app.token(keeping("wang")).await,
            app,
        }
    }

    /// A call and the id of what was kept of it, once it is there.
    async fn says(&self, who: &(String, String), prompt: &str) -> String {
        let mut body = json!({"model": "gpt-4o", "user": "u1", "messages": [{"role": "user", "content": prompt}]});
        if who.1 == self.wang.1 {
            body["user"] = json!("u2");
        }
        let said = self
            .app
            .post_as(&who.0, "/v1/chat/completions", &body)
            .await;
        let id = said.expect_status(200).request_id();
        self.kept(&id).await;
        id
    }

    async fn show(&self, id: &str) -> Answer {
        self.app
            .api(Method::GET, &format!("conversations/{id}"), None)
            .await
    }

    async fn kept(&self, id: &str) -> Value {
        eventually("the conversation is kept", || async {
            let answer = self.show(id).await;
            (answer.status == 200).then(|| answer.json())
        })
        .await
    }

    async fn ids(&self, query: &str) -> Vec<String> {
        ids(&self.app.get(query).await)
    }
}

fn ids(page: &Value) -> Vec<String> {
    page["items"]
        .as_array()
        .unwrap_or_else(|| panic!("items in {page}"))
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

fn code(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["code"].clone())
}

#[tokio::test]
async fn kept_calls_are_listed_filtered_and_shown() {
    let talk = Talk::start().await;
    let app = &talk.app;
    let unkept = app.chat("gpt-4o").await.expect_status(200).request_id();
    let first = talk.says(&talk.anna, "Write to boss@example.com").await;
    let second = talk.says(&talk.wang, "请解释对话记录的压缩策略").await;
    let third = talk.says(&talk.anna, "And once more").await;
    app.record(&unkept).await;
    assert_eq!(talk.show(&unkept).await.status, 404);

    let all = [&third, &second, &first];
    for (query, expected) in [
        (String::new(), &all[..]),
        (format!("token_id={}", talk.wang.1), &[&second]),
        ("app=anna".into(), &[&third, &first]),
        ("user=u2".into(), &[&second]),
        ("model=gpt-4o".into(), &all[..]),
        ("model=gpt-4".into(), &[]),
        ("token_id=tok_unknown".into(), &[]),
        ("tenant_id=ten_unknown".into(), &[]),
        ("conversation_id=none".into(), &[]),
        ("range=24h".into(), &all[..]),
        ("from=2020-01-01&to=2020-01-02".into(), &[]),
    ] {
        let found = talk.ids(&format!("conversations?{query}")).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let mut paged = Vec::new();
    let mut query = "conversations?limit=1".to_owned();
    loop {
        let page = app.get(&query).await;
        paged.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("conversations?limit=1&cursor={cursor}");
    }
    assert_eq!(paged.iter().collect::<Vec<_>>(), all);
    let numbered = app.api(Method::GET, "conversations?page=2", None).await;
    assert_eq!(code(&numbered), (400, json!("invalid_request")));

    let one = talk.kept(&first).await;
    assert_eq!(one["token_id"], talk.anna.1);
    assert_eq!(
        (&one["token_name"], &one["user_name"]),
        (&json!("anna"), &json!("u1"))
    );
    assert!(!one.to_string().contains("boss@"), "{one}");
    assert_eq!(
        (&one["redaction"], &one["redactions"]),
        (&json!("redact"), &json!(1))
    );
    assert_eq!(one["messages"][0]["role"], "user");
    assert!(
        one["completion"].as_str().unwrap().starts_with(ANSWER),
        "{one}"
    );
    assert_eq!(one["operation"], "chat");
    let record = app.record(&first).await;
    assert_eq!(
        record["total_tokens"].as_i64(),
        one["prompt_tokens"]
            .as_i64()
            .zip(one["completion_tokens"].as_i64())
            .map(|(a, b)| a + b)
    );
    // The documents' own path, on the same handlers.
    let compat = app
        .http
        .call(
            Method::GET,
            &app.url("/api/conversations?limit=1"),
            &[("authorization", &format!("Bearer {}", app.admin))],
            "",
        )
        .await;
    assert!(compat.expect_status(200).text().contains(&third));
}

#[tokio::test]
async fn threads_are_gathered_by_their_id() {
    let talk = Talk::start().await;
    let authorization = format!("Bearer {}", talk.anna.0);
    let mut made = Vec::new();
    for thread in ["t-1", "t-2", "t-1"] {
        let answer = talk
            .app
            .http
            .call(
                Method::POST,
                &talk.app.url("/v1/chat/completions"),
                &[
                    ("authorization", authorization.as_str()),
                    ("content-type", "application/json"),
                    ("x-conversation-id", thread),
                ],
                crate::support::calls::chat("gpt-4o").to_string(),
            )
            .await;
        made.push(answer.expect_status(200).request_id());
        talk.kept(made.last().unwrap()).await;
    }
    let thread = talk.ids("conversations?conversation_id=t-1").await;
    assert_eq!(thread, [made[2].clone(), made[0].clone()]);
}

#[tokio::test]
async fn what_was_said_is_found_by_words_beginnings_and_single_characters() {
    let talk = Talk::start().await;
    let app = &talk.app;
    let english = talk
        .says(&talk.anna, "What is the due date of Invoice 4711?")
        .await;
    let chinese = talk.says(&talk.wang, "请解释对话记录的压缩策略").await;
    let japanese = talk.says(&talk.wang, "データベースの移行について").await;
    let both = talk
        .says(&talk.anna, "The invoice, again: invoice and 记录")
        .await;
    for (q, expected) in [
        ("策", vec![&chinese]),
        ("略", vec![&chinese]),
        ("记录", vec![&both, &chinese]),
        ("デ", vec![&japanese]),
        ("invo", vec![&both, &english]),
        ("INVOICE 4711", vec![&english]),
        ("\"due date\"", vec![&english]),
        ("\"date due\"", vec![]),
        // Of the answers, which are all the same.
        ("好 策略", vec![&chinese]),
        ("nowhere", vec![]),
    ] {
        let query = format!("conversations/search?q={}", encoded(q));
        let mut found = talk.ids(&query).await;
        found.sort();
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(found, expected, "{q}");
    }
    // The best first: it says so twice.
    let page = app.get("conversations/search?q=invoice").await;
    assert_eq!(ids(&page), [both.clone(), english.clone()]);
    let snippet = |item: &Value| -> String {
        let pieces = item["snippet"].as_array().unwrap();
        pieces
            .iter()
            .map(|piece| match piece["hit"] == true {
                true => format!("[{}]", piece["text"].as_str().unwrap()),
                false => piece["text"].as_str().unwrap().to_owned(),
            })
            .collect()
    };
    assert_eq!(
        snippet(&page["items"][0]),
        "The [invoice], again: [invoice] and 记录"
    );
    assert_eq!(page["items"][0]["field"], "prompt");
    let page = app
        .get(&format!(
            "conversations/search?q={}&token_id={}",
            encoded("好"),
            talk.anna.1
        ))
        .await;
    assert_eq!(ids(&page).len(), 2);
    assert_eq!(page["items"][0]["field"], "completion");
    assert!(snippet(&page["items"][0]).contains("你[好]"), "{page}");
    // Page by page it is the same answer.
    let mut paged = Vec::new();
    let first = format!("conversations/search?q={}&limit=1", encoded("好"));
    let mut query = first.clone();
    loop {
        let page = app.get(&query).await;
        paged.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("{first}&cursor={cursor}"),
            None => break,
        }
    }
    let whole = talk
        .ids(&format!("conversations/search?q={}", encoded("好")))
        .await;
    assert_eq!((paged.len(), &paged), (4, &whole));

    for bad in ["", "q=", "q=%20%3F%21", &format!("q={}", "x".repeat(201))] {
        let refused = app
            .api(Method::GET, &format!("conversations/search?{bad}"), None)
            .await;
        assert_eq!(code(&refused), (400, json!("invalid_request")), "{bad}");
    }
}

/// As it stands in a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn finished(app: &App, accepted: Value) -> Value {
    let id = accepted["job"]["id"].as_str().expect("a job").to_owned();
    eventually("the job ends", || async {
        let job = app.get(&format!("jobs/{id}")).await;
        (job["state"] == "succeeded").then_some(job)
    })
    .await
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_what_comes_later_is_kept() {
    let talk = Talk::start().await;
    let app = &talk.app;
    let one = talk.says(&talk.anna, "the first canary").await;
    let two = talk.says(&talk.anna, "the second canary").await;
    let other = talk.says(&talk.wang, "the third canary").await;

    app.api(Method::DELETE, &format!("conversations/{one}"), None)
        .await
        .expect_status(204);
    assert_eq!(talk.show(&one).await.status, 404);
    let again = app
        .api(Method::DELETE, &format!("conversations/{one}"), None)
        .await;
    assert_eq!(code(&again), (404, json!("not_found")));
    // The books stay.
    app.record(&one).await;

    let nothing = app
        .api(Method::POST, "conversations/delete", Some(json!({})))
        .await;
    assert_eq!(code(&nothing), (422, json!("validation_failed")));
    let accepted = app
        .api(
            Method::POST,
            "conversations/delete",
            Some(json!({"token_id": talk.anna.1})),
        )
        .await
        .expect_status(202)
        .json();
    let job = finished(app, accepted).await;
    assert_eq!(job["result"]["deleted"], 1, "{job}");
    assert_eq!(talk.show(&two).await.status, 404);
    assert_eq!(talk.ids("conversations/search?q=canary").await, [other]);
    let later = talk.says(&talk.anna, "the fourth canary").await;
    assert_eq!(talk.ids("conversations/search?q=canary").await.len(), 2);

    let accepted = app
        .api(
            Method::POST,
            "conversations/delete",
            Some(json!({"user": "u2"})),
        )
        .await
        .expect_status(202)
        .json();
    assert_eq!(finished(app, accepted).await["result"]["deleted"], 1);
    assert_eq!(talk.ids("conversations").await, [later]);
    // Whom nobody knows: refused, rather than told that it is being deleted; and no filter is no filter.
    for (body, field) in [
        (json!({"token_id": "tok_unknown"}), "token_id"),
        (
            json!({"tenant_id": "ten_unknown", "user": "u1"}),
            "tenant_id",
        ),
        (json!({"token_id": ""}), "token_id"),
        (json!({"user": ""}), "user"),
    ] {
        let refused = app
            .api(Method::POST, "conversations/delete", Some(body.clone()))
            .await;
        assert_eq!(code(&refused), (422, json!("validation_failed")), "{body}");
        assert!(refused.text().contains(field), "{body}: {}", refused.text());
    }
    assert_eq!(talk.ids("conversations").await.len(), 1);
    assert!(
        talk.ids("conversations?token_id=tok_unknown")
            .await
            .is_empty()
    );
    let stats = app.get("conversations/stats").await;
    assert_eq!(
        (&stats["contents"], &stats["tokens_logging"]),
        (&json!(1), &json!(2))
    );
}

#[tokio::test]
async fn a_long_name_is_found_and_deleted_by_all_of_it() {
    let talk = Talk::start().await;
    let app = &talk.app;
    let user = format!("user-{}", "é".repeat(120));
    let body = json!({"model": "gpt-4o", "user": user, "messages": [{"role": "user", "content": "hello"}]});
    let said = app
        .post_as(&talk.anna.0, "/v1/chat/completions", &body)
        .await;
    let id = said.expect_status(200).request_id();
    talk.kept(&id).await;
    let query = format!("conversations?user={}", encoded(&user));
    assert_eq!(talk.ids(&query).await, [id]);
    let accepted = app
        .api(
            Method::POST,
            "conversations/delete",
            Some(json!({"user": user})),
        )
        .await
        .expect_status(202)
        .json();
    assert_eq!(finished(app, accepted).await["result"]["deleted"], 1);
    assert!(talk.ids("conversations").await.is_empty());
}

#[tokio::test]
async fn a_selection_or_a_filter_is_exported_in_three_forms() {
    let talk = Talk::start().await;
    let app = &talk.app;
    let mut made = Vec::new();
    // More than one step reads.
    for number in 0..23 {
        let body = json!({"model": "gpt-4o", "messages": [{"role": "system", "content": "Be brief."},
            {"role": "user", "content": format!("question {number}")}]});
        let answer = app
            .post_as(&talk.anna.0, "/v1/chat/completions", &body)
            .await;
        made.push(answer.expect_status(200).request_id());
    }
    for id in &made {
        talk.kept(id).await;
    }
    talk.says(&talk.wang, "another's").await;
    made.reverse();
    let export = async |body: Value| {
        app.api(Method::POST, "conversations/export", Some(body))
            .await
            .expect_status(200)
    };
    let lines = |answer: &Answer| -> Vec<Value> {
        let text = answer.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };

    let filter = json!({"token_id": talk.anna.1});
    let answer = export(json!({"format": "jsonl", "filter": filter})).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let found: Vec<String> = lines(&answer)
        .iter()
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, made);
    assert_eq!(lines(&answer)[0], talk.kept(&made[0]).await);

    let answer = export(json!({"format": "json", "filter": filter})).await;
    assert_eq!(answer.json().as_array().unwrap().len(), made.len());
    let answer = export(json!({"format": "json", "filter": {"model": "none"}})).await;
    assert_eq!(answer.json(), json!([]));

    let chosen = [made[3].clone(), made[1].clone()];
    let answer = export(json!({"format": "openai", "ids": chosen})).await;
    let tuning = lines(&answer);
    assert_eq!(tuning.len(), 2);
    let messages = tuning[0]["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert_eq!(messages[1]["content"], "question 19");
    assert!(messages[2]["content"].as_str().unwrap().starts_with(ANSWER));

    assert_eq!(tuning[0].get("tools"), None);

    // The tools that were offered, in the detail as they came and in the line as functions.
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let offered =
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "weather?"}], "tools": offered});
    let offering = app
        .post_as(&talk.wang.0, "/v1/chat/completions", &body)
        .await
        .expect_status(200)
        .request_id();
    let detail = talk.kept(&offering).await;
    assert_eq!(detail["tools"], offered);
    assert_eq!(talk.kept(&made[0]).await["tools"], json!([]));
    let answer = export(json!({"format": "openai", "ids": [offering]})).await;
    let line = lines(&answer).remove(0);
    assert_eq!(line["tools"], offered);
    let called = line.pointer("/messages/1/tool_calls/0/function/name");
    assert_eq!(called, Some(&json!("weather")), "{line}");

    // What a question finds, also beyond a page, and only within the filter.
    let found = |answer: &Answer| -> Vec<String> {
        let all = lines(answer).into_iter();
        all.map(|line| line["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let asked = export(json!({"filter": filter, "q": "question"})).await;
    let mut all = found(&asked);
    all.sort();
    let mut expected = made.clone();
    expected.sort();
    assert_eq!(all, expected);
    let asked = export(json!({"filter": filter, "q": "question 7"})).await;
    assert_eq!(found(&asked), [made[15].clone()]);
    let asked = export(json!({"filter": {"model": "none"}, "q": "question"})).await;
    assert_eq!(found(&asked), Vec::<String>::new());

    for bad in [
        json!({"q": "?"}),
        json!({"q": "question", "ids": [made[0]]}),
        json!({"format": "xml"}),
        json!({"ids": ["nothing"]}),
        json!({"filter": {"nobody": 1}, "limit": 1}),
    ] {
        let refused = app
            .api(Method::POST, "conversations/export", Some(bad.clone()))
            .await;
        assert_eq!(refused.status, 422, "{bad}: {}", refused.text());
    }
}

#[tokio::test]
async fn only_who_may_reads_and_every_reading_is_on_the_record() {
    let talk = Talk::start().await;
    let app = &talk.app;
    let id = talk.says(&talk.anna, "a secret matter").await;
    let (_, vera) = app.operator("vera", "ops_viewer").await;
    for (method, path, body) in [
        (Method::GET, "conversations".to_owned(), None),
        (Method::GET, "conversations/search?q=secret".into(), None),
        (Method::GET, "conversations/stats".into(), None),
        (Method::GET, format!("conversations/{id}"), None),
        (Method::DELETE, format!("conversations/{id}"), None),
        (Method::POST, "conversations/export".into(), Some(json!({}))),
        (
            Method::POST,
            "conversations/delete".into(),
            Some(json!({"user": "u1"})),
        ),
    ] {
        let refused = app.api_as(&vera, method.clone(), &path, body.clone()).await;
        assert_eq!(code(&refused), (403, json!("forbidden")), "{method} {path}");
        let refused = app.api_as("", method.clone(), &path, body).await;
        assert_eq!(refused.status, 401, "{method} {path}");
    }
    // One who may read, and no more.
    app.create(
        "ops/roles",
        json!({"name": "reader", "permissions": ["read:conversations"]}),
    )
    .await;
    let (_, rita) = app.operator("rita", "reader").await;
    for path in [
        "conversations?user=u1".to_owned(),
        "conversations/search?q=secret&user=u1".into(),
        format!("conversations/{id}"),
    ] {
        app.api_as(&rita, Method::GET, &path, None)
            .await
            .expect_status(200);
    }
    for asked in [json!({"q": "secret"}), json!({"ids": [id]})] {
        app.api_as(&rita, Method::POST, "conversations/export", Some(asked))
            .await
            .expect_status(200);
    }
    let refused = app
        .api_as(&rita, Method::DELETE, &format!("conversations/{id}"), None)
        .await;
    assert_eq!(refused.status, 403);
    let audit = app.get("ops/logs/operations?limit=200").await;
    let of = |action: &str| -> Value {
        audit["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["action"] == action && row["user_name"] == "rita")
            .unwrap_or_else(|| panic!("{action} in {audit}"))
            .clone()
    };
    assert_eq!(of("conversations.read")["target_id"], id);
    // That somebody searched, and how; not for what.
    let searched = of("conversations.search");
    assert!(!searched.to_string().contains("secret"), "{searched}");
    assert_eq!(searched["details"]["q_characters"], 6);
    assert!(of("conversations.list").to_string().contains("u1"));
    assert!(of("conversations.export").to_string().contains(&id));
    let exports = audit["items"].as_array().unwrap().iter();
    let mut exports = exports.filter(|row| row["action"] == "conversations.export");
    let searched = exports.nth(1).expect("the export of a search");
    assert!(!searched.to_string().contains("secret"), "{searched}");
    assert_eq!(searched["details"]["q_characters"], 6);
}

#[tokio::test]
async fn rules_are_tried_kept_and_in_force_at_once() {
    let talk = Talk::start().await;
    let app = &talk.app;
    let tried = app
        .api(
            Method::POST,
            "redaction-rules/test",
            Some(json!({"text": "case AB-1234, mail a@b.example", "pattern": "AB-[0-9]+", "replacement": "[case]"})),
        )
        .await
        .expect_status(200)
        .json();
    assert_eq!(tried["text"], "case [case], mail [email]");
    app.create(
        "redaction-rules",
        json!({"name": "case", "pattern": "AB-[0-9]+", "replacement": "[case]"}),
    )
    .await;
    let id = talk.says(&talk.anna, "Look at case AB-1234").await;
    let kept = talk.kept(&id).await;
    assert_eq!(kept["prompt"], "Look at case [case]");
    let refused = app
        .api(
            Method::POST,
            "redaction-rules",
            Some(json!({"name": "bad", "pattern": "(unclosed"})),
        )
        .await;
    assert_eq!(refused.status, 422, "{}", refused.text());
}

#[tokio::test]
async fn what_was_kept_outlives_kill_nine_once() {
    let mut talk = Talk {
        app: Setup::new().serving().await,
        anna: Default::default(),
        wang: Default::default(),
    };
    let keeping = json!({"name": "anna", "enable_conversation_logging": true, "redaction": "none"});
    talk.anna = talk.app.token(keeping).await;
    let mut made = Vec::new();
    for number in 0..6 {
        for part in 0..8 {
            let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": format!("canary {number} {part}")}]});
            let answer = talk
                .app
                .post_as(&talk.anna.0, "/v1/chat/completions", &body)
                .await;
            made.push(answer.expect_status(200).request_id());
        }
        // The last of them are in their spool by now or nowhere; those before lie in the spool, the table, or both.
        talk.app.kill();
        talk.app.start_process().await;
        talk.app.admin = talk
            .app
            .sign_in("admin", crate::support::app::ADMIN_PASSWORD)
            .await;
    }
    eventually("the spool is empty", || async {
        let stats = talk.app.get("conversations/stats").await;
        (stats["spooled"] == 0).then_some(())
    })
    .await;
    let stats = talk.app.get("conversations/stats").await;
    let listed = talk.ids("conversations?limit=200").await;
    let mut distinct = listed.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), listed.len(), "something is listed twice");
    assert_eq!(
        stats["contents"],
        listed.len(),
        "the sums tell what is there"
    );
    assert!(listed.iter().all(|id| made.contains(id)));
    // A killed process may take with it what was on its way to the spool, and that is a call's or two.
    assert!(
        listed.len() + 6 * 2 >= made.len(),
        "{} of {}",
        listed.len(),
        made.len()
    );
    let found = talk.ids("conversations/search?q=canary&limit=200").await;
    assert_eq!(found.len(), listed.len());
}
