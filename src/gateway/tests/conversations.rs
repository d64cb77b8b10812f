//! What is kept of a call, for tokens that ask for it: everything as it was said, nothing of anybody else, and nothing
//! on the disk that can be read there.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use steward_actors::contents::{Content, Said};
use steward_actors::domain::record::Operation;
use steward_actors::domain::redaction::RedactionMode;
use steward_actors::domain::snapshot::{Protocol, TokenView};

use super::fake::{Fake, Step, chunk, end, json as answer, sse_head};
use super::house::{
    ASK, ASK_STREAM, CHAT, DONE, HELLO, account, eventually, read_answer, read_until, token, with,
};

const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";
/// Of the house: so much is kept of either side.
const SIDE_MAX: usize = 256 << 10;

fn keeping(redaction: RedactionMode) -> TokenView {
    TokenView {
        enable_conversation_logging: true,
        redaction,
        ..token()
    }
}

fn whole(body: &Value) -> Vec<Step> {
    vec![Step::Send(answer("200 OK", &body.to_string()))]
}

/// A stream of events, each a JSON text, in pieces that cut events and characters anywhere.
fn stream(events: &[Value], last: &str) -> Vec<Step> {
    let mut text = String::new();
    for event in events {
        if let Some(kind) = event.get("type").and_then(Value::as_str) {
            text.push_str(&format!("event: {kind}\n"));
        }
        text.push_str(&format!("data: {event}\n\n"));
    }
    text.push_str(last);
    let pieces = text.as_bytes().chunks(7).map(|piece| {
        let mut sent = format!("{:x}\r\n", piece.len()).into_bytes();
        sent.extend_from_slice(piece);
        sent.extend_from_slice(b"\r\n");
        Step::Send(sent)
    });
    let mut steps = vec![Step::Send(sse_head())];
    steps.extend(pieces);
    steps.push(Step::Send(end()));
    steps
}

/// One call, and what was kept of it.
async fn kept(
    protocol: Protocol,
    token: TokenView,
    path: &'static str,
    ask: &Value,
    script: Vec<Step>,
) -> Option<Content> {
    let fake = Fake::new(vec![script]).await;
    let found = Rc::new(RefCell::new(None));
    let (tell, ask) = (Rc::clone(&found), ask.to_string());
    with(
        vec![account(1, protocol, &fake)],
        token,
        &[&fake],
        |_, _| {},
        |house| async move {
            let (seen, complete) = read_answer(&mut house.post(path, &ask).await).await;
            assert!(complete, "{seen}");
            let mut contents = house.contents().await;
            assert!(contents.len() <= 1, "{contents:#?}");
            *tell.borrow_mut() = contents.pop();
        },
    )
    .await;
    found.take()
}

/// The same for a token that wants everything as it was said.
async fn said(protocol: Protocol, path: &'static str, ask: &Value, script: Vec<Step>) -> Said {
    let content = kept(protocol, keeping(RedactionMode::None), path, ask, script).await;
    let content = content.expect("a content");
    assert!(!content.truncated && content.success, "{content:#?}");
    assert_eq!((content.status_code, content.redactions), (200, 0));
    content.said.expect("what was said")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn weather_tool() -> Value {
    json!([{"id": "call_1", "name": "weather", "arguments": "{\"city\":\"Zürich\"}"}])
}

#[actix_web::test]
async fn a_chat_is_kept_as_it_was_said_streamed_or_not() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": [{"type": "text", "text": "天气怎么样？"}]},
    ]);
    let ask = json!({"model": "gpt-4o", "messages": messages, "user": "anna"});
    let delta = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
    let call = |part: Value| delta(json!({"tool_calls": [part]}));
    let streamed = stream(
        &[
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"content": "让我"})),
            delta(json!({"content": "看看。"})),
            call(
                json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}),
            ),
            call(json!({"index": 0, "function": {"arguments": "{\"city\":"}})),
            call(json!({"index": 0, "function": {"arguments": "\"Zürich\"}"}})),
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        ],
        DONE,
    );
    let plain = whole(
        &json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "让我看看。",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Zürich\"}"}}]}}]}),
    );
    for (stream, script) in [(true, streamed), (false, plain)] {
        let mut ask = ask.clone();
        ask["stream"] = json!(stream);
        let said = said(Protocol::OpenAi, CHAT, &ask, script).await;
        assert_eq!(said.system_prompt, "Be brief.");
        assert_eq!(said.prompt, "天气怎么样？");
        assert_eq!(parsed(&said.messages_json), messages);
        assert_eq!(said.completion, "让我看看。");
        assert_eq!(parsed(&said.tool_calls_json), weather_tool());
    }
}

