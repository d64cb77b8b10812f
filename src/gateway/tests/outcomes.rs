//! One record per call, whatever its end; and no end before the record.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use steward_actors::domain::prompt::{PromptBook, PromptVersion, PromptView};
use steward_actors::domain::record::{Mode, Operation, RECORD_KIND, Record};
use steward_actors::domain::snapshot::Protocol;
use steward_actors::spool::{Admission, FsyncPolicy, SpoolConfig};
use tokio::io::AsyncReadExt;

use super::fake::{Fake, PATIENCE, Step, chunk, end, json, sse_head};
use super::house::{
    ASK, ASK_STREAM, CHAT, DONE, HELLO, account, at, eventually, read_answer, read_until, token,
    with,
};

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n";

#[actix_web::test]
async fn a_plain_answer_is_on_the_books_with_its_usage() {
    let answer = r#"{"id":"c","model":"gpt-4o-2024","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", answer))]]).await;
    at(&fake, |house| async move {
        let (seen, complete) = read_answer(&mut house.post(CHAT, ASK).await).await;
        assert!(complete && seen.ends_with(answer), "{seen}");
        assert_eq!(house.spool.ledger().accepted, 1, "recorded before it ended");
        let record = house.record().await;
        assert_eq!((record.status_code, record.success), (200, true));
        assert_eq!(
            (
                record.prompt_tokens,
                record.completion_tokens,
                record.total_tokens
            ),
            (9, 2, 11)
        );
        assert!(!record.usage_estimated);
        assert_eq!(record.operation(), Operation::Chat);
        assert_eq!(record.mode(), Mode::Api);
        assert_eq!(
            (
                record.model.as_str(),
                record.account_id,
                record.provider.as_str()
            ),
            ("gpt-4o", 1, "openai")
        );
        assert_eq!(record.attempts.len(), 1);
        assert_eq!(record.upstream_request_id, "up-1");
        assert!(
            seen.contains(&format!("x-request-id: {}\r\n", record.id())),
            "{seen}"
        );
    })
    .await;
}

#[actix_web::test]
async fn the_prompt_that_a_call_names_is_on_the_books_and_does_not_travel() {
    let version = |number: i64| PromptVersion {
        id: 70 + number,
        prompt_public_id: "prm_1".into(),
        name: format!("shop/hello@{number}"),
        number,
        hash: String::new(),
    };
    let view = PromptView {
        public_id: "prm_1".into(),
        head: 2,
        labels: [("production".to_owned(), 1)].into(),
        versions: [1, 2]
            .map(|number| (number, Arc::new(version(number))))
            .into(),
    };
    let book = Arc::new(PromptBook::new([("shop/hello".to_owned(), view)]));
    let asked = [
        ("x-prompt: shop/hello@2\r\n", 72, "shop/hello@2"),
        ("X-Prompt: shop/hello@production\r\n", 71, "shop/hello@1"),
        ("x-prompt: shop/hello\r\n", 72, "shop/hello@2"),
        // What nobody knows is no reason to refuse a call.
        ("x-prompt: shop/hello@3\r\n", 0, ""),
        ("x-prompt: other@1\r\n", 0, ""),
        ("x-prompt: \u{e9}\r\n", 0, ""),
        ("", 0, ""),
    ];
    let script = asked.map(|_| vec![Step::Send(json("200 OK", "{}"))]);
    let fake = Fake::new(script.into()).await;
    at(&fake, |house| async move {
        let mut snapshot = (**house.snapshot.load()).clone();
        snapshot.prompts = book;
        house.snapshot.store(Arc::new(snapshot));
        for (header, _, _) in asked {
            let headers = format!("authorization: Bearer {}\r\n{header}", house.secret);
            let (seen, complete) =
                read_answer(&mut house.send("POST", CHAT, &headers, ASK).await).await;
            assert!(
                complete && seen.starts_with("HTTP/1.1 200"),
                "{header}{seen}"
            );
        }
        let records = house.records();
        assert_eq!(records.len(), asked.len());
        for (record, (header, id, name)) in records.iter().zip(asked) {
            assert_eq!(record.prompt_version_id, id, "{header}");
            assert_eq!(record.prompt, name, "{header}");
            assert_eq!(record.prompt_public_id.is_empty(), id == 0, "{header}");
        }
    })
    .await;
    for seen in fake.seen.borrow().iter() {
        let head = seen.head.to_ascii_lowercase();
        assert!(!head.contains("x-prompt"), "{head}");
    }
}

