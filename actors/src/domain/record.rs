//! The record: the one datum about a finished call, and its form in the spool.
//!
//! The form is protobuf with numbered fields, because it outlives a release: a spool written by one version
//! is read by the next. Rules: never reuse or renumber a tag, never change a type, only add. Names (model,
//! app, user, account …) travel as text; the writer turns them into the ledger's small integer keys.
//! What it is not: the row of `request_logs` (that is `steward-entities`) nor the answer of the API.

use prost::Message as _;

use super::rid::{RecordId, Rid};

/// Longest app, user, model or conversation name kept, in bytes; longer ones are cut on a character boundary.
pub const NAME_MAX_BYTES: usize = 160;
/// Longest `name@number` of a prompt's version, in bytes: the longest name and the longest number.
pub const PROMPT_MAX_BYTES: usize = 148;
/// Tokens of one call at most, of each kind: about 69 thousand million.
pub const TOKENS_MAX: i64 = 1 << 36;
/// What one call may cost, in billionths of its currency: ten thousand dollars or yuan.
pub const COST_MAX_NANO: i64 = 10_000_000_000_000;
/// Longest error message kept, in bytes.
pub const ERROR_MESSAGE_MAX_BYTES: usize = 512;
/// Kind of a spool entry that holds an encoded [`Record`].
pub const RECORD_KIND: u8 = 1;
/// Most attempts a record keeps.
pub const ATTEMPTS_MAX: usize = 8;
/// Most bytes of an encoded record.
const RECORD_MAX_BYTES: usize = 4_096;
/// Most keys by which a record is recognised.
pub const SEEN_KEYS_MAX: usize = 4;

/// How the caller signed in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, prost::Enumeration)]
#[repr(i32)]
pub enum Mode {
    /// With a token.
    Api = 0,
    /// With a signed-in user's JWT.
    Web = 1,
}

/// Where the record came from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, prost::Enumeration)]
#[repr(i32)]
pub enum Source {
    /// Served by this gateway.
    Gateway = 0,
    /// Received as an OpenTelemetry span.
    Otlp = 1,
    /// Received through the batch endpoint.
    Ingest = 2,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, prost::Enumeration)]
#[repr(i32)]
pub enum Operation {
    /// A call whose kind is not known.
    Unknown = 0,
    /// OpenAI chat completions.
    Chat = 1,
    /// OpenAI responses.
    Responses = 2,
    /// OpenAI (legacy) completions.
    Completion = 3,
    /// Embeddings.
    Embedding = 4,
    /// Anthropic messages.
    Messages = 5,
    /// Anthropic token counting.
    CountTokens = 6,
    /// A query to a vector store.
    VectorQuery = 7,
}

/// One try on one account. Row of `request_attempts`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Attempt {
    /// Control-plane id of the account.
    #[prost(int64, tag = "1")]
    pub account_id: i64,
    /// Public id of the account (`acc_…`).
    #[prost(string, tag = "2")]
    pub account_public_id: String,
    /// Name of the account when it was tried.
    #[prost(string, tag = "3")]
    pub account_name: String,
    /// Microseconds since the Unix epoch.
    #[prost(int64, tag = "4")]
    pub started_at: i64,
    /// Until its answer's end or failure, in milliseconds.
    #[prost(int64, tag = "5")]
    pub duration_ms: i64,
    /// Upstream's HTTP status; 0 when there was none.
    #[prost(int32, tag = "6")]
    pub status_code: i32,
    /// Stable slug; empty on success.
    #[prost(string, tag = "7")]
    pub error_code: String,
}