#[actix_web::test]
async fn anthropic_messages_are_kept_streamed_or_not() {
    let messages = json!([{"role": "user", "content": "Weather?"}]);
    let ask = json!({"model": "claude", "max_tokens": 9, "system": [{"type": "text", "text": "Be brief."}], "messages": messages});
    let block = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let streamed = stream(
        &[
            json!({"type": "message_start", "message": {"id": "msg_1", "content": []}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            block(0, json!({"type": "text_delta", "text": "Let me "})),
            block(0, json!({"type": "text_delta", "text": "look."})),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}}}),
            block(
                1,
                json!({"type": "input_json_delta", "partial_json": "{\"city\":"}),
            ),
            block(
                1,
                json!({"type": "input_json_delta", "partial_json": "\"Zürich\"}"}),
            ),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "message_stop"}),
        ],
        "",
    );
    let plain = whole(
        &json!({"type": "message", "content": [{"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Zürich"}}]}),
    );
    for (stream, script) in [(true, streamed), (false, plain)] {
        let mut ask = ask.clone();
        ask["stream"] = json!(stream);
        let said = said(Protocol::Anthropic, MESSAGES, &ask, script).await;
        assert_eq!(said.system_prompt, "Be brief.");
        assert_eq!(said.prompt, "Weather?");
        assert_eq!(parsed(&said.messages_json), messages);
        assert_eq!(said.completion, "Let me look.");
        assert_eq!(parsed(&said.tool_calls_json), weather_tool());
    }
}

#[actix_web::test]
async fn responses_are_kept_streamed_or_not() {
    let ask = json!({"model": "gpt-4o", "instructions": "Be brief.", "input": "Weather?"});
    let call = json!({"type": "function_call", "call_id": "call_1", "id": "fc_1", "name": "weather", "arguments": "{\"city\":\"Zürich\"}"});
    let message = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]});
    let mut begun = call.clone();
    begun["arguments"] = json!("");
    let events = [
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Let me "}),
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "look."}),
        json!({"type": "response.output_text.done", "output_index": 0, "text": "Let me look."}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": message}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": begun}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"city\":"}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "\"Zürich\"}"}),
        json!({"type": "response.function_call_arguments.done", "output_index": 1, "arguments": "{\"city\":\"Zürich\"}"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": call}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "output": [message, call]}}),
    ];
    let plain = whole(
        &json!({"id": "resp_1", "output": [{"type": "reasoning", "summary": []}, message, call]}),
    );
    for (streaming, script) in [(true, stream(&events, "")), (false, plain)] {
        let mut ask = ask.clone();
        ask["stream"] = json!(streaming);
        let said = said(Protocol::OpenAi, RESPONSES, &ask, script).await;
        assert_eq!(said.system_prompt, "Be brief.");
        assert_eq!(said.prompt, "Weather?");
        assert_eq!(
            parsed(&said.messages_json),
            json!([{"role": "user", "content": "Weather?"}])
        );
        assert_eq!(said.completion, "Let me look.");
        assert_eq!(parsed(&said.tool_calls_json), weather_tool());
    }
}

#[actix_web::test]
async fn completions_are_kept_and_several_choices_stand_one_after_the_other() {
    let ask = json!({"model": "m", "prompt": "Once upon", "n": 2});
    let plain = whole(
        &json!({"choices": [{"index": 0, "text": " a time"}, {"index": 1, "text": " a hill"}]}),
    );
    let choice = |index: u64, text: &str| json!({"choices": [{"index": index, "text": text}]});
    // The choices' pieces come mixed.
    let events = [
        choice(0, " a"),
        choice(1, " a"),
        choice(1, " hill"),
        choice(0, " time"),
    ];
    for (streaming, script) in [(true, stream(&events, DONE)), (false, plain)] {
        let mut ask = ask.clone();
        ask["stream"] = json!(streaming);
        let said = said(Protocol::OpenAi, "/v1/completions", &ask, script).await;
        assert_eq!(said.prompt, "Once upon");
        assert_eq!(said.completion, " a time\n\n a hill");
        assert!(said.system_prompt.is_empty() && said.tool_calls_json.is_empty());
    }
}

