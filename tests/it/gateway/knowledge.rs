//! Calls that are given their tenant's own answers as context: what the provider gets, what the caller and the books are told.

use http::Method;
use serde_json::{Value, json};

use crate::support::calls::{chat, messages};
use crate::support::control::account;
use crate::support::{Answer, App, Setup, eventually};

const MODEL: &str = "text-embedding-3-small";
const HEADER: &str = "x-steward-knowledge";
const CHAT: &str = "/v1/chat/completions";
const BOOK: &str = "How do I book a fitting?";
const PRICE: &str = "租借价格是多少？";

/// A Steward with two tenants, whose pairs all have vectors.
struct House {
    app: App,
    /// Secrets: of the first tenant's token, and of the second's.
    keys: [String; 2],
    /// Of [`BOOK`] and [`PRICE`], both the first tenant's.
    pairs: [String; 2],
    /// Who embeds.
    embeds: String,
}

impl House {
    async fn new() -> Self {
        let setup = Setup::new().set("RAG__EMBEDDING_MODEL", MODEL);
        let app = setup.serving().await;
        for other in app.get("accounts").await["items"].as_array().unwrap() {
            let path = format!("accounts/{}", other["id"].as_str().unwrap());
            app.patch(
                &path,
                json!({"priority": 5, "models": ["gpt-*", "claude-*"]}),
            )
            .await;
        }
        let mut embeds = account("openai", &app.provider().openai_url(), &[]);
        embeds["name"] = json!("embeds");
        embeds["aliases"] = json!({MODEL: format!("{MODEL}+words+strict")});
        let embeds = app.create("accounts", embeds).await["id"].clone();
        let mut tenants = Vec::new();
        let mut keys = Vec::new();
        for name in ["Kimono One", "和服店 A"] {
            let tenant = app.create("ops/tenants", json!({ "name": name })).await["id"].clone();
            let token = json!({"name": name, "tenant_id": tenant, "knowledge": true});
            keys.push(app.token(token).await.0);
            tenants.push(tenant);
        }
        let mut pairs = Vec::new();
        for (tenant, question, answer) in [
            (0, BOOK, "By \"telephone\" —\nask for Ms Ōta."),
            (0, PRICE, "每天 100 元。"),
            (1, "租借价格是多少钱？", "每天 999 元。"),
        ] {
            let pair =
                json!({"tenant_id": tenants[tenant], "question": question, "answer": answer});
            let made = app.create("ops/knowledge/qa-pairs", pair).await;
            pairs.push(made["id"].as_str().unwrap().to_owned());
        }
        pairs.truncate(2);
        let asked = app.api(Method::POST, "ops/knowledge/sync", None).await;
        asked.expect_status(202);
        eventually("all are embedded", || async {
            let status = app.get("ops/knowledge/sync/status").await;
            (status["in_memory"] == 3).then_some(())
        })
        .await;
        Self {
            app,
            keys: keys.try_into().unwrap(),
            pairs: pairs.try_into().unwrap(),
            embeds: embeds.as_str().unwrap().to_owned(),
        }
    }

    /// A call with the token of one of the tenants; its answer, and the body that the provider got.
    async fn ask(&self, tenant: usize, path: &str, body: &Value) -> (Answer, Value) {
        self.ask_with(&self.keys[tenant], path, body, &[]).await
    }

    async fn ask_with(
        &self,
        key: &str,
        path: &str,
        body: &Value,
        more: &[(&str, &str)],
    ) -> (Answer, Value) {
        self.app.provider().forget();
        let authorization = format!("Bearer {key}");
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        headers.extend_from_slice(more);
        let url = self.app.url(path);
        let answer = self
            .app
            .http
            .call(Method::POST, &url, &headers, body.to_string())
            .await
            .expect_status(200);
        let received = self.app.provider().received();
        let mut sent = received.iter().filter(|sent| sent.target == path);
        let sent = sent.next_back().expect("one request upstream");
        assert!(
            sent.headers
                .iter()
                .all(|(name, _)| !name.eq_ignore_ascii_case(HEADER)),
            "the switch is ours"
        );
        (answer, serde_json::from_slice(&sent.body).unwrap())
    }