#[actix_web::test]
async fn the_terminal_event_waits_for_the_record_and_chunks_do_not() {
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(HELLO)),
        Step::Wait,
        Step::Send(chunk(&format!("{USAGE}{DONE}"))),
        Step::Send(end()),
    ]])
    .await;
    let upstream = fake.clone();
    at(&fake, |house| async move {
        let mut socket = house.post(CHAT, ASK_STREAM).await;
        let mut seen = String::new();
        assert!(read_until(&mut socket, &mut seen, HELLO).await);
        assert_eq!(house.spool.ledger().accepted, 0);
        assert_eq!(house.gateway.counters().read().in_flight, 1);
        upstream.go_on();
        assert!(read_until(&mut socket, &mut seen, DONE).await, "{seen}");
        assert_eq!(
            house.spool.ledger().accepted,
            1,
            "[DONE] came before the record"
        );
        assert!(read_until(&mut socket, &mut seen, "\r\n0\r\n\r\n").await);
        assert!(
            !seen.contains("usage"),
            "the injected chunk is ours: {seen}"
        );
        assert!(
            upstream.seen.borrow()[0]
                .body
                .contains(r#""include_usage":true"#)
        );
        let record = house.record().await;
        assert!(record.stream && record.success);
        assert_eq!(record.total_tokens, 11);
        assert!(record.ttft_ms.is_some());
        assert_eq!(house.gateway.counters().read().in_flight, 0);
    })
    .await;
}

#[actix_web::test]
async fn a_client_that_leaves_cancels_the_upstream_and_is_a_499() {
    for script in [
        vec![Step::Stall],
        vec![
            Step::Send(sse_head()),
            Step::Send(chunk(HELLO)),
            Step::Stall,
        ],
    ] {
        let streamed = script.len() > 1;
        let fake = Fake::new(vec![script]).await;
        let upstream = fake.clone();
        at(&fake, |house| async move {
            let mut socket = house.post(CHAT, ASK_STREAM).await;
            eventually(|| upstream.seen.borrow().len() == 1).await;
            if streamed {
                assert!(read_until(&mut socket, &mut String::new(), HELLO).await);
            }
            let left = Instant::now();
            drop(socket);
            eventually(|| upstream.hung_up.get() == 1).await;
            assert!(left.elapsed().as_millis() < 1_000, "{:?}", left.elapsed());
            let record = house.record().await;
            assert_eq!(
                (record.status_code, record.error_code.as_str()),
                (499, "client_closed_request")
            );
            assert_eq!(record.account_id, 1);
            assert!(!record.success);
            if streamed {
                assert!(
                    record.usage_estimated && record.total_tokens > 0,
                    "{record:#?}"
                );
            }
        })
        .await;
    }
}

#[actix_web::test]
async fn a_client_that_hangs_up_on_an_error_event_is_not_to_blame() {
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n";
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(&format!("{HELLO}{error}"))),
        Step::Stall,
    ]])
    .await;
    at(&fake, |house| async move {
        let mut socket = house.post(CHAT, ASK_STREAM).await;
        let mut seen = String::new();
        assert!(
            read_until(&mut socket, &mut seen, "overloaded").await,
            "{seen}"
        );
        drop(socket);
        let record = house.record().await;
        assert_eq!(
            (record.status_code, record.error_code.as_str()),
            (502, "upstream_error")
        );
        assert_eq!(record.error_message, "overloaded");
    })
    .await;
}

#[actix_web::test]
async fn a_cut_stream_never_ends_cleanly_and_is_a_502() {
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(HELLO)),
        Step::Close,
    ]])
    .await;
    at(&fake, |house| async move {
        let (seen, complete) = read_answer(&mut house.post(CHAT, ASK_STREAM).await).await;
        assert!(
            !complete && seen.contains("upstream_broken") && !seen.contains("[DONE]"),
            "{seen}"
        );
        let record = house.record().await;
        assert_eq!(
            (record.status_code, record.error_code.as_str()),
            (502, "upstream_broken")
        );
    })
    .await;
}