#[actix_web::test]
async fn the_tools_that_are_offered_are_kept_in_the_callers_form() {
    let schema = || json!({"type": "object", "properties": {"to": {"type": "string", "description": "like boss@example.com"}}});
    let function = json!({"name": "mail", "description": "Writes.", "parameters": schema()});
    let chat_tools = json!([{"type": "function", "function": function}]);
    let responses_tools = json!([{"type": "function", "name": "mail", "parameters": schema()}, {"type": "web_search"}]);
    let anthropic_tools = json!([{"name": "mail", "input_schema": schema()}]);
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
    let spoken =
        json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]});
    let message = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]});
    let asks = [
        (
            Protocol::OpenAi,
            CHAT,
            "tools",
            &chat_tools,
            chat.clone(),
            &spoken,
        ),
        (
            Protocol::OpenAi,
            CHAT,
            "functions",
            &json!([function]),
            chat.clone(),
            &spoken,
        ),
        (
            Protocol::OpenAi,
            RESPONSES,
            "tools",
            &responses_tools,
            json!({"model": "m", "input": "Hello"}),
            &json!({"id": "resp_1", "output": [message]}),
        ),
        (
            Protocol::Anthropic,
            MESSAGES,
            "tools",
            &anthropic_tools,
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}),
            &json!({"type": "message", "content": [{"type": "text", "text": "Hi"}]}),
        ),
    ];
    for (protocol, path, name, tools, mut ask, spoken) in asks {
        assert_eq!(
            said(protocol, path, &ask, whole(spoken)).await.tools_json,
            ""
        );
        ask[name] = tools.clone();
        let as_told = said(protocol, path, &ask, whole(spoken)).await;
        assert_eq!(&parsed(&as_told.tools_json), tools, "{path} {name}");
        // What a tool says of itself is redacted like everything else, and stays a tool.
        let asking = keeping(RedactionMode::Redact);
        let content = kept(protocol, asking, path, &ask, whole(spoken))
            .await
            .unwrap();
        assert_eq!((content.redactions, content.truncated), (1, false));
        let redacted = content.said.unwrap().tools_json;
        let expected = tools.to_string().replace("boss@example.com", "[email]");
        assert_eq!(parsed(&redacted), parsed(&expected), "{path} {name}");
        let asking = keeping(RedactionMode::MetadataOnly);
        let content = kept(protocol, asking, path, &ask, whole(spoken)).await;
        assert_eq!(content.unwrap().said, None);
    }
}

#[actix_web::test]
async fn as_many_tools_as_fit_are_kept_and_the_rest_is_marked() {
    let tool = |name: &str, words: usize| json!({"type": "function", "function": {"name": name, "description": "wörter ".repeat(words)}});
    let half = SIDE_MAX / 8 / 2;
    let mut ask = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
    let spoken =
        json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]});
    let mut keep = async |tools: Value| {
        ask["tools"] = tools;
        let asking = keeping(RedactionMode::None);
        kept(Protocol::OpenAi, asking, CHAT, &ask, whole(&spoken))
            .await
            .unwrap()
    };
    let two = [tool("a", half), tool("b", 9)];
    let content = keep(json!([two[0], two[1], tool("c", half), tool("d", 9)])).await;
    assert!(content.truncated);
    let said = content.said.unwrap();
    assert_eq!(parsed(&said.tools_json), json!(two));
    // The messages have their own room.
    assert_eq!(said.prompt, "Hello");
    assert_eq!(parsed(&said.messages_json).as_array().unwrap().len(), 1);
    let content = keep(json!([tool("far too large", 3 * half)])).await;
    assert!(content.truncated);
    assert_eq!(content.said.unwrap().tools_json, "");
}

#[actix_web::test]
async fn of_a_token_that_does_not_ask_and_of_embeddings_nothing_is_kept() {
    let chat = parsed(ASK);
    let spoken =
        json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]});
    assert_eq!(
        kept(Protocol::OpenAi, token(), CHAT, &chat, whole(&spoken)).await,
        None
    );
    let ask = json!({"model": "m", "input": "What it is about"});
    let vector =
        json!({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}});
    let asking = keeping(RedactionMode::None);
    let none = kept(
        Protocol::OpenAi,
        asking,
        "/v1/embeddings",
        &ask,
        whole(&vector),
    )
    .await;
    assert_eq!(none, None);
}

