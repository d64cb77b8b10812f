//! What the rules find, and what they leave alone.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn clean(text: &str) -> String {
    Redactor::built_in()
        .text(text, &mut Hits::new())
        .into_owned()
}

#[test]
fn every_pattern_compiles() {
    assert!(built_in::compiled());
}

#[test]
fn personal_data_and_secrets_go() {
    for (text, expected) in [
        (
            "write to wang.lei+x@mail.example.cn please",
            "write to [email] please",
        ),
        ("电话13812345678，谢谢", "电话[phone]，谢谢"),
        ("call +86 138 1234 5678 now", "call [phone] now"),
        ("座机010-62345678转1", "座机[phone]转1"),
        ("call (415) 555-2671.", "call [phone]."),
        ("身份证11010519491231002X号", "身份证[id_card]号"),
        ("card 4111 1111 1111 1111 12/27", "card [bank_card] 12/27"),
        ("卡号6222021234567890128", "卡号[bank_card]"),
        ("密钥sk-proj-abcDEF1234567890abcdef。", "密钥[key]。"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("ghp_abcdefghijABCDEFGHIJ0123456789abcdef", "[key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123_-x", "[key]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nend",
            "[private_key]\nend",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "[private_key]"),
    ] {
        assert_eq!(clean(text), expected);
    }
}

#[test]
fn ordinary_words_and_numbers_stay() {
    for text in [
        "4111111111111112 fails Luhn",
        "at 1773599400000 ms, 1773599400000000 us",
        "order 20260315123456789, total 12345678.90",
        "11010519491231002Y and 110105194912310021",
        "0199d2c0-7e2f-7b3c-9a54-2f1d3c4b5a69",
        "a sk-learn-like task-oriented approach, user@localhost",
        "pi = 3.14159265358979323846",
        "对话记录功能 1380 个",
    ] {
        assert_eq!(clean(text), text);
        assert!(matches!(
            Redactor::built_in().text(text, &mut Hits::new()),
            Cow::Borrowed(_)
        ));
    }
}

#[test]
fn json_stays_json_at_every_depth() {
    let inner = json!({"card": 4111111111111111_i64, "to": "a@b.example"}).to_string();
    let mut value =
        json!({"arguments": inner, "phone": 13812345678_i64, "n": 42, "a@b.example": 1});
    let mut hits = Hits::new();
    Redactor::built_in().json(&mut value, &mut hits);
    assert_eq!(value["phone"], "[phone]");
    assert_eq!(value["n"], 42);
    let arguments: Value = serde_json::from_str(value["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"card": "[bank_card]", "to": "[email]"}));
    assert_eq!(hits["email"], 1);
}

#[test]
fn own_rules_are_literal_bounded_and_linear() {
    let rules = Redactor::built_in()
        .with("project", r"(?i)project\s+\w+", "$1[project]")
        .unwrap();
    let mut hits = Hits::new();
    assert_eq!(
        rules.text("Project Falcon and project X", &mut hits),
        "$1[project] and $1[project]"
    );
    assert_eq!(hits["project"], 2);
    for bad in [
        "",
        "(",
        "a*",
        "(?:(?:a{1000}){1000}){1000}",
        &"x".repeat(1_001),
    ] {
        assert!(compile(bad).is_err(), "{}", bad.len());
    }
    let evil = Redactor::built_in().with("evil", "(a+)+$", "x").unwrap();
    let text = format!("{}!", "a".repeat(100_000));
    assert_eq!(evil.text(&text, &mut Hits::new()), text);
}

proptest! {
    #[test]
    fn a_card_number_goes_and_one_digit_off_stays(digits in prop::collection::vec(0_u8..10, 14)) {
        let mut number = vec![4_u8];
        number.extend(&digits);
        let sum: u32 = number.iter().rev().enumerate().map(|(place, digit)| {
            let value = u32::from(*digit) * if place % 2 == 0 { 2 } else { 1 };
            if value > 9 { value - 9 } else { value }
        }).sum();
        let check = (10 - sum % 10) % 10;
        let text: String = number.iter().map(u8::to_string).collect();
        prop_assert_eq!(clean(&format!("卡{text}{check}。")), "卡[bank_card]。");
        let off = format!("{text}{}", (check + 1) % 10);
        prop_assert_eq!(clean(&off), off);
    }

    #[test]
    fn an_address_never_survives(name in "[a-z]{1,10}", host in "[a-z]{1,10}", before in "\\PC{0,10}", after in "\\PC{0,10}") {
        let address = format!("{name}@{host}.example");
        let text = format!("{before} {address} {after}");
        prop_assert!(!clean(&text).contains(&address));
    }

    #[test]
    fn any_text_is_survived_and_clean_text_stays_clean(text in "\\PC*") {
        let once = clean(&text);
        prop_assert_eq!(clean(&once), once);
    }

    #[test]
    fn json_of_any_text_stays_json(text in "\\PC*") {
        let outer = json!({"x": [text]}).to_string();
        prop_assert!(serde_json::from_str::<Value>(&clean(&outer)).is_ok());
    }
}