#[actix_web::test]
async fn a_cut_body_breaks_the_connection() {
    let mut half = json("200 OK", r#"{"half":"of it"}"#);
    half.truncate(half.len() - 4);
    let fake = Fake::new(vec![vec![Step::Send(half), Step::Close]]).await;
    at(&fake, |house| async move {
        let (_, complete) = read_answer(&mut house.post(CHAT, ASK).await).await;
        assert!(!complete);
        assert_eq!(house.record().await.status_code, 502);
    })
    .await;
}

/// JSON that only the connection's end ends, cut before its last brace or whole; and text, of which nothing is known.
#[actix_web::test]
async fn a_body_that_ends_with_its_connection_must_close_what_it_opened() {
    let until_close = |kind: &str, body: &str| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
        vec![Step::Send((head + body).into_bytes()), Step::Close]
    };
    for (kind, body, status) in [
        ("application/json", r#"{"choices":[{"message""#, 502),
        (
            "application/json; charset=utf-8",
            r#"{"choices":[{}]}"#,
            200,
        ),
        ("text/plain", "an open { brace", 200),
    ] {
        let fake = Fake::new(vec![until_close(kind, body)]).await;
        at(&fake, |house| async move {
            let (seen, complete) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert_eq!(complete, status == 200, "{seen}");
            assert_eq!(house.record().await.status_code, status, "{seen}");
        })
        .await;
    }
}

/// Whatever its status says: the same failure, streamed or not, is the same on the books.
#[actix_web::test]
async fn an_error_told_under_a_200_is_a_failure_on_the_books() {
    for (answer, failed) in [
        (r#"{"error":{"message":"no capacity","code":502}}"#, true),
        (
            r#"{"id":"r","status":"failed","error":{"message":"no capacity","code":"server_error"},"output":[]}"#,
            true,
        ),
        (
            r#"{"id":"r","status":"completed","error":null,"output":[]}"#,
            false,
        ),
    ] {
        let fake = Fake::new(vec![vec![Step::Send(json("200 OK", answer))]]).await;
        at(&fake, |house| async move {
            let ask = r#"{"model":"gpt-4o","input":"Hello"}"#;
            let (seen, complete) = read_answer(&mut house.post("/v1/responses", ask).await).await;
            assert!(
                complete && seen.starts_with("HTTP/1.1 200") && seen.ends_with(answer),
                "{seen}"
            );
            let record = house.record().await;
            let expected = if failed {
                (502, "upstream_error", "no capacity")
            } else {
                (200, "", "")
            };
            let (code, message) = (record.error_code.as_str(), record.error_message.as_str());
            assert_eq!((record.status_code, code, message), expected);
            assert_eq!(record.success, !failed);
        })
        .await;
    }
}

#[actix_web::test]
async fn silence_is_a_504_before_the_first_byte_and_in_the_middle() {
    for script in [
        vec![Step::Stall],
        vec![
            Step::Send(sse_head()),
            Step::Send(chunk(HELLO)),
            Step::Stall,
        ],
    ] {
        let fake = Fake::new(vec![script]).await;
        let quick = |config: &mut crate::config::Gateway, _: &mut SpoolConfig| {
            config.first_byte_timeout_ms = 100;
            config.idle_timeout_ms = 100;
        };
        with(
            vec![account(1, Protocol::OpenAi, &fake)],
            token(),
            &[&fake],
            quick,
            |house| async move {
                let (seen, _) = read_answer(&mut house.post(CHAT, ASK_STREAM).await).await;
                assert!(seen.contains("upstream_timeout"), "{seen}");
                let record = house.record().await;
                assert_eq!(
                    (record.status_code, record.error_code.as_str()),
                    (504, "upstream_timeout")
                );
                // The provider got the prompt, and may have worked on it.
                assert_eq!((record.account_id, record.usage_estimated), (1, true));
                assert!(record.prompt_tokens > 0, "{record:?}");
            },
        )
        .await;
    }
}

#[actix_web::test]
async fn a_drain_cuts_what_is_left_and_records_it() {
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(HELLO)),
        Step::Stall,
    ]])
    .await;
    at(&fake, |house| async move {
        let mut socket = house.post(CHAT, ASK_STREAM).await;
        let mut seen = String::new();
        assert!(read_until(&mut socket, &mut seen, HELLO).await);
        house.gateway.cut_streams();
        assert!(!read_until(&mut socket, &mut seen, "\r\n0\r\n\r\n").await);
        assert!(seen.contains("shutting_down"), "{seen}");
        assert_eq!(house.record().await.status_code, 503);
    })
    .await;
}

