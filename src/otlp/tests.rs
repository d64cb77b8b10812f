//! What real libraries send (`tests/otlp`), both encodings of one span, and anything at all.

use proptest::prelude::*;
use prost::Message;
use serde_json::json;
use steward_actors::domain::record::{Operation, Record};
use steward_actors::domain::redaction::RedactionMode;
use steward_actors::domain::snapshot::TokenView;

use super::call::Rejected;
use super::span::{Context, Span};
use super::{Encoding, Malformed, Taken, answer, json as otlp_json, take, wire};

/// Later than every payload was made.
const NOW: i64 = 1_800_000_000_000_000;

fn token() -> TokenView {
    TokenView {
        id: 7,
        public_id: "tok_7".into(),
        name: "shop".into(),
        tenant_id: 3,
        tenant_public_id: "ten_3".into(),
        tenant_name: "Shop".into(),
        tenant_suspended: false,
        app: String::new(),
        enabled: true,
        expires_at: None,
        allowed_models: None,
        rpm: None,
        tpm: None,
        concurrency: None,
        token_quota: None,
        budget: Default::default(),
        tenant_budget: Default::default(),
        enable_conversation_logging: false,
        knowledge: false,
        redaction: RedactionMode::default(),
    }
}

fn payload(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/otlp/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn taken(name: &str) -> Vec<Record> {
    let encoding = match name.ends_with(".pb") {
        true => Encoding::Protobuf,
        false => Encoding::Json,
    };
    let taken = take(encoding, &payload(name), &token(), NOW).unwrap();
    assert_eq!((taken.rejected, taken.reason), (0, None), "{name}");
    taken.records
}

/// Prompt, completion, total, cached, cache-written and reasoning tokens.
fn usage(record: &Record) -> [i64; 6] {
    [
        record.prompt_tokens,
        record.completion_tokens,
        record.total_tokens,
        record.cached_tokens,
        record.cache_write_tokens,
        record.reasoning_tokens,
    ]
}

fn seen_as(record: &Record) -> (Operation, &str, &str, [i64; 6], i32, bool) {
    (
        record.operation(),
        &record.provider,
        &record.model,
        usage(record),
        record.status_code,
        record.stream,
    )
}

#[test]
fn openai_calls_read_the_same_whichever_library_tells_them() {
    for name in ["openllmetry_openai.pb", "openinference_openai.pb"] {
        let records = taken(name);
        // Only one of the two tells reasoning tokens of a stream.
        let reasoning = if name.starts_with("openinference") {
            3
        } else {
            0
        };
        let chat = Operation::Chat;
        let expected = [
            (chat, "openai", "gpt-4o", [19, 5, 24, 4, 0, 0], 200, false),
            (
                chat,
                "openai",
                "gpt-4o+reasoning",
                [19, 5, 24, 4, 0, reasoning],
                200,
                true,
            ),
            (
                Operation::Embedding,
                "openai",
                "text-embedding-3-small",
                [19, 0, 19, 0, 0, 0],
                200,
                false,
            ),
            (chat, "openai", "gpt-4o+status=429", [0; 6], 429, false),
        ];
        let found: Vec<_> = records.iter().map(seen_as).collect();
        assert_eq!(found, expected, "{name}");
        assert!(records[1].ttft_ms.is_some(), "{name}");
        let failed = &records[3];
        assert!(!failed.success && failed.error_code == "upstream_error");
        assert!(
            failed.error_message.contains("429"),
            "{}",
            failed.error_message
        );
        for record in &records {
            assert_eq!(
                (record.app.as_str(), record.token_id, record.tenant_id),
                ("shop", 7, 3)
            );
            assert!(!record.priced && record.currency.is_empty());
            assert!(record.response_at >= record.request_at);
        }
    }
}

#[test]
fn anthropics_cached_tokens_are_counted_once_whoever_tells_them() {
    let expected = (
        Operation::Messages,
        "anthropic",
        "claude-sonnet-4-5",
        [25, 5, 30, 4, 2, 0],
        200,
        false,
    );
    for name in [
        "openllmetry_anthropic.pb",
        "native_anthropic.pb",
        "openinference_anthropic.pb",
    ] {
        for record in taken(name) {
            assert_eq!(seen_as(&record), expected, "{name}");
        }
    }
    assert_eq!(seen_as(&taken("vercel_ai.json")[3]), expected);
}

#[test]
fn two_spans_of_one_call_share_a_key() {
    // Anthropic's client tells of the call itself, inside the instrumentation's span.
    let records = taken("openinference_anthropic.pb");
    assert_eq!(records.len(), 2);
    let (own, other) = (&records[0].seen_keys, &records[1].seen_keys);
    assert_eq!((own.len(), other.len()), (2, 2));
    assert_ne!(own[0], other[0]);
    assert_eq!(own[1], other[1]);
}

#[test]
fn of_the_vercel_sdks_spans_the_steps_count_and_their_sums_do_not() {
    let records = taken("vercel_ai.json");
    let found: Vec<_> = records[..3].iter().map(seen_as).collect();
    let expected = [
        (
            Operation::Chat,
            "openai",
            "gpt-4o",
            [19, 5, 24, 4, 0, 0],
            200,
            false,
        ),
        (
            Operation::Responses,
            "openai",
            "gpt-4o-mini",
            [19, 5, 24, 4, 0, 0],
            200,
            true,
        ),
        (
            Operation::Embedding,
            "openai",
            "text-embedding-3-small",
            [19, 0, 19, 0, 0, 0],
            200,
            false,
        ),
    ];
    assert_eq!(found, expected);
    assert_eq!(records.len(), 4);
    assert_eq!(records[1].ttft_ms, Some(30));
    for record in &records {
        assert_eq!(
            (record.end_user.as_str(), record.conversation_id.as_str()),
            ("anna", "conv-7")
        );
    }
}

#[test]
fn spans_written_by_hand_are_read_and_others_passed_over() {
    let records = taken("plain_sdk.pb");
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(usage(record), [120, 30, 150, 64, 0, 10]);
    assert_eq!(record.upstream_model, "gpt-4o-2024-08-06");
    assert_eq!(
        (record.end_user.as_str(), record.conversation_id.as_str()),
        ("anna", "conv-7")
    );
}

/// One span as JSON with these attributes, in this scope.
fn one(scope: &str, attributes: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    json!({"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": [{
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
        "startTimeUnixNano": "1795244177813000000", "endTimeUnixNano": "1795244178813000000",
        "attributes": attributes,
    }]}]}]})
}

