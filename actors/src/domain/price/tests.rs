//! Invoices worked by hand, from the providers' public price pages and the usage objects they answer with.

use proptest::prelude::*;

use super::*;

/// Prices as price pages give them: billionths per million tokens, e.g. 2.50 as `2_500_000_000`.
const fn page(currency: Currency, input_nano: i64, output_nano: i64) -> Price {
    Price {
        id: 1,
        currency,
        input_nano,
        output_nano,
        cached_nano: None,
        cache_write_nano: None,
        cache_write_1h_nano: None,
        reasoning_nano: None,
        per_call_nano: 0,
        per_unit_nano: 0,
        tiers: Vec::new(),
    }
}

const fn used(prompt: i64, completion: i64) -> Used {
    Used {
        prompt,
        completion,
        cached: 0,
        cache_write: 0,
        cache_write_1h: 0,
        reasoning: 0,
        units: 0,
    }
}

#[test]
fn invoices_worked_by_hand_agree_to_the_last_billionth() {
    let gpt_4o = Price {
        cached_nano: Some(1_250_000_000),
        ..page(Currency::Usd, 2_500_000_000, 10_000_000_000)
    };
    let o3 = Price {
        cached_nano: Some(500_000_000),
        ..page(Currency::Usd, 2_000_000_000, 8_000_000_000)
    };
    let sonnet = Price {
        cached_nano: Some(300_000_000),
        cache_write_nano: Some(3_750_000_000),
        ..page(Currency::Usd, 3_000_000_000, 15_000_000_000)
    };
    let mini = page(Currency::Usd, 150_000_000, 600_000_000);
    let embedding = page(Currency::Usd, 20_000_000, 0);
    let deepseek = Price {
        cached_nano: Some(200_000_000),
        ..page(Currency::Cny, 2_000_000_000, 3_000_000_000)
    };
    let qwen_plus = Price {
        reasoning_nano: Some(8_000_000_000),
        ..page(Currency::Cny, 800_000_000, 2_000_000_000)
    };
    let search = Price {
        per_call_nano: 2_500_000,
        ..page(Currency::Usd, 0, 0)
    };
    let cases = [
        // 93 × 2.50 + 1024 × 1.25 + 46 × 10.00, by million.
        (
            "OpenAI, 1024 of 1117 cached",
            gpt_4o,
            Used {
                cached: 1_024,
                ..used(1_117, 46)
            },
            232_500 + 1_280_000 + 460_000,
        ),
        // Reasoning has no price of its own: it is output.
        (
            "OpenAI, cached and reasoning",
            o3,
            Used {
                cached: 1_920,
                reasoning: 256,
                ..used(2_006, 300)
            },
            172_000 + 960_000 + 2_400_000,
        ),
        // Their input_tokens (10) exclude both; the prompt includes both.
        (
            "Anthropic, cache read and write",
            sonnet.clone(),
            Used {
                cached: 3_000,
                cache_write: 200,
                ..used(3_210, 50)
            },
            30_000 + 900_000 + 750_000 + 750_000,
        ),
        (
            "Pinecone, 5 read units at 16 dollars a million",
            Price {
                per_unit_nano: 16_000,
                ..page(Currency::Usd, 0, 0)
            },
            Used {
                units: 5,
                ..Used::default()
            },
            80_000,
        ),
        (
            "cancelled after 17 tokens",
            mini.clone(),
            used(120, 17),
            18_000 + 10_200,
        ),
        (
            "cancelled before the first token",
            mini.clone(),
            used(120, 0),
            18_000,
        ),
        ("refused before it began", mini, used(0, 0), 0),
        ("embeddings", embedding, used(8, 0), 160),
        (
            "DeepSeek in yuan, 15 of 20 from its cache",
            deepseek,
            Used {
                cached: 15,
                ..used(20, 2)
            },
            10_000 + 3_000 + 6_000,
        ),
        (
            "Qwen in yuan, thinking dearer than answering",
            qwen_plus,
            Used {
                reasoning: 400,
                ..used(1_000, 500)
            },
            800_000 + 200_000 + 3_200_000,
        ),
        (
            "a search, charged by the call",
            search,
            used(0, 0),
            2_500_000,
        ),
        // A million of everything is the price page itself.
        (
            "a whole million of each",
            sonnet.clone(),
            Used {
                cached: 1_000_000,
                cache_write: 1_000_000,
                ..used(3_000_000, 1_000_000)
            },
            3_000_000_000 + 300_000_000 + 3_750_000_000 + 15_000_000_000,
        ),
    ];
    for (what, price, used, expected) in cases {
        assert_eq!(price.cost_nano(used), expected, "{what}");
    }
}

