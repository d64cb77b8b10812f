//! Calls that Steward makes for itself.

use std::pin::pin;
use std::rc::Rc;

use steward_actors::domain::snapshot::Protocol;

use super::super::estimate;
use super::super::own::Payer;
use super::fake::{Fake, Step, json};
use super::house::{House, account, at, eventually, token, with};

const MODEL: &str = "text-embedding-3-small";

fn texts() -> [String; 2] {
    ["What is it?".into(), "什么是量子计算？".into()]
}

fn payer() -> Payer {
    Payer {
        tenant_id: 7,
        tenant_public_id: "ten_7".into(),
        tenant_name: "Seven".into(),
        ..Payer::default()
    }
}

fn vectors(usage: &str) -> Vec<Step> {
    let body = format!(
        r#"{{"model":"served","data":[{{"index":1,"embedding":[0.5]}},{{"index":0,"embedding":[1]}}]{usage}}}"#
    );
    vec![Step::Send(json("200 OK", &body))]
}

#[actix_web::test]
async fn vectors_come_in_the_order_of_their_texts_and_the_call_is_on_the_books() {
    for (usage, told) in [
        (r#","usage":{"prompt_tokens":9,"total_tokens":9}"#, Some(9)),
        ("", None),
    ] {
        let fake = Fake::new(vec![vectors(usage)]).await;
        let upstream = Rc::clone(&fake);
        at(&fake, |house| async move {
            let embedded = house.gateway.embed(payer(), MODEL, &texts()).await.unwrap();
            assert_eq!(embedded, [vec![1.0], vec![0.5]]);
            let head = upstream.seen.borrow()[0].head.to_ascii_lowercase();
            assert!(head.starts_with("post /v1/embeddings "), "{head}");
            assert!(head.contains("bearer sk-upstream-secret"), "{head}");
            let record = house.record().await;
            let counts = texts().map(|text| estimate::count(&text, MODEL));
            let counted = i64::try_from(counts.iter().sum::<u64>()).unwrap();
            assert_eq!(
                (
                    record.prompt_tokens,
                    record.total_tokens,
                    record.usage_estimated
                ),
                (
                    told.unwrap_or(counted),
                    told.unwrap_or(counted),
                    told.is_none()
                )
            );
            assert!(record.success && record.status_code == 200, "{record:?}");
            assert_eq!((record.tenant_id, record.token_id), (7, 0));
            assert_eq!(
                (&*record.upstream_model, record.attempts.len()),
                ("served", 1)
            );
        })
        .await;
    }
}

#[actix_web::test]
async fn a_call_that_is_dropped_half_way_is_one_record_and_holds_nothing() {
    let fake = Fake::new(vec![vec![Step::Stall]]).await;
    let upstream = Rc::clone(&fake);
    at(&fake, |house: Rc<House>| async move {
        let asked = texts();
        {
            let mut call = pin!(house.gateway.embed(payer(), MODEL, &asked));
            let arrived = eventually(|| !upstream.seen.borrow().is_empty());
            tokio::select! {
                _ = &mut call => unreachable!("nobody answered"),
                () = arrived => assert_eq!(house.gateway.accounts().view(1).1, 1),
            }
        }
        let record = house.record().await;
        assert_eq!(record.error_code, "shutting_down");
        assert_eq!((record.success, record.account_id), (false, 1));
        assert_eq!(house.gateway.accounts().view(1).1, 0);
        eventually(|| upstream.hung_up.get() == 1).await;
    })
    .await;
}

#[actix_web::test]
async fn another_account_is_tried_and_what_texts_are_to_blame_for_is_not() {
    let broken = Fake::new(vec![vec![Step::Close]]).await;
    let refuses = Fake::new(vec![vec![Step::Send(json("400 Bad Request", "{}"))]]).await;
    let spare = Fake::new(vec![vectors("")]).await;
    let untouched = Rc::clone(&spare);
    with(
        vec![
            account(1, Protocol::OpenAi, &broken),
            account(2, Protocol::OpenAi, &refuses),
            account(3, Protocol::OpenAi, &spare),
        ],
        token(),
        &[&broken, &refuses, &spare],
        |_, _| {},
        |house| async move {
            let refused = house
                .gateway
                .embed(payer(), MODEL, &texts())
                .await
                .unwrap_err();
            assert_eq!(refused.status, 400);
            assert!(untouched.seen.borrow().is_empty());
            let record = house.record().await;
            let tried: Vec<_> = record
                .attempts
                .iter()
                .map(|one| (one.account_id, one.status_code))
                .collect();
            assert_eq!(tried, [(1, 0), (2, 400)]);
            assert_eq!((record.status_code, record.success), (400, false));
        },
    )
    .await;
}