fn text(text: &str) -> serde_json::Value {
    json!({"stringValue": text})
}

fn int(int: i64) -> serde_json::Value {
    json!({"intValue": int.to_string()})
}

fn read(body: &serde_json::Value) -> Taken {
    take(Encoding::Json, body.to_string().as_bytes(), &token(), NOW).unwrap()
}

#[test]
fn openlit_leaves_anthropics_cached_tokens_out_of_the_input() {
    let attributes = [
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.system", text("anthropic")),
        ("gen_ai.request.model", text("claude-sonnet-4-5")),
        ("gen_ai.usage.input_tokens", int(100)),
        ("gen_ai.usage.output_tokens", int(5)),
        ("gen_ai.usage.cache_read.input_tokens", int(40)),
        ("gen_ai.usage.cache_creation.input_tokens", int(2)),
    ];
    for (scope, expected) in [
        ("openlit.otel.tracing", [142, 5, 147, 40, 2, 0]),
        (
            "opentelemetry.instrumentation.anthropic",
            [100, 5, 105, 40, 2, 0],
        ),
        ("com.anthropic.sdk.python", [100, 5, 105, 40, 2, 0]),
    ] {
        assert_eq!(
            usage(&read(&one(scope, &attributes)).records[0]),
            expected,
            "{scope}"
        );
    }
}

#[test]
fn the_older_names_of_numbers_are_known() {
    let base = [
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.system", text("az.ai.openai")),
        ("gen_ai.request.model", text("o3")),
    ];
    type Case<'a> = (&'a str, serde_json::Value, fn(&Record) -> i64, i64);
    let cases: [Case<'_>; 8] = [
        ("gen_ai.usage.prompt_tokens", int(9), |r| r.prompt_tokens, 9),
        (
            "gen_ai.usage.completion_tokens",
            int(8),
            |r| r.completion_tokens,
            8,
        ),
        (
            "gen_ai.usage.reasoning_tokens",
            int(7),
            |r| r.reasoning_tokens,
            7,
        ),
        (
            "gen_ai.usage.cache_write.input_tokens",
            int(6),
            |r| r.cache_write_tokens,
            6,
        ),
        ("gen_ai.client.token.usage", int(5), |r| r.total_tokens, 5),
        (
            "gen_ai.server.time_to_first_token",
            json!({"doubleValue": 0.25}),
            |r| r.ttft_ms.unwrap(),
            250,
        ),
        (
            "gen_ai.response.time_to_first_chunk",
            json!({"doubleValue": 0.5}),
            |r| r.ttft_ms.unwrap(),
            500,
        ),
        (
            "gen_ai.usage.cost",
            json!({"doubleValue": 0.00125}),
            |r| r.cost_nano,
            1_250_000,
        ),
    ];
    for (name, value, get, expected) in cases {
        let attributes = [&base[..], &[(name, value)]].concat();
        let record = &read(&one("x", &attributes)).records[0];
        assert_eq!(get(record), expected, "{name}");
        assert_eq!(record.provider, "azure");
    }
    // A cost of nothing is a price nobody knew.
    let attributes = [
        &base[..],
        &[("gen_ai.usage.cost", json!({"doubleValue": 0.0}))],
    ]
    .concat();
    assert!(!read(&one("x", &attributes)).records[0].priced);
}

