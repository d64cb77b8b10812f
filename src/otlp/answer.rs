//! What OTLP has a receiver say: a response with what was rejected, or a status with why nothing was taken.
//! Both in the encoding of the request.

use prost::Message;
use serde_json::{Value, json};

use super::Encoding;

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Encoding {
    /// The media type of its answers.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    fn encode(self, message: &impl Message, json: &Value) -> Vec<u8> {
        match self {
            Self::Protobuf => message.encode_to_vec(),
            Self::Json => json.to_string().into_bytes(),
        }
    }
}

/// Everything was taken, except so many spans; `why` is for whoever reads the sender's log.
pub fn taken(encoding: Encoding, rejected: u64, why: &str) -> Vec<u8> {
    if rejected == 0 {
        return encoding.encode(&Response::default(), &json!({}));
    }
    let rejected = i64::try_from(rejected).unwrap_or(i64::MAX);
    let response = Response {
        partial_success: Some(PartialSuccess {
            rejected_spans: rejected,
            error_message: why.to_owned(),
        }),
    };
    let told =
        json!({"partialSuccess": {"rejectedSpans": rejected.to_string(), "errorMessage": why}});
    encoding.encode(&response, &told)
}

/// Nothing was taken. `status` is the answer's HTTP status.
pub fn refused(encoding: Encoding, status: u16, message: &str) -> Vec<u8> {
    // The numbers of google.rpc.Code.
    let code = match status {
        401 => 16,
        403 => 7,
        408 => 4,
        413 | 429 => 8,
        400..500 => 3,
        503 => 14,
        _ => 13,
    };
    let refused = Status {
        code,
        message: message.to_owned(),
    };
    encoding.encode(&refused, &json!({"code": code, "message": message}))
}