/// One finished call of a known token. At most 4 KiB encoded (names and messages are cut to guarantee it).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Record {
    #[prost(int64, tag = "1")]
    pub rid: i64,
    /// 54 random bits; with `rid` it makes the public id.
    #[prost(uint64, tag = "2")]
    pub id_tail: u64,
    #[prost(int64, tag = "3")]
    pub token_id: i64,
    #[prost(string, tag = "4")]
    pub token_public_id: String,
    #[prost(string, tag = "5")]
    pub token_name: String,
    /// 0 when no account was involved.
    #[prost(int64, tag = "6")]
    pub account_id: i64,
    #[prost(string, tag = "7")]
    pub account_public_id: String,
    #[prost(string, tag = "8")]
    pub account_name: String,
    /// 0 when the token belongs to no tenant.
    #[prost(int64, tag = "9")]
    pub tenant_id: i64,
    #[prost(string, tag = "10")]
    pub tenant_public_id: String,
    #[prost(string, tag = "11")]
    pub tenant_name: String,
    /// Calling application; empty when none was named.
    #[prost(string, tag = "12")]
    pub app: String,
    /// End user; empty when none was named.
    #[prost(string, tag = "13")]
    pub end_user: String,
    #[prost(enumeration = "Mode", tag = "14")]
    pub mode: i32,
    #[prost(string, tag = "15")]
    pub provider: String,
    /// Model the caller asked for.
    #[prost(string, tag = "16")]
    pub model: String,
    /// Model that answered; empty when none did.
    #[prost(string, tag = "17")]
    pub upstream_model: String,
    #[prost(enumeration = "Operation", tag = "18")]
    pub operation: i32,
    #[prost(bool, tag = "19")]
    pub stream: bool,
    /// Microseconds since the Unix epoch.
    #[prost(int64, tag = "20")]
    pub request_at: i64,
    /// Microseconds since the Unix epoch; when the answer ended.
    #[prost(int64, tag = "21")]
    pub response_at: i64,
    #[prost(int64, tag = "22")]
    pub duration_ms: i64,
    /// Time to the first content token, in milliseconds; absent when none came.
    #[prost(int64, optional, tag = "23")]
    pub ttft_ms: Option<i64>,
    #[prost(int64, tag = "24")]
    pub prompt_tokens: i64,
    #[prost(int64, tag = "25")]
    pub completion_tokens: i64,
    #[prost(int64, tag = "26")]
    pub total_tokens: i64,
    #[prost(int64, tag = "27")]
    pub cached_tokens: i64,
    #[prost(int64, tag = "28")]
    pub cache_write_tokens: i64,
    #[prost(int64, tag = "29")]
    pub reasoning_tokens: i64,
    #[prost(bool, tag = "30")]
    pub usage_estimated: bool,
    /// Billionths of `currency`.
    #[prost(int64, tag = "31")]
    pub cost_nano: i64,
    /// ISO 4217; empty when unpriced.
    #[prost(string, tag = "32")]
    pub currency: String,
    /// False: no price was known, which is not a price of zero.
    #[prost(bool, tag = "33")]
    pub priced: bool,
    #[prost(int64, tag = "34")]
    pub price_id: i64,
    /// What the caller saw (499 when the caller left).
    #[prost(int32, tag = "35")]
    pub status_code: i32,
    #[prost(bool, tag = "36")]
    pub success: bool,
    /// Stable slug; empty on success.
    #[prost(string, tag = "37")]
    pub error_code: String,
    /// Redacted and cut.
    #[prost(string, tag = "38")]
    pub error_message: String,
    #[prost(string, tag = "39")]
    pub conversation_id: String,
    #[prost(enumeration = "Source", tag = "40")]
    pub source: i32,
    #[prost(message, repeated, tag = "41")]
    pub attempts: Vec<Attempt>,
    /// Empty unless the setting asks for it.
    #[prost(string, tag = "42")]
    pub client_ip: String,
    /// The provider's own request id; empty when it gave none.
    #[prost(string, tag = "43")]
    pub upstream_request_id: String,
    /// The version of a prompt that the caller named: its key, 0 when none was named or nobody knows it; the public id of its
    /// prompt; `name@number`.
    #[prost(int64, tag = "44")]
    pub prompt_version_id: i64,
    #[prost(string, tag = "45")]
    pub prompt_public_id: String,
    #[prost(string, tag = "46")]
    pub prompt: String,
    /// What of the tenant's knowledge it was given: public ids of pairs, the nearest first, commas between; or a word for why
    /// none. Empty when nobody asked for any.
    #[prost(string, tag = "47")]
    pub knowledge: String,
    /// Of `cache_write_tokens`: those that the cache keeps for an hour.
    #[prost(int64, tag = "48")]
    pub cache_write_1h_tokens: i64,
    /// What the provider counts in place of tokens: the read units of a vector store.
    #[prost(int64, tag = "49")]
    pub units: i64,
    /// By what it is recognised when it is told of again ([`super::seen`]); at most [`SEEN_KEYS_MAX`].
    #[prost(sfixed64, repeated, tag = "60")]
    pub seen_keys: Vec<i64>,
}

impl Record {
    /// Its identity.
    pub fn id(&self) -> RecordId {
        RecordId {
            rid: Rid(self.rid),
            tail: self.id_tail,
        }
    }

