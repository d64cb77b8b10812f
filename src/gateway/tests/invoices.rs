//! What calls are charged, from providers' own answers and invoices worked by hand: to the last billionth.
//!
//! Sums are written as `tokens × price of one token in billionths`, so that they can be checked against a price page.

use std::sync::Arc;

use serde_json::{Value, json};
use steward_actors::domain::price::{Currency, Price, PriceBook, PriceRow, Tier};
use steward_actors::domain::record::{Operation, Record, Source};
use steward_actors::domain::snapshot::{AccountView, Protocol, Snapshot};

use super::fake::{Fake, Step, chunk, end, json as answer, sse_head};
use super::house::{
    ASK, ASK_STREAM, CHAT, House, account, eventually, read_answer, read_until, token, with,
};

const MESSAGES: &str = "/v1/messages";

/// A price page's line, in billionths of the currency per million tokens.
fn price(currency: Currency, input_nano: i64, output_nano: i64) -> Price {
    Price {
        id: 7,
        currency,
        input_nano,
        output_nano,
        cached_nano: None,
        cache_write_nano: None,
        cache_write_1h_nano: None,
        reasoning_nano: None,
        per_call_nano: 0,
        per_unit_nano: 0,
        tiers: Vec::new(),
    }
}

fn charges(house: &House, provider: &str, model: &str, price: Price) {
    let row = PriceRow {
        provider: provider.into(),
        model: model.into(),
        valid_from: 0,
        from_list: true,
        removed: false,
        price,
    };
    house.snapshot.rcu(|before| Snapshot {
        prices: Arc::new(PriceBook::new([row.clone()])),
        ..(**before).clone()
    });
}

fn of_provider(provider: &str, fake: &Fake) -> AccountView {
    AccountView {
        provider: provider.into(),
        ..account(1, Protocol::OpenAi, fake)
    }
}

/// The record of one plain call that was answered with `usage` by `model`.
async fn called(provider: &str, model: &str, usage: Value, price: Price) -> Record {
    let body = json!({"id": "c", "model": model, "usage": usage}).to_string();
    let fake = Fake::new(vec![vec![Step::Send(answer("200 OK", &body))]]).await;
    let accounts = vec![of_provider(provider, &fake)];
    let told = std::rc::Rc::new(std::cell::RefCell::new(None));
    let kept = told.clone();
    with(
        accounts,
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            charges(&house, provider, model, price);
            let ask = ASK.replace("gpt-4o", model);
            read_answer(&mut house.post(CHAT, &ask).await).await;
            *kept.borrow_mut() = Some(house.record().await);
        },
    )
    .await;
    told.take().unwrap()
}

fn invoice(record: &Record) -> (i64, &str, bool, i64) {
    (
        record.cost_nano,
        record.currency.as_str(),
        record.priced,
        record.price_id,
    )
}

#[actix_web::test]
async fn cached_and_reasoning_tokens_of_openai() {
    // o3: 2.00 in, 0.50 cached, 8.00 out; reasoning is part of the output.
    let usage = json!({
        "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 256},
    });
    let price = Price {
        cached_nano: Some(500_000_000),
        ..price(Currency::Usd, 2_000_000_000, 8_000_000_000)
    };
    let record = called("openai", "o3", usage, price).await;
    let owed = 86 * 2_000 + 1_920 * 500 + 300 * 8_000;
    assert_eq!(invoice(&record), (owed, "USD", true, 7));
}

#[actix_web::test]
async fn reasoning_with_a_price_of_its_own_in_yuan() {
    // Qwen: 0.8 in, 2 out, 8 thinking.
    let usage = json!({
        "prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500,
        "completion_tokens_details": {"reasoning_tokens": 400},
    });
    let price = Price {
        reasoning_nano: Some(8_000_000_000),
        ..price(Currency::Cny, 800_000_000, 2_000_000_000)
    };
    let record = called("dashscope", "qwen-plus", usage, price).await;
    let owed = 1_000 * 800 + 100 * 2_000 + 400 * 8_000;
    assert_eq!(invoice(&record), (owed, "CNY", true, 7));
}

#[actix_web::test]
async fn reasoning_that_is_counted_beside_the_completion() {
    // xAI: the total has all three. 3.00 in, 15.00 out.
    let usage = json!({
        "prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 122,
        "completion_tokens_details": {"reasoning_tokens": 100},
    });
    let price = price(Currency::Usd, 3_000_000_000, 15_000_000_000);
    let record = called("xai", "grok-4", usage, price).await;
    assert_eq!(record.cost_nano, 20 * 3_000 + 102 * 15_000);
}

#[actix_web::test]
async fn deepseek_tells_its_cache_in_its_own_words() {
    // 0.28 in, 0.028 from the cache, 0.42 out.
    let usage = json!({
        "prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22,
        "prompt_cache_hit_tokens": 15, "prompt_cache_miss_tokens": 5,
    });
    let price = Price {
        cached_nano: Some(28_000_000),
        ..price(Currency::Usd, 280_000_000, 420_000_000)
    };
    let record = called("deepseek", "deepseek-chat", usage, price).await;
    assert_eq!(record.cost_nano, 5 * 280 + 15 * 28 + 2 * 420);
}

