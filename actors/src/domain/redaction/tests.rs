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
    assert!(built_in::compiled() && named::compiled());
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
        // Other spellings of the same.
        ("Tel.13812345678", "Tel.[phone]"),
        ("tel13812345678", "tel[phone]"),
        ("电话１３８１２３４５６７８。", "电话[phone]。"),
        ("１３８－１２３４－５６７８", "[phone]"),
        ("138.1234.5678 or 1381 234 5678", "[phone] or [phone]"),
        ("138\u{200b}1234\u{a0}5678", "[phone]"),
        ("(+86)138 1234 5678", "(+86)[phone]"),
        ("a\\n13812345678\\n", "a\\n[phone]\\n"),
        ("call 415.555.2671", "call [phone]"),
        ("call 415 555 2671 now", "call [phone] now"),
        ("1-415-555-2671", "[phone]"),
        ("(415)555-2671", "[phone]"),
        ("+55 11912345678 (Brasil)", "[phone] (Brasil)"),
        ("（010）6234 5678", "[phone]"),
        ("010-6234-5678", "[phone]"),
        ("身份证110105 19491231 002X", "身份证[id_card]"),
        ("ID11010519491231002X", "ID[id_card]"),
        ("card4111.1111.1111.1111", "card[bank_card]"),
        ("No.6222021234567890128", "No.[bank_card]"),
        ("josé.garcía@exämple.de", "[email]"),
        ("wang＠example．com", "[email]"),
        // Keys of more providers, and what stands by name.
        ("ya29.a0AfH6SMBxyz1234567890", "[key]"),
        ("nvapi-AbCdEfGhIjKlMnOp1234", "[key]"),
        ("r8_AbCdEfGhIjKlMnOp1234", "[key]"),
        ("pplx-abcdefghijklmnop1234", "[key]"),
        ("tvly-dev-AbCdEfGhIjKlMnOp", "[key]"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "[key]"),
        ("dop_v1_0123456789abcdef0123456789abcdef", "[key]"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "[key]"),
        ("0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp", "[key]"),
        (
            "api-key: 0123456789abcdef0123456789abcdef",
            "api-key: [secret]",
        ),
        (
            "AZURE_KEY=0123456789abcdef0123456789abcdef",
            "AZURE_KEY=[secret]",
        ),
        ("password: hunter2", "password: [secret]"),
        (
            "my password is hunter22, thanks",
            "my password is [secret], thanks",
        ),
        ("密码：abc12345，谢谢", "密码：[secret]，谢谢"),
        ("数据库密码是Tr0ub4dor。", "数据库密码是[secret]。"),
        (
            "PGPASSWORD='correct horse' psql",
            "PGPASSWORD='[secret]' psql",
        ),
        ("api_key=abcdefgh1 and more", "api_key=[secret] and more"),
        (
            "Authorization: Bearer hunter2hunter2",
            "Authorization: Bearer [secret]",
        ),
        (
            "{\\\"password\\\": \\\"hunter2\\\"",
            "{\\\"password\\\": \\\"[secret]\\\"",
        ),
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
        "v1.2.3, 131.0.6778.86, 10.0.19045.3803 and 2024.12.25",
        "192.168.100.200 and 415.555.26710",
        "1,234,567.89, 1 234 567 890, 12 345 678 901 and 13,800,000,000",
        "2024-03-15 18:30:00 to 2024-03-16",
        "256 512 1024, 300 400 5000 and 640 480 1080 720 2160",
        "order13812345678, 3.13812345678 and 13812345678.5",
        "sha 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
        "https://example.com/docs/GettingStarted/Version2/InstallGuide3/x",
        "password: string; password?: str = None; const password = getPassword()",
        "password = process.env.DB_PASSWORD, secret: ${SECRET}, api_key: <your key>",
        "PWD=/home/ada and the token is required; max_tokens: 4096; primary key: id",
        "the bearer certificates, Basic Authentication",
        "git log @{1.day.ago} and x@1.2.3",
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
    let mut value = json!({"arguments": inner, "phone": 13812345678_i64, "n": 42, "a@b.example": 1, "c@d.example": 2});
    let mut hits = Hits::new();
    Redactor::built_in().json(&mut value, &mut hits);
    assert_eq!(value["phone"], "[phone]");
    assert_eq!(value["n"], 42);
    let arguments: Value = serde_json::from_str(value["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"card": "[bank_card]", "to": "[email]"}));
    assert_eq!(hits["email"], 3);
    // Names go as values do, and no field with them.
    let fields = value.as_object().unwrap();
    assert_eq!(fields.len(), 5, "{value}");
    assert!(fields["[email]"].is_i64() && !value.to_string().contains('@'));
    assert_eq!(clean(r#"{"alice@x.com":"vip"}"#), r#"{"[email]":"vip"}"#);
}

#[test]
fn a_name_that_stands_twice_hides_nothing() {
    for text in [
        r#"{"a":"13812345678","a":"x"}"#,
        r#"[{"b":{"a":13812345678,"a":null}}]"#,
        r#"{"a":"\u0031\u0033812345678","a":"x"}"#,
    ] {
        let clean = clean(text);
        assert!(serde_json::from_str::<Value>(&clean).is_ok(), "{clean}");
        assert!(!clean.contains("812345678"), "{clean}");
    }
    assert!(matches!(
        Redactor::built_in().text(
            r#"{ "a": {"a": 1}, "b": [1.5, null, true] }"#,
            &mut Hits::new()
        ),
        Cow::Borrowed(_)
    ));
}

#[test]
fn fields_named_for_secrets_are_emptied() {
    let text = json!({"user": "ada", "password": "correct horse", "pin_code": {"client_secret": "abc-def-ghi"},
        "db_password": 12345678, "schema": {"password": {"type": "string"}}, "api_key": "string", "secret": ""});
    let clean: Value = serde_json::from_str(&clean(&text.to_string())).unwrap();
    assert_eq!(
        clean,
        json!({"user": "ada", "password": "[secret]", "pin_code": {"client_secret": "[secret]"},
            "db_password": "[secret]", "schema": {"password": {"type": "string"}}, "api_key": "string", "secret": ""})
    );
}

#[test]
fn an_operators_rule_leaves_a_message_a_message() {
    let rules = Redactor::built_in()
        .with("all", "content|Ada", "x")
        .unwrap();
    let mut value = json!({"role": "user", "content": "Ada's content", "Ada": 1});
    rules.json(&mut value, &mut Hits::new());
    assert_eq!(value, json!({"role": "user", "content": "x's x", "x": 1}));
}

#[test]
fn a_text_that_was_cut_ends_in_no_part_of_something() {
    for (cut, left) in [
        ("my card is 6222 0212 3456 78", "my card is"),
        ("my card is 6222 0212 3456 ", "my card is"),
        ("卡号６２２２０２１２３４", "卡号"),
        ("call +86 138-1234-5", "call"),
        ("write to josé.garc", "write to"),
        ("请写信给wang@exam", "请写信给"),
        ("my key is sk-proj-abc", "my key is"),
        ("one", ""),
    ] {
        assert_eq!(cut[..end_of_whole_words(cut)].trim_end(), left, "{cut}");
    }
    assert_eq!(end_before_number("Noted: 1381234"), "Noted:".len() + 1);
    assert_eq!(end_before_number("Hello"), 5);
}

#[test]
fn what_is_made_to_be_slow_is_not() {
    // Each would take minutes if a search began anew at every place.
    let many = 200_000;
    let repeated = |text: &str| text.repeat(many / text.len());
    for text in [
        repeated("sk-"),
        repeated("4111 1111 1111 1111 "),
        repeated("1 "),
        repeated("1"),
        repeated("138 1234 567 "),
        repeated("a@"),
        repeated("@"),
        repeated("a."),
        repeated("password:"),
        repeated("password=") + "(",
        repeated("password is "),
        repeated("x "),
        repeated("-----BEGIN PRIVATE KEY----"),
        repeated("１３"),
        repeated("aB3/"),
        format!(
            "{{{}\"x\":1}}",
            (0..many / 20)
                .map(|n| format!("\"{}\":1,", 13_800_000_000_u64 + n as u64))
                .collect::<String>()
        ),
    ] {
        let begun = std::time::Instant::now();
        let clean = clean(&text);
        assert!(begun.elapsed().as_secs() < 20, "{}", &clean[..40]);
    }
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
    fn a_number_goes_however_it_is_spelt(
        groups in prop::sample::select(vec![vec![3, 4, 4], vec![11], vec![3, 8], vec![4, 3, 4], vec![7, 4]]),
        by in prop::sample::select(vec![" ", ".", "-", "\u{a0}", "－", "\u{2011}"]),
        second in 3_u8..10, rest in prop::collection::vec(0_u8..10, 9), wide in any::<bool>(),
        before in prop::sample::select(vec!["", "Tel.", "tel", "电话", "No. ", "+86 ", "\"", "（"]),
    ) {
        let digits: Vec<String> = [1, second].iter().chain(&rest).map(|digit| match wide {
            true => char::from_u32(0xff10 + u32::from(*digit)).unwrap().to_string(),
            false => digit.to_string(),
        }).collect();
        // Numbers that computers count in are taken for such.
        let last: u32 = rest[5..].iter().fold(0, |sum, digit| sum * 10 + u32::from(*digit));
        prop_assume!(!last.is_power_of_two());
        let mut number = String::new();
        let mut at = 0;
        for (index, group) in groups.iter().enumerate() {
            if index > 0 { number.push_str(by); }
            number.push_str(&digits[at..at + group].concat());
            at += group;
        }
        let text = format!("{before}{number}。");
        prop_assert!(!clean(&text).contains(&number), "{}", text);
    }

    #[test]
    fn numbers_in_a_row_are_survived(text in "[0-9１２ .,@a+()\n-]{0,60}") {
        let once = clean(&text);
        prop_assert_eq!(clean(&once), once);
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
