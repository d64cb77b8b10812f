//! A budget refuses in the caller's own words, counts what is in flight, and goes by what calls really cost.

use std::sync::Arc;

use steward_actors::domain::price::{Currency, Price, PriceBook, PriceRow};
use steward_actors::domain::snapshot::{Budget, Protocol, Snapshot, TokenView};

use super::super::budget::Whose;
use super::fake::{Fake, Step, chunk, end, json, sse_head};
use super::house::{
    ASK, ASK_STREAM, CHAT, DONE, HELLO, House, account, eventually, read_answer, read_until, token,
    with,
};

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n";
const CENT: i64 = 10_000_000;

/// A tenth of a cent a token.
fn dear(house: &House) {
    let nano = 1_000_000_000_000;
    let row = |provider: &str| PriceRow {
        provider: provider.into(),
        model: "gpt-4o".into(),
        valid_from: 0,
        from_list: true,
        removed: false,
        price: Price {
            id: 1,
            currency: Currency::Usd,
            input_nano: nano,
            output_nano: nano,
            cached_nano: None,
            cache_write_nano: None,
            cache_write_1h_nano: None,
            reasoning_nano: None,
            per_call_nano: 0,
            per_unit_nano: 0,
            tiers: Vec::new(),
        },
    };
    let book = Arc::new(PriceBook::new([row("openai"), row("anthropic")]));
    house.snapshot.rcu(|before| Snapshot {
        prices: Arc::clone(&book),
        ..(**before).clone()
    });
}

fn holding(daily_nano: i64) -> TokenView {
    TokenView {
        budget: Budget {
            daily_nano: Some(daily_nano),
            ..Budget::default()
        },
        ..token()
    }
}

#[actix_web::test]
async fn a_budget_that_is_used_up_is_told_in_the_callers_dialect() {
    let body = r#"{"id":"c","model":"gpt-4o","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", body))]]).await;
    let accounts = vec![
        account(1, Protocol::OpenAi, &fake),
        account(2, Protocol::Anthropic, &fake),
    ];
    let upstream = fake.clone();
    with(
        accounts,
        holding(CENT),
        &[&fake],
        |_, _| {},
        |house| async move {
            dear(&house);
            // Eleven tokens cost 1.1 cents: it was within when it was admitted.
            let (first, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(first.starts_with("HTTP/1.1 200"), "{first}");
            let at = house.record().await.request_at;
            let spent = house.gateway.budgets().spent(Whose::Token, 1, at);
            assert_eq!(spent, [[CENT * 11 / 10, 0]; 2]);
            for (path, code) in [
                (CHAT, "\"code\":\"insufficient_quota\""),
                ("/v1/messages", "\"type\":\"rate_limit_error\""),
            ] {
                let ask = ASK.replacen('{', "{\"max_tokens\":5,", 1);
                let (refused, _) = read_answer(&mut house.post(path, &ask).await).await;
                assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
                assert!(refused.contains(code), "{refused}");
                assert!(refused.contains("budget of the day"), "{refused}");
                assert!(refused.contains("retry-after: "), "{refused}");
            }
            assert_eq!(upstream.seen.borrow().len(), 1);
            let records = house.records();
            let told: Vec<(i32, &str, i64)> = records
                .iter()
                .map(|it| (it.status_code, it.error_code.as_str(), it.cost_nano))
                .collect();
            let refused = (429, "budget_exhausted", 0);
            assert_eq!(told, [(200, "", CENT * 11 / 10), refused, refused]);
        },
    )
    .await;
}

#[actix_web::test]
async fn a_stream_holds_what_it_may_cost_until_it_is_known() {
    let fake = Fake::new(vec![
        vec![
            Step::Send(sse_head()),
            Step::Send(chunk(HELLO)),
            Step::Wait,
            Step::Send(chunk(&format!("{USAGE}{DONE}"))),
            Step::Send(end()),
        ],
        vec![Step::Send(json("200 OK", "{}"))],
    ])
    .await;
    let upstream = fake.clone();
    let accounts = vec![account(1, Protocol::OpenAi, &fake)];
    with(
        accounts,
        holding(10 * CENT),
        &[&fake],
        |_, _| {},
        |house| async move {
            dear(&house);
            let ask = ASK_STREAM.replace("\"stream\":true", "\"stream\":true,\"max_tokens\":5000");
            let mut stream = house.post(CHAT, &ask).await;
            let mut seen = String::new();
            assert!(read_until(&mut stream, &mut seen, HELLO).await);
            // It may cost all of it.
            let (refused, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
            assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
            upstream.go_on();
            assert!(read_until(&mut stream, &mut seen, DONE).await, "{seen}");
            eventually(|| house.gateway.counters().read().in_flight == 0).await;
            // It cost 1.1 cents.
            let (next, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(next.starts_with("HTTP/1.1 200"), "{next}");
        },
    )
    .await;
}