#[actix_web::test]
async fn a_model_without_a_price_is_unpriced_and_not_free() {
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11});
    let body = json!({"id": "c", "model": "brand-new", "usage": usage}).to_string();
    let fake = Fake::new(vec![vec![Step::Send(answer("200 OK", &body))]]).await;
    let accounts = vec![of_provider("openai", &fake)];
    with(
        accounts,
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            let other = price(Currency::Usd, 1_000_000_000, 1_000_000_000);
            charges(&house, "openai", "another", other);
            read_answer(&mut house.post(CHAT, &ASK.replace("gpt-4o", "brand-new")).await).await;
            let record = house.record().await;
            assert_eq!(record.total_tokens, 11);
            assert_eq!(invoice(&record), (0, "", false, 0));
        },
    )
    .await;
}

#[actix_web::test]
async fn a_batch_of_texts_is_charged_as_a_whole() {
    // text-embedding-3-small: 0.02.
    let body = r#"{"object":"list","model":"text-embedding-3-small","data":[],"usage":{"prompt_tokens":24,"total_tokens":24}}"#;
    let fake = Fake::new(vec![vec![Step::Send(answer("200 OK", body))]]).await;
    let accounts = vec![of_provider("openai", &fake)];
    with(
        accounts,
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            let page = price(Currency::Usd, 20_000_000, 0);
            charges(&house, "openai", "text-embedding-3-small", page);
            let ask = r#"{"model":"text-embedding-3-small","input":["one","two","three"]}"#;
            read_answer(&mut house.post("/v1/embeddings", ask).await).await;
            let record = house.record().await;
            assert_eq!(record.operation(), Operation::Embedding);
            assert_eq!(invoice(&record), (24 * 20, "USD", true, 7));
        },
    )
    .await;
}

/// Claude Sonnet: 3.00 in, 15.00 out, 0.30 read from the cache, 3.75 written to it, 6.00 for an hour.
fn sonnet() -> Price {
    Price {
        cached_nano: Some(300_000_000),
        cache_write_nano: Some(3_750_000_000),
        cache_write_1h_nano: Some(6_000_000_000),
        ..price(Currency::Usd, 3_000_000_000, 15_000_000_000)
    }
}

fn message_start(usage: &Value) -> String {
    let start = json!({
        "type": "message_start",
        "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "claude-sonnet-4-5-20250929", "stop_reason": null, "usage": usage},
    });
    format!("event: message_start\ndata: {start}\n\n")
}

const SAYS_HELLO: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
    event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";

#[actix_web::test]
async fn a_stream_that_reads_and_writes_anthropics_cache() {
    let usage = json!({"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000, "output_tokens": 1});
    let last = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":50}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(&format!(
            "{}{SAYS_HELLO}{last}",
            message_start(&usage)
        ))),
        Step::Send(end()),
    ]])
    .await;
    let accounts = vec![account(1, Protocol::Anthropic, &fake)];
    with(
        accounts,
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            // The page has the undated name.
            charges(&house, "anthropic", "claude-sonnet-4-5", sonnet());
            let ask = ASK_STREAM.replace("gpt-4o", "claude-sonnet-4-5");
            read_answer(&mut house.post(MESSAGES, &ask).await).await;
            let record = house.record().await;
            assert_eq!(record.prompt_tokens, 3_210);
            let owed = 10 * 3_000 + 3_000 * 300 + 200 * 3_750 + 50 * 15_000;
            assert_eq!(invoice(&record), (owed, "USD", true, 7));
        },
    )
    .await;
}

#[actix_web::test]
async fn a_stream_that_writes_to_anthropics_cache_for_an_hour() {
    let usage = json!({"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150}, "output_tokens": 1});
    let last = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":50}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(&format!(
            "{}{SAYS_HELLO}{last}",
            message_start(&usage)
        ))),
        Step::Send(end()),
    ]])
    .await;
    let accounts = vec![account(1, Protocol::Anthropic, &fake)];
    with(
        accounts,
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            charges(&house, "anthropic", "claude-sonnet-4-5", sonnet());
            let ask = ASK_STREAM.replace("gpt-4o", "claude-sonnet-4-5");
            read_answer(&mut house.post(MESSAGES, &ask).await).await;
            let record = house.record().await;
            assert_eq!(
                (record.cache_write_tokens, record.cache_write_1h_tokens),
                (200, 150)
            );
            let owed = 10 * 3_000 + 50 * 3_750 + 150 * 6_000 + 50 * 15_000;
            assert_eq!(invoice(&record), (owed, "USD", true, 7));
        },
    )
    .await;
}

