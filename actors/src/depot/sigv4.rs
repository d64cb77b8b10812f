//! AWS Signature Version 4, as S3 wants it. Pure: a request and a time in, the headers that sign it out.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What is signed.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// As sent in `host`.
    pub(super) host: &'a str,
    /// Encoded.
    pub(super) path: &'a str,
    /// Encoded, in the order of the names.
    pub(super) query: &'a str,
    /// Further headers that are signed, names in small letters.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// Who signs.
pub(super) struct Signer<'a> {
    pub(super) access_key: &'a str,
    pub(super) secret_key: &'a str,
    pub(super) region: &'a str,
}

/// Headers to send.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Signed {
    /// `x-amz-date`
    pub(super) date: String,
    /// `x-amz-content-sha256`
    pub(super) digest: String,
    pub(super) authorization: String,
}

impl Signer<'_> {
    pub(super) fn sign(&self, request: &Request<'_>, at: DateTime<Utc>) -> Signed {
        let date = at.format("%Y%m%dT%H%M%SZ").to_string();
        let day = at.format("%Y%m%d").to_string();
        let digest = hex(&Sha256::digest(request.body));
        let mut headers: Vec<(&str, &str)> = vec![
            ("host", request.host),
            ("x-amz-content-sha256", &digest),
            ("x-amz-date", &date),
        ];
        headers.extend_from_slice(request.headers);
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let Request {
            method,
            path,
            query,
            ..
        } = request;
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}");
        let region = self.region;
        let scope = format!("{day}/{region}/s3/aws4_request");
        let hashed = hex(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
        let key = format!("AWS4{}", self.secret_key).into_bytes();
        let key = [day.as_str(), region, "s3", "aws4_request"]
            .iter()
            .fold(key, |key, part| mac(&key, part.as_bytes()));
        let signature = hex(&mac(&key, to_sign.as_bytes()));
        let credential = format!("{}/{scope}", self.access_key);
        Signed {
            authorization: format!(
                "AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}"
            ),
            date,
            digest,
        }
    }
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // A key of any length is one.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Percent-encodes as AWS does: letters, digits, `-`, `.`, `_` and `~` stay; a slash does when `path`.
pub(super) fn encoded(text: &str, path: bool) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            b'/' if path => "/".to_owned(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNER: Signer<'_> = Signer {
        access_key: "AKIAIOSFODNN7EXAMPLE",
        secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        region: "us-east-1",
    };

    fn signature(request: &Request<'_>) -> String {
        let at = DateTime::from_timestamp(1_369_353_600, 0).unwrap();
        let signed = SIGNER.sign(request, at);
        assert_eq!(signed.date, "20130524T000000Z");
        let (_, signature) = signed.authorization.split_once("Signature=").unwrap();
        signature.to_owned()
    }

    /// The examples of Amazon's documentation ("Signature Calculations for the Authorization Header").
    #[test]
    fn documented_requests_have_their_documented_signatures() {
        let base = Request {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "",
            headers: &[],
            body: b"",
        };
        let get = Request {
            path: "/test.txt",
            headers: &[("range", "bytes=0-9")],
            ..base
        };
        assert_eq!(
            signature(&get),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let put = Request {
            method: "PUT",
            path: "/test%24file.text",
            headers: &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            body: b"Welcome to Amazon S3.",
            ..get
        };
        assert_eq!(
            signature(&put),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        let list = Request {
            method: "GET",
            path: "/",
            query: "max-keys=2&prefix=J",
            headers: &[],
            body: b"",
            ..put
        };
        assert_eq!(
            signature(&list),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn what_is_encoded_is_what_aws_encodes() {
        assert_eq!(encoded("a b/ü~", true), "a%20b/%C3%BC~");
        assert_eq!(encoded("a/b+", false), "a%2Fb%2B");
    }
}
