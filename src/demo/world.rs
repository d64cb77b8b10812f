//! Who takes part: merchants, their applications and keys, the models they use and the accounts that serve
//! them. Facts only; what is made of them is in `stock`, `history` and `traffic`.

use steward_actors::domain::record::Operation;
use steward_actors::domain::redaction::RedactionMode;

/// An account, and the provider it pretends to lead to.
#[derive(Debug)]
pub struct Site {
    /// First part of the provider's path.
    pub path: &'static str,
    pub name: &'static str,
    pub provider: &'static str,
    pub protocol: &'static str,
    pub models: &'static [&'static str],
    pub priority: i64,
    pub weight: i64,
    pub enabled: bool,
    /// Share of its calls that fail on an ordinary day, beyond everybody's.
    pub flaky: f64,
}

const OPENAI: &[&str] = &["gpt-5.1", "gpt-4o", "gpt-4o-mini", "text-embedding-3-small"];

/// Every account. `weather` and the history's incidents name them by index.
pub const SITES: &[Site] = &[
    Site {
        path: "openai",
        name: "OpenAI main",
        provider: "openai",
        protocol: "openai",
        models: OPENAI,
        priority: 0,
        weight: 4,
        enabled: true,
        flaky: 0.0,
    },
    Site {
        path: "openai-second",
        name: "OpenAI second (flaky)",
        provider: "openai",
        protocol: "openai",
        models: OPENAI,
        priority: 0,
        weight: 1,
        enabled: true,
        flaky: 0.12,
    },
    Site {
        path: "anthropic",
        name: "Anthropic",
        provider: "anthropic",
        protocol: "anthropic",
        models: &["claude-sonnet-4-5", "claude-haiku-4-5"],
        priority: 0,
        weight: 1,
        enabled: true,
        flaky: 0.0,
    },
    Site {
        path: "deepseek",
        name: "DeepSeek",
        provider: "deepseek",
        protocol: "openai",
        models: &["deepseek-chat", "deepseek-reasoner"],
        priority: 0,
        weight: 1,
        enabled: true,
        flaky: 0.004,
    },
    Site {
        path: "dashscope",
        name: "通义千问 DashScope",
        provider: "dashscope",
        protocol: "openai",
        models: &["qwen3-max", "qwen-plus", "text-embedding-v4"],
        priority: 0,
        weight: 1,
        enabled: true,
        flaky: 0.002,
    },
    Site {
        path: "moonshot",
        name: "Moonshot 月之暗面",
        provider: "moonshot",
        protocol: "openai",
        models: &["kimi-k2"],
        priority: 0,
        weight: 1,
        enabled: true,
        flaky: 0.006,
    },
    Site {
        path: "azure",
        name: "Azure (fallback)",
        provider: "azure",
        protocol: "openai",
        models: &["gpt-4o", "gpt-4o-mini", "gpt-5.1"],
        priority: 10,
        weight: 1,
        enabled: true,
        flaky: 0.0,
    },
    Site {
        path: "ollama",
        name: "Ollama (workstation, off)",
        provider: "ollama",
        protocol: "openai",
        models: &["llama3.3", "qwen3:8b"],
        priority: 20,
        weight: 1,
        enabled: false,
        flaky: 0.0,
    },
];

/// How a model answers.
#[derive(Debug)]
pub struct Model {
    pub name: &'static str,
    /// What the provider says answered.
    pub answers_as: &'static str,
    /// Median time to the first token.
    pub first_ms: f64,
    /// Median time of each further token.
    pub token_ms: f64,
    /// Median length of an answer, in tokens.
    pub length: f64,
    /// It thinks before it answers, and charges for it.
    pub reasons: bool,
}

const fn model(
    name: &'static str,
    answers_as: &'static str,
    first_ms: f64,
    token_ms: f64,
    length: f64,
    reasons: bool,
) -> Model {
    Model {
        name,
        answers_as,
        first_ms,
        token_ms,
        length,
        reasons,
    }
}

