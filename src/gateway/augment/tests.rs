use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::inject::{self, Edits};
use super::super::request::parse;
use super::*;

const SAID: &str = "Wir öffnen um 9 — \"früh\" \u{1f30d}\n\tund \\ mehr";

fn looked(body: &str, operation: Operation) -> Result<Opening, Unfit> {
    look(body.as_bytes(), &parse(body.as_bytes()).unwrap(), operation)
}

/// The body with [`SAID`] in it, what is read of it told as if it had been read anew, and the question.
fn given(body: &str, operation: Operation) -> (String, Value, String) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut head = parse(&body).unwrap();
    let opening = look(&body, &head, operation).unwrap();
    let edited = put(&body, &mut head, &opening, SAID);
    let anew = parse(&edited).unwrap();
    assert_eq!(head.spans.models, anew.spans.models);
    assert_eq!(head.spans.stream_options, anew.spans.stream_options);
    assert_eq!(head.spans.include_usage, anew.spans.include_usage);
    assert_eq!(head.spans.body_start, anew.spans.body_start);
    assert!(head.prompt.tokens() > 0);
    let text = String::from_utf8(edited.to_vec()).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    (text, value, opening.question)
}

fn quoted() -> String {
    Value::from(SAID).to_string()
}

#[test]
fn chat_gets_one_system_message_before_the_first_that_is_none() {
    let body = r#"{ "model":"m", "messages" : [ {"role":"system","content":"s"},{"role":"developer","content":[]} , {"role":"user","content":"时间？ \u00e9"}, {"role":"assistant","content":"?"} ],"temperature":1.50e+0,"stream":true }"#;
    let (text, value, question) = given(body, Operation::Chat);
    assert_eq!(question, "时间？ é");
    let message = format!(r#"{{"role":"system","content":{}}},"#, quoted());
    let expected = body.replace(r#"{"role":"user""#, &format!(r#"{message}{{"role":"user""#));
    assert_eq!(text, expected, "every other byte is as it was");
    assert_eq!(
        value["messages"][2],
        json!({"role": "system", "content": SAID})
    );
}

#[test]
fn the_last_user_message_with_words_is_asked_also_while_tools_are_called() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "?"},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:"}},
            {"type": "text", "text": " second "},
            {"type": "text", "text": "line"},
        ]},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}], "content": null},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]});
    let (_, value, question) = given(&body.to_string(), Operation::Chat);
    assert_eq!(question, "second \nline");
    assert_eq!(value["messages"][0]["role"], "system");
    assert_eq!(value["messages"].as_array().unwrap().len(), 6);

    let body = json!({"model": "m", "max_tokens": 5, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "rain"}]},
    ]});
    let (_, value, question) = given(&body.to_string(), Operation::Messages);
    assert_eq!(
        (question.as_str(), &value["system"]),
        ("weather?", &json!(SAID))
    );
}

