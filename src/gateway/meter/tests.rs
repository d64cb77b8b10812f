//! Streams and bodies in the shapes the providers send.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::super::sse::{Splitter, Verdict};
use super::*;

/// What a client that did not ask for usage gets, the reading, and the index of the first content event.
struct Run {
    out: Vec<u8>,
    held: Vec<u8>,
    reading: Reading,
    first_content: Option<usize>,
}

fn run(operation: Operation, stream: &[u8], piece: usize) -> Run {
    let mut meter = Meter::new(operation);
    let mut splitter = Splitter::new();
    let mut out = Vec::new();
    let mut index = 0;
    let mut first_content = None;
    let mut judge = |event: &Event<'_>| {
        let seen = meter.event(event);
        if seen.content && first_content.is_none() {
            first_content = Some(index);
        }
        index += 1;
        match seen {
            Seen { terminal: true, .. } => Verdict::Hold,
            Seen {
                usage_only: true, ..
            } => Verdict::Drop,
            _ => Verdict::Pass,
        }
    };
    for part in stream.chunks(piece) {
        splitter.push(Bytes::copy_from_slice(part), &mut out, &mut judge);
    }
    splitter.finish(&mut out, &mut judge);
    Run {
        out: out.concat(),
        held: splitter.release().concat(),
        reading: meter.reading(),
        first_content,
    }
}

fn body(operation: Operation, bytes: &[u8], piece: usize) -> Reading {
    let mut meter = Meter::new(operation);
    for part in bytes.chunks(piece) {
        meter.body(part);
    }
    meter.reading()
}

const CHAT: &str = r#"data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}

data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"Hello \"usage\":{"},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":" 世界\u4e16"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-2024-08-06","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":0}}}

data: [DONE]

"#;

const MESSAGES: &str = r#"event: message_start
data: {"type": "message_start", "message": {"id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY", "type": "message", "role": "assistant", "content": [], "model": "claude-sonnet-4-5-20250929", "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 25, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1}}}

event: content_block_start
data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}

event: content_block_delta
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "!"}}

event: content_block_stop
data: {"type": "content_block_stop", "index": 0}

event: message_delta
data: {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence":null}, "usage": {"output_tokens": 15}}

event: message_stop
data: {"type": "message_stop"}

"#;

const RESPONSES: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_67c9","object":"response","status":"in_progress","error":null,"model":"gpt-4.1-2025-04-14","output":[],"tools":[{"type":"function","name":"f","parameters":{"properties":{"usage":{"type":"object","input_tokens":999}}}}],"usage":null}}

event: response.in_progress
data: {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_67c9","model":"gpt-4.1-2025-04-14","usage":null}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"msg_67c9","type":"message","status":"in_progress","role":"assistant","content":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_67c9","output_index":0,"content_index":0,"delta":"Hi","logprobs":[]}

event: response.output_text.done
data: {"type":"response.output_text.done","sequence_number":4,"item_id":"msg_67c9","text":"Hi"}

event: response.completed
data: {"type":"response.completed","sequence_number":5,"response":{"id":"resp_67c9","object":"response","status":"completed","error":null,"model":"gpt-4.1-2025-04-14","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"tools":[{"type":"function","parameters":{"properties":{"usage":{"type":"object","input_tokens":999}}}}],"usage":{"input_tokens":37,"input_tokens_details":{"cached_tokens":5,"cache_write_tokens":6},"output_tokens":11,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":48},"user":null,"metadata":{}}}

"#;

#[test]
fn a_chat_stream_is_metered_in_any_chunking() {
    for piece in [1, 2, 7, 64, 1_000, 100_000] {
        let run = run(Operation::Chat, CHAT.as_bytes(), piece);
        let reading = run.reading;
        let usage = reading.usage.unwrap();
        assert_eq!(
            (
                usage.prompt,
                usage.completion,
                usage.total,
                usage.cached,
                usage.reasoning
            ),
            (19, 10, 29, 4, 2)
        );
        assert!(reading.usage_final && reading.complete && reading.content);
        assert_eq!(reading.model.as_deref(), Some("gpt-4o-2024-08-06"));
        assert_eq!(reading.response_id.as_deref(), Some("chatcmpl-123"));
        assert_eq!(reading.output.sample, "Hello \"usage\":{ 世界世");
        assert_eq!(run.first_content, Some(1));
        assert_eq!(run.held, b"data: [DONE]\n\n");
        let at = CHAT.find("data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[],").unwrap();
        assert_eq!(run.out, &CHAT.as_bytes()[..at]);
    }
}