/// Every model.
pub const MODELS: &[Model] = &[
    model("gpt-5.1", "gpt-5.1-2025-11-13", 780.0, 14.0, 190.0, true),
    model("gpt-4o", "gpt-4o-2024-11-20", 430.0, 12.0, 170.0, false),
    model(
        "gpt-4o-mini",
        "gpt-4o-mini-2024-07-18",
        320.0,
        8.0,
        120.0,
        false,
    ),
    model(
        "text-embedding-3-small",
        "text-embedding-3-small",
        90.0,
        0.0,
        0.0,
        false,
    ),
    model(
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        690.0,
        15.0,
        240.0,
        false,
    ),
    model(
        "claude-haiku-4-5",
        "claude-haiku-4-5-20251001",
        360.0,
        8.0,
        140.0,
        false,
    ),
    model("deepseek-chat", "deepseek-chat", 520.0, 16.0, 160.0, false),
    model(
        "deepseek-reasoner",
        "deepseek-reasoner",
        940.0,
        18.0,
        220.0,
        true,
    ),
    model("qwen3-max", "qwen3-max", 460.0, 13.0, 170.0, false),
    model("qwen-plus", "qwen-plus", 350.0, 10.0, 130.0, false),
    model(
        "text-embedding-v4",
        "text-embedding-v4",
        110.0,
        0.0,
        0.0,
        false,
    ),
    model("kimi-k2", "kimi-k2-0905-preview", 610.0, 17.0, 180.0, false),
];

/// A model that nobody knows answers like this.
const UNKNOWN: Model = model("", "", 400.0, 12.0, 120.0, false);

/// What is known of a model.
pub fn model_named(name: &str) -> &'static Model {
    MODELS
        .iter()
        .find(|model| model.name == name)
        .unwrap_or(&UNKNOWN)
}

/// What an application talks about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Topic {
    Support,
    Marketing,
    Translation,
    Coding,
    Study,
    Search,
}

/// What an application talks in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    English,
    Chinese,
}

/// Merchants. The last one is suspended.
pub const TENANTS: &[&str] = &[
    "Northwind Outdoor",
    "Harbor Lane Books",
    "青禾家居旗舰店",
    "星岸跨境电商",
    "云帆在线教育",
    "Old Mill Coffee",
];
/// The suspended one.
pub const SUSPENDED_TENANT: usize = 5;

/// What is peculiar about a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Usual,
    Disabled,
    Expired,
}

/// An API key with the application that uses it.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub description: &'static str,
    /// Index of [`TENANTS`]; none: the house's own.
    pub tenant: Option<usize>,
    pub app: &'static str,
    pub topic: Topic,
    pub language: Language,
    /// How it calls.
    pub operation: Operation,
    /// Models it uses, and how often.
    pub models: &'static [(&'static str, f64)],
    /// Share of all calls.
    pub share: f64,
    /// Share of its calls that stream.
    pub streams: f64,
    /// People behind it.
    pub users: usize,
    /// Hours its people are ahead of UTC.
    pub utc_offset_h: i64,
    pub rpm: Option<i64>,
    pub tpm: Option<i64>,
    pub concurrency: Option<i64>,
    pub quota: Option<i64>,
    /// What of its conversations is kept, if they are.
    pub keeps: Option<RedactionMode>,
    pub standing: Standing,
}

/// What most keys are.
const KEY: Key = Key {
    name: "",
    description: "",
    tenant: None,
    app: "",
    topic: Topic::Support,
    language: Language::English,
    operation: Operation::Chat,
    models: &[],
    share: 0.0,
    streams: 0.8,
    users: 40,
    utc_offset_h: 8,
    rpm: None,
    tpm: None,
    concurrency: None,
    quota: None,
    keeps: None,
    standing: Standing::Usual,
};

/// The key whose calls are given its tenant's knowledge.
pub const KNOWING_KEY: &str = "harbor-orders";
/// What knowledge is embedded by.
pub const EMBEDDING_MODEL: &str = "text-embedding-3-small";

