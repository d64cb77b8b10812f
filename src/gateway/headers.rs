//! Which headers cross the gateway, and which never do.
//!
//! Towards the provider: everything the client said, but for what belongs to this connection, to the
//! client's own credential and network, or to Steward. Towards the client: everything the provider said, but
//! for what belongs to the provider's connection and domain. It knows names, not policy: lengths and bodies
//! are the shell's.

use actix_web::http::header::HeaderName as ServerName;
use http::header::{HeaderMap, HeaderValue};
use steward_actors::domain::snapshot::{Protocol, Secret};

use super::{decode, names};

/// Version of the Anthropic API that is asked for when the client names none.
pub const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Where the provider's own `x-request-id` goes.
pub const UPSTREAM_REQUEST_ID: &str = "x-upstream-request-id";

/// RFC 9110, 7.6.1, and what is treated alike in practice.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Never sent upstream, beside the hop-by-hop ones.
const KEPT_FROM_UPSTREAM: &[&str] = &[
    // The shell frames the message anew.
    "host",
    "content-length",
    "expect",
    "accept-encoding",
    // Credentials of the client, and what only makes sense with them (docs/decisions/0009).
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "openai-organization",
    "openai-project",
    // Ours.
    "x-app-id",
    "x-user-id",
    "x-conversation-id",
    "x-prompt",
    "x-request-id",
    // The client's network.
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "cdn-loop",
];

/// Never sent to the client, beside the hop-by-hop ones.
const KEPT_FROM_CLIENT: &[&str] = &[
    "set-cookie",
    "set-cookie2",
    "alt-svc",
    "strict-transport-security",
    // Ours: another Steward's would be taken for it.
    "x-steward-knowledge",
    // The shell frames the message anew.
    "content-length",
];

/// Headers a request may carry only once: two of them mean two readers may disagree.
const SINGLE: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "authorization",
    "x-api-key",
    "transfer-encoding",
    "content-encoding",
];

/// One bit for each of their lengths: most headers need no closer look.
const SINGLE_LENGTHS: u64 = {
    let mut bits = 0;
    let mut at = 0;
    while at < SINGLE.len() {
        bits |= 1 << SINGLE[at].len();
        at += 1;
    }
    bits
};

/// Why a request's headers are refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderFault {
    /// Sent more than once.
    #[error("the header {0} was sent more than once")]
    Repeated(&'static str),
    /// Both a length and a transfer coding, or a coding that is not `chunked`.
    #[error("the request's framing headers contradict each other")]
    Framing,
    /// The account's secret cannot be sent in a header.
    #[error("the account's secret holds characters that no header can carry")]
    SecretUnsendable,
}

/// Whether `connection` (the header's values joined by commas) says that `name` belongs to the connection.
fn is_named_by(connection: &str, name: &str) -> bool {
    !connection.is_empty()
        && connection
            .split(',')
            .any(|token| token.trim().eq_ignore_ascii_case(name))
}

/// Whether a client's header of this name (in lower case) goes to the provider, unless `connection` names it.
pub(super) fn goes_up(name: &str) -> bool {
    !HOP_BY_HOP.contains(&name)
        && !KEPT_FROM_UPSTREAM.contains(&name)
        && !name.starts_with("x-steward-")
}

/// Whether a provider's header of this name (in lower case) goes to the client, unless `connection` names it.
pub(super) fn goes_down(name: &str) -> bool {
    !HOP_BY_HOP.contains(&name) && !KEPT_FROM_CLIENT.contains(&name) && name != UPSTREAM_REQUEST_ID
}

