//! The list of prices that comes with the program, taken over into the table at every start.
//!
//! What the table makes of it (history, operators' own prices) is not decided here.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime};
use sea_orm::DbErr;
use serde::Deserialize;
use steward_actors::domain::clock::Clock;
use steward_actors::domain::price::Currency;
use steward_entities::database::{Databases, begin_write};
use steward_entities::price::{self, Figures, Tier};

use super::StartError;
use crate::http::money;

const TEXT: &str = include_str!("../../config/prices.toml");

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceList {
    /// Day on which it was right.
    date: String,
    providers: BTreeMap<String, Provider>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    /// Where it publishes its prices.
    source: String,
    currency: String,
    models: BTreeMap<String, Entry>,
}

/// Decimal strings per million model tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    input: String,
    output: Option<String>,
    cached: Option<String>,
    cache_write: Option<String>,
    cache_write_1h: Option<String>,
    reasoning: Option<String>,
    per_call: Option<String>,
    per_unit: Option<String>,
    #[serde(default)]
    tiers: Vec<ListedTier>,
}

/// What prompts of more than `above` model tokens cost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedTier {
    above: i64,
    input: String,
    output: String,
    cached: Option<String>,
    cache_write: Option<String>,
    cache_write_1h: Option<String>,
    reasoning: Option<String>,
}

/// The list in the table's terms.
struct PricesOfDay {
    /// Midnight UTC, microseconds since the Unix epoch.
    date: i64,
    prices: Vec<price::Listed>,
}

/// Reads the list; the error is a sentence that names the entry.
fn read(text: &str) -> Result<PricesOfDay, String> {
    let list: PriceList = toml::from_str(text).map_err(|cause| cause.to_string())?;
    let date = NaiveDate::parse_from_str(&list.date, "%Y-%m-%d")
        .map_err(|cause| format!("date {:?}: {cause}", list.date))?;
    let mut prices = Vec::new();
    for (name, provider) in list.providers {
        if Currency::parse(&provider.currency).is_none() {
            return Err(format!(
                "{name}: currency {:?} is not known",
                provider.currency
            ));
        }
        for (model, entry) in provider.models {
            let nano = |text: &String| {
                money::nano(text)
                    .ok_or_else(|| format!("{name} {model}: {text:?} is not an amount"))
            };
            let part = |text: &Option<String>| text.as_ref().map(nano).transpose();
            let mut tiers = Vec::with_capacity(entry.tiers.len());
            for tier in &entry.tiers {
                tiers.push(Tier {
                    above: tier.above,
                    input_nano: nano(&tier.input)?,
                    output_nano: nano(&tier.output)?,
                    cached_nano: part(&tier.cached)?,
                    cache_write_nano: part(&tier.cache_write)?,
                    cache_write_1h_nano: part(&tier.cache_write_1h)?,
                    reasoning_nano: part(&tier.reasoning)?,
                });
            }
            if !price::are_tiers(&tiers) {
                return Err(format!("{name} {model}: its tiers do not rise"));
            }
            let figures = Figures {
                currency: provider.currency.clone(),
                input_nano: nano(&entry.input)?,
                output_nano: part(&entry.output)?.unwrap_or(0),
                cached_nano: part(&entry.cached)?,
                cache_write_nano: part(&entry.cache_write)?,
                cache_write_1h_nano: part(&entry.cache_write_1h)?,
                reasoning_nano: part(&entry.reasoning)?,
                per_call_nano: part(&entry.per_call)?.unwrap_or(0),
                per_unit_nano: part(&entry.per_unit)?.unwrap_or(0),
                tiers,
            };
            prices.push(price::Listed {
                provider: name.clone(),
                model,
                figures,
                source: provider.source.clone(),
            });
        }
    }
    Ok(PricesOfDay {
        date: date.and_time(NaiveTime::MIN).and_utc().timestamp_micros(),
        prices,
    })
}