#[actix_web::test]
async fn another_account_is_tried_before_the_first_byte_only() {
    let busy = Fake::new(vec![vec![Step::Send(json(
        "429 Too Many Requests",
        r#"{"error":{"message":"slow"}}"#,
    ))]])
    .await;
    let good = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
    let accounts = vec![
        account(1, Protocol::OpenAi, &busy),
        account(2, Protocol::OpenAi, &good),
    ];
    with(
        accounts,
        token(),
        &[&busy, &good],
        |_, _| {},
        |house| async move {
            let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
            let record = house.record().await;
            assert_eq!((record.account_id, record.status_code), (2, 200));
            let tried: Vec<_> = record
                .attempts
                .iter()
                .map(|a| (a.account_id, a.status_code))
                .collect();
            assert_eq!(tried, [(1, 429), (2, 200)]);
        },
    )
    .await;
}

#[actix_web::test]
async fn a_client_that_leaves_during_a_retry_leaves_every_attempt() {
    let refuses = Fake::new(vec![vec![Step::Send(json("429 Too Many", "{}"))]]).await;
    let stalls = Fake::new(vec![vec![Step::Stall]]).await;
    let upstream = stalls.clone();
    with(
        vec![
            account(1, Protocol::OpenAi, &refuses),
            account(2, Protocol::OpenAi, &stalls),
        ],
        token(),
        &[&refuses, &stalls],
        |_, _| {},
        |house| async move {
            let socket = house.post(CHAT, ASK).await;
            eventually(|| !upstream.seen.borrow().is_empty()).await;
            drop(socket);
            let record = house.record().await;
            assert_eq!(record.status_code, 499);
            let tried: Vec<(i64, i32)> = record
                .attempts
                .iter()
                .map(|one| (one.account_id, one.status_code))
                .collect();
            assert_eq!(tried, [(1, 429), (2, 0)]);
        },
    )
    .await;
}

#[actix_web::test]
async fn when_all_refuse_the_last_answer_passes_as_it_came() {
    let body =
        r#"{"error":{"message":"overloaded, key sk-upstream-secret","type":"x","code":"y"}}"#;
    let fake = Fake::new(vec![vec![Step::Send(json("529 Overloaded", body))]]).await;
    let mut second = account(2, Protocol::OpenAi, &fake);
    second.base_url = "http://127.0.0.1:1/v1".into();
    with(
        vec![account(1, Protocol::OpenAi, &fake), second],
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            let (seen, complete) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(complete && seen.starts_with("HTTP/1.1 529"), "{seen}");
            assert!(
                seen.ends_with(&body.replace("sk-upstream-secret", "******************")),
                "{seen}"
            );
            let record = house.record().await;
            assert_eq!((record.status_code, record.account_id), (529, 1));
            let tried: Vec<i64> = record.attempts.iter().map(|one| one.account_id).collect();
            assert_eq!(tried, [1, 2]);
            assert!(
                record.error_message.starts_with("overloaded, key"),
                "{}",
                record.error_message
            );
            assert!(!record.error_message.contains("upstream-secret"));
        },
    )
    .await;
}