#[test]
fn a_prompt_above_a_tier_is_charged_by_it_to_the_last_token() {
    // Gemini 2.5 Pro: 1.25 / 10.00 up to 200,000 tokens of prompt, 2.50 / 15.00 above, cache reads 0.125 and 0.25.
    let gemini = Price {
        cached_nano: Some(125_000_000),
        per_call_nano: 7,
        tiers: vec![Tier {
            above: 200_000,
            input_nano: 2_500_000_000,
            output_nano: 15_000_000_000,
            cached_nano: Some(250_000_000),
            ..Tier::default()
        }],
        ..page(Currency::Usd, 1_250_000_000, 10_000_000_000)
    };
    let cached = |prompt| Used {
        cached: 100_000,
        ..used(prompt, 1_000)
    };
    // 100,000 × 1.25 + 100,000 × 0.125 + 1,000 × 10.00, and what a call costs.
    assert_eq!(
        gemini.cost_nano(cached(200_000)),
        125_000_000 + 12_500_000 + 10_000_000 + 7
    );
    // 100,001 × 2.50 + 100,000 × 0.25 + 1,000 × 15.00: one token more, and all of them cost more.
    assert_eq!(
        gemini.cost_nano(cached(200_001)),
        250_002_500 + 25_000_000 + 15_000_000 + 7
    );
    // Qwen3 Coder Plus has three of them; the greatest that is exceeded counts, in whatever order they stand.
    let tier = |above, input_nano| Tier {
        above,
        input_nano,
        ..Tier::default()
    };
    let qwen = Price {
        tiers: vec![
            tier(256_000, 6_000_000_000),
            tier(32_000, 1_800_000_000),
            tier(128_000, 3_000_000_000),
        ],
        ..page(Currency::Usd, 1_000_000_000, 0)
    };
    for (prompt, expected) in [
        (32_000, 32_000_000),
        (32_001, 57_601_800),
        (128_000, 230_400_000),
        (128_001, 384_003_000),
        (256_001, 1_536_006_000),
    ] {
        assert_eq!(qwen.cost_nano(used(prompt, 0)), expected, "{prompt}");
    }
}

#[test]
fn what_is_kept_for_an_hour_costs_its_own() {
    // Claude Sonnet 4.5: 3.00, written for minutes 3.75, for an hour 6.00.
    let sonnet = Price {
        cache_write_nano: Some(3_750_000_000),
        cache_write_1h_nano: Some(6_000_000_000),
        ..page(Currency::Usd, 3_000_000_000, 15_000_000_000)
    };
    let call = Used {
        cache_write: 2_000,
        cache_write_1h: 1_500,
        ..used(2_100, 10)
    };
    // 100 × 3.00 + 500 × 3.75 + 1,500 × 6.00 + 10 × 15.00.
    assert_eq!(
        sonnet.cost_nano(call),
        300_000 + 1_875_000 + 9_000_000 + 150_000
    );
    let without = Price {
        cache_write_1h_nano: None,
        ..sonnet.clone()
    };
    assert_eq!(without.cost_nano(call), 300_000 + 7_500_000 + 150_000);
    // More of it than was written at all is cut to that.
    let slip = Used {
        cache_write_1h: 9_000,
        ..call
    };
    assert_eq!(sonnet.cost_nano(slip), 300_000 + 12_000_000 + 150_000);
}