/// Refuses headers that two readers could understand differently.
///
/// # Errors
/// [`HeaderFault::Repeated`], [`HeaderFault::Framing`].
pub fn check<'a>(
    inbound: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<(), HeaderFault> {
    let mut seen = [false; SINGLE.len()];
    let mut length = false;
    let mut coded = false;
    for (name, value) in inbound {
        if SINGLE_LENGTHS & (1 << (name.len() & 63)) == 0 {
            continue;
        }
        if let Some(at) = SINGLE
            .iter()
            .position(|single| name.eq_ignore_ascii_case(single))
            && std::mem::replace(&mut seen[at], true)
        {
            return Err(HeaderFault::Repeated(SINGLE[at]));
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = true;
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(HeaderFault::Framing);
            }
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            coded = true;
            if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(HeaderFault::Framing);
            }
        }
    }
    if length && coded {
        return Err(HeaderFault::Framing);
    }
    Ok(())
}

/// The headers of the call to the provider: the client's, filtered, and the account's credential.
/// `streaming` asks for an answer that is not compressed, so that its events can be told apart. Host and
/// length are the HTTP client's.
///
/// # Errors
/// [`HeaderFault::SecretUnsendable`]. Run [`check`] first for the others.
pub fn to_upstream<'a>(
    inbound: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    protocol: Protocol,
    secret: &Secret,
    streaming: bool,
) -> Result<HeaderMap, HeaderFault> {
    let mut connection = String::new();
    let mut accepts = String::new();
    for (name, value) in inbound.clone() {
        let list = if name.eq_ignore_ascii_case("connection") {
            &mut connection
        } else if name.eq_ignore_ascii_case("accept-encoding") {
            &mut accepts
        } else {
            continue;
        };
        if let Ok(text) = std::str::from_utf8(value) {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(text);
        }
    }
    let mut out = HeaderMap::with_capacity(24);
    for (name, value) in inbound {
        // What is no name or value by HTTP's rules does not travel.
        names::with(name, |known| {
            if known.goes_up
                && !is_named_by(&connection, known.name.as_str())
                && let Ok(value) = HeaderValue::from_bytes(value)
            {
                out.append(known.name.clone(), value);
            }
        });
    }
    let encodings = match &accepts[..] {
        _ if streaming => Ok(HeaderValue::from_static("identity")),
        // What most SDKs send, and what is made of it.
        "gzip, deflate" => Ok(HeaderValue::from_static("gzip, deflate")),
        other => HeaderValue::from_str(&decode::accept_encoding(other)),
    };
    if let Ok(value) = encodings {
        out.insert(http::header::ACCEPT_ENCODING, value);
    }
    let sendable = |text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|_| HeaderFault::SecretUnsendable)?;
        value.set_sensitive(true);
        Ok(value)
    };
    match protocol {
        Protocol::OpenAi => {
            let bearer = ["Bearer ", secret.reveal()].concat();
            out.insert(http::header::AUTHORIZATION, sendable(&bearer)?);
        }
        Protocol::Anthropic => {
            out.insert("x-api-key", sendable(secret.reveal())?);
            out.entry("anthropic-version")
                .or_insert(HeaderValue::from_static(ANTHROPIC_VERSION));
        }
    }
    Ok(out)
}

/// The headers of the answer to the client: the provider's, filtered; its `x-request-id` under
/// [`UPSTREAM_REQUEST_ID`]. Repeated headers stay repeated, in order.
pub fn to_client(upstream: &HeaderMap) -> impl Iterator<Item = (ServerName, &HeaderValue)> {
    let mut connection = String::new();
    for value in upstream.get_all(http::header::CONNECTION) {
        if let Ok(text) = value.to_str() {
            connection.push(',');
            connection.push_str(text);
        }
    }
    upstream.iter().filter_map(move |(name, value)| {
        let server = if name.as_str() == "x-request-id" {
            names::with(UPSTREAM_REQUEST_ID, |known| known.server.clone())
        } else {
            let goes = !is_named_by(&connection, name.as_str());
            names::with(name.as_str(), |known| {
                (goes && known.goes_down).then(|| known.server.clone())
            })
            .flatten()
        };
        Some((server?, value))
    })
}