#[test]
fn agents_tools_and_chains_are_no_calls() {
    for attributes in [
        vec![
            ("gen_ai.operation.name", text("execute_tool")),
            ("gen_ai.system", text("openai")),
        ],
        vec![
            ("gen_ai.operation.name", text("invoke_agent")),
            ("gen_ai.request.model", text("m")),
        ],
        vec![
            ("openinference.span.kind", text("CHAIN")),
            ("llm.model_name", text("m")),
        ],
        vec![
            ("traceloop.span.kind", text("workflow")),
            ("gen_ai.system", text("openai")),
        ],
        vec![
            ("ai.operationId", text("ai.generateText")),
            ("ai.model.id", text("m")),
        ],
        vec![("ai.operationId", text("ai.toolCall"))],
        vec![("http.request.method", text("POST"))],
    ] {
        let taken = read(&one("x", &attributes));
        assert!(
            taken.records.is_empty() && taken.rejected == 0,
            "{attributes:?}"
        );
    }
}

#[test]
fn a_call_that_cannot_be_booked_is_rejected_and_the_rest_is_taken() {
    let good = one(
        "x",
        &[
            ("gen_ai.operation.name", text("chat")),
            ("gen_ai.system", text("openai")),
        ],
    );
    let span = &good["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    for (field, value, reason) in [
        ("spanId", json!("00"), Rejected::Ids),
        ("spanId", json!("zz"), Rejected::Ids),
        ("traceId", json!(""), Rejected::Ids),
        ("startTimeUnixNano", json!("0"), Rejected::Time),
        (
            "startTimeUnixNano",
            json!("18446744073709551615"),
            Rejected::Time,
        ),
        ("status", json!(5), Rejected::Unreadable),
    ] {
        let mut bad = span.clone();
        bad[field] = value;
        let mut both = good.clone();
        both["resourceSpans"][0]["scopeSpans"][0]["spans"] = json!([bad, span]);
        let taken = read(&both);
        assert_eq!(
            (taken.rejected, taken.reason, taken.records.len()),
            (1, Some(reason), 1),
            "{field}"
        );
    }
}

#[test]
fn a_providers_complaint_does_not_carry_a_key_onto_the_books() {
    let key = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789";
    let mut body = one(
        "x",
        &[
            ("gen_ai.operation.name", text("chat")),
            ("error.type", text("401")),
        ],
    );
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"] =
        json!({"code": 2, "message": format!("Incorrect API key provided: {key}")});
    let record = &read(&body).records[0];
    assert_eq!(record.status_code, 401);
    assert!(
        !record.error_message.contains(key),
        "{}",
        record.error_message
    );
}

#[test]
fn answers_are_as_the_protocol_says() {
    assert!(answer::taken(Encoding::Protobuf, 0, "").is_empty());
    assert_eq!(answer::taken(Encoding::Json, 0, ""), b"{}");
    let told = answer::taken(Encoding::Json, 2, "why");
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(
        told,
        json!({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "why"}})
    );
    // partial_success = 1 { rejected_spans = 1: 2, error_message = 2: "why" }
    let told = answer::taken(Encoding::Protobuf, 2, "why");
    assert_eq!(told, b"\x0a\x07\x08\x02\x12\x03why");
    let refused = answer::refused(Encoding::Protobuf, 401, "no");
    assert_eq!(refused, b"\x08\x10\x12\x02no");
}