/// Every key.
pub const KEYS: &[Key] = &[
    Key {
        name: "northwind-support",
        description: "Help desk on northwind.example",
        tenant: Some(0),
        app: "support-bot",
        models: &[("gpt-5.1", 0.55), ("gpt-4o-mini", 0.45)],
        share: 14.0,
        users: 320,
        utc_offset_h: -5,
        rpm: Some(600),
        keeps: Some(RedactionMode::Redact),
        ..KEY
    },
    Key {
        name: "northwind-search",
        description: "Product search: embeddings",
        tenant: Some(0),
        app: "product-search",
        topic: Topic::Search,
        operation: Operation::Embedding,
        models: &[("text-embedding-3-small", 1.0)],
        share: 11.0,
        streams: 0.0,
        users: 0,
        utc_offset_h: -5,
        rpm: Some(3_000),
        ..KEY
    },
    Key {
        name: "northwind-copy",
        description: "Marketing copy for the newsletter",
        tenant: Some(0),
        app: "newsletter",
        topic: Topic::Marketing,
        models: &[("gpt-4o", 0.7), ("gpt-4o-mini", 0.3)],
        share: 4.0,
        streams: 0.3,
        users: 9,
        utc_offset_h: -5,
        tpm: Some(400_000),
        keeps: Some(RedactionMode::MetadataOnly),
        ..KEY
    },
    Key {
        name: "harbor-reader",
        description: "Reading companion in the app",
        tenant: Some(1),
        app: "reading-companion",
        topic: Topic::Study,
        operation: Operation::Messages,
        models: &[("claude-sonnet-4-5", 0.6), ("claude-haiku-4-5", 0.4)],
        share: 9.0,
        users: 210,
        utc_offset_h: 1,
        concurrency: Some(60),
        ..KEY
    },
    Key {
        name: "harbor-orders",
        description: "Order questions by e-mail",
        tenant: Some(1),
        app: "order-desk",
        models: &[("gpt-4o-mini", 1.0)],
        share: 6.0,
        streams: 0.1,
        users: 80,
        utc_offset_h: 1,
        quota: Some(2_000_000_000),
        ..KEY
    },
    Key {
        name: "青禾-在线客服",
        description: "旗舰店在线客服机器人",
        tenant: Some(2),
        app: "kefu-bot",
        language: Language::Chinese,
        models: &[("deepseek-chat", 0.6), ("qwen3-max", 0.4)],
        share: 16.0,
        users: 460,
        rpm: Some(900),
        keeps: Some(RedactionMode::Redact),
        ..KEY
    },
    Key {
        name: "青禾-商品文案",
        description: "商品详情页与活动文案",
        tenant: Some(2),
        app: "copywriter",
        topic: Topic::Marketing,
        language: Language::Chinese,
        models: &[("qwen3-max", 0.7), ("qwen-plus", 0.3)],
        share: 6.0,
        streams: 0.6,
        users: 14,
        ..KEY
    },
    Key {
        name: "星岸-刊登翻译",
        description: "中英商品刊登翻译",
        tenant: Some(3),
        app: "listing-translator",
        topic: Topic::Translation,
        language: Language::Chinese,
        models: &[("deepseek-chat", 0.8), ("kimi-k2", 0.2)],
        share: 9.0,
        streams: 0.2,
        users: 22,
        tpm: Some(800_000),
        ..KEY
    },
    Key {
        name: "星岸-海外客服",
        description: "Overseas customer service, English",
        tenant: Some(3),
        app: "overseas-support",
        models: &[("kimi-k2", 0.7), ("qwen-plus", 0.3)],
        share: 7.0,
        users: 150,
        ..KEY
    },
    Key {
        name: "星岸-知识库向量",
        description: "知识库向量化",
        tenant: Some(3),
        app: "kb-indexer",
        topic: Topic::Search,
        language: Language::Chinese,
        operation: Operation::Embedding,
        models: &[("text-embedding-v4", 1.0)],
        share: 5.0,
        streams: 0.0,
        users: 0,
        ..KEY
    },
    Key {
        name: "云帆-作文批改",
        description: "中小学作文批改",
        tenant: Some(4),
        app: "essay-review",
        topic: Topic::Study,
        language: Language::Chinese,
        models: &[("deepseek-reasoner", 0.65), ("qwen3-max", 0.35)],
        share: 6.0,
        users: 180,
        concurrency: Some(40),
        ..KEY
    },
    Key {
        name: "云帆-口语陪练",
        description: "Spoken English coach",
        tenant: Some(4),
        app: "speaking-coach",
        topic: Topic::Study,
        operation: Operation::Responses,
        models: &[("gpt-5.1", 0.4), ("gpt-4o", 0.6)],
        share: 4.0,
        streams: 0.9,
        users: 95,
        keeps: Some(RedactionMode::Redact),
        ..KEY
    },
    Key {
        name: "platform-code-review",
        description: "Review of merge requests",
        app: "code-review",
        topic: Topic::Coding,
        operation: Operation::Messages,
        models: &[("claude-sonnet-4-5", 1.0)],
        share: 3.0,
        streams: 0.5,
        users: 18,
        keeps: Some(RedactionMode::None),
        ..KEY
    },
    Key {
        name: "platform-playground",
        description: "For trying things; its limit is low on purpose",
        app: "playground",
        topic: Topic::Coding,
        models: &[("gpt-4o-mini", 0.5), ("qwen-plus", 0.3), ("kimi-k2", 0.2)],
        share: 2.0,
        users: 12,
        rpm: Some(4),
        ..KEY
    },
    Key {
        name: "northwind-2024",
        description: "Replaced; kept for the record",
        tenant: Some(0),
        app: "support-bot",
        models: &[("gpt-4o-mini", 1.0)],
        share: 0.15,
        users: 3,
        utc_offset_h: -5,
        standing: Standing::Disabled,
        ..KEY
    },
    Key {
        name: "old-mill-menu",
        description: "Menu texts",
        tenant: Some(5),
        app: "menu",
        topic: Topic::Marketing,
        models: &[("gpt-4o-mini", 1.0)],
        share: 0.2,
        users: 2,
        utc_offset_h: 1,
        standing: Standing::Usual,
        ..KEY
    },
];

