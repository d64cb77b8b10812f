//! Changes one field of a request body and leaves every other byte as it came.
//!
//! Two edits exist: the model's name (an account knows it under another one) and
//! `stream_options.include_usage` (the only way an OpenAI stream tells its usage). The result is a list of
//! slices around the new bytes, so that a 32 MiB body is not copied for a ten-byte change.

use std::ops::Range;

use bytes::Bytes;

use super::request::RequestHead;

/// What to change.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Edits<'a> {
    /// The model's name upstream. A body that names its model twice gets the same name in both places.
    pub model: Option<&'a str>,
    /// Set `stream_options.include_usage` to true.
    pub include_usage: bool,
}

/// An edited body: its parts in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edited {
    pub parts: Vec<Bytes>,
    /// Length of all parts together.
    pub len: usize,
}

impl Edited {
    /// The body in one piece; copies only when something was edited.
    pub fn into_bytes(mut self) -> Bytes {
        match self.parts.len() {
            0 => Bytes::new(),
            1 => self.parts.remove(0),
            _ => self.parts.concat().into(),
        }
    }
}

/// What must be changed in a call so that it can be served: the alias and the wish for usage, nothing else.
/// `upstream_model` is what the account calls the model.
pub fn needed<'a>(head: &RequestHead, upstream_model: &'a str, inject_usage: bool) -> Edits<'a> {
    let renamed = head.model.as_deref() != Some(upstream_model) || head.model_is_ambiguous();
    Edits {
        model: renamed.then_some(upstream_model),
        include_usage: inject_usage && head.include_usage != Some(true),
    }
}

/// Applies `edits` to `body`, of which `head` was read.
pub fn apply(body: &Bytes, head: &RequestHead, edits: Edits<'_>) -> Edited {
    let mut changes: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    let spans = &head.spans;
    if let Some(model) = edits.model {
        let value = quoted(model);
        for span in &spans.models {
            changes.push((span.clone(), value.clone()));
        }
    }
    if edits.include_usage {
        changes.push(match (&spans.stream_options, &spans.include_usage) {
            (Some(_), Some(value)) => (value.clone(), b"true".to_vec()),
            (Some((options, true)), None) => {
                let comma: &[u8] = if spans.options_filled { b"," } else { b"" };
                let at = options.start + 1;
                (at..at, [b"\"include_usage\":true", comma].concat())
            }
            (Some((options, false)), _) => (options.clone(), b"{\"include_usage\":true}".to_vec()),
            (None, _) => {
                let comma: &[u8] = if spans.body_filled { b"," } else { b"" };
                let at = spans.body_start;
                (
                    at..at,
                    [b"\"stream_options\":{\"include_usage\":true}", comma].concat(),
                )
            }
        });
    }
    changes.sort_by_key(|(span, _)| span.start);
    let mut parts = Vec::with_capacity(changes.len() * 2 + 1);
    let mut from = 0;
    for (span, value) in changes {
        parts.push(body.slice(from..span.start));
        parts.push(Bytes::from(value));
        from = span.end;
    }
    parts.push(body.slice(from..));
    parts.retain(|part| !part.is_empty());
    let len = parts.iter().map(Bytes::len).sum();
    Edited { parts, len }
}

fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::request::parse;
    use super::*;

    fn edit(body: &str, edits: Edits<'_>) -> String {
        let head = parse(body.as_bytes()).unwrap();
        let edited = apply(&Bytes::copy_from_slice(body.as_bytes()), &head, edits);
        let len = edited.len;
        let bytes = edited.into_bytes();
        assert_eq!(bytes.len(), len);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    const USAGE: Edits<'static> = Edits {
        model: None,
        include_usage: true,
    };

    #[test]
    fn usage_is_asked_for_whatever_the_options_were() {
        assert_eq!(
            edit(r#"{ "model":"m" }"#, USAGE),
            r#"{"stream_options":{"include_usage":true}, "model":"m" }"#
        );
        assert_eq!(
            edit("{}", USAGE),
            r#"{"stream_options":{"include_usage":true}}"#
        );
        assert_eq!(
            edit(r#"{"stream_options":null}"#, USAGE),
            r#"{"stream_options":{"include_usage":true}}"#
        );
        assert_eq!(
            edit(r#"{"stream_options": { } }"#, USAGE),
            r#"{"stream_options": {"include_usage":true } }"#
        );
        assert_eq!(
            edit(r#"{"stream_options":{"x":1}}"#, USAGE),
            r#"{"stream_options":{"include_usage":true,"x":1}}"#
        );
        assert_eq!(
            edit(
                r#"{"stream_options":{"include_usage" : false,"x":1}}"#,
                USAGE
            ),
            r#"{"stream_options":{"include_usage" : true,"x":1}}"#
        );
    }

    #[test]
    fn a_model_named_twice_is_replaced_twice() {
        let edits = Edits {
            model: Some("up\"x"),
            include_usage: false,
        };
        assert_eq!(
            edit(r#"{"model":"a","n":{"model":"a"},"model": "b"}"#, edits),
            r#"{"model":"up\"x","n":{"model":"a"},"model": "up\"x"}"#
        );
    }

    #[test]
    fn nothing_to_change_is_the_same_buffer() {
        let body = Bytes::from_static(br#"{"model":"m","stream":true}"#);
        let head = parse(&body).unwrap();
        let edits = needed(&head, "m", false);
        assert_eq!(edits, Edits::default());
        let edited = apply(&body, &head, edits).into_bytes();
        assert_eq!(edited.as_ptr(), body.as_ptr());
        assert!(needed(&head, "m", true).include_usage);
        assert_eq!(needed(&head, "other", false).model, Some("other"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("model|include_usage|[a-z]{1,3}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn only_the_named_fields_change(mut fields in prop::collection::btree_map("stream_options|[a-z]{1,4}", any_json(), 0..5), model in "\\PC{1,12}", new in "\\PC{1,12}", usage: bool, pretty: bool) {
            fields.insert("model".into(), json!(model));
            let before = Value::Object(fields.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&before).unwrap() } else { before.to_string() };
            let after: Value = serde_json::from_str(&edit(&text, Edits { model: Some(&new), include_usage: usage })).unwrap();
            let mut expected = before;
            expected["model"] = json!(new);
            if usage {
                if !expected["stream_options"].is_object() {
                    expected["stream_options"] = json!({});
                }
                expected["stream_options"]["include_usage"] = json!(true);
            }
            prop_assert_eq!(&after, &expected);
        }

        #[test]
        fn bytes_outside_the_field_are_identical(before in "\\PC{0,30}", after in "\\PC{0,30}", new in "[a-z]{1,12}") {
            let quote = |text: &str| Value::from(text).to_string();
            let body = |model: &str| format!("{{ \"a\" :{},\n\"model\"\t: \"{model}\" ,\"z\":{} }}  ", quote(&before), quote(&after));
            prop_assert_eq!(edit(&body("old"), Edits { model: Some(&new), include_usage: false }), body(&new));
        }
    }
}