    /// Cuts every free text to its bound so that the encoded record stays within 4 KiB, and every figure to one that can be
    /// summed up for years: a provider's slip or a caller's lie must not break the sums of everybody.
    pub fn bound(&mut self) {
        for count in [
            &mut self.prompt_tokens,
            &mut self.completion_tokens,
            &mut self.total_tokens,
            &mut self.cached_tokens,
            &mut self.cache_write_tokens,
            &mut self.cache_write_1h_tokens,
            &mut self.reasoning_tokens,
            &mut self.units,
        ] {
            *count = (*count).clamp(0, TOKENS_MAX);
        }
        self.cost_nano = self.cost_nano.clamp(0, COST_MAX_NANO);
        for name in [
            &mut self.token_name,
            &mut self.account_name,
            &mut self.tenant_name,
            &mut self.app,
            &mut self.end_user,
            &mut self.provider,
            &mut self.model,
            &mut self.upstream_model,
            &mut self.conversation_id,
            &mut self.upstream_request_id,
        ] {
            cut(name, NAME_MAX_BYTES);
        }
        cut(&mut self.prompt, PROMPT_MAX_BYTES);
        cut(&mut self.error_message, ERROR_MESSAGE_MAX_BYTES);
        cut(&mut self.error_code, 64);
        cut(&mut self.client_ip, 64);
        self.attempts.truncate(ATTEMPTS_MAX);
        self.seen_keys.truncate(SEEN_KEYS_MAX);
        for attempt in &mut self.attempts {
            cut(&mut attempt.account_name, 64);
            cut(&mut attempt.error_code, 64);
        }
        // The rest alone may take all the room there is: then the farthest of the pairs go.
        while !self.knowledge.is_empty() && self.encoded_len() > RECORD_MAX_BYTES {
            let shorter = self.knowledge.rfind(',').unwrap_or(0);
            self.knowledge.truncate(shorter);
        }
    }
}

/// Cuts `text` to at most `max` bytes on a character boundary.
pub fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
}

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn figures_that_nobody_can_mean_are_bounded() {
        let mut record = Record {
            prompt_tokens: i64::MAX,
            completion_tokens: -1,
            cost_nano: i64::MAX,
            ..Record::default()
        };
        record.bound();
        assert_eq!(
            (
                record.prompt_tokens,
                record.completion_tokens,
                record.cost_nano
            ),
            (TOKENS_MAX, 0, COST_MAX_NANO)
        );
    }

    #[test]
    fn the_worst_record_fits_in_four_kibibytes() {
        let long = "界".repeat(5_000);
        let attempt = Attempt {
            account_id: i64::MAX,
            account_public_id: "acc_0123456789abcdefghijklmn".into(),
            account_name: long.clone(),
            started_at: i64::MAX,
            duration_ms: i64::MAX,
            status_code: 599,
            error_code: long.clone(),
        };
        let mut record = Record {
            rid: i64::MAX,
            id_tail: u64::MAX,
            token_name: long.clone(),
            account_name: long.clone(),
            tenant_name: long.clone(),
            app: long.clone(),
            end_user: long.clone(),
            provider: long.clone(),
            model: long.clone(),
            upstream_model: long.clone(),
            error_code: long.clone(),
            error_message: long.clone(),
            conversation_id: long.clone(),
            client_ip: long.clone(),
            upstream_request_id: long.clone(),
            prompt_version_id: i64::MAX,
            prompt_public_id: "prm_0123456789abcdefghijklmn".into(),
            prompt: long,
            knowledge: pairs(20),
            attempts: vec![attempt; 100],
            seen_keys: vec![i64::MIN; 100],
            ..Record::default()
        };
        record.bound();
        assert!(record.encoded_len() <= 4_096, "{}", record.encoded_len());
    }

    fn pairs(many: usize) -> String {
        vec!["qa_0123456789abcdefghijkl"; many].join(",")
    }

    #[test]
    fn pairs_go_one_by_one_where_there_is_no_room_for_them() {
        let mut record = Record {
            knowledge: pairs(20),
            ..Record::default()
        };
        record.bound();
        assert_eq!(record.knowledge, pairs(20));
        record.knowledge = pairs(1_000);
        record.bound();
        let kept = record.knowledge.split(',').count();
        assert_eq!(record.knowledge, pairs(kept));
        assert!((150..160).contains(&kept), "{kept}");
    }
}
