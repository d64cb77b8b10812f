//! The words that tell the fake provider how to misbehave: `name+word+word=value`.
//!
//! Pure: text in, [`Script`] out. Unknown words are an error, so that a misspelt test fails instead of testing nothing.

/// What to do with one request. Every field's default is a well-behaved answer.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Answer with this status and the dialect's error body.
    pub status: Option<u16>,
    /// Fail so many times, then answer well (counted by the whole model name).
    pub fail_times: u64,
    /// `retry-after` on an error, seconds.
    pub retry_after: Option<u64>,
    pub retry_after_ms: Option<u64>,
    /// An error whose body is HTML, as from a load balancer.
    pub html: bool,
    /// An error message that repeats the credential it was sent.
    pub echo_key: bool,
    /// Close the connection instead of answering.
    pub drop_before_head: bool,
    /// Wait before the response head.
    pub delay_ms: u64,
    /// Wait between the head and the first body byte.
    pub stall_ms: u64,
    /// Wait before each event after the first.
    pub pause_ms: u64,
    /// After so many events write nothing more until the caller leaves.
    pub hang_after: Option<usize>,
    /// After so many events close the connection without an end.
    pub cut_after: Option<usize>,
    /// After so many events send the dialect's error event and end.
    pub error_after: Option<usize>,
    /// How many content deltas, and output tokens. 0 stands for 5.
    pub n: usize,
    /// Write the body in pieces of so many bytes.
    pub piece_bytes: Option<usize>,
    /// Compressed, for who accepts it.
    pub gzip: bool,
    pub br: bool,
    /// Compressed even for who does not accept it.
    pub anyway: bool,
    /// Leave usage out.
    pub no_usage: bool,
    /// OpenAI streams: end without `[DONE]`.
    pub no_done: bool,
    /// Answer with a 307 to another path.
    pub redirect: bool,
    /// Add headers that must not reach a client.
    pub cookies: bool,
    /// Content of so many bytes in a non-streamed answer.
    pub big: Option<usize>,
    /// Call a tool, also when the request has none to force it.
    pub tools: bool,
    /// Report reasoning tokens.
    pub reasoning: bool,
    /// Comments between the events.
    pub comments: bool,
    /// Events end with CR LF.
    pub crlf: bool,
    /// A 200 whose body is not JSON.
    pub garbage: bool,
    /// A body that ends with the connection: neither length nor chunks.
    pub close_delimited: bool,
    /// Non-streamed answers with `transfer-encoding: chunked`.
    pub chunked: bool,
    /// Announce a longer body than is sent, then close.
    pub short_body: bool,
    /// Embeddings say which pairs of letters a text has: texts that share some are near.
    pub words: bool,
    /// The request is refused when one of its texts holds `forbidden`.
    pub strict: bool,
}

/// Larger numbers are no test's: a model name may be anybody's.
const NUMBER_MAX: u64 = 200_000_000;

impl Script {
    /// Reads the words after the first `+` of a model name; what is wrong with them is for who wrote the test.
    pub fn parse(model: &str) -> Result<Self, String> {
        let mut script = Self::default();
        for word in model.split('+').skip(1) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || {
                let number = value.parse().ok().filter(|number| *number <= NUMBER_MAX);
                number.ok_or_else(|| {
                    format!("`{word}` in `{model}` needs a number up to {NUMBER_MAX}")
                })
            };
            let count = || number().map(|number: u64| number as usize);
            match name {
                "status" => {
                    script.status = match u16::try_from(number()?) {
                        Ok(status @ 100..=999) => Some(status),
                        _ => return Err(format!("`{word}` in `{model}` is no status")),
                    }
                }
                "fail_times" => script.fail_times = number()?,
                "retry_after" => script.retry_after = Some(number()?),
                "retry_after_ms" => script.retry_after_ms = Some(number()?),
                "html" => script.html = true,
                "echo_key" => script.echo_key = true,
                "drop" => script.drop_before_head = true,
                "delay_ms" => script.delay_ms = number()?,
                "stall_ms" => script.stall_ms = number()?,
                "pause_ms" => script.pause_ms = number()?,
                "hang_after" => script.hang_after = Some(count()?),
                "cut_after" => script.cut_after = Some(count()?),
                "error_after" => script.error_after = Some(count()?),
                "n" => script.n = count()?,
                "piece_bytes" => script.piece_bytes = Some(count()?),
                "gzip" => script.gzip = true,
                "br" => script.br = true,
                "anyway" => script.anyway = true,
                "no_usage" => script.no_usage = true,
                "no_done" => script.no_done = true,
                "redirect" => script.redirect = true,
                "cookies" => script.cookies = true,
                "big" => script.big = Some(count()?),
                "tools" => script.tools = true,
                "reasoning" => script.reasoning = true,
                "comments" => script.comments = true,
                "crlf" => script.crlf = true,
                "garbage" => script.garbage = true,
                "close" => script.close_delimited = true,
                "chunked" => script.chunked = true,
                "short" => script.short_body = true,
                "words" => script.words = true,
                "strict" => script.strict = true,
                // Well-behaved on purpose, and a way to make a model name unique.
                "ok" | "id" => {}
                _ => {
                    return Err(format!(
                        "the fake provider does not know `{word}` in `{model}`"
                    ));
                }
            }
        }
        Ok(script)
    }

    /// The number of content deltas and of output tokens.
    pub fn outputs(&self) -> usize {
        if self.n == 0 { 5 } else { self.n }
    }
}