#[actix_web::test]
async fn a_long_prompt_is_charged_by_its_tier() {
    let gemini = || Price {
        cached_nano: Some(125_000_000),
        tiers: vec![Tier {
            above: 200_000,
            input_nano: 2_500_000_000,
            output_nano: 15_000_000_000,
            cached_nano: Some(250_000_000),
            ..Tier::default()
        }],
        ..price(Currency::Usd, 1_250_000_000, 10_000_000_000)
    };
    for (prompt, owed) in [
        (200_000, 199_000 * 1_250 + 1_000 * 125 + 7 * 10_000),
        (200_001, 199_001 * 2_500 + 1_000 * 250 + 7 * 15_000),
    ] {
        let usage = json!({"prompt_tokens": prompt, "completion_tokens": 7, "total_tokens": prompt + 7,
            "prompt_tokens_details": {"cached_tokens": 1_000}});
        let record = called("google", "gemini-2.5-pro", usage, gemini()).await;
        assert_eq!(invoice(&record), (owed, "USD", true, 7), "{prompt}");
    }
}

#[actix_web::test]
async fn a_cancelled_stream_is_charged_what_came_of_it() {
    let usage = json!({"input_tokens": 25, "output_tokens": 1});
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(&format!("{}{SAYS_HELLO}", message_start(&usage)))),
        Step::Stall,
    ]])
    .await;
    let upstream = fake.clone();
    let accounts = vec![account(1, Protocol::Anthropic, &fake)];
    with(
        accounts,
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            charges(&house, "anthropic", "claude-sonnet-4-5", sonnet());
            let ask = ASK_STREAM.replace("gpt-4o", "claude-sonnet-4-5");
            let mut socket = house.post(MESSAGES, &ask).await;
            assert!(read_until(&mut socket, &mut String::new(), "Hello").await);
            drop(socket);
            eventually(|| upstream.hung_up.get() == 1).await;
            let record = house.record().await;
            assert_eq!((record.status_code, record.usage_estimated), (499, true));
            // The provider told the prompt; of the answer one token came, "Hello".
            assert_eq!(invoice(&record), (25 * 3_000 + 15_000, "USD", true, 7));
        },
    )
    .await;
}

#[actix_web::test]
async fn what_a_provider_refuses_is_not_charged() {
    let body = r#"{"error":{"message":"no","type":"invalid_request_error"}}"#;
    let fake = Fake::new(vec![vec![Step::Send(answer("400 Bad Request", body))]]).await;
    let accounts = vec![of_provider("openai", &fake)];
    with(
        accounts,
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            let page = Price {
                per_call_nano: 1_000,
                ..price(Currency::Usd, 2_500_000_000, 10_000_000_000)
            };
            charges(&house, "openai", "gpt-4o", page);
            read_answer(&mut house.post(CHAT, ASK).await).await;
            let record = house.record().await;
            assert_eq!(record.status_code, 400);
            assert_eq!(invoice(&record), (0, "", false, 0));
        },
    )
    .await;
}

#[actix_web::test]
async fn an_alias_is_charged_as_what_it_stands_for() {
    // The answer names no model.
    let body = r#"{"id":"c","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;
    let fake = Fake::new(vec![vec![Step::Send(answer("200 OK", body))]]).await;
    let accounts = vec![of_provider("openai", &fake)];
    with(
        accounts,
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            let page = price(Currency::Usd, 2_500_000_000, 10_000_000_000);
            charges(&house, "openai", "real-name", page);
            read_answer(&mut house.post(CHAT, &ASK.replace("gpt-4o", "nick")).await).await;
            let record = house.record().await;
            assert_eq!(
                (record.model.as_str(), record.upstream_model.as_str()),
                ("nick", "real-name")
            );
            assert_eq!(invoice(&record), (9 * 2_500 + 2 * 10_000, "USD", true, 7));
        },
    )
    .await;
}

#[actix_web::test]
async fn what_is_told_from_elsewhere_is_priced_unless_it_brings_its_invoice() {
    let fake = Fake::new(vec![vec![Step::Stall]]).await;
    with(
        vec![],
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            charges(
                &house,
                "openai",
                "gpt-4o",
                price(Currency::Usd, 2_500_000_000, 10_000_000_000),
            );
            let told = Record {
                token_id: 1,
                provider: "openai".into(),
                model: "gpt-4o".into(),
                request_at: 1,
                prompt_tokens: 1_000,
                completion_tokens: 100,
                total_tokens: 1_100,
                success: true,
                source: Source::Ingest.into(),
                ..Record::default()
            };
            // A provider's batch costs half, and whoever sends it knows.
            let batch = Record {
                priced: true,
                cost_nano: 1_750_000,
                currency: "USD".into(),
                ..told.clone()
            };
            house.gateway.book(vec![told, batch]).await.unwrap();
            let records = house.records();
            assert_eq!(
                invoice(&records[0]),
                (1_000 * 2_500 + 100 * 10_000, "USD", true, 7)
            );
            assert_eq!(invoice(&records[1]), (1_750_000, "USD", true, 0));
        },
    )
    .await;
}
