//! What the pretended clients send next: pure, from time and chance.

use serde_json::{Value, json};
use steward_actors::domain::record::Operation;

use super::chance::{self, Chance};
use super::corpus;
use super::library::{OPINIONS, Opinion};
use super::world::{self, KEYS, Key, Topic};

/// Share of the calls that no rhythm moves: somewhere it is always day.
pub(super) const STEADY: f64 = 0.45;
/// Share of calls that ask for a model the key may not use.
const WRONG_MODEL: f64 = 0.003;
/// Share of streams whose client leaves before the end.
const LEAVES: f64 = 0.012;
/// Share of the calls of people of which somebody says what they think.
const JUDGED: f64 = 0.01;
/// Share of the calls of one kind that are made with the prompt of that kind.
const PROMPTED: f64 = 0.4;
/// Share of support calls that offer a tool.
const OFFERS_TOOL: f64 = 0.12;

/// A call to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Index of [`KEYS`].
    pub key: usize,
    pub path: &'static str,
    pub body: Value,
    /// Empty when nobody is behind it.
    pub user: String,
    pub conversation: String,
    /// The client leaves after so many milliseconds.
    pub leaves_after_ms: Option<u64>,
    /// The prompt it is made with.
    pub prompt: Option<&'static str>,
    /// What its user says of the answer.
    pub opinion: Option<&'static Opinion>,
}

/// How many times the average rate is called at a moment; between about 0.5 and 1.6.
pub fn pace(now_ms: i64) -> f64 {
    let shares: f64 = KEYS.iter().map(|key| key.share).sum();
    let busy: f64 = KEYS
        .iter()
        .map(|key| key.share / shares * world::rhythm(now_ms, key.utc_offset_h))
        .sum();
    STEADY + (1.0 - STEADY) * busy
}

/// The next call at `now_ms`.
pub fn next(now_ms: i64, chance: &mut Chance) -> Call {
    let weights = KEYS
        .iter()
        .map(|key| key.share * (STEADY + (1.0 - STEADY) * world::rhythm(now_ms, key.utc_offset_h)));
    let index = chance.weighted(weights);
    let key = &KEYS[index];
    let shares = key.models.iter().map(|(_, share)| *share);
    let (mut model, _) = key.models[chance.weighted(shares)];
    if chance.happens(WRONG_MODEL) {
        model = if model.starts_with("gpt") {
            "gpt-4.5-preview"
        } else {
            "gpt-5.1-pro"
        };
    }
    let stream = chance.happens(key.streams);
    let (user, conversation) = if key.users == 0 {
        (String::new(), String::new())
    } else {
        let number = (chance.unit() * chance.unit() * key.users as f64) as usize;
        let talk = now_ms / 1_800_000 + number as i64 % 7;
        (
            world::user(key, number),
            format!("conv-{}-{number}-{}", key.app, talk % 100_000),
        )
    };
    // Of one conversation several calls come, each with some of what was said before.
    let talk = match conversation.as_str() {
        "" => chance.bits(),
        known => chance::of_text(0, known),
    };
    let mut talk = Chance::of(talk, &[]);
    let many = chance.below(7).saturating_sub(3);
    let earlier = corpus::exchanges(key.topic, key.language, many, &mut talk);
    let question = corpus::question(key.topic, key.language, &mut talk);
    let body = body(key, model, stream, &earlier, &question, chance);
    Call {
        key: index,
        path: match key.operation {
            Operation::Messages => "/v1/messages",
            Operation::Responses => "/v1/responses",
            Operation::Embedding => "/v1/embeddings",
            _ => "/v1/chat/completions",
        },
        body,
        user,
        conversation,
        leaves_after_ms: (stream && chance.happens(LEAVES))
            .then(|| chance.log_normal(1_800.0, 0.5) as u64),
        prompt: chance
            .happens(PROMPTED)
            .then(|| prompt(key.topic))
            .flatten(),
        opinion: (key.users > 0 && chance.happens(JUDGED))
            .then(|| opinion(key, chance))
            .flatten(),
    }
}