/// Takes the list over: new and changed prices become rows, operators' are not touched.
pub(super) async fn take_over(databases: &Databases, clock: &dyn Clock) -> Result<(), StartError> {
    // It is part of the program, so a fault in it is one of the program; its test reads it first.
    let listed = read(TEXT)
        .map_err(|cause| DbErr::Custom(format!("the list of prices is damaged: {cause}")))?;
    let txn = begin_write(&databases.control).await?;
    let made = price::take_list(&txn, listed.prices, listed.date, clock.now_micros()).await?;
    txn.commit().await?;
    if made > 0 {
        tracing::info!(prices = made, "took over the list of prices");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_price_of_the_list_is_sane() {
        let listed = read(TEXT).unwrap();
        assert!(listed.prices.len() >= 60, "{}", listed.prices.len());
        // 2026 and after.
        assert!(listed.date > 1_767_225_600_000_000);
        // Nothing costs 10,000 a million; below a billionth nothing is charged.
        let sane = 1..=10_000_000_000_000_i64;
        let mut seen = HashSet::new();
        for price::Listed {
            provider,
            model,
            figures,
            source,
        } in &listed.prices
        {
            let at = format!("{provider} {model}");
            assert!(sane.contains(&figures.input_nano), "{at}");
            assert!((0..=*sane.end()).contains(&figures.output_nano), "{at}");
            for part in [
                figures.cached_nano,
                figures.cache_write_nano,
                figures.reasoning_nano,
            ] {
                assert!(part.is_none_or(|nano| sane.contains(&nano)), "{at}");
            }
            assert!(
                figures
                    .cached_nano
                    .is_none_or(|nano| nano <= figures.input_nano),
                "{at}"
            );
            assert!(
                figures
                    .cache_write_nano
                    .is_none_or(|nano| nano <= 2 * figures.input_nano),
                "{at}"
            );
            assert!(
                figures
                    .cache_write_1h_nano
                    .is_none_or(|nano| figures.cache_write_nano.is_some_and(|least| least <= nano)),
                "{at}"
            );
            // Long prompts never cost less, and what has a price of its own has one in every tier.
            let (mut input, mut output) = (figures.input_nano, figures.output_nano);
            for tier in &figures.tiers {
                assert!((input..=10 * input).contains(&tier.input_nano), "{at}");
                assert!((output..=10 * output).contains(&tier.output_nano), "{at}");
                assert_eq!(
                    tier.cached_nano.is_some(),
                    figures.cached_nano.is_some(),
                    "{at}"
                );
                assert_eq!(
                    tier.cache_write_nano.is_some(),
                    figures.cache_write_nano.is_some(),
                    "{at}"
                );
                assert_eq!(
                    tier.cache_write_1h_nano.is_some(),
                    figures.cache_write_1h_nano.is_some(),
                    "{at}"
                );
                assert_eq!(
                    tier.reasoning_nano.is_some(),
                    figures.reasoning_nano.is_some(),
                    "{at}"
                );
                (input, output) = (tier.input_nano, tier.output_nano);
            }
            assert!(!model.is_empty() && model.trim() == model, "{at}");
            assert!(!model.starts_with(&format!("{provider}/")), "{at}");
            assert!(source.starts_with("https://"), "{at}");
            assert!(seen.insert((provider, model)), "{at}");
        }
        for provider in [
            "anthropic",
            "azure",
            "cohere",
            "dashscope",
            "deepseek",
            "google",
            "mistral",
            "moonshot",
            "openai",
            "xai",
            "zhipu",
        ] {
            assert!(seen.iter().any(|(of, _)| *of == provider), "{provider}");
        }
    }

    #[test]
    fn well_known_prices_are_read_as_they_are_published() {
        let listed = read(TEXT).unwrap();
        let of = |provider: &str, model: &str| {
            let found = listed
                .prices
                .iter()
                .find(|listed| listed.provider == provider && listed.model == model);
            found.unwrap().figures.clone()
        };
        assert_eq!(
            of("openai", "gpt-4o"),
            Figures {
                currency: "USD".into(),
                input_nano: 2_500_000_000,
                output_nano: 10_000_000_000,
                cached_nano: Some(1_250_000_000),
                ..Figures::default()
            }
        );
        let sonnet = of("anthropic", "claude-sonnet-4-5");
        assert_eq!(sonnet.cached_nano, Some(300_000_000));
        assert_eq!(sonnet.cache_write_nano, Some(3_750_000_000));
        assert_eq!(sonnet.cache_write_1h_nano, Some(6_000_000_000));
        assert_eq!(
            of("google", "gemini-2.5-pro").tiers,
            [Tier {
                above: 200_000,
                input_nano: 2_500_000_000,
                output_nano: 15_000_000_000,
                cached_nano: Some(250_000_000),
                ..Tier::default()
            }]
        );
        let above = |tiers: Vec<Tier>| tiers.iter().map(|tier| tier.above).collect::<Vec<_>>();
        assert_eq!(
            above(of("dashscope", "qwen3-coder-plus").tiers),
            [32_000, 128_000, 256_000]
        );
        let embedding = of("openai", "text-embedding-3-small");
        assert_eq!(
            (embedding.input_nano, embedding.output_nano),
            (20_000_000, 0)
        );
    }

    #[test]
    fn a_faulty_list_is_refused_naming_the_entry() {
        let list = |currency: &str, entry: &str| {
            format!(
                "date = \"2026-01-02\"\n[providers.p]\nsource = \"s\"\ncurrency = \"{currency}\"\n[providers.p.models]\n{entry}\n"
            )
        };
        assert!(read(&list("CNY", "m = { input = \"1.5\" }")).is_ok());
        for (text, expected) in [
            (list("EUR", "m = { input = \"1\" }"), "EUR"),
            (list("USD", "m = { input = \"-1\" }"), "p m"),
            (list("USD", "m = { input = \"x\" }"), "p m"),
            (list("USD", "m = { output = \"1\" }"), "input"),
            (
                list("USD", "m = { input = \"1\", inputs = \"1\" }"),
                "inputs",
            ),
            (
                list(
                    "USD",
                    "m = { input = \"1\", tiers = [ { above = 9, input = \"1\", output = \"1\" }, { above = 9, input = \"1\", output = \"1\" } ] }",
                ),
                "rise",
            ),
            (
                list("USD", "m = { input = \"1\" }\nm = { input = \"2\" }"),
                "duplicate",
            ),
            ("date = \"soon\"\nproviders = {}".to_owned(), "soon"),
        ] {
            let refused = read(&text).err().unwrap();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