#[actix_web::test]
async fn a_refused_call_of_a_known_token_is_a_row_and_a_stranger_a_number() {
    let fake = Fake::new(vec![vec![Step::Stall]]).await;
    let mut limited = token();
    limited.allowed_models = Some(vec!["gpt-*".into()]);
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        limited,
        &[&fake],
        |_, _| {},
        |house| async move {
            let (seen, _) = read_answer(
                &mut house
                    .send("POST", CHAT, "authorization: Bearer sk-nope\r\n", ASK)
                    .await,
            )
            .await;
            assert!(
                seen.starts_with("HTTP/1.1 401") && seen.contains("invalid_api_key"),
                "{seen}"
            );
            assert_eq!(house.spool.ledger().accepted, 0);
            assert_eq!(house.gateway.counters().read().unknown_credentials, 1);
            let (seen, _) = read_answer(&mut house.post(CHAT, r#"{"model":"o1"}"#).await).await;
            assert!(seen.starts_with("HTTP/1.1 403"), "{seen}");
            let record = house.record().await;
            assert_eq!((record.status_code, record.account_id), (403, 0));
            assert_eq!(
                (record.error_code.as_str(), record.model.as_str()),
                ("model_not_allowed", "o1")
            );
        },
    )
    .await;
}

#[actix_web::test]
async fn a_compressed_stream_passes_untouched_unless_our_chunk_is_in_it_and_is_metered() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer
        .write_all(format!("{HELLO}{USAGE}{DONE}").as_bytes())
        .unwrap();
    let packed = packer.finish().unwrap();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    answer.extend_from_slice(&packed);
    let fake = Fake::new(vec![vec![Step::Send(answer)]]).await;
    at(&fake, |house| async move {
        let asks_itself = ASK_STREAM.replace(
            r#""stream":true"#,
            r#""stream":true,"stream_options":{"include_usage":true}"#,
        );
        let mut socket = house.post(CHAT, &asks_itself).await;
        let mut head = Vec::new();
        let mut one = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(socket.read(&mut one).await.unwrap(), 1);
            head.push(one[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut body = vec![0; packed.len() + 64];
        let mut came = 0;
        while memchr::memmem::find(&body[..came], &packed).is_none() {
            let reading = tokio::time::timeout(PATIENCE, socket.read(&mut body[came..]));
            let more = reading.await.unwrap().unwrap();
            assert!(more > 0, "it ended without the compressed stream");
            came += more;
        }

        // Asked for by us alone: unpacked, and without the chunk.
        let (seen, complete) = read_answer(&mut house.post(CHAT, ASK_STREAM).await).await;
        assert!(complete && !seen.contains("content-encoding"), "{seen}");
        assert!(seen.contains(HELLO) && seen.contains(DONE), "{seen}");
        assert!(!seen.contains("usage"), "{seen}");
        for record in house.records() {
            assert_eq!((record.total_tokens, record.success), (11, true));
        }
        assert_eq!(house.records().len(), 2);
    })
    .await;
}

#[actix_web::test]
async fn a_full_spool_refuses_before_the_call_is_made() {
    let fake = Fake::new(vec![vec![Step::Stall]]).await;
    let upstream = fake.clone();
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        |_, spool| spool.min_free_bytes = u64::MAX,
        |house| async move {
            let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(seen.starts_with("HTTP/1.1 503"), "{seen}");
            assert!(
                seen.contains("ledger_full") && seen.contains("retry-after: "),
                "{seen}"
            );
            assert!(upstream.seen.borrow().is_empty());
            let counted = house.gateway.counters().read();
            assert_eq!((counted.refused_unrecorded, counted.in_flight), (1, 0));
            // What room there is belongs to the calls under way: a caller that keeps asking takes none of it.
            assert_eq!(house.spool.ledger().accepted, 0);
        },
    )
    .await;
}

#[actix_web::test]
async fn a_call_that_fails_after_the_spool_filled_up_is_on_the_books_with_its_attempts() {
    let fake = Fake::new(vec![vec![Step::Wait, Step::Close]]).await;
    let upstream = fake.clone();
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        |_, spool| spool.max_bytes = Some(2 * spool.segment_bytes),
        |house| async move {
            let mut socket = house.post(CHAT, ASK).await;
            eventually(|| !upstream.seen.borrow().is_empty()).await;
            let other = Record {
                error_message: "x".repeat(8 << 10),
                ..Record::default()
            };
            while matches!(house.spool.admits(), Admission::Open) {
                house
                    .spool
                    .append(RECORD_KIND, &other.encode_to_vec())
                    .unwrap();
            }
            // A refusal that nobody worked for leaves the room to calls like the one under way ...
            let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(seen.contains("ledger_full"), "{seen}");
            let before = house.spool.ledger().accepted;
            upstream.go_on();
            // ... whose account was asked, so that it is told of.
            let (seen, _) = read_answer(&mut socket).await;
            assert!(seen.contains("upstream_broken"), "{seen}");
            assert_eq!(house.spool.ledger().accepted, before + 1);
            let records = house.records();
            let record = records.last().unwrap();
            let tried: Vec<_> = record.attempts.iter().map(|one| one.account_id).collect();
            assert_eq!((record.status_code, tried), (502, vec![1]));
            assert_eq!(house.gateway.counters().read().refused_unrecorded, 1);
        },
    )
    .await;
}

