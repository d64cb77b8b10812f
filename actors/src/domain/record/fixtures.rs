//! Records as earlier versions left them in a spool. The bytes are committed and were made without this code, so that a tag
//! that is renumbered, reused or read as another type is noticed.
//!
//! A field more: the newest fixture stays as it is, another one is added beside it that has the field. With
//! `STEWARD_WRITE_FIXTURES` set, the newest is written anew: only before it has been released.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};

use super::{Attempt, Mode, Operation, Record, Source};

fn path(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/record");
    fixtures.join(name).with_extension("bin")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("fixture")
}

fn attempt(n: i64, status_code: i32, error_code: &str) -> Attempt {
    Attempt {
        account_id: n,
        account_public_id: format!("acc_{n}"),
        account_name: format!("account {n}"),
        started_at: 1_795_000_000_000_000 + n,
        duration_ms: 100 + n,
        status_code,
        error_code: error_code.into(),
    }
}

/// Every field there is, each with a value of its own. No `..Default::default()`: a new field must come by here.
fn newest() -> Record {
    Record {
        rid: 1_882_193_920_000_000_000,
        id_tail: 0x2A_5A5A_5A5A_5A5A,
        token_id: 3,
        token_public_id: "tok_4".into(),
        token_name: "token 5".into(),
        account_id: 6,
        account_public_id: "acc_7".into(),
        account_name: "account 8".into(),
        tenant_id: 9,
        tenant_public_id: "ten_10".into(),
        tenant_name: "tenant 11".into(),
        app: "app 12".into(),
        end_user: "user 13".into(),
        mode: Mode::Web.into(),
        provider: "provider 15".into(),
        model: "model 16".into(),
        upstream_model: "upstream model 17".into(),
        operation: Operation::Messages.into(),
        stream: true,
        request_at: 1_795_000_000_000_020,
        response_at: 1_795_000_000_000_021,
        duration_ms: 22,
        ttft_ms: Some(23),
        prompt_tokens: 24,
        completion_tokens: 25,
        total_tokens: 26,
        cached_tokens: 27,
        cache_write_tokens: 28,
        reasoning_tokens: 29,
        usage_estimated: true,
        cost_nano: 31,
        currency: "USD".into(),
        priced: true,
        price_id: 34,
        status_code: 502,
        success: true,
        error_code: "error_37".into(),
        error_message: "message 38".into(),
        conversation_id: "conversation 39".into(),
        source: Source::Ingest.into(),
        attempts: vec![attempt(1, 429, "limited"), attempt(2, 200, "last")],
        client_ip: "192.0.2.42".into(),
        upstream_request_id: "req-43".into(),
        prompt_version_id: 44,
        prompt_public_id: "prm_45".into(),
        prompt: "prompt@46".into(),
        knowledge: "qa_47,qa_48".into(),
        cache_write_1h_tokens: 48,
        units: 49,
        seen_keys: vec![-60, 61],
    }
}

/// Before records told what providers count in place of tokens.
fn hour_cache() -> Record {
    Record {
        units: 0,
        ..newest()
    }
}

/// Before records told how long a cache keeps what was written to it.
fn knowledge() -> Record {
    Record {
        cache_write_1h_tokens: 0,
        ..hour_cache()
    }
}

/// Before records said what of the tenant's knowledge they were given.
fn prompts() -> Record {
    Record {
        knowledge: String::new(),
        ..knowledge()
    }
}

/// Before records named the version of a prompt. Flags that are set together elsewhere are told apart here.
fn told() -> Record {
    Record {
        usage_estimated: false,
        success: false,
        prompt_version_id: 0,
        prompt_public_id: String::new(),
        prompt: String::new(),
        ..prompts()
    }
}

/// The first records there were.
fn first() -> Record {
    Record {
        usage_estimated: true,
        priced: false,
        seen_keys: Vec::new(),
        ..told()
    }
}

#[test]
fn records_of_every_version_say_what_they_said() {
    for (name, expected) in [
        ("first", first()),
        ("told", told()),
        ("prompts", prompts()),
        ("knowledge", knowledge()),
        ("hour_cache", hour_cache()),
        ("units", newest()),
    ] {
        let record = Record::decode(fixture(name).as_slice()).expect("decodes");
        assert_eq!(record, expected, "{name}");
        assert_eq!(
            (record.mode(), record.operation(), record.source()),
            (Mode::Web, Operation::Messages, Source::Ingest),
            "{name}"
        );
    }
}

#[test]
fn the_newest_fixture_is_what_this_code_writes_and_has_every_field() {
    let bytes = newest().encode_to_vec();
    if std::env::var_os("STEWARD_WRITE_FIXTURES").is_some() {
        std::fs::write(path("units"), &bytes).expect("writes");
    }
    assert!(fixture("units") == bytes, "the record's form has changed");
    let mut tags = BTreeSet::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (tag, kind) = decode_key(&mut rest).expect("a key");
        skip_field(kind, tag, &mut rest, DecodeContext::default()).expect("a field");
        tags.insert(tag);
    }
    let expected: BTreeSet<u32> = (1..=49).chain([60]).collect();
    assert_eq!(tags, expected);
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let mut bytes = fixture("units");
    // Tag 99, a text.
    bytes.extend_from_slice(&[0x9a, 0x06, 3, b'n', b'e', b'w']);
    assert_eq!(Record::decode(bytes.as_slice()), Ok(newest()));
}

#[test]
fn numbers_that_stand_for_words_stay() {
    let operations = [
        Operation::Unknown,
        Operation::Chat,
        Operation::Responses,
        Operation::Completion,
        Operation::Embedding,
        Operation::Messages,
        Operation::CountTokens,
        Operation::VectorQuery,
    ];
    for (number, operation) in (0..).zip(operations) {
        assert_eq!(Operation::try_from(number), Ok(operation));
    }
    for (number, mode) in (0..).zip([Mode::Api, Mode::Web]) {
        assert_eq!(Mode::try_from(number), Ok(mode));
    }
    for (number, source) in (0..).zip([Source::Gateway, Source::Otlp, Source::Ingest]) {
        assert_eq!(Source::try_from(number), Ok(source));
    }
}