#[test]
fn a_messages_stream_is_metered_in_any_chunking() {
    for piece in [1, 3, 50, 100_000] {
        let run = run(Operation::Messages, MESSAGES.as_bytes(), piece);
        let usage = run.reading.usage.unwrap();
        assert_eq!(
            (
                usage.prompt,
                usage.completion,
                usage.total,
                usage.cached,
                usage.cache_write
            ),
            (135, 15, 150, 100, 10)
        );
        assert!(run.reading.usage_final && run.reading.complete);
        assert_eq!(
            run.reading.model.as_deref(),
            Some("claude-sonnet-4-5-20250929")
        );
        assert_eq!(run.reading.output.sample, "Hello!");
        assert_eq!(run.first_content, Some(3));
        assert!(run.held.starts_with(b"event: message_stop"));
        assert_eq!([run.out, run.held].concat(), MESSAGES.as_bytes());
    }
}

#[test]
fn a_responses_stream_is_metered_in_any_chunking() {
    for piece in [1, 5, 300, 100_000] {
        let run = run(Operation::Responses, RESPONSES.as_bytes(), piece);
        let usage = run.reading.usage.unwrap();
        assert_eq!(
            [
                usage.prompt,
                usage.completion,
                usage.total,
                usage.cached,
                usage.cache_write,
                usage.reasoning
            ],
            [37, 11, 48, 5, 6, 3]
        );
        assert_eq!(run.reading.response_id.as_deref(), Some("resp_67c9"));
        assert_eq!(run.reading.output.sample, "Hi");
        assert_eq!(run.reading.error, None);
        assert_eq!(run.first_content, Some(3));
        assert!(run.held.starts_with(b"event: response.completed"));
    }
}

#[test]
fn events_without_names_are_known_by_their_type() {
    let unnamed: String = MESSAGES
        .lines()
        .filter(|line| !line.starts_with("event:"))
        .map(|line| format!("{line}\n"))
        .collect();
    let run = run(Operation::Messages, unnamed.as_bytes(), 40);
    assert_eq!(run.reading.usage.unwrap().total, 150);
    assert!(run.reading.complete);
}

#[test]
fn a_cut_stream_tells_what_came() {
    let cut = &MESSAGES[..MESSAGES.find("event: content_block_stop").unwrap()];
    let reading = run(Operation::Messages, cut.as_bytes(), 30).reading;
    assert!(!reading.complete && !reading.usage_final);
    assert_eq!(reading.usage.unwrap().prompt, 135);
    assert_eq!(reading.output.total_bytes, 6);

    let cut = &CHAT[..CHAT.find("\"finish_reason\":\"stop\"").unwrap()];
    let reading = run(Operation::Chat, cut.as_bytes(), 30).reading;
    assert!(!reading.complete && reading.usage.is_none());
    assert!(reading.output.total_bytes > 10);
}