/// How busy people are at an hour of their day: 1 on average over a weekday.
pub fn rhythm(at_ms: i64, utc_offset_h: i64) -> f64 {
    const HOURS: [f64; 24] = [
        0.35, 0.2, 0.13, 0.1, 0.1, 0.15, 0.3, 0.6, 1.1, 1.6, 1.9, 1.8, 1.4, 1.4, 1.7, 1.8, 1.7,
        1.4, 1.1, 1.15, 1.35, 1.3, 0.95, 0.62,
    ];
    let local_min = at_ms.div_euclid(60_000) + utc_offset_h * 60;
    let hour = local_min.div_euclid(60).rem_euclid(24) as usize;
    let within = local_min.rem_euclid(60) as f64 / 60.0;
    let next = HOURS[(hour + 1) % 24];
    let busy = HOURS[hour] + (next - HOURS[hour]) * within;
    // Day 0 of the epoch was a Thursday.
    let weekend = (local_min.div_euclid(1_440) + 4).rem_euclid(7) % 6 == 0;
    if weekend { busy * 0.62 } else { busy }
}

/// A person's name as an application would send it.
pub fn user(key: &Key, number: usize) -> String {
    const GIVEN: [&str; 12] = [
        "ada", "ben", "chloe", "daniel", "emma", "felix", "grace", "henry", "iris", "jonas",
        "kate", "leo",
    ];
    const SURNAMES: [&str; 12] = [
        "wang", "li", "zhang", "liu", "chen", "yang", "zhao", "huang", "zhou", "wu", "xu", "sun",
    ];
    match key.language {
        Language::English => format!("{}.{}", GIVEN[number % 12], 100 + number),
        Language::Chinese => format!("{}_{:05}", SURNAMES[number % 12], 10_000 + number * 37),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_hangs_together() {
        for key in KEYS {
            let shares: f64 = key.models.iter().map(|(_, share)| share).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{}", key.name);
            assert!(key.tenant.is_none_or(|tenant| tenant < TENANTS.len()));
            for (name, _) in key.models {
                assert_eq!(model_named(name).name, *name);
                let protocol = match key.operation {
                    Operation::Messages => "anthropic",
                    _ => "openai",
                };
                let served = SITES.iter().any(|site| {
                    site.enabled && site.protocol == protocol && site.models.contains(name)
                });
                assert!(served, "nobody serves {name} to {}", key.name);
            }
        }
        let names: std::collections::HashSet<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
    }

    #[test]
    fn weekdays_are_busier_than_nights_and_weekends() {
        // Wednesday, 18 March 2026, 00:00 UTC.
        let wednesday = 1_773_792_000_000;
        let hour = 3_600_000;
        assert!(rhythm(wednesday + 10 * hour, 0) > 5.0 * rhythm(wednesday + 3 * hour, 0));
        let saturday = wednesday + 3 * 24 * hour;
        assert!(rhythm(saturday + 10 * hour, 0) < rhythm(wednesday + 10 * hour, 0));
        assert_eq!(
            rhythm(wednesday + 10 * hour, 0),
            rhythm(wednesday + 2 * hour, 8)
        );
        let mean: f64 = (0..24)
            .map(|h| rhythm(wednesday + h * hour, 0))
            .sum::<f64>()
            / 24.0;
        assert!((0.9..1.1).contains(&mean), "{mean}");
    }
}
