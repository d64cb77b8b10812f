use std::time::Duration;

use serde_json::json;

use super::answer::{Outcome, judge, judge_smtp, kept};
use super::backoff::wait;
use super::body::{text, text_of_several, title_of_several, write, write_several};
use super::standard_webhooks::{Secret, signature};
use super::{Event, Kind, Notice, email};
use crate::domain::alert::Labels;
use crate::domain::alert::rule::Severity;

fn notice(event: Event) -> Notice {
    Notice {
        id: "ntc_1".into(),
        event,
        at: 1_614_265_330_000_000,
        incident: "alr_1".into(),
        rule: "high_error_rate".into(),
        severity: Severity::Critical,
        labels: Labels::from([("model".into(), "gpt-4o".into())]),
        value: "0.25".into(),
        condition: "error_rate > 0.1".into(),
        since: 1_614_265_210_000_000,
        link: "https://steward.example/alerts".into(),
    }
}

#[test]
fn alert_notice_signatures_are_those_of_the_official_vectors() {
    let cases = [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ];
    for (secret, id, at, body, expected) in cases {
        let secret = Secret::parse(secret).unwrap();
        assert_eq!(signature(&[secret], id, at, body.as_bytes()), expected);
    }
}

#[test]
fn alert_notice_carries_both_signatures_while_a_secret_changes() {
    let old = Secret::generate().unwrap();
    let new = Secret::generate().unwrap();
    let both = signature(&[new.clone(), old.clone()], "id", 1, b"body");
    let of = |secret: &Secret| signature(std::slice::from_ref(secret), "id", 1, b"body");
    assert_eq!(both, format!("{} {}", of(&new), of(&old)));
    assert_ne!(of(&new), of(&old));
}

