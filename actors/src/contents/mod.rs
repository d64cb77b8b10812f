//! Conversations that are kept: what was said, from the gateway to the disk and back.
//!
//! A content arrives redacted and bounded; [`intake`] seals it and appends it to a spool of its own, off the hot path.
//! `root/ledger/content_writer` leases it and has [`store`] put it into its month; `root/ledger/compressor` packs what
//! has grown old. [`packing`] is how it lies there, [`words`] how it is found. What is *not* promised: unlike the
//! books, contents may be dropped when space runs out, oldest first and counted.

pub mod around;
pub mod deletion;
pub mod intake;
pub mod packing;
pub mod snippet;
pub mod store;
pub mod words;

use crate::domain::rid::{RecordId, Rid};

/// Kind of a spool entry that holds a sealed [`Content`].
pub const CONTENT_KIND: u8 = 1;

/// What was said in one call.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Said {
    /// Instructions to the model; empty when there were none.
    #[prost(string, tag = "1")]
    pub system_prompt: String,
    /// The messages sent, a JSON array.
    #[prost(string, tag = "2")]
    pub messages_json: String,
    /// What the user said last.
    #[prost(string, tag = "3")]
    pub prompt: String,
    /// What the model answered, assembled.
    #[prost(string, tag = "4")]
    pub completion: String,
    /// Tools the model called, a JSON array of `{id, name, arguments}`; empty when it called none.
    #[prost(string, tag = "5")]
    pub tool_calls_json: String,
    /// Tools the model was offered, a JSON array in the caller's own form; empty when there were none, and of calls kept
    /// before this was.
    #[prost(string, tag = "6")]
    pub tools_json: String,
}

/// One kept call.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Content {
    #[prost(int64, tag = "1")]
    pub rid: i64,
    #[prost(uint64, tag = "2")]
    pub id_tail: u64,
    #[prost(int64, tag = "3")]
    pub token_id: i64,
    #[prost(string, tag = "4")]
    pub token_public_id: String,
    #[prost(string, tag = "5")]
    pub token_name: String,
    /// 0 when the token belongs to no tenant.
    #[prost(int64, tag = "6")]
    pub tenant_id: i64,
    #[prost(string, tag = "7")]
    pub tenant_public_id: String,
    #[prost(string, tag = "8")]
    pub end_user: String,
    #[prost(string, tag = "9")]
    pub app: String,
    #[prost(string, tag = "10")]
    pub model: String,
    #[prost(string, tag = "11")]
    pub provider: String,
    #[prost(string, tag = "12")]
    pub conversation_id: String,
    /// Of [`crate::domain::record::Operation`].
    #[prost(int32, tag = "13")]
    pub operation: i32,
    #[prost(bool, tag = "14")]
    pub stream: bool,
    #[prost(int32, tag = "15")]
    pub status_code: i32,
    #[prost(bool, tag = "16")]
    pub success: bool,
    /// Microseconds since the Unix epoch.
    #[prost(int64, tag = "17")]
    pub created_at: i64,
    #[prost(int64, tag = "18")]
    pub duration_ms: i64,
    #[prost(int64, tag = "19")]
    pub prompt_tokens: i64,
    #[prost(int64, tag = "20")]
    pub completion_tokens: i64,
    /// Of [`crate::domain::redaction::RedactionMode`].
    #[prost(string, tag = "21")]
    pub redaction: String,
    /// How often a rule found something.
    #[prost(int64, tag = "22")]
    pub redactions: i64,
    /// Something did not fit.
    #[prost(bool, tag = "23")]
    pub truncated: bool,
    #[prost(message, optional, tag = "24")]
    pub said: Option<Said>,
}

impl Content {
    /// Its identity.
    pub fn id(&self) -> RecordId {
        RecordId {
            rid: Rid(self.rid),
            tail: self.id_tail,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::Said;

    /// As versions wrote it that did not keep which tools were offered.
    #[derive(Clone, PartialEq, Eq, Message)]
    struct Before {
        #[prost(string, tag = "1")]
        system_prompt: String,
        #[prost(string, tag = "2")]
        messages_json: String,
        #[prost(string, tag = "3")]
        prompt: String,
        #[prost(string, tag = "4")]
        completion: String,
        #[prost(string, tag = "5")]
        tool_calls_json: String,
    }

    #[test]
    fn what_was_kept_before_is_read_and_what_is_kept_now_is_read_by_versions_before() {
        let before = Before {
            system_prompt: "Be brief.".into(),
            messages_json: "[]".into(),
            prompt: "Weather?".into(),
            completion: "Let me look.".into(),
            tool_calls_json: "[{}]".into(),
        };
        let mut said = Said::decode(before.encode_to_vec().as_slice()).unwrap();
        assert_eq!(said.tool_calls_json, "[{}]");
        assert_eq!(said.tools_json, "");
        said.tools_json = r#"[{"name":"weather"}]"#.into();
        let back = Before::decode(said.encode_to_vec().as_slice()).unwrap();
        assert_eq!(back, before);
    }
}
