use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use steward_actors::domain::issuer::{IssuerKey, keys_of_jwks};
use steward_actors::domain::redaction::RedactionMode;
use steward_actors::domain::snapshot::TokenView;

use super::*;

const NOW_S: i64 = 1_773_599_400;
const NOW: i64 = NOW_S * 1_000_000;
const SHARED: &[u8] = b"a secret of at least thirty-two bytes";
/// Made by OpenSSL, so that two implementations have to agree.
const RSA_N: &str = "uriOuTYAvgkJX-bKRAmuUZMaWqLBpitYNwu0a9icHRRLobRP8KPdn8m5TRgdsiMOHUSMgKe6bhs5iRnISu-1NwpIhqzqaIw6zUyWg05QV09U0n8HBPSEM7Q0dNIo7dlhde4yQrznrMBs27TlqX1eXbLCD1mKmkAuErn5irwesBAK7msqpc8tqw9XgQPN1m0h2IAaKcEMeJM17i_fFReAMNXYue-Y-C5Q9ERWdf6H9104Ft_W4h08yzBkm4gj2lOaihMDS6SgGNgYDUHtarAKAOALaExWXdVcIQ41wHZOutBFJKuBzI7JkNS-hZOnWQ9UfLuqFGMQUtlqJxc1bc3NYQ";
const EC_X: &str = "7VqhAxQC1MJijoDuSyD0-6SsIMk4oJuc3FG6-i8L7Cs";
const EC_Y: &str = "kRKVl836BdLftUS5iwe7tftVhcUIjx9UD6kcF3Rxnhw";
const RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoic3Rld2FyZCIsInN1YiI6InVzZXItMSIsImV4cCI6MTc3MzYwMDAwMH0.KxTwU___EPnhdKOiMp8b-40K-8xvzuhP9ZtZOCWSjo0YqZDe5uaQ2YKVUUNj5hYWL1AAhIv0HmPyKcQJuexi8usMLc932JhsQ3EdLMpK7dBVfaUg4KGtREmA3yPWutpbN9Yfvr7B32bRXnzGdyoFLEnhxkTS0DzgMFbZuUwrbx8YcQn_Wj8PnhNK-TXlqomxkamDUolckBjNNAPklkUv4hePMekNLtdjUvssN8klMAqYR0H6reLv6QYL-okXgE0xhe89z8XnND81sTryP0pFvygyRtwBTGsZ8YQ_4GkUGcD-CLXnGSVB01NvIrTR7KUKySfff9QBIzZKWSE-v4j5QQ";
const ES256: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImVjIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoic3Rld2FyZCIsInN1YiI6InVzZXItMSIsImV4cCI6MTc3MzYwMDAwMH0.S_5JMDHuSIwgj-quQlo7NaID3CC49juDNsRcSI6GgkcPYQycCv_gNNGGfZ8hqujgkGgIJjZIpBTZuGdbIrZLQQ";

fn snapshot(keys: Vec<IssuerKey>) -> Snapshot {
    let token = TokenView {
        id: 1,
        public_id: "tok_1".into(),
        name: "web users".into(),
        tenant_id: 0,
        tenant_public_id: String::new(),
        tenant_name: String::new(),
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
        redaction: RedactionMode::Redact,
    };
    let issuer = IssuerView {
        public_id: "iss_1".into(),
        name: "id".into(),
        is_own: false,
        issuer: "https://id.example.com".into(),
        audience: "steward".into(),
        token: Arc::new(token),
        jwks_url: None,
        keys,
    };
    Snapshot {
        issuers: HashMap::from([(issuer.issuer.clone(), Arc::new(issuer))]),
        ..Snapshot::default()
    }
}

fn of_secret() -> Snapshot {
    snapshot(vec![IssuerKey {
        kid: None,
        proof: Proof::Secret(SHARED.to_vec()),
        valid_until: None,
    }])
}

fn claims() -> Value {
    json!({"iss": "https://id.example.com", "aud": "steward", "sub": "user-1", "exp": NOW_S + 600})
}

fn signed(header: &Header, claims: &Value, key: &[u8]) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key)).unwrap()
}

fn raw(header: &Value, claims: &str, signature: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{signature}", part(&header.to_string()), part(claims))
}

#[test]
fn public_keys_verify_what_another_signed_and_nothing_is_signed_with_them() {
    let set = json!({"keys": [
        {"kty": "RSA", "kid": "rsa", "n": RSA_N, "e": "AQAB", "alg": "RS256", "use": "sig"},
        {"kty": "EC", "kid": "ec", "crv": "P-256", "x": EC_X, "y": EC_Y},
    ]});
    let snapshot = snapshot(keys_of_jwks(&set));
    for token in [RS256, ES256] {
        assert_eq!(&*check(&snapshot, token, NOW).unwrap().user, "user-1");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{message}.{first}{}", &signature[1..]);
        let refused = check(&snapshot, &forged, NOW).unwrap_err();
        assert_eq!(refused, Fault::SignatureInvalid);
    }
    // What everybody knows is no secret: HMAC with the public key in any of its forms.
    for known in [
        RSA_N.as_bytes(),
        &URL_SAFE_NO_PAD.decode(RSA_N).unwrap(),
        set.to_string().as_bytes(),
    ] {
        let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some("rsa".into());
        let refused = check(&snapshot, &signed(&header, &claims(), known), NOW).unwrap_err();
        assert_eq!(refused, Fault::AlgorithmRefused);
    }
    // A key of one kind is not used for the other's algorithm.
    let swapped = RS256.replacen(
        RS256.split('.').next().unwrap(),
        &URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"ec"}"#),
        1,
    );
    assert_eq!(
        check(&snapshot, &swapped, NOW).unwrap_err(),
        Fault::AlgorithmRefused
    );
    // With several keys a token says which.
    let nameless = RS256.replacen(
        RS256.split('.').next().unwrap(),
        &URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
        1,
    );
    assert_eq!(
        check(&snapshot, &nameless, NOW).unwrap_err(),
        Fault::KeyUnknown
    );
}