#[test]
fn alert_notice_secrets_read_as_written_and_hide() {
    let secret = Secret::generate().unwrap();
    let text = secret.reveal();
    assert_eq!(*Secret::parse(&text).unwrap().reveal(), *text);
    assert_eq!(format!("{secret:?}"), "…");
    for wrong in [
        "",
        "whsec_",
        "whsec_c2hvcnQ=",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ] {
        assert!(Secret::parse(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn alert_notice_payload_says_all_and_stays_small() {
    let post = write(
        Kind::Webhook,
        "https://x.example/h",
        None,
        &notice(Event::Fired),
        0,
    );
    assert_eq!(post.url, "https://x.example/h");
    assert_eq!(post.body["type"], "alert.fired");
    assert_eq!(post.body["timestamp"], "2021-02-25T15:02:10.000Z");
    assert_eq!(post.body["data"]["incident_id"], "alr_1");
    assert_eq!(post.body["data"]["labels"], json!({"model": "gpt-4o"}));
    assert!(post.body.to_string().len() < 20_000);
    let of = |event| write(Kind::Webhook, "", None, &notice(event), 0).body["type"].clone();
    assert_eq!(of(Event::Resolved), "alert.resolved");
    assert_eq!(of(Event::Acknowledged), "alert.acknowledged");
    assert_eq!(of(Event::Test), "test");
}

#[test]
fn alert_notice_text_is_for_people() {
    assert_eq!(
        text(&notice(Event::Resolved)),
        "[RESOLVED:critical] high_error_rate – model=gpt-4o\n\
         error_rate > 0.1 (measured: 0.25)\n\
         since 2021-02-25T15:00:10.000Z\n\
         https://steward.example/alerts"
    );
}

#[test]
fn alert_notice_names_mention_nobody() {
    let named = Notice {
        rule: "<!channel> & <at user_id=\"all\">".to_owned(),
        ..notice(Event::Fired)
    };
    let slack = write(Kind::Slack, "https://s", None, &named, 0).body["text"].to_string();
    assert!(
        slack.contains("&lt;!channel&gt; &amp; &lt;at") && !slack.contains('<'),
        "{slack}"
    );
    let feishu = write(Kind::Feishu, "https://f", None, &named, 0)
        .body
        .to_string();
    assert!(
        feishu.contains("user_id") && !feishu.contains('<'),
        "{feishu}"
    );
}

#[test]
fn alert_notice_robots_are_signed_their_way() {
    // Computed with Python's hmac, from each maker's description.
    let at = 1_599_360_473_000_000;
    let feishu = write(
        Kind::Feishu,
        "https://f",
        Some("demo"),
        &notice(Event::Fired),
        at,
    );
    assert_eq!(feishu.body["timestamp"], "1599360473");
    assert_eq!(
        feishu.body["sign"],
        "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="
    );
    let ding = write(
        Kind::Dingtalk,
        "https://d/send?access_token=x",
        Some("SECdemo"),
        &notice(Event::Fired),
        at,
    );
    assert_eq!(
        ding.url,
        "https://d/send?access_token=x&timestamp=1599360473000&sign=tGWkA5eQOQNCNPDgphtxIoNLO%2B%2FgD8Lcb705KQoRzeY%3D"
    );
    let unsigned = write(Kind::Feishu, "https://f", None, &notice(Event::Fired), at);
    assert_eq!(unsigned.body.get("sign"), None);
}

#[test]
fn alert_notice_presets_name_the_incident() {
    let pagerduty = write(
        Kind::Pagerduty,
        "https://p",
        Some("key"),
        &notice(Event::Resolved),
        0,
    )
    .body;
    assert_eq!(pagerduty["event_action"], "resolve");
    assert_eq!(pagerduty["dedup_key"], "alr_1");
    assert_eq!(pagerduty["routing_key"], "key");
    let alertmanager = write(
        Kind::Alertmanager,
        "https://a",
        None,
        &notice(Event::Fired),
        0,
    )
    .body;
    assert_eq!(alertmanager["version"], "4");
    assert_eq!(
        alertmanager["alerts"][0]["labels"]["alertname"],
        "high_error_rate"
    );
    assert_eq!(alertmanager["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
}

#[test]
fn alert_notice_answers_are_believed_by_what_they_say() {
    let judged = |kind, status, body: &str| judge(kind, status, None, body.as_bytes(), 0);
    let later = Outcome::Later(None);
    assert_eq!(judged(Kind::Webhook, 204, ""), Outcome::Delivered);
    assert_eq!(judged(Kind::Webhook, 302, ""), later);
    assert_eq!(judged(Kind::Webhook, 500, ""), later);
    assert_eq!(judged(Kind::Webhook, 410, ""), Outcome::Gone);
    assert_eq!(
        judged(Kind::Dingtalk, 200, r#"{"errcode":0,"errmsg":"ok"}"#),
        Outcome::Delivered
    );
    assert_eq!(
        judged(
            Kind::Dingtalk,
            200,
            r#"{"errcode":310000,"errmsg":"sign not match"}"#
        ),
        later
    );
    assert_eq!(judged(Kind::Wecom, 200, r#"{"errcode":93000}"#), later);
    assert_eq!(
        judged(
            Kind::Feishu,
            200,
            r#"{"code":19021,"msg":"sign match fail"}"#
        ),
        later
    );
    assert_eq!(
        judged(Kind::Feishu, 200, r#"{"StatusCode":0}"#),
        Outcome::Delivered
    );
    assert_eq!(judged(Kind::Feishu, 200, "<html>sign in</html>"), later);
    assert_eq!(judged(Kind::Pagerduty, 202, ""), Outcome::Delivered);
    assert_eq!(judged(Kind::Pagerduty, 400, ""), Outcome::Rejected);
    assert_eq!(
        judge(Kind::Webhook, 429, Some("120"), b"", 0),
        Outcome::Later(Some(Duration::from_secs(120)))
    );
    // A date means the same: 2021-02-25T15:02:10Z is now.
    let asked = |date: &str| {
        let now = 1_614_265_330_000_000;
        judge(Kind::Webhook, 503, Some(date), b"", now)
    };
    let in_ten_minutes = asked("Thu, 25 Feb 2021 15:12:10 GMT");
    assert_eq!(
        in_ten_minutes,
        Outcome::Later(Some(Duration::from_secs(600)))
    );
    for none in ["Thu, 25 Feb 2021 15:00:00 GMT", "soon", "-5", ""] {
        assert_eq!(asked(none), later, "{none}");
    }
    assert_eq!(kept(&[b'a'; 2_000]).len(), 512);
}

#[test]
fn alert_notice_backoff_grows_and_honours_the_receiver() {
    let waits: Vec<u64> = (1..=7)
        .map(|attempts| wait(attempts, 0.0, None).as_secs())
        .collect();
    assert_eq!(waits, [5, 30, 300, 1_800, 7_200, 7_200, 7_200]);
    assert_eq!(wait(1, 1.0, None).as_secs(), 6);
    let asked = |seconds| wait(1, 0.0, Some(Duration::from_secs(seconds))).as_secs();
    assert_eq!(asked(120), 120);
    assert_eq!(asked(1), 5);
    assert_eq!(asked(1_000_000), 21_600);
}

#[test]
fn alert_notice_mails_of_an_incident_are_one_thread() {
    let fired = email::write(&notice(Event::Fired), "steward.example");
    let resolved = Notice {
        id: "ntc_2".into(),
        ..notice(Event::Resolved)
    };
    let resolved = email::write(&resolved, "steward.example");
    assert_eq!(
        fired.subject,
        "[FIRING:critical] high_error_rate – model=gpt-4o"
    );
    assert_eq!(fired.message_id, "<ntc_1@steward.example>");
    assert_eq!(fired.thread, "<alr_1@steward.example>");
    assert_eq!(resolved.thread, fired.thread);
    assert_ne!(resolved.message_id, fired.message_id);
    assert!(resolved.text.starts_with("[RESOLVED:critical]"));
}

#[test]
fn alert_notice_mails_smuggle_nothing_in() {
    let mut evil = notice(Event::Fired);
    evil.rule = "x\r\nBcc: a@b.example <script>".into();
    let mail = email::write(&evil, "steward.example");
    assert!(!mail.subject.contains(['\r', '\n']));
    assert!(!mail.html.contains("<script>"));
    assert!(mail.html.contains("&lt;script&gt;"));
}

#[test]
fn alert_notice_mail_is_given_up_only_when_refused_for_good() {
    assert_eq!(judge_smtp(Some(250)), Outcome::Delivered);
    assert_eq!(judge_smtp(Some(550)), Outcome::Rejected);
    // The relay does not let us in: that says nothing of the mail.
    assert_eq!(judge_smtp(Some(535)), Outcome::Later(None));
    for code in [None, Some(421), Some(451)] {
        assert_eq!(judge_smtp(code), Outcome::Later(None));
    }
}

#[test]
fn alert_notices_for_people_are_told_together_and_programs_get_the_first() {
    let of = |event, incident: &str, rule: &str| Notice {
        incident: incident.into(),
        rule: rule.into(),
        ..notice(event)
    };
    let notices = [
        of(Event::Fired, "alr_1", "down"),
        of(Event::Fired, "alr_2", "slow"),
        of(Event::Resolved, "alr_3", "full"),
        of(Event::Repeated, "alr_4", "old"),
        of(Event::Fired, "alr_1", "down"),
    ];
    let title = "[FIRING:4, RESOLVED:1] down, slow, full and 1 more";
    assert_eq!(title_of_several(&notices), title);
    let text = text_of_several(&notices, 5_000);
    assert_eq!(text.lines().count(), 1 + 5 + 1);
    assert!(text.contains(
        "\n[RESOLVED:critical] full – model=gpt-4o: error_rate > 0.1 (measured: 0.25), since 2021-02-25T15:00:10.000Z\n"
    ));
    let many: Vec<Notice> = (0..200).map(|_| notice(Event::Fired)).collect();
    let short = text_of_several(&many, 2_000);
    assert!(short.chars().count() <= 2_000, "{}", short.len());
    let told = short.matches("error_rate >").count();
    assert!(
        short.contains(&format!("\n… and {} more\n", 200 - told)),
        "{short}"
    );

    for kind in Kind::ALL {
        let post = write_several(kind, "https://x", Some("key"), &notices, 0).unwrap();
        let body = post.body.to_string();
        assert_eq!(
            body.contains("and 1 more"),
            kind.is_for_people(),
            "{kind:?}"
        );
        let one = write_several(kind, "https://x", Some("key"), &notices[..1], 0).unwrap();
        assert_eq!(one, write(kind, "https://x", Some("key"), &notices[0], 0));
        assert_eq!(write_several(kind, "https://x", None, &[], 0), None);
    }
    let mail = email::write_several("msg_9", &notices, "steward.example").unwrap();
    assert_eq!(
        (mail.subject.as_str(), mail.message_id.as_str()),
        (title, "<msg_9@steward.example>")
    );
    assert_eq!(mail.thread, "<alr_1@steward.example>");
    assert_eq!(mail.references.split(' ').count(), 4);
    assert_eq!(email::write_several("msg_9", &[], "steward.example"), None);
}