#[test]
fn anthropics_system_is_gone_on_with_whatever_it_was() {
    let body = |system: &str| {
        format!(
            r#"{{"model":"m",{system} "max_tokens":1,"messages":[{{"role":"user","content":"q"}}]}}"#
        )
    };
    let system = |given_as: &str| given(&body(given_as), Operation::Messages).1["system"].take();
    assert_eq!(system(""), json!(SAID));
    assert_eq!(system(r#""system":null,"#), json!(SAID));
    assert_eq!(system(r#""system":"","#), json!(SAID));
    assert_eq!(
        system(r#""system":"be \"kind\"","#),
        json!(format!("be \"kind\"\n\n{SAID}"))
    );
    let block = json!({"type": "text", "text": SAID});
    assert_eq!(system(r#""system":[ ],"#), json!([block]));
    let cached = json!({"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}});
    assert_eq!(
        system(&format!(r#""system":[{cached} ],"#)),
        json!([cached, block])
    );
    for odd in [r#""system":7,"#, r#""system":true,"#, r#""system":{},"#] {
        let odd = looked(&body(odd), Operation::Messages);
        assert_eq!(odd, Err(Unfit::NoQuestion));
    }
}

#[test]
fn responses_get_instructions_whether_asked_by_a_text_or_by_turns() {
    let (text, value, question) = given(r#"{"model":"m","input":"a \"q\""}"#, Operation::Responses);
    assert_eq!(question, r#"a "q""#);
    assert_eq!(value["instructions"], SAID);
    assert!(text.ends_with(r#""model":"m","input":"a \"q\""}"#));
    let body = json!({"model": "m", "instructions": "kind", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "q"}]},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
    ]});
    let (_, value, question) = given(&body.to_string(), Operation::Responses);
    assert_eq!(question, "q");
    assert_eq!(value["instructions"], format!("kind\n\n{SAID}"));
    assert_eq!(value["input"], body["input"]);
}

#[test]
fn who_asks_nothing_gets_nothing() {
    for body in [
        r#"{"model":"m"}"#,
        r#"{"messages":"user"}"#,
        r#"{"messages":[]}"#,
        r#"{"messages":[{"role":"system","content":"s"}]}"#,
        r#"{"messages":[{"role":"assistant","content":"s"}]}"#,
        r#"{"messages":[{"role":"user","content":"  "}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#,
        r#"{"messages":[{"role":"user","content":{"text":"q"}}]}"#,
        r#"{"messages":[{"role":"user"},7,null,"user"]}"#,
        r#"{"messages":[{"role":1,"content":"q"}]}"#,
        r#"{"input":7}"#,
        r#"{"input":" "}"#,
    ] {
        for operation in [Operation::Chat, Operation::Messages, Operation::Responses] {
            assert_eq!(looked(body, operation), Err(Unfit::NoQuestion), "{body}");
        }
    }
    let asks = r#"{"messages":[{"role":"user","content":"q"}],"input":"q"}"#;
    for operation in [
        Operation::Embedding,
        Operation::Completion,
        Operation::CountTokens,
    ] {
        assert_eq!(looked(asks, operation), Err(Unfit::NoQuestion));
    }
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(TURNS_MAX_BYTES)}]});
    let long = long.to_string();
    assert_eq!(looked(&long, Operation::Chat), Err(Unfit::TooLarge));
}

#[test]
fn a_long_question_is_cut_between_characters() {
    let body = json!({"messages": [{"role": "user", "content": "界".repeat(5_000)}]});
    let opening = looked(&body.to_string(), Operation::Chat).unwrap();
    assert_eq!(opening.question, "界".repeat(QUESTION_MAX_CHARS));
}

#[test]
fn pairs_come_as_a_whole_or_not_at_all() {
    let long = "界".repeat(CONTEXT_MAX_BYTES / 3);
    let pairs = [("q1", "a1"), ("q2", long.as_str()), ("q3", "a3")];
    let (text, which) = context(pairs.into_iter()).unwrap();
    assert_eq!(which, [0, 2]);
    assert!(text.ends_with("\n\nQuestion: q1\nAnswer: a1\n\nQuestion: q3\nAnswer: a3"));
    assert_eq!(context([("q2", long.as_str())].into_iter()), None);
    assert_eq!(context(std::iter::empty()), None);
    let many = std::iter::repeat_n(("question", "answer"), 10_000);
    let (text, which) = context(many).unwrap();
    assert!(text.len() <= CONTEXT_MAX_BYTES && which.len() > 100);
}

#[test]
fn what_is_edited_afterwards_finds_its_places() {
    let body = r#"{"stream_options":{"x":1},"model":"a","messages":[{"role":"user","content":"q"}],"stream":true,"model": "b"}"#;
    let body = Bytes::from_static(body.as_bytes());
    for operation in [Operation::Chat, Operation::Messages] {
        let mut head = parse(&body).unwrap();
        let opening = look(&body, &head, operation).unwrap();
        let with = put(&body, &mut head, &opening, SAID);
        let edits = Edits {
            model: Some("up"),
            include_usage: true,
        };
        let sent = inject::apply(&with, &head, edits).into_bytes();
        let text = std::str::from_utf8(&sent).unwrap();
        assert_eq!(text.matches(r#""up""#).count(), 2);
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            value["stream_options"],
            json!({"include_usage": true, "x": 1})
        );
    }
}

proptest! {
    #[test]
    fn nothing_but_the_context_is_added(
        said in "\\PC{1,20}", system in prop::option::of("\\PC{0,12}"), context in "\\PC{1,40}", pretty: bool, anthropic: bool,
    ) {
        prop_assume!(!said.trim().is_empty());
        let mut before = json!({"model": "m", "stream_options": {"a": said}, "messages": [{"role": "user", "content": said}], "z": said});
        if let Some(system) = &system {
            before["system"] = json!(system);
        }
        let text = if pretty { serde_json::to_string_pretty(&before).unwrap() } else { before.to_string() };
        let operation = if anthropic { Operation::Messages } else { Operation::Chat };
        let body = Bytes::from(text);
        let mut head = parse(&body).unwrap();
        let opening = look(&body, &head, operation).unwrap();
        prop_assert_eq!(&opening.question, said.trim());
        let edited = put(&body, &mut head, &opening, &context);
        let mut after: Value = serde_json::from_slice(&edited).unwrap();
        if anthropic {
            let expected = match system.as_deref() {
                None | Some("") => context.clone(),
                Some(text) => format!("{text}\n\n{context}"),
            };
            prop_assert_eq!(&after["system"], &json!(expected));
            let object = after.as_object_mut().unwrap();
            object.remove("system");
            before.as_object_mut().unwrap().remove("system");
        } else {
            let added = after["messages"].as_array_mut().unwrap().remove(0);
            prop_assert_eq!(added, json!({"role": "system", "content": context}));
        }
        prop_assert_eq!(after, before);
        let anew = parse(&edited).unwrap().spans;
        prop_assert_eq!(head.spans.models, anew.models);
        prop_assert_eq!(head.spans.stream_options, anew.stream_options);
        prop_assert_eq!(head.spans.messages, anew.messages);
    }
}