#[test]
fn every_fault_has_its_name() {
    let snapshot = of_secret();
    let hs = Header::new(jsonwebtoken::Algorithm::HS256);
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signed(&hs, &claims, SHARED)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        signed(&hs, &claims, SHARED)
    };
    let good = signed(&hs, &claims(), SHARED);
    let message = good.rsplit_once('.').unwrap().0;
    let head = json!({"alg": "HS256"});
    let text = claims().to_string();
    let twice = text.replacen("{", r#"{"sub":"user-2","#, 1);
    let table = [
        (
            signed(&hs, &claims(), b"another secret of thirty-two bytes"),
            Fault::SignatureInvalid,
        ),
        (
            signed(
                &Header::new(jsonwebtoken::Algorithm::HS512),
                &claims(),
                SHARED,
            ),
            Fault::AlgorithmRefused,
        ),
        (
            raw(&json!({"alg": "none"}), &text, ""),
            Fault::AlgorithmRefused,
        ),
        (
            raw(&json!({"alg": "None"}), &text, ""),
            Fault::AlgorithmRefused,
        ),
        (
            raw(&json!({"alg": "hs256"}), &text, ""),
            Fault::AlgorithmRefused,
        ),
        (
            raw(
                &json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
                &text,
                "",
            ),
            Fault::AlgorithmRefused,
        ),
        (raw(&json!({"alg": ["HS256"]}), &text, ""), Fault::Malformed),
        (format!("{message}."), Fault::SignatureInvalid),
        (raw(&head, &text, "not base64!"), Fault::SignatureInvalid),
        (raw(&head, &twice, "AAAA"), Fault::Malformed),
        (raw(&head, "[]", "AAAA"), Fault::Malformed),
        (raw(&head, &"[".repeat(4_000), "AAAA"), Fault::Malformed),
        ("ey.ey.ey".to_owned(), Fault::Malformed),
        ("ey..".to_owned(), Fault::Malformed),
        (
            with("iss", json!("https://evil.example.com")),
            Fault::IssuerUnknown,
        ),
        (
            with("iss", json!("https://id.example.com/")),
            Fault::IssuerUnknown,
        ),
        (with("aud", json!("other")), Fault::AudienceWrong),
        (with("aud", json!([])), Fault::AudienceWrong),
        (without("aud"), Fault::Malformed),
        (without("sub"), Fault::Malformed),
        (with("sub", json!(7)), Fault::Malformed),
        (with("sub", json!(" ")), Fault::UserInvalid),
        (with("sub", json!("x".repeat(161))), Fault::UserInvalid),
        (with("sub", json!("a\u{0}b")), Fault::UserInvalid),
        (without("exp"), Fault::Malformed),
        (with("exp", json!("soon")), Fault::Malformed),
        (with("exp", json!(-1)), Fault::Malformed),
        (with("exp", json!(1e300)), Fault::Malformed),
        (with("exp", json!(NOW_S)), Fault::Expired),
        (with("exp", json!(NOW_S - 1)), Fault::Expired),
        (with("nbf", json!(NOW_S + 61)), Fault::NotYetValid),
        (
            with("padding", json!("x".repeat(LENGTH_MAX))),
            Fault::TooLong,
        ),
    ];
    for (token, fault) in table {
        let refused = check(&snapshot, &token, NOW).unwrap_err();
        assert_eq!(refused, fault, "{token}");
        assert_eq!(refused.code().status(), 401);
    }
    for good in [
        good,
        with("aud", json!(["a", "steward"])),
        with("nbf", json!(NOW_S + 59)),
        with("exp", json!(NOW_S as f64 + 0.5)),
        with("padding", json!("x".repeat(4_000))),
    ] {
        assert!(check(&snapshot, &good, NOW).is_ok(), "{good}");
    }
}

#[test]
fn what_was_verified_is_remembered_within_bounds_and_no_longer_than_it_holds() {
    let hs = Header::new(jsonwebtoken::Algorithm::HS256);
    let of_secret = of_secret();
    let mut first = String::new();
    for number in 0..REMEMBERED + 10 {
        let mut claims = claims();
        claims["sub"] = json!(format!("user-{number}"));
        first = signed(&hs, &claims, SHARED);
        verify(&of_secret, &first, NOW).unwrap();
        assert!(SEEN.with_borrow(HashMap::len) <= REMEMBERED);
    }
    assert!(SEEN.with_borrow(|seen| seen.contains_key(&hash(&first))));
    verify(&of_secret, &first, NOW + 599_000_000).unwrap();
    let over = verify(&of_secret, &first, NOW + 600_000_000).unwrap_err();
    assert_eq!(over, Fault::Expired);
    // The issuer has another secret now, or is gone: what was remembered of it is worth nothing.
    let other = snapshot(vec![IssuerKey {
        kid: None,
        proof: Proof::Secret(b"another secret of thirty-two bytes".to_vec()),
        valid_until: None,
    }]);
    assert_eq!(
        verify(&other, &first, NOW).unwrap_err(),
        Fault::SignatureInvalid
    );
    assert_eq!(
        verify(&Snapshot::default(), &first, NOW).unwrap_err(),
        Fault::IssuerUnknown
    );
}
