use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

#[derive(Default)]
struct Members(Vec<Member>);
impl Visitor for Members {
    fn member(&mut self, _: &[u8], member: Member) {
        self.0.push(member);
    }
}

fn accepts(body: &[u8]) -> bool {
    walk(body, &mut Members::default()).is_ok()
}

#[test]
fn members_are_reported_with_their_ranges() {
    let body = br#" { "a" : 1 , "b":{"c":[1,{"a":2}]}, "d" : "x\"y" } "#;
    let mut seen = Members::default();
    walk(body, &mut seen).unwrap();
    let shown: Vec<(&[u8], &[u8])> = seen
        .0
        .iter()
        .map(|m| (&body[m.key.clone()], &body[m.value.clone()]))
        .collect();
    assert_eq!(
        shown,
        [
            (&b"a"[..], &b"1"[..]),
            (b"b", br#"{"c":[1,{"a":2}]}"#),
            (b"d", br#""x\"y""#)
        ]
    );
}

#[test]
fn ten_thousand_levels_are_refused_not_recursed_into() {
    for open in ["[", "{\"a\":"] {
        let body = format!("{{\"a\":{}", open.repeat(10_000));
        assert_eq!(
            walk(body.as_bytes(), &mut Members::default()),
            Err(JsonFault::TooDeep)
        );
    }
    let fits = format!("{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126));
    assert!(accepts(fits.as_bytes()));
    assert!(serde_json::from_str::<serde_json::Value>(&fits).is_ok());
}

#[test]
fn what_is_not_an_object_is_told_apart_from_what_is_not_json() {
    let fault = |body: &[u8]| walk(body, &mut Members::default()).unwrap_err();
    assert_eq!(fault(b"[1]"), JsonFault::NotAnObject);
    assert_eq!(fault(b"\"x\""), JsonFault::NotAnObject);
    assert_eq!(fault(b""), JsonFault::Syntax(0));
    assert_eq!(fault(b"{\"a\":1}}"), JsonFault::Syntax(7));
    assert_eq!(fault(b"{\"a\":\"\xff\"}"), JsonFault::NotUtf8(6));
}

/// Everything that is reported.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    members: Vec<Member>,
    texts: Vec<(Range<usize>, Range<usize>)>,
    numbers: u64,
}
impl Visitor for Seen {
    fn member(&mut self, _: &[u8], member: Member) {
        self.members.push(member);
    }
    fn text(&mut self, body: &[u8], top: &Range<usize>, text: Range<usize>) {
        assert!(std::str::from_utf8(&body[text.clone()]).is_ok());
        self.texts.push((top.clone(), text));
    }
    fn numbers(&mut self, _: &[u8], _: &Range<usize>, many: u64) {
        self.numbers += many;
    }
}

fn any_json() -> impl Strategy<Value = String> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,80}|[a-z\n\"\\\\]{0,90}|[一-龥é]{0,50}".prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-zé\"]{0,40}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    (
        prop::collection::btree_map("[a-z]{1,4}", tree, 0..5),
        any::<bool>(),
    )
        .prop_map(|(map, pretty)| {
            let object = Value::Object(map.into_iter().collect());
            if pretty {
                format!("{object:#}")
            } else {
                object.to_string()
            }
        })
}

#[test]
fn a_number_that_arrives_digit_by_digit_is_not_read_over_and_over() {
    let digits = 1 << 20;
    let body = [&b"{\"a\":"[..], &vec![b'7'; digits], b"}"].concat();
    let mut walk = Walk::new();
    let mut looked_at = 0;
    for end in (0..body.len()).step_by(1024) {
        if end >= walk.wait_for {
            looked_at += end - walk.at;
        }
        walk.advance(&body[..end], &mut Members::default()).unwrap();
    }
    walk.finish(&body, &mut Members::default()).unwrap();
    assert!(looked_at < 4 * digits, "{looked_at}");
}