#[test]
fn the_first_token_may_be_a_tool_call_or_a_thought() {
    let chat = |delta: &str| {
        let stream = format!(
            "data: {{\"model\":\"m\",\"choices\":[{{\"delta\":{{\"role\":\"assistant\",\"content\":null}}}}]}}\n\ndata: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n"
        );
        run(Operation::Chat, stream.as_bytes(), 1_000).first_content
    };
    assert_eq!(
        chat(
            r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}"#
        ),
        Some(1)
    );
    assert_eq!(
        chat(r#"{"content":null,"reasoning_content":"Hm"}"#),
        Some(1)
    );
    assert_eq!(chat(r#"{"reasoning": "Hm"}"#), Some(1));
    assert_eq!(chat(r#"{"content":"","tool_calls":[]}"#), None);
    assert_eq!(chat("{}"), None);

    let thought = MESSAGES
        .replace("text_delta", "thinking_delta")
        .replace("\"text\": \"Hello\"", "\"thinking\": \"Hello\"");
    assert_eq!(
        run(Operation::Messages, thought.as_bytes(), 99).first_content,
        Some(3)
    );
    let tool = MESSAGES.replace(
        r#"{"type": "text", "text": ""}"#,
        r#"{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}"#,
    );
    assert_eq!(
        run(Operation::Messages, tool.as_bytes(), 99).first_content,
        Some(1)
    );
}

#[test]
fn variants_of_the_usage_chunk_are_told_apart() {
    // Usage in the last content chunk passes to the client.
    let own = "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    let seen = run(Operation::Chat, own.as_bytes(), 50);
    assert_eq!(seen.reading.usage.unwrap().total, 3);
    assert!(seen.out.ends_with(b"2}}\n\n"));
    // Azure opens with an empty choice list that carries no usage.
    let azure = "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{}]}\n\n";
    let seen = run(Operation::Chat, azure.as_bytes(), 50);
    assert_eq!(seen.out, azure.as_bytes());
    // Groq, spaced and beside the standard field.
    let groq = "data: {\"id\":\"x\",\"choices\":[{\"delta\":{}}],\"x_groq\":{\"id\":\"r\",\"usage\": {\"prompt_tokens\": 4,\"completion_tokens\":5}}}\n\n";
    assert_eq!(
        run(Operation::Chat, groq.as_bytes(), 50)
            .reading
            .usage
            .unwrap()
            .total,
        9
    );
    // Spaces as Python writes them.
    let spaced =
        "data: {\"choices\": [ ], \"usage\" : {\"prompt_tokens\": 4, \"total_tokens\": 4}}\n\n";
    let seen = run(Operation::Chat, spaced.as_bytes(), 50);
    assert!(seen.out.is_empty());
    // Running totals: the last counts.
    let running = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":1}}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\n";
    assert_eq!(
        run(Operation::Chat, running.as_bytes(), 50)
            .reading
            .usage
            .unwrap()
            .completion,
        2
    );
}

#[test]
fn errors_within_a_stream_are_read_and_scrubbed() {
    let chat = "data: {\"error\":{\"message\":\"bad key sk-proj-abcdef1234567890abcd\",\"type\":\"server_error\",\"code\":null}}\n\n";
    let error = run(Operation::Chat, chat.as_bytes(), 9)
        .reading
        .error
        .unwrap();
    assert_eq!(error.code, "server_error");
    assert_eq!(error.message, "bad key [redacted]");

    let messages = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}}\n\n";
    let error = run(Operation::Messages, messages.as_bytes(), 9)
        .reading
        .error
        .unwrap();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("overloaded_error", "Overloaded")
    );

    let responses = "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"oops\",\"param\":null,\"sequence_number\":4}\n\n";
    let error = run(Operation::Responses, responses.as_bytes(), 9)
        .reading
        .error
        .unwrap();
    assert_eq!(error.code, "server_error");

    let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":1,\"response\":{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"},\"model\":\"m\",\"usage\":null}}\n\n";
    let seen = run(Operation::Responses, failed.as_bytes(), 9);
    assert_eq!(seen.reading.error.unwrap().code, "rate_limit_exceeded");
    assert!(seen.reading.complete);
}

#[test]
fn the_sequence_goes_on_where_the_provider_stopped() {
    let mut meter = Meter::new(Operation::Responses);
    assert_eq!(meter.next_sequence(), 0);
    let mut splitter = Splitter::new();
    splitter.push(
        Bytes::from_static(RESPONSES.as_bytes()),
        &mut Vec::new(),
        |event| {
            meter.event(event);
            Verdict::Pass
        },
    );
    assert_eq!(meter.next_sequence(), 6);
}

#[test]
fn a_terminal_event_beyond_the_bound_is_still_held_and_its_usage_read() {
    let image = "A".repeat(3 << 20);
    let stream = format!(
        "event: response.completed\ndata: {{\"type\":\"response.completed\",\"sequence_number\":5,\"response\":{{\"id\":\"r\",\"model\":\"m\",\"output\":[{{\"type\":\"image_generation_call\",\"result\":\"{image}\"}}],\"usage\":{{\"input_tokens\":7,\"output_tokens\":8,\"total_tokens\":15}},\"user\":null,\"metadata\":{{}}}}}}\n\n"
    );
    let run = run(Operation::Responses, stream.as_bytes(), 16_000);
    assert!(run.reading.complete && run.reading.usage_final);
    assert_eq!(run.reading.usage.unwrap().total, 15);
    assert!(run.held.ends_with(b"\n\n") && !run.held.is_empty());
    assert_eq!([run.out, run.held].concat(), stream.as_bytes());
}

