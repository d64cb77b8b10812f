//! The numbers a report may have, under the names that statistics have them, and how people read them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Language;

/// What a number is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    Count,
    /// Between 0 and 1.
    Share,
    Milliseconds,
    /// A decimal in the report's currency, or in the one that the column names.
    Money,
}

macro_rules! columns {
    ($($variant:ident = $name:literal, $unit:ident, $english:literal, $chinese:literal;)*) => {
        /// A number of a report.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
        pub enum Column {
            $(#[serde(rename = $name)] $variant,)*
        }

        impl Column {
            /// All of them, in the order in which statistics have them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As statistics have it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub const fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit,)* }
            }

            /// For people.
            pub const fn label(self, language: Language) -> &'static str {
                match self { $(Self::$variant => language.pick($english, $chinese),)* }
            }
        }
    };
}

columns! {
    RequestCount = "request_count", Count, "Requests", "请求数";
    SuccessCount = "success_count", Count, "Successful", "成功";
    ErrorCount = "error_count", Count, "Errors", "错误";
    ClientErrorCount = "client_error_count", Count, "Refused for their content", "请求有误";
    RateLimitedCount = "rate_limited_count", Count, "Rate-limited", "被限流";
    UpstreamErrorCount = "upstream_error_count", Count, "Provider errors", "上游错误";
    CancelledCount = "cancelled_count", Count, "Cancelled", "已取消";
    SuccessRate = "success_rate", Share, "Success rate", "成功率";
    PromptTokens = "total_prompt_tokens", Count, "Input tokens", "输入 Token";
    CompletionTokens = "total_completion_tokens", Count, "Output tokens", "输出 Token";
    TotalTokens = "total_tokens", Count, "Tokens", "Token 总数";
    CachedTokens = "total_cached_tokens", Count, "Cached tokens", "缓存命中 Token";
    CacheWriteTokens = "total_cache_write_tokens", Count, "Tokens written to caches", "缓存写入 Token";
    ReasoningTokens = "total_reasoning_tokens", Count, "Reasoning tokens", "推理 Token";
    EstimatedCount = "estimated_count", Count, "Calls with estimated usage", "用量为估算的请求";
    AvgDuration = "avg_duration_ms", Milliseconds, "Mean duration", "平均耗时";
    AvgTtft = "avg_ttft_ms", Milliseconds, "Mean time to first token", "平均首 Token 时间";
    P50Duration = "p50_duration_ms", Milliseconds, "Duration p50", "耗时 p50";
    P95Duration = "p95_duration_ms", Milliseconds, "Duration p95", "耗时 p95";
    P99Duration = "p99_duration_ms", Milliseconds, "Duration p99", "耗时 p99";
    P50Ttft = "p50_ttft_ms", Milliseconds, "Time to first token p50", "首 Token 时间 p50";
    P95Ttft = "p95_ttft_ms", Milliseconds, "Time to first token p95", "首 Token 时间 p95";
    P99Ttft = "p99_ttft_ms", Milliseconds, "Time to first token p99", "首 Token 时间 p99";
    Cost = "cost", Money, "Cost", "费用";
    CostUsd = "cost_usd", Money, "Charged in USD", "美元计费";
    CostCny = "cost_cny", Money, "Charged in CNY", "人民币计费";
    UnpricedCount = "unpriced_count", Count, "Calls without a price", "无价格的请求";
}

impl Column {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|column| column.name() == name)
    }

    /// What its amounts are in; `currency` is the report's.
    pub fn currency(self, currency: &str) -> Option<&str> {
        match self {
            Self::Cost => Some(currency),
            Self::CostUsd => Some("USD"),
            Self::CostCny => Some("CNY"),
            _ => None,
        }
    }

    /// A value as people read it; a dash where there is none.
    pub fn shown(self, value: Option<&Value>, currency: &str) -> String {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return "–".to_owned();
        };
        match self.unit() {
            Unit::Count => grouped(&value.to_string()),
            Unit::Share => format!("{:.2} %", number(value) * 100.0),
            Unit::Milliseconds => format!("{} ms", grouped(&format!("{:.0}", number(value)))),
            Unit::Money => {
                let currency = self.currency(currency).unwrap_or_default();
                let amount = value.as_str().unwrap_or_default();
                let (whole, rest) = amount.split_once('.').unwrap_or((amount, ""));
                let point = if rest.is_empty() { "" } else { "." };
                format!("{}{point}{rest} {currency}", grouped(whole))
            }
        }
    }
}

/// A value as a number; none is nothing.
pub fn number(value: &Value) -> f64 {
    let text = || value.as_str().and_then(|text| text.parse().ok());
    value.as_f64().or_else(text).unwrap_or_default()
}

/// Digits in threes.
pub(super) fn grouped(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