#[actix_web::test]
async fn what_the_rules_find_is_gone_and_of_metadata_only_there_is_nothing_but_who_and_when() {
    let ask = json!({"model": "gpt-4o", "user": "anna", "messages": [
        {"role": "system", "content": "Write to boss@example.com."},
        {"role": "user", "content": "我的手机号是 13812345678，请记下。"},
    ]});
    let spoken = json!({"usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Noted: 13812345678",
        "tool_calls": [{"id": "c", "function": {"name": "mail", "arguments": "{\"to\":\"boss@example.com\"}"}}]}}]});
    let keep = async |mode| {
        kept(Protocol::OpenAi, keeping(mode), CHAT, &ask, whole(&spoken))
            .await
            .unwrap()
    };

    let content = keep(RedactionMode::Redact).await;
    assert_eq!(content.redaction, "redact");
    // In the messages twice, and in the instructions again, since they are kept by themselves too; twice in the answer.
    assert!(content.redactions >= 4, "{content:#?}");
    let text = format!("{:?}", content.said.as_ref().unwrap());
    assert!(
        !text.contains("13812345678") && !text.contains("boss@"),
        "{text}"
    );
    let said = content.said.unwrap();
    assert!(said.prompt.starts_with("我的手机号是 [") && said.prompt.ends_with("，请记下。"));
    assert!(parsed(&said.messages_json).is_array());
    let tool = parsed(&said.tool_calls_json);
    assert!(
        parsed(tool[0]["arguments"].as_str().unwrap()).is_object(),
        "{tool}"
    );

    let content = keep(RedactionMode::None).await;
    assert_eq!(
        (content.redactions, content.redaction.as_str()),
        (0, "none")
    );
    assert!(content.said.unwrap().prompt.contains("13812345678"));

    let content = keep(RedactionMode::MetadataOnly).await;
    assert_eq!(content.said, None);
    assert!(!content.truncated);
    assert_eq!(content.redaction, "metadata_only");
    assert_eq!(
        (
            content.model.as_str(),
            content.end_user.as_str(),
            content.prompt_tokens
        ),
        ("gpt-4o", "anna", 9)
    );
    assert_eq!(content.operation, i32::from(Operation::Chat));
}

#[actix_web::test]
async fn what_does_not_fit_is_cut_and_marked() {
    let words = |count: usize| "wörter ".repeat(count);
    let long = words(SIDE_MAX / 8 * 9 / 10);
    let asked = json!([{"role": "user", "content": long}, {"role": "assistant", "content": long},
        {"role": "user", "content": "And now?"}]);
    let answers = SIDE_MAX / 8 + 100;
    let ask = json!({"model": "gpt-4o", "messages": asked, "stream": true});
    let piece = json!({"choices": [{"index": 0, "delta": {"content": "wörter "}}]});
    let events: String = (0..answers)
        .map(|_| format!("data: {piece}\n\n"))
        .chain([DONE.to_owned()])
        .collect();
    let streamed = vec![
        Step::Send(sse_head()),
        Step::Send(chunk(&events)),
        Step::Send(end()),
    ];
    let plain = whole(&json!({"choices": [{"index": 0, "message": {"content": words(answers)}}]}));
    for (stream, script) in [(true, streamed), (false, plain)] {
        let mut ask = ask.clone();
        ask["stream"] = json!(stream);
        let content = kept(
            Protocol::OpenAi,
            keeping(RedactionMode::Redact),
            CHAT,
            &ask,
            script,
        )
        .await
        .unwrap();
        assert!(content.truncated);
        let said = content.said.unwrap();
        // The newest messages are kept, whole ones.
        let messages = parsed(&said.messages_json);
        assert_eq!(messages.as_array().unwrap().len(), 2, "streamed {stream}");
        assert_eq!(messages[1], asked[2]);
        assert_eq!(said.prompt, "And now?");
        let size = said.completion.len();
        assert!(
            (SIDE_MAX - 100..=SIDE_MAX).contains(&size),
            "streamed {stream}: {size}"
        );
        assert!(words(answers).starts_with(&said.completion));
    }
}

#[actix_web::test]
async fn what_is_far_too_large_is_kept_in_part_and_marked() {
    let picture = format!("data:image/png;base64,{}", "iVBORw0K".repeat(700_000));
    let ask = json!({"model": "gpt-4o", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": picture}}]},
        {"role": "user", "content": "And this?"}]});
    assert!(ask.to_string().len() > 5 << 20);
    // Four times what is kept, and then some; the last of what is held is a part of a card's number.
    let card = "4111 1111 1111 1111";
    let mut text = "wörter ".repeat(SIDE_MAX * 5 / 8);
    text.insert_str(0, &format!("card {card}, "));
    let plain = whole(&json!({"choices": [{"index": 0, "message": {"content": text}}]}));
    let asking = keeping(RedactionMode::Redact);
    let content = kept(Protocol::OpenAi, asking, CHAT, &ask, plain).await;
    let content = content.expect("a content");
    assert!(content.truncated);
    let said = content.said.unwrap();
    assert_eq!(said.prompt, "And this?");
    let messages = parsed(&said.messages_json);
    assert_eq!(messages[0]["content"][0]["text"], "What is this?");
    assert!(said.messages_json.contains("bytes left out") && said.messages_json.len() < 1_000);
    assert!(
        said.completion.starts_with("card [bank_card], wörter "),
        "{}",
        &said.completion[..40]
    );
    let size = said.completion.len();
    assert!((SIDE_MAX - 100..=SIDE_MAX).contains(&size), "{size}");
}