#[test]
fn bodies_are_read_in_any_pieces() {
    let chat = json!({"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"Hello \"there\"","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}).to_string();
    let messages = json!({"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Hi!"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":25,"cache_read_input_tokens":5}}).to_string();
    let responses = json!({"id":"resp_1","object":"response","error":null,"model":"gpt-4.1","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"usage":{"input_tokens":36,"output_tokens":87,"total_tokens":123}}).to_string();
    for piece in [1, 13, 10_000] {
        let reading = body(Operation::Chat, chat.as_bytes(), piece);
        assert_eq!(reading.usage.unwrap().total, 21);
        assert!(reading.usage_final && reading.complete);
        assert_eq!(reading.model.as_deref(), Some("gpt-4o-2024-08-06"));
        assert!(reading.content);
        let silent = chat.replace("\"usage\"", "\"usages\"");
        let reading = body(Operation::Chat, silent.as_bytes(), piece);
        assert!(reading.usage.is_none());
        assert_eq!(reading.output.sample, "Hello \"there\"");

        let reading = body(Operation::Messages, messages.as_bytes(), piece);
        assert_eq!(reading.usage.unwrap().prompt, 15);
        assert!(reading.content);

        let reading = body(Operation::Responses, responses.as_bytes(), piece);
        assert_eq!(reading.usage.unwrap().total, 123);
        assert_eq!(reading.error, None);
    }
}

#[test]
fn a_large_embedding_answer_is_read_without_being_held() {
    let vector = "-0.0069292834,".repeat(1_500_000);
    let text = format!(
        "{{\"object\":\"list\",\"data\":[{{\"object\":\"embedding\",\"index\":0,\"embedding\":[{}0.1]}}],\"model\":\"text-embedding-3-small\",\"usage\":{{\"prompt_tokens\":8,\"total_tokens\":8}}}}",
        vector
    );
    let reading = body(Operation::Embedding, text.as_bytes(), 64 * 1024);
    assert_eq!(reading.usage.unwrap().prompt, 8);
    assert_eq!(reading.model.as_deref(), Some("text-embedding-3-small"));
    assert_eq!(reading.output, OutputText::default());
}

#[test]
fn a_long_answer_without_usage_is_sampled_and_measured() {
    let text = "word ".repeat(200_000);
    let answer = json!({"choices":[{"message":{"content":text}}],"model":"m"}).to_string();
    let reading = body(Operation::Chat, answer.as_bytes(), 10_000);
    assert!(reading.usage.is_none());
    assert!(reading.output.sample.len() <= SAMPLE_MAX_BYTES);
    let error = reading.output.total_bytes as f64 / 1_000_000.0 - 1.0;
    assert!(error.abs() < 0.02, "{}", reading.output.total_bytes);
}

#[test]
fn an_error_body_is_read() {
    let text = json!({"error":{"message":"Incorrect API key provided: sk-abcd***wxyz.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}).to_string();
    let error = body(Operation::Chat, text.as_bytes(), 10).error.unwrap();
    assert_eq!(error.code, "invalid_api_key");
    assert_eq!(error.message, "Incorrect API key provided: [redacted].");
    let html = body(Operation::Chat, b"<html>502 Bad Gateway</html>", 10);
    assert_eq!(html.error, None);
    assert!(!html.complete);
}

proptest! {
    #[test]
    fn any_text_in_a_delta_is_counted_and_never_mistaken_for_a_field(text in "\\PC{1,60}|.*\"usage\":\\{\"prompt_tokens\":9\\}.*", piece in 1usize..60) {
        let chunk = json!({"id":"c","model":"m","choices":[{"index":0,"delta":{"content":text}}],"usage":null});
        let stream = format!("data: {chunk}\n\ndata: [DONE]\n\n");
        let run = run(Operation::Chat, stream.as_bytes(), piece);
        prop_assert!(run.reading.usage.is_none() && run.reading.error.is_none());
        prop_assert_eq!(run.reading.output.sample, text);
        prop_assert_eq!(run.first_content, Some(0));
        prop_assert!(run.reading.complete);
    }

    #[test]
    fn garbage_is_survived(bytes: Vec<u8>, names in prop::sample::select(vec!["", "event: message_start\n", "event: response.completed\n", "event: error\n"]), piece in 1usize..40) {
        for operation in [Operation::Chat, Operation::Completion, Operation::Messages, Operation::Responses, Operation::Embedding] {
            let mut stream = names.as_bytes().to_vec();
            stream.extend_from_slice(b"data: {\"usage\":{\"delta\":\"");
            stream.extend_from_slice(&bytes);
            run(operation, &stream, piece);
            body(operation, &bytes, piece);
        }
    }
}