/// As the protocol's own definition has it, for writing what the walker reads.
mod proto {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_spans: Vec<ResourceSpans>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scope_spans: Vec<ScopeSpans>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<Pair>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ScopeSpans {
        #[prost(message, optional, tag = "1")]
        pub(super) scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Scope {
        #[prost(string, tag = "1")]
        pub(super) name: String,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        #[prost(fixed64, tag = "7")]
        pub(super) start: u64,
        #[prost(fixed64, tag = "8")]
        pub(super) end: u64,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<Pair>,
        #[prost(message, optional, tag = "15")]
        pub(super) status: Option<Status>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Status {
        #[prost(string, tag = "2")]
        pub(super) message: String,
        #[prost(int32, tag = "3")]
        pub(super) code: i32,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Pair {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<AnyValue>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct AnyValue {
        #[prost(oneof = "Kind", tags = "1, 2, 3, 4")]
        pub(super) kind: Option<Kind>,
    }
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Kind {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(int64, tag = "3")]
        Int(i64),
        #[prost(double, tag = "4")]
        Double(f64),
    }
}

fn any_value() -> impl Strategy<Value = proto::Kind> {
    prop_oneof![
        "\\PC{0,40}".prop_map(proto::Kind::Text),
        any::<bool>().prop_map(proto::Kind::Bool),
        any::<i64>().prop_map(proto::Kind::Int),
        (-1e12_f64..1e12).prop_map(proto::Kind::Double),
    ]
}

fn any_pair() -> impl Strategy<Value = proto::Pair> {
    let keys = prop_oneof![
        Just("gen_ai.operation.name".to_owned()),
        Just("gen_ai.usage.input_tokens".to_owned()),
        Just("gen_ai.usage.cost".to_owned()),
        Just("openinference.span.kind".to_owned()),
        Just("output.value".to_owned()),
        Just("error.type".to_owned()),
        "[a-z._]{0,20}",
    ];
    (keys, any_value()).prop_map(|(key, kind)| proto::Pair {
        key,
        value: Some(proto::AnyValue { kind: Some(kind) }),
    })
}

fn in_json(pair: &proto::Pair) -> serde_json::Value {
    let value = match pair.value.as_ref().and_then(|value| value.kind.as_ref()) {
        Some(proto::Kind::Text(text)) => json!({"stringValue": text}),
        Some(proto::Kind::Bool(truth)) => json!({"boolValue": truth}),
        Some(proto::Kind::Int(int)) => json!({"intValue": int.to_string()}),
        Some(proto::Kind::Double(double)) => json!({"doubleValue": double}),
        None => json!({}),
    };
    json!({"key": pair.key, "value": value})
}

type Reader = fn(&[u8], &mut dyn FnMut(&Context, Option<Span>)) -> Result<(), Malformed>;

fn spans(read: Reader, body: &[u8]) -> Vec<(Context, Option<Span>)> {
    let mut spans = Vec::new();
    read(body, &mut |context, span| {
        spans.push((context.clone(), span))
    })
    .unwrap();
    spans
}

proptest! {
    #[test]
    fn both_encodings_say_the_same(
        attributes in prop::collection::vec(any_pair(), 0..8),
        service in "\\PC{0,20}", scope in "\\PC{0,20}", message in "\\PC{0,20}",
        trace in any::<[u8; 16]>(), id in any::<[u8; 8]>(), start: u64, end: u64, code in 0..3_i32,
    ) {
        let resource = proto::Pair {
            key: "service.name".into(),
            value: Some(proto::AnyValue { kind: Some(proto::Kind::Text(service)) }),
        };
        let told = json!({"resourceSpans": [{
            "resource": {"attributes": [in_json(&resource)]},
            "scopeSpans": [{"scope": {"name": scope}, "spans": [{
                "traceId": hex::encode(trace), "spanId": hex::encode(id),
                "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end,
                "attributes": attributes.iter().map(in_json).collect::<Vec<_>>(),
                "status": {"code": code, "message": message},
            }]}],
        }]});
        let written = proto::Request { resource_spans: vec![proto::ResourceSpans {
            resource: Some(proto::Resource { attributes: vec![resource] }),
            scope_spans: vec![proto::ScopeSpans {
                scope: Some(proto::Scope { name: scope }),
                spans: vec![proto::Span {
                    trace_id: trace.to_vec(), span_id: id.to_vec(), start, end, attributes,
                    status: Some(proto::Status { message, code }),
                }],
            }],
        }]};
        let from_json = spans(|body, each| otlp_json::read(body, &mut |c, s| each(c, s)), told.to_string().as_bytes());
        let from_wire = spans(|body, each| wire::read(body, &mut |c, s| each(c, s)), &written.encode_to_vec());
        prop_assert_eq!(from_json, from_wire);
    }

    #[test]
    fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let _ = take(encoding, &body, &token(), NOW);
        }
    }

    #[test]
    fn a_damaged_payload_never_makes_a_record_the_books_refuse(
        which in 0..4_usize, at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let names = ["openllmetry_openai.pb", "openinference_anthropic.pb", "plain_sdk.pb", "vercel_ai.json"];
        let mut body = payload(names[which]);
        for (index, byte) in at {
            let index = index.index(body.len());
            body[index] = byte;
        }
        let encoding = if which == 3 { Encoding::Json } else { Encoding::Protobuf };
        if let Ok(taken) = take(encoding, &body, &token(), NOW) {
            for record in taken.records {
                prop_assert!(record.encoded_len() <= 4_096);
                prop_assert!(record.duration_ms >= 0 && record.response_at >= record.request_at);
                prop_assert!(record.request_at > 0 && record.cost_nano >= 0);
                prop_assert!(usage(&record).iter().all(|count| (0..=1 << 43).contains(count)));
                prop_assert!((100..600).contains(&record.status_code));
            }
        }
    }
}
