//! By what a call is recognised when it is told of twice: a span sent again, an instrumentation beside a
//! client library's own span, a call that also passed through this gateway, a batch repeated.
//!
//! A key is 64 bits of a SHA-256 over the kind, whom it is unique for and the id. Two ids of ten million sharing
//! one is a matter of millionths, and what it could cost is one record told from outside; calls of the gateway
//! are never left out. Where the keys are kept is not here (`ledger_store::seen`).

use sha2::{Digest, Sha256};

use super::record::{Record, Source};

/// Longest id looked at, in bytes; a longer one is as good as none.
const ID_MAX_BYTES: usize = 256;
/// A gateway-compatible server numbers its answers `chatcmpl-0` to `chatcmpl-999`, over and over: so short an end tells nothing.
const COUNTED: (&str, usize) = ("chatcmpl-", 3);

/// A span, by both its ids, within a tenant (0: the tokens of none).
pub fn span(tenant_id: i64, trace_id: &[u8], span_id: &[u8]) -> i64 {
    key(b's', tenant_id, &[trace_id, span_id])
}

/// A provider's answer, by the id in its body, within a tenant. `None` when the id tells nothing.
pub fn response(tenant_id: i64, id: &str) -> Option<i64> {
    let (prefix, digits) = COUNTED;
    let counted = id
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.len() <= digits && rest.bytes().all(|byte| byte.is_ascii_digit()));
    let tells = !id.is_empty() && id.len() <= ID_MAX_BYTES && !counted;
    tells.then(|| key(b'r', tenant_id, &[id.as_bytes()]))
}

/// A record that a client named itself, within its token.
pub fn client(token_id: i64, id: &str) -> i64 {
    key(b'c', token_id, &[id.as_bytes()])
}

/// Whether a record is left out when one of its keys is known. The gateway's own calls never are.
pub fn is_told(record: &Record) -> bool {
    record.source != i32::from(Source::Gateway) && !record.seen_keys.is_empty()
}

fn key(kind: u8, of: i64, parts: &[&[u8]]) -> i64 {
    let mut hash = Sha256::new();
    hash.update([kind]);
    hash.update(of.to_be_bytes());
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_owners_and_ids_are_kept_apart() {
        let keys = [
            span(1, b"ab", b"c"),
            span(1, b"a", b"bc"),
            span(2, b"ab", b"c"),
            response(1, "abc").unwrap(),
            response(2, "abc").unwrap(),
            client(1, "abc"),
        ];
        let distinct: std::collections::HashSet<i64> = keys.into_iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(span(1, b"ab", b"c"), keys[0]);
    }

    #[test]
    fn an_id_that_repeats_by_itself_is_none() {
        for id in ["", "chatcmpl-1", "chatcmpl-999", &"x".repeat(257)] {
            assert_eq!(response(0, id), None, "{id}");
        }
        for id in ["chatcmpl-1000", "chatcmpl-abc", "msg_1", "chatcmpl-BvG7k2"] {
            assert!(response(0, id).is_some(), "{id}");
        }
    }
}