/// Lists as clients write them, and with one byte that is another: what can be passed in blocks is judged as
/// what is looked at one by one.
fn number_lists() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        9 => (0..200_000_u32).prop_map(|number| number.to_string()),
        1 => prop::sample::select(vec!["0", "-7", "1.5e3", "00", "07", "1 "]).prop_map(str::to_owned),
    ];
    let plain = (0..200_000_u32).prop_map(|number| number.to_string());
    let separator = prop::sample::select(vec![",", ", "]);
    let list = prop_oneof![
        3 => prop::collection::vec(plain, 0..200),
        1 => prop::collection::vec(number, 0..60),
    ];
    let other = prop::option::of((
        any::<prop::sample::Index>(),
        prop::sample::select(&b",, 0-.e]\"a9\n"[..]),
    ));
    (list, separator, other).prop_map(|(list, separator, other)| {
        let mut body = format!("{{\"a\":[{}]}}", list.join(separator)).into_bytes();
        if let Some((at, byte)) = other {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body
    })
}

proptest! {
    #[test]
    fn lists_of_numbers_are_judged_as_a_parser_judges_them(body in number_lists(), cut in any::<prop::sample::Index>()) {
        let parsed = serde_json::from_slice::<serde_json::Value>(&body);
        let mut whole = Seen::default();
        let walked = walk(&body, &mut whole);
        // Whatever its size: a number that no machine number holds is one all the same.
        let is_json = serde_json::from_slice::<IgnoredAny>(&body).is_ok() && body[0] == b'{';
        prop_assert_eq!(walked.is_ok(), is_json, "{}", String::from_utf8_lossy(&body));
        let mut parts = Seen::default();
        let mut walk = Walk::new();
        let begun = walk.advance(&body[..cut.index(body.len() + 1)], &mut parts);
        if walked.is_ok() {
            begun.unwrap();
            walk.finish(&body, &mut parts).unwrap();
            prop_assert_eq!(parts.numbers, whole.numbers);
            if let Ok(object) = parsed && let Some(list) = object["a"].as_array() && list.iter().all(serde_json::Value::is_number) {
                prop_assert_eq!(whole.numbers, list.len() as u64);
            }
        }
    }
}

fn json_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\"",
        "\"\\u00e9\"",
        "\"\\x\"",
        "\"\n\"",
        "1",
        "-0",
        "01",
        "1.",
        "1.5e+3",
        "e",
        "true",
        "fals",
        "null",
        " ",
        "\n",
        "\"",
        "\\",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| format!("{{\"k\":{}}}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn it_accepts_exactly_what_serde_json_accepts(body in json_like()) {
        prop_assert_eq!(accepts(body.as_bytes()), serde_json::from_str::<IgnoredAny>(&body).is_ok(), "{}", body);
    }

    #[test]
    fn it_never_panics(body: Vec<u8>) {
        let _ = accepts(&body);
    }

    #[test]
    fn in_whatever_pieces_it_arrives_the_same_is_seen(
        body in prop_oneof![
            4 => json_like().prop_map(String::into_bytes),
            4 => any_json().prop_map(String::into_bytes),
            1 => prop::collection::vec(prop::sample::select(b"{}[]\",:\\u0041n1-e. \xc3\xa9\xff".to_vec()), 0..60)
                .prop_map(|rest| [&b"{\"k\":\""[..], &rest, b"\"}"].concat()),
        ],
        mut cuts in prop::collection::vec(0usize..400, 0..12),
    ) {
        let mut whole = Seen::default();
        let expected = walk(&body, &mut whole);
        cuts.retain(|cut| *cut <= body.len());
        cuts.sort_unstable();
        let mut pieces = Seen::default();
        let mut walk = Walk::new();
        let outcome = cuts
            .iter()
            .try_for_each(|cut| walk.advance(&body[..*cut], &mut pieces))
            .and_then(|()| walk.finish(&body, &mut pieces));
        prop_assert_eq!(outcome, expected, "{:?}", String::from_utf8_lossy(&body));
        if expected.is_ok() {
            prop_assert_eq!(pieces, whole);
        }
    }
}