/// The provider's own id of the call: `x-request-id`, else `request-id`.
pub fn upstream_request_id(upstream: &HeaderMap) -> Option<&str> {
    ["x-request-id", "request-id"]
        .iter()
        .find_map(|name| upstream.get(*name)?.to_str().ok())
}

/// How long the provider wishes to be left alone, in milliseconds: `retry-after-ms`, else `retry-after` in
/// seconds (a date is not read).
pub fn retry_after_ms(upstream: &HeaderMap) -> Option<u64> {
    let number = |name: &str| {
        upstream
            .get(name)?
            .to_str()
            .ok()?
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && *number >= 0.0)
    };
    number("retry-after-ms")
        .or_else(|| number("retry-after").map(|seconds| seconds * 1_000.0))
        .map(|ms| ms as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret() -> Secret {
        Secret::new("upstream-secret".into())
    }

    fn sent(inbound: &[(&str, &str)], protocol: Protocol) -> HeaderMap {
        let pairs = inbound
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        to_upstream(pairs, protocol, &secret(), false).unwrap()
    }

    #[test]
    fn the_clients_credential_stays_here_and_the_accounts_goes() {
        let inbound = [
            ("Authorization", "Bearer sk-stw-client"),
            ("X-Api-Key", "sk-stw-client"),
            ("Cookie", "a=b"),
            ("Host", "steward.local"),
            ("X-App-Id", "app"),
            ("X-Prompt", "greeting@2"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("OpenAI-Organization", "org-client"),
            ("OpenAI-Project", "proj_client"),
            ("Content-Length", "12"),
            ("Content-Type", "application/json"),
            ("anthropic-beta", "a"),
            ("anthropic-beta", "b"),
            ("X-Stainless-Lang", "python"),
            ("User-Agent", "OpenAI/Python 3"),
        ];
        let out = sent(&inbound, Protocol::OpenAi);
        assert_eq!(out["authorization"], "Bearer upstream-secret");
        assert!(out["authorization"].is_sensitive());
        for gone in [
            "x-api-key",
            "cookie",
            "host",
            "x-app-id",
            "x-prompt",
            "x-forwarded-for",
            "openai-organization",
            "openai-project",
            "content-length",
        ] {
            assert!(!out.contains_key(gone), "{gone}");
        }
        assert_eq!(out.get_all("anthropic-beta").iter().count(), 2);
        assert_eq!(out["user-agent"], "OpenAI/Python 3");
        assert_eq!(out["accept-encoding"], "identity");

        let out = sent(&inbound, Protocol::Anthropic);
        assert_eq!(out["x-api-key"], "upstream-secret");
        assert_eq!(out["anthropic-version"], ANTHROPIC_VERSION);
        assert!(!out.contains_key("authorization"));
        let out = sent(&[("anthropic-version", "2026-10-21")], Protocol::Anthropic);
        assert_eq!(out["anthropic-version"], "2026-10-21");
    }

    #[test]
    fn what_connection_names_stays_here() {
        let out = sent(
            &[
                ("Connection", "close, X-Secret-Hop"),
                ("X-Secret-Hop", "1"),
                ("TE", "trailers"),
                ("X-Other", "2"),
            ],
            Protocol::OpenAi,
        );
        assert!(!out.contains_key("x-secret-hop") && !out.contains_key("te"));
        assert_eq!(out["x-other"], "2");
    }

    #[test]
    fn a_stream_is_asked_for_uncompressed() {
        let inbound = [("accept-encoding", &b"gzip, br, zstd"[..])];
        let ask = |streaming| {
            to_upstream(
                inbound.iter().copied(),
                Protocol::OpenAi,
                &secret(),
                streaming,
            )
            .unwrap()
        };
        assert_eq!(ask(true)["accept-encoding"], "identity");
        assert_eq!(ask(false)["accept-encoding"], "gzip, br");
    }

    #[test]
    fn contradictions_are_refused() {
        let fault = |inbound: &[(&str, &str)]| {
            check(
                inbound
                    .iter()
                    .map(|(name, value)| (*name, value.as_bytes())),
            )
        };
        assert_eq!(
            fault(&[("content-length", "1"), ("Content-Length", "2")]),
            Err(HeaderFault::Repeated("content-length"))
        );
        assert_eq!(
            fault(&[("authorization", "a"), ("authorization", "b")]),
            Err(HeaderFault::Repeated("authorization"))
        );
        assert_eq!(
            fault(&[("content-length", "1"), ("transfer-encoding", "chunked")]),
            Err(HeaderFault::Framing)
        );
        assert_eq!(
            fault(&[("transfer-encoding", "gzip, chunked")]),
            Err(HeaderFault::Framing)
        );
        assert_eq!(
            fault(&[("content-length", "+1")]),
            Err(HeaderFault::Framing)
        );
        assert_eq!(
            fault(&[("transfer-encoding", "chunked"), ("x-a", "1"), ("x-a", "2")]),
            Ok(())
        );
    }

    #[test]
    fn a_secret_with_a_line_break_is_not_sent() {
        let broken = Secret::new("a\nb".into());
        let fault = to_upstream([].into_iter(), Protocol::Anthropic, &broken, false);
        assert_eq!(fault.unwrap_err(), HeaderFault::SecretUnsendable);
    }

    #[test]
    fn provider_headers_come_back_and_its_cookies_do_not() {
        let mut upstream = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("openai-version", "2020-10-01"),
            ("anthropic-ratelimit-requests-limit", "50"),
            ("x-ratelimit-limit-requests", "100"),
            ("retry-after", "1.5"),
            ("request-id", "req_1"),
            ("x-request-id", "up-1"),
            ("x-should-retry", "true"),
            ("content-encoding", "gzip"),
            ("set-cookie", "a=b"),
            ("alt-svc", "h3"),
            ("strict-transport-security", "max-age=1"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("x-upstream-request-id", "forged"),
            ("x-steward-knowledge", "3"),
        ] {
            upstream.append(name, HeaderValue::from_static(value));
        }
        let sent: Vec<_> = to_client(&upstream).map(|(name, _)| name).collect();
        let names: Vec<&str> = sent.iter().map(ServerName::as_str).collect();
        for kept in [
            "content-type",
            "openai-version",
            "anthropic-ratelimit-requests-limit",
            "x-ratelimit-limit-requests",
            "retry-after",
            "request-id",
            "x-upstream-request-id",
            "x-should-retry",
            "content-encoding",
        ] {
            assert!(names.contains(&kept), "{kept}");
        }
        assert_eq!(names.len(), 9);
        assert_eq!(upstream_request_id(&upstream), Some("up-1"));
        assert_eq!(retry_after_ms(&upstream), Some(1_500));
    }

    proptest! {
        #[test]
        fn whatever_the_client_sends_its_key_never_leaves(headers in prop::collection::vec(("[a-zA-Z-]{1,12}|authorization|X-API-Key|Proxy-Authorization|Cookie|api-key", "[ -~]{0,20}"), 0..12)) {
            let key = "sk-stw-client";
            let inbound: Vec<(String, String)> = headers.into_iter().map(|(name, value)| {
                let credential = KEPT_FROM_UPSTREAM.contains(&name.to_ascii_lowercase().as_str()) || HOP_BY_HOP.contains(&name.to_ascii_lowercase().as_str());
                (name, if credential { key.to_owned() } else { value })
            }).collect();
            let pairs = inbound.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            let out = to_upstream(pairs, Protocol::OpenAi, &secret(), false).unwrap();
            prop_assert!(out.values().all(|value| value.as_bytes() != key.as_bytes()));
            prop_assert_eq!(out.get_all("authorization").iter().count(), 1);
        }
    }
}