#[actix_web::test]
async fn a_picture_is_told_not_kept() {
    let picture = format!("data:image/png;base64,{}", "iVBORw0K".repeat(1_000));
    let ask = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": picture}}]}]});
    let spoken = json!({"choices": [{"index": 0, "message": {"content": "A cat."}}]});
    let said = said(Protocol::OpenAi, CHAT, &ask, whole(&spoken)).await;
    assert_eq!(said.prompt, "What is this?");
    assert!(said.messages_json.contains("bytes left out") && said.messages_json.len() < 1_000);
}

#[actix_web::test]
async fn a_client_that_leaves_leaves_what_was_said_until_then() {
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(HELLO)),
        Step::Stall,
    ]])
    .await;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        keeping(RedactionMode::Redact),
        &[&fake],
        |_, _| {},
        |house| async move {
            let mut socket = house.post(CHAT, ASK_STREAM).await;
            assert!(read_until(&mut socket, &mut String::new(), HELLO).await);
            drop(socket);
            eventually(|| house.spool.ledger().accepted == 1).await;
            let contents = house.contents().await;
            assert_eq!(contents.len(), 1);
            assert_eq!((contents[0].status_code, contents[0].success), (499, false));
            assert_eq!(contents[0].rid, house.record().await.rid);
            assert_eq!(contents[0].said.as_ref().unwrap().completion, "Hello");
        },
    )
    .await;
}

#[actix_web::test]
async fn an_answer_that_was_broken_off_does_not_end_in_half_a_number() {
    let event = json!({"choices": [{"index": 0, "delta": {"content": "Your card: 6222 0212 34"}}]});
    let said = format!("data: {event}\n\n");
    for (redaction, left) in [
        (RedactionMode::Redact, "Your card: "),
        (RedactionMode::None, "Your card: 6222 0212 34"),
    ] {
        let steps = vec![
            Step::Send(sse_head()),
            Step::Send(chunk(&said)),
            Step::Stall,
        ];
        let fake = Fake::new(vec![steps]).await;
        with(
            vec![account(1, Protocol::OpenAi, &fake)],
            keeping(redaction),
            &[&fake],
            |_, _| {},
            |house| async move {
                let mut socket = house.post(CHAT, ASK_STREAM).await;
                assert!(read_until(&mut socket, &mut String::new(), "0212 34").await);
                drop(socket);
                eventually(|| house.spool.ledger().accepted == 1).await;
                let contents = house.contents().await;
                assert_eq!(contents[0].said.as_ref().unwrap().completion, left);
            },
        )
        .await;
    }
}

#[actix_web::test]
async fn what_a_provider_says_in_an_error_is_not_kept() {
    for script in [
        vec![Step::Send(answer(
            "400 Bad Request",
            r#"{"error":{"message":"canary"}}"#,
        ))],
        vec![
            Step::Send(sse_head()),
            Step::Send(chunk(HELLO)),
            Step::Send(chunk("data: {\"error\":{\"message\":\"canary\"}}\n\n")),
            Step::Send(chunk(DONE)),
            Step::Send(end()),
        ],
    ] {
        let content = kept(
            Protocol::OpenAi,
            keeping(RedactionMode::None),
            CHAT,
            &parsed(ASK_STREAM),
            script,
        )
        .await
        .unwrap();
        assert!(!content.success);
        let said = content.said.unwrap();
        assert_eq!(said.prompt, "Hello");
        assert!(!format!("{said:?}").contains("canary"), "{said:?}");
    }
}

#[actix_web::test]
async fn nothing_that_was_said_can_be_read_on_the_disk() {
    let ask =
        json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "canary-prompt"}]});
    let spoken = json!({"choices": [{"index": 0, "message": {"content": "canary-answer"}}]});
    let fake = Fake::new(vec![whole(&spoken)]).await;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        keeping(RedactionMode::None),
        &[&fake],
        |_, _| {},
        |house| async move {
            read_answer(&mut house.post(CHAT, &ask.to_string()).await).await;
            let contents = house.contents().await;
            let said = contents[0].said.as_ref().unwrap();
            assert_eq!(said.completion, "canary-answer");
            assert!(!house.is_on_disk("canary"));
            // The search finds what is there: the books hold the model's name.
            house.spool.flush().unwrap();
            assert!(house.is_on_disk("gpt-4o"));
        },
    )
    .await;
}