#[actix_web::test]
async fn with_fsync_always_the_end_waits_for_the_disk() {
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(&format!("{HELLO}{USAGE}{DONE}"))),
        Step::Send(end()),
    ]])
    .await;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        |_, spool| spool.fsync = FsyncPolicy::Always,
        |house| async move {
            let mut socket = house.post(CHAT, ASK_STREAM).await;
            let mut seen = String::new();
            assert!(read_until(&mut socket, &mut seen, DONE).await, "{seen}");
            assert_eq!(house.spool.stats().durable_seq, 1);
            assert!(read_until(&mut socket, &mut seen, "\r\n0\r\n\r\n").await);
        },
    )
    .await;
}

#[actix_web::test]
async fn with_fsync_always_a_refusal_waits_for_the_disk_too() {
    let fake = Fake::new(vec![vec![Step::Close]]).await;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        |_, spool| spool.fsync = FsyncPolicy::Always,
        |house| async move {
            let (seen, _) = read_answer(&mut house.post(CHAT, "no json").await).await;
            assert!(seen.starts_with("HTTP/1.1 400"), "{seen}");
            assert_eq!(house.spool.stats().durable_seq, 1);
        },
    )
    .await;
}

#[actix_web::test]
async fn an_echoed_credential_is_starred_out_wherever_frames_are_cut() {
    let secret = "sk-upstream-secret";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed
        .write_all(format!("wrong key {secret}").as_bytes())
        .unwrap();
    let packed = packed.finish().unwrap();
    let head = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    let fake = Fake::new(vec![
        vec![
            Step::Send(
                b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 28\r\n\r\nwrong key sk-upst"
                    .to_vec(),
            ),
            Step::Wait,
            Step::Send(b"ream-secret".to_vec()),
        ],
        vec![Step::Send([head.as_bytes(), &packed].concat())],
    ])
    .await;
    let upstream = fake.clone();
    at(&fake, |house| async move {
        let mut socket = house.post(CHAT, ASK).await;
        let mut seen = String::new();
        assert!(read_until(&mut socket, &mut seen, "\r\n\r\n").await);
        upstream.go_on();
        let stars = "*".repeat(secret.len());
        assert!(read_until(&mut socket, &mut seen, &stars).await, "{seen}");
        assert!(seen.ends_with(&format!("wrong key {stars}")), "{seen}");

        let mut socket = house
            .send(
                "POST",
                CHAT,
                &format!(
                    "authorization: Bearer {}\r\naccept-encoding: gzip\r\nconnection: close\r\n",
                    house.secret
                ),
                ASK,
            )
            .await;
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let gzip = answer
            .windows(2)
            .position(|magic| magic == [0x1f, 0x8b])
            .unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&answer[gzip..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, format!("wrong key {stars}"));
    })
    .await;
}

#[actix_web::test]
async fn limits_refuse_with_a_time_to_retry_and_places_come_back() {
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
    let mut limited = token();
    limited.rpm = Some(2);
    limited.concurrency = Some(1);
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        limited,
        &[&fake],
        |_, _| {},
        |house| async move {
            for _ in 0..2 {
                let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
                assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
            }
            let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(seen.starts_with("HTTP/1.1 429"), "{seen}");
            assert!(
                seen.contains("retry-after: ") && seen.contains("rate_limit_exceeded"),
                "{seen}"
            );
            let records = house.records();
            assert_eq!(records.len(), 3);
            assert_eq!(records[2].error_code, "rate_limit_exceeded");
            assert!(records[0].usage_estimated && records[0].prompt_tokens > 0);
        },
    )
    .await;
}
