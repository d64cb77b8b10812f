use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(operation: Operation, usage: Value) -> Option<[u64; 6]> {
    let usage = Parts::read(operation, usage.to_string().as_bytes())?.usage();
    Some([
        usage.prompt,
        usage.completion,
        usage.total,
        usage.cached,
        usage.cache_write,
        usage.reasoning,
    ])
}

#[test]
fn every_providers_way_of_telling_is_understood() {
    use Operation as O;
    let cases = [
        // OpenAI chat.
        (
            O::Chat,
            json!({"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":4,"accepted_prediction_tokens":0}}),
            [19, 10, 29, 8, 0, 4],
        ),
        // OpenAI responses.
        (
            O::Responses,
            json!({"input_tokens":328,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":7},"output_tokens":52,"output_tokens_details":{"reasoning_tokens":30},"total_tokens":380}),
            [328, 52, 380, 100, 7, 30],
        ),
        // Embeddings.
        (
            O::Embedding,
            json!({"prompt_tokens":8,"total_tokens":8}),
            [8, 0, 8, 0, 0, 0],
        ),
        (O::Embedding, json!({"total_tokens":8}), [8, 0, 8, 0, 0, 0]),
        // Anthropic: input excludes the cache.
        (
            O::Messages,
            json!({"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"output_tokens":50,"output_tokens_details":{"thinking_tokens":20},"service_tier":"standard"}),
            [3210, 50, 3260, 3000, 200, 20],
        ),
        (
            O::Messages,
            json!({"input_tokens":10,"output_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4}}),
            [17, 5, 22, 0, 7, 0],
        ),
        // DeepSeek.
        (
            O::Chat,
            json!({"prompt_tokens":20,"completion_tokens":2,"total_tokens":22,"prompt_cache_hit_tokens":15,"prompt_cache_miss_tokens":5}),
            [20, 2, 22, 15, 0, 0],
        ),
        // Moonshot, xAI (total includes reasoning beside the completion), LiteLLM.
        (
            O::Chat,
            json!({"prompt_tokens":20,"completion_tokens":2,"total_tokens":22,"cached_tokens":6}),
            [20, 2, 22, 6, 0, 0],
        ),
        (
            O::Chat,
            json!({"prompt_tokens":20,"completion_tokens":2,"total_tokens":122,"completion_tokens_details":{"reasoning_tokens":100}}),
            [20, 2, 122, 0, 0, 100],
        ),
        (
            O::Chat,
            json!({"prompt_tokens":300,"completion_tokens":2,"total_tokens":302,"cache_creation_input_tokens":10,"cache_read_input_tokens":200}),
            [300, 2, 302, 200, 10, 0],
        ),
        // Sloppy ones.
        (
            O::Chat,
            json!({"prompt_tokens":20.0,"completion_tokens":"3","prompt_tokens_details":null,"completion_tokens_details":[]}),
            [20, 3, 23, 0, 0, 0],
        ),
    ];
    for (operation, usage, expected) in cases {
        assert_eq!(read(operation, usage.clone()), Some(expected), "{usage}");
    }
}

#[test]
fn what_says_nothing_is_nothing() {
    for usage in [
        json!(null),
        json!({}),
        json!([]),
        json!({"prompt_tokens":null}),
        json!({"prompt_tokens":-4}),
        json!({"prompt_tokens":1e300}),
    ] {
        assert_eq!(read(Operation::Chat, usage.clone()), None, "{usage}");
    }
}

#[test]
fn two_tellings_of_a_message_make_one() {
    let read = |text: &str| Parts::read(Operation::Messages, text.as_bytes()).unwrap();
    let start = read(
        r#"{"input_tokens":25,"cache_read_input_tokens":100,"cache_creation_input_tokens":0,"output_tokens":1}"#,
    );
    let end = read(r#"{"output_tokens":15}"#);
    let usage = start.merge(end).usage();
    assert_eq!(
        (usage.prompt, usage.completion, usage.total),
        (125, 15, 140)
    );
    let repeated = start.merge(read(
        r#"{"input_tokens":25,"cache_read_input_tokens":100,"output_tokens":15}"#,
    ));
    assert_eq!(repeated.usage(), usage);
}

/// The same, read off a tree: slow, and plain to see through.
fn by_tree(operation: Operation, raw: &[u8]) -> Option<Parts> {
    let usage: Value = serde_json::from_slice(raw).ok()?;
    let count = |value: &Value| match value {
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64))
            .filter(|number| *number <= COUNT_MAX),
        Value::String(text) => text.parse().ok().filter(|number| *number <= COUNT_MAX),
        _ => None,
    };
    let first = |paths: &[&str]| {
        paths.iter().find_map(|path| {
            let mut at = &usage;
            for key in path.split('.') {
                at = at.get(key)?;
            }
            count(at)
        })
    };
    let short = first(&["cache_creation.ephemeral_5m_input_tokens"]);
    let long = first(&["cache_creation.ephemeral_1h_input_tokens"]);
    let by_age =
        (short.is_some() || long.is_some()).then(|| short.unwrap_or(0) + long.unwrap_or(0));
    let prompt = first(&["prompt_tokens", "input_tokens"]);
    let completion = first(&["completion_tokens", "output_tokens"]);
    let total = first(&["total_tokens"]);
    let cached = first(&[
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "cache_read_input_tokens",
        "prompt_cache_hit_tokens",
        "cached_tokens",
    ]);
    let cache_write = first(&[
        "prompt_tokens_details.cache_write_tokens",
        "input_tokens_details.cache_write_tokens",
        "prompt_tokens_details.cache_creation_tokens",
        "input_tokens_details.cache_creation_tokens",
        "cache_creation_input_tokens",
    ])
    .or(by_age);
    let reasoning = first(&[
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "completion_tokens_details.thinking_tokens",
        "output_tokens_details.thinking_tokens",
        "reasoning_tokens",
    ]);
    prompt.or(completion).or(total).or(cached).or(cache_write)?;
    Some(Parts {
        prompt: prompt.unwrap_or(0),
        completion: completion.unwrap_or(0),
        total: total.unwrap_or(0),
        cached: cached.unwrap_or(0),
        cache_write: cache_write.unwrap_or(0),
        cache_write_1h: long.unwrap_or(0),
        reasoning: reasoning.unwrap_or(0),
        exclusive: operation == Operation::Messages && usage.get("prompt_tokens").is_none(),
    })
}

fn any_value(depth: u32) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        4 => (0u64..3_000).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => "[0-9]{0,4}|[a-z]{2}".prop_map(Value::from),
        1 => prop_oneof![Just(Value::Null), Just(json!(true)), Just(json!([1, {"a": 2}]))],
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let within = prop::collection::btree_map(
        "(cached|cache_write|cache_creation|reasoning|thinking|ephemeral_5m_input|ephemeral_1h_input|audio)_tokens",
        any_value(0),
        0..5,
    );
    prop_oneof![2 => leaf, 1 => within.prop_map(|map| Value::Object(map.into_iter().collect()))]
        .boxed()
}

proptest! {
    #[test]
    fn reading_is_what_a_tree_would_say(
        fields in prop::collection::btree_map(
            "(prompt|input|completion|output|total|cached|reasoning|cache_read_input|cache_creation_input|prompt_cache_hit)_tokens|(prompt|input|completion|output)_tokens_details|cache_creation|service_tier",
            any_value(1),
            0..8,
        ),
        messages: bool,
    ) {
        let operation = if messages { Operation::Messages } else { Operation::Chat };
        let raw = Value::Object(fields.into_iter().collect()).to_string();
        prop_assert_eq!(Parts::read(operation, raw.as_bytes()), by_tree(operation, raw.as_bytes()), "{}", raw);
    }
}