#[test]
fn ties_go_to_the_even_neighbour_and_only_the_sum_is_rounded() {
    // Half a billionth a token.
    let price = page(Currency::Usd, 500_000, 500_000);
    for (tokens, expected) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 4)] {
        assert_eq!(price.cost_nano(used(tokens, 0)), expected, "{tokens}");
    }
    // Each half alone would be nothing.
    assert_eq!(price.cost_nano(used(1, 1)), 1);
    // Just beside a tie.
    assert_eq!(page(Currency::Usd, 500_001, 0).cost_nano(used(1, 0)), 1);
    assert_eq!(page(Currency::Usd, 499_999, 0).cost_nano(used(3, 0)), 1);
    assert_eq!(page(Currency::Usd, 1_499_999, 0).cost_nano(used(1, 0)), 1);
}

#[test]
fn what_cannot_be_is_neither_negative_nor_too_large() {
    let price = page(Currency::Usd, 1_000_000_000, 1_000_000_000);
    assert_eq!(price.cost_nano(used(-5, -5)), 0);
    // Parts greater than their whole are cut to it.
    let part = Used {
        cached: 900,
        cache_write: 900,
        reasoning: 900,
        ..used(10, 10)
    };
    assert_eq!(price.cost_nano(part), 20_000);
    let negative = Price {
        per_call_nano: -7,
        per_unit_nano: -7,
        ..page(Currency::Usd, -1, -1)
    };
    assert_eq!(negative.cost_nano(used(1_000_000, 1_000_000)), 0);
    let counted = Used {
        units: 3,
        ..used(1_000_000, 1_000_000)
    };
    assert_eq!(negative.cost_nano(counted), 0);
    let dearest = Price {
        per_call_nano: i64::MAX,
        per_unit_nano: i64::MAX,
        ..page(Currency::Usd, i64::MAX, i64::MAX)
    };
    assert_eq!(dearest.cost_nano(used(i64::MAX, i64::MAX)), i64::MAX);
    let counted = Used {
        units: i64::MAX,
        ..Used::default()
    };
    assert_eq!(dearest.cost_nano(counted), i64::MAX);
}

#[test]
fn reasoning_beside_the_completion_is_made_part_of_it() {
    let told = Used {
        reasoning: 100,
        ..used(20, 2)
    };
    // xAI: the total has all three.
    assert_eq!(told.with_total(122).completion, 102);
    // OpenAI: reasoning is within.
    let within = Used {
        reasoning: 4,
        ..used(19, 10)
    };
    assert_eq!(within.with_total(29), within);
    assert_eq!(used(20, 2).with_total(500), used(20, 2));
}

#[test]
fn currencies_are_read_as_they_are_written() {
    for currency in Currency::ALL {
        assert_eq!(Currency::parse(currency.as_str()), Some(currency));
    }
    for text in ["", "usd", "EUR", "USD "] {
        assert_eq!(Currency::parse(text), None, "{text}");
    }
}

fn any_price() -> impl Strategy<Value = Price> {
    let nano = || 0..100_000_000_000_i64;
    let part = || prop::option::of(nano());
    (
        nano(),
        nano(),
        part(),
        part(),
        part(),
        part(),
        nano(),
        nano(),
    )
        .prop_map(
            |(
                input_nano,
                output_nano,
                cached_nano,
                cache_write_nano,
                cache_write_1h_nano,
                reasoning_nano,
                per_call_nano,
                per_unit_nano,
            )| {
                Price {
                    cached_nano,
                    cache_write_nano,
                    cache_write_1h_nano,
                    reasoning_nano,
                    per_call_nano,
                    per_unit_nano,
                    ..page(Currency::Usd, input_nano, output_nano)
                }
            },
        )
}