    async fn given(&self, answer: &Answer) -> Value {
        self.app.record(&answer.request_id()).await["knowledge"].take()
    }
}

fn saying(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": text},
    ]})
}

#[tokio::test]
async fn the_nearest_pairs_of_the_tenant_are_context_and_the_books_say_which() {
    let house = House::new().await;
    let body = saying("gpt-4o", "can I book a fitting");
    let (answer, sent) = house.ask(0, CHAT, &body).await;
    assert_eq!(answer.header(HEADER), Some("1"));
    let turns = sent["messages"].as_array().unwrap();
    assert_eq!(turns.len(), 3, "{sent}");
    assert_eq!(
        (&turns[0], &turns[2]),
        (&body["messages"][0], &body["messages"][1])
    );
    assert_eq!(turns[1]["role"], "system");
    let context = turns[1]["content"].as_str().unwrap();
    assert!(context.contains(BOOK) && context.contains("By \"telephone\" —\nask for Ms Ōta."));
    assert!(!context.contains("元"), "{context}");
    let given = house.given(&answer).await;
    let expected = json!({"outcome": "used", "pairs": [{"id": house.pairs[0], "question": BOOK}]});
    assert_eq!(given, expected);

    // The other tenant's pairs are nobody else's.
    let (answer, sent) = house.ask(1, CHAT, &body).await;
    assert_eq!((answer.header(HEADER), &sent), (Some("0"), &body));
    let given = house.given(&answer).await;
    assert_eq!(given, json!({"outcome": "none", "pairs": []}));
    let price = saying("gpt-4o", "请问价格是多少？");
    let (_, sent) = house.ask(0, CHAT, &price).await;
    let sent = sent.to_string();
    assert!(
        sent.contains("100 元") && !sent.contains("999 元"),
        "{sent}"
    );

    // A pair that is gone since is told by its id; the embedding is a call of its own, of the tenant.
    let path = format!("ops/knowledge/qa-pairs/{}", house.pairs[1]);
    let (answer, _) = house.ask(0, CHAT, &price).await;
    house.app.remove(&path).await;
    let given = house.given(&answer).await;
    let gone = json!({"outcome": "used", "pairs": [{"id": house.pairs[1], "question": null}]});
    assert_eq!(given, gone);
    let (_, sent) = house.ask(0, CHAT, &price).await;
    assert_eq!(sent, price);
    eventually("the questions are on the books", || async {
        let calls = house.app.get("logs/requests?app=steward").await;
        // Two that embedded pairs, and five questions; of the last one the answer was not there any more.
        (calls["items"].as_array()?.len() >= 7).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_dialect_gets_it_streamed_or_not() {
    let house = House::new().await;
    let question = "can I book a fitting";
    for stream in [false, true] {
        let mut body = messages("claude-x");
        body["stream"] = json!(stream);
        body["messages"] =
            json!([{"role": "user", "content": [{"type": "text", "text": question}]}]);
        body["system"] = json!([{"type": "text", "text": "Be kind."}]);
        let (answer, sent) = house.ask(0, "/v1/messages", &body).await;
        assert_eq!(answer.header(HEADER), Some("1"), "{stream}");
        let blocks = sent["system"].as_array().unwrap();
        assert_eq!((blocks.len(), &blocks[0]), (2, &body["system"][0]));
        assert!(blocks[1]["text"].as_str().unwrap().contains(BOOK));
        assert_eq!(sent["messages"], body["messages"]);
        assert_eq!(house.given(&answer).await["pairs"][0]["id"], house.pairs[0]);

        let body = json!({"model": "gpt-4o", "stream": stream, "instructions": "Be kind.", "input": question});
        let (answer, sent) = house.ask(0, "/v1/responses", &body).await;
        assert_eq!(answer.header(HEADER), Some("1"), "{stream}");
        let instructions = sent["instructions"].as_str().unwrap();
        assert!(instructions.starts_with("Be kind.\n\n") && instructions.contains(BOOK));
        assert_eq!(sent["input"], question);
    }
    // Usage is asked for behind the caller's back, in the body that has the context.
    let mut body = saying("gpt-4o", question);
    body["stream"] = json!(true);
    let (answer, sent) = house.ask(0, CHAT, &body).await;
    assert_eq!(answer.header(HEADER), Some("1"));
    assert_eq!(sent["stream_options"]["include_usage"], true);
    assert_eq!(sent["messages"].as_array().unwrap().len(), 3);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    let record = house.app.record(&answer.request_id()).await;
    assert_eq!(
        (&record["success"], &record["knowledge"]["outcome"]),
        (&json!(true), &json!("used"))
    );
}

#[tokio::test]
async fn who_did_not_ask_for_it_or_switches_it_off_sends_what_it_says() {
    let house = House::new().await;
    let body = saying("gpt-4o", "can I book a fitting");
    let off = [(HEADER, "Off")];
    let (answer, sent) = house.ask_with(&house.keys[0], CHAT, &body, &off).await;
    assert_eq!((answer.header(HEADER), &sent), (Some("off"), &body));
    let given = house.given(&answer).await;
    assert_eq!(given, json!({"outcome": "off", "pairs": []}));
    // A token without, one of no tenant, and a call that is no chat.
    let (answer, sent) = house.ask_with(&house.app.key, CHAT, &body, &[]).await;
    assert_eq!((answer.header(HEADER), &sent), (None, &body));
    assert_eq!(house.given(&answer).await, Value::Null);
    let loner = json!({"name": "of nobody", "knowledge": true});
    let (loner, id) = house.app.token(loner).await;
    let (answer, sent) = house.ask_with(&loner, CHAT, &body, &[]).await;
    assert_eq!((answer.header(HEADER), &sent), (Some("no_tenant"), &body));
    let shown = house.app.get(&format!("tokens/{id}")).await;
    assert_eq!(shown["knowledge"], true);
    let path = format!("tokens/{id}");
    house.app.patch(&path, json!({"knowledge": false})).await;
    let (answer, _) = house.ask_with(&loner, CHAT, &body, &[]).await;
    assert_eq!(answer.header(HEADER), None, "in force at once");
    let body = json!({"model": "gpt-4o", "input": "can I book a fitting"});
    let (answer, sent) = house.ask(0, "/v1/embeddings", &body).await;
    assert_eq!((answer.header(HEADER), &sent), (None, &body));
}

#[tokio::test]
async fn a_search_that_fails_or_takes_too_long_fails_no_call() {
    let house = House::new().await;
    let body = saying("gpt-4o", "a forbidden fitting");
    let (answer, sent) = house.ask(0, CHAT, &body).await;
    assert_eq!((answer.header(HEADER), &sent), (Some("failed"), &body));
    let given = house.given(&answer).await;
    assert_eq!(given, json!({"outcome": "failed", "pairs": []}));
    let path = format!("accounts/{}", house.embeds);
    let slow = json!({"aliases": {MODEL: format!("{MODEL}+words+delay_ms=60000")}});
    house.app.patch(&path, slow).await;
    let body = saying("gpt-4o", "can I book a fitting");
    let (answer, sent) = house.ask(0, CHAT, &body).await;
    assert_eq!((answer.header(HEADER), &sent), (Some("timed_out"), &body));
    let record = house.app.record(&answer.request_id()).await;
    assert_eq!(
        (&record["success"], &record["knowledge"]["outcome"]),
        (&json!(true), &json!("timed_out"))
    );
    // Nobody to ask.
    house.app.remove(&path).await;
    let (answer, sent) = house.ask(0, CHAT, &body).await;
    assert_eq!((answer.header(HEADER), &sent), (Some("failed"), &body));
    // And whoever asks nothing in words is not looked for.
    let mut wordless = chat("gpt-4o");
    wordless["messages"] = json!([{"role": "assistant", "content": "?"}]);
    let (answer, sent) = house.ask(0, CHAT, &wordless).await;
    assert_eq!(
        (answer.header(HEADER), &sent),
        (Some("no_question"), &wordless)
    );
}