fn prompt(topic: Topic) -> Option<&'static str> {
    match topic {
        Topic::Support => Some("support/answer@production"),
        Topic::Marketing => Some("marketing/product-text@production"),
        Topic::Translation => Some("translate/listing@staging"),
        _ => None,
    }
}

fn opinion(key: &Key, chance: &mut Chance) -> Option<&'static Opinion> {
    let theirs = OPINIONS.iter().filter(|one| one.language == key.language);
    chance.pick(&theirs.collect::<Vec<_>>()).copied()
}

/// The request of `question`, after what was said `earlier`.
pub(super) fn body(
    key: &Key,
    model: &str,
    stream: bool,
    earlier: &[(String, String)],
    question: &str,
    chance: &mut Chance,
) -> Value {
    if key.operation == Operation::Embedding {
        let more = corpus::question(Topic::Support, key.language, chance);
        return json!({"model": model, "input": [question, more]});
    }
    let system = corpus::system(key.topic, key.language);
    let known = corpus::background(key.topic, key.language, chance);
    let system = format!("{system}\n\n{known}").trim_end().to_owned();
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let mut turns: Vec<Value> = earlier
        .iter()
        .flat_map(|(asked, said)| [turn("user", asked), turn("assistant", said)])
        .collect();
    turns.push(turn("user", question));
    let tool = key.topic == Topic::Support && chance.happens(OFFERS_TOOL);
    let parameters = json!({"type": "object", "properties": {"order_id": {"type": "string"}}});
    let told = "Looks an order up by its number";
    let mut body = match key.operation {
        Operation::Messages => json!({
            "model": model, "max_tokens": 1_024, "system": system,
            "messages": turns,
        }),
        Operation::Responses => {
            json!({"model": model, "instructions": system, "input": question})
        }
        _ => {
            turns.insert(0, turn("system", &system));
            json!({"model": model, "messages": turns})
        }
    };
    if tool && key.operation == Operation::Chat {
        body["tools"] = json!([{"type": "function", "function": {
            "name": "find_order", "description": told, "parameters": parameters,
        }}]);
    }
    if stream {
        body["stream"] = json!(true);
    }
    body
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const WEDNESDAY: i64 = 1_773_792_000_000;

    #[test]
    fn a_day_of_calls_is_varied_and_keeps_its_average() {
        let mut chance = Chance::of(7, &[]);
        let (mut keys, mut paths, mut streams) = (BTreeMap::new(), BTreeMap::new(), 0);
        let (mut left, mut tools, mut wrong) = (0, 0, 0);
        for number in 0..20_000_i64 {
            let call = next(WEDNESDAY + number * 4_320, &mut chance);
            let key = &KEYS[call.key];
            *keys.entry(call.key).or_insert(0) += 1;
            *paths.entry(call.path).or_insert(0) += 1;
            streams += i64::from(call.body["stream"] == true);
            left += i64::from(call.leaves_after_ms.is_some());
            tools += i64::from(call.body["tools"].is_array());
            let model = call.body["model"].as_str().unwrap();
            wrong += i64::from(!key.models.iter().any(|(name, _)| *name == model));
            assert_eq!(call.user.is_empty(), key.users == 0);
        }
        assert_eq!(keys.len(), KEYS.len());
        assert_eq!(paths.len(), 4);
        for (what, count, range) in [
            ("streams", streams, 8_000..16_000),
            ("left", left, 50..300),
            ("tools", tools, 400..2_000),
            ("wrong model", wrong, 20..140),
        ] {
            assert!(range.contains(&count), "{what}: {count}");
        }
        let day: Vec<f64> = (0..96).map(|q| pace(WEDNESDAY + q * 900_000)).collect();
        let mean = day.iter().sum::<f64>() / 96.0;
        assert!((0.85..1.15).contains(&mean), "{mean}");
        assert!(day.iter().all(|pace| (0.4..1.8).contains(pace)), "{day:?}");
    }
}