/// Parts that fit into their wholes.
fn any_used() -> impl Strategy<Value = Used> {
    [
        0..5_000_000_i64,
        0..5_000_000,
        0..5_000_000,
        0..5_000_000,
        0..5_000_000,
        0..5_000_000,
        0..5_000,
    ]
    .prop_map(
        |[plain, cached, minutes, hour, answer, reasoning, units]| Used {
            prompt: plain + cached + minutes + hour,
            completion: answer + reasoning,
            cached,
            cache_write: minutes + hour,
            cache_write_1h: hour,
            reasoning,
            units,
        },
    )
}

fn sum(a: Used, b: Used) -> Used {
    Used {
        prompt: a.prompt + b.prompt,
        completion: a.completion + b.completion,
        cached: a.cached + b.cached,
        cache_write: a.cache_write + b.cache_write,
        cache_write_1h: a.cache_write_1h + b.cache_write_1h,
        reasoning: a.reasoning + b.reasoning,
        units: a.units + b.units,
    }
}

proptest! {
    #[test]
    fn more_tokens_never_cost_less(price in any_price(), few in any_used(), more in any_used()) {
        prop_assert!(price.cost_nano(sum(few, more)) >= price.cost_nano(few));
    }

    #[test]
    fn two_calls_cost_what_both_would_together_within_one_rounding(
        price in any_price(), a in any_used(), b in any_used(),
    ) {
        let apart = price.cost_nano(a) + price.cost_nano(b);
        let together = price.cost_nano(sum(a, b)) + price.per_call_nano;
        prop_assert!((apart - together).abs() <= 1, "{} {}", apart, together);
    }

    #[test]
    fn the_cost_is_within_half_a_billionth_of_the_true_one(price in any_price(), used in any_used()) {
        let parts = [
            (used.prompt - used.cached - used.cache_write, price.input_nano),
            (used.cached, price.cached_nano.unwrap_or(price.input_nano)),
            (used.cache_write - used.cache_write_1h, price.cache_write_nano.unwrap_or(price.input_nano)),
            (
                used.cache_write_1h,
                price.cache_write_1h_nano.or(price.cache_write_nano).unwrap_or(price.input_nano),
            ),
            (used.completion - used.reasoning, price.output_nano),
            (used.reasoning, price.reasoning_nano.unwrap_or(price.output_nano)),
        ];
        let exact: i128 = parts.iter().map(|(n, nano)| i128::from(*n) * i128::from(*nano)).sum::<i128>()
            + i128::from(price.per_call_nano) * 1_000_000
            + i128::from(price.per_unit_nano) * i128::from(used.units) * 1_000_000;
        let off = i128::from(price.cost_nano(used)) * 1_000_000 - exact;
        prop_assert!(off.abs() <= 500_000, "{}", off);
    }

    #[test]
    fn nothing_panics_or_goes_below_zero(
        price in any_price(), n in any::<[i64; 7]>(), nano in any::<[i64; 8]>(), wild: bool,
    ) {
        let price = if wild {
            Price {
                input_nano: nano[0],
                output_nano: nano[1],
                cached_nano: Some(nano[2]),
                cache_write_nano: Some(nano[3]),
                reasoning_nano: Some(nano[4]),
                per_call_nano: nano[5],
                cache_write_1h_nano: Some(nano[6]),
                per_unit_nano: nano[7],
                tiers: vec![Tier { above: nano[4], input_nano: nano[6], ..Tier::default() }],
                ..price
            }
        } else {
            price
        };
        let used = Used { prompt: n[0], completion: n[1], cached: n[2], cache_write: n[3], cache_write_1h: n[5], reasoning: n[4], units: n[6] };
        prop_assert!(price.cost_nano(used.with_total(n[0])) >= 0);
    }
}
