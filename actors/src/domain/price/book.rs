//! Which price was in force: looked up by provider, model and time, once a call, without allocating.
//!
//! The rules, in this order:
//! 1. the provider and the model exactly as the record has them;
//! 2. else the model without what only dates it: `-2024-08-06`, `-20241022`, `@20241022`, `-latest`.
//!
//! In each of the two an operator's price in force beats the list's. In force is the newest whose `valid_from`
//! is not after the call; one that is `removed` ends what was before it, and the list's rules again. An
//! operator's price of the undated name does not touch a dated one that has a price of its own: providers do
//! charge versions of a model differently.

use rustc_hash::FxHashMap;

use super::Price;

/// A price as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PriceRow {
    pub provider: String,
    pub model: String,
    /// Microseconds since the Unix epoch.
    pub valid_from: i64,
    /// From the list that comes with the program, not from an operator.
    pub from_list: bool,
    /// Ends the prices before it; its own figures mean nothing.
    pub removed: bool,
    pub price: Price,
}

/// Prices in force, for looking up by provider, model and time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PriceBook {
    providers: FxHashMap<String, FxHashMap<String, Prices>>,
}

/// Of one model, newest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Prices {
    operators: Vec<Entry>,
    list: Vec<Entry>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Entry {
    valid_from: i64,
    removed: bool,
    price: Price,
}

impl PriceBook {
    /// Takes rows in any order. Of two that begin at the same moment the one with the greater id counts.
    pub fn new(rows: impl IntoIterator<Item = PriceRow>) -> Self {
        let mut book = Self::default();
        for row in rows {
            let models = book.providers.entry(row.provider).or_default();
            let prices = models.entry(row.model).or_default();
            let entries = if row.from_list {
                &mut prices.list
            } else {
                &mut prices.operators
            };
            entries.push(Entry {
                valid_from: row.valid_from,
                removed: row.removed,
                price: row.price,
            });
        }
        for prices in book.providers.values_mut().flat_map(FxHashMap::values_mut) {
            for entries in [&mut prices.operators, &mut prices.list] {
                entries.sort_by_key(|entry| std::cmp::Reverse((entry.valid_from, entry.price.id)));
            }
        }
        book
    }

    /// The price of a call at `at_micros` (microseconds since the Unix epoch); `None`: the call is unpriced.
    pub fn find(&self, provider: &str, model: &str, at_micros: i64) -> Option<&Price> {
        let models = self.providers.get(provider)?;
        let of = |name: &str| models.get(name)?.in_force(at_micros);
        of(model).or_else(|| of(undated(model)?))
    }
}

impl Prices {
    fn in_force(&self, at_micros: i64) -> Option<&Price> {
        let newest = |entries: &'_ [Entry]| {
            entries
                .iter()
                .position(|entry| entry.valid_from <= at_micros)
        };
        let rules = |entries: &[Entry]| newest(entries).filter(|at| !entries[*at].removed);
        rules(&self.operators)
            .map(|at| &self.operators[at].price)
            .or_else(|| rules(&self.list).map(|at| &self.list[at].price))
    }
}

/// Whether `model`'s price is that of calls of `name`, as [`PriceBook::find`] looks it up.
pub fn is_called(model: &str, name: &str) -> bool {
    name == model || undated(name) == Some(model)
}

/// The model's name without what dates it; `None` when nothing does.
fn undated(model: &str) -> Option<&str> {
    let name = match model.split_once('@') {
        Some((name, _)) => name,
        None => model
            .strip_suffix("-latest")
            .or_else(|| without_date(model, "-dddd-dd-dd"))
            .or_else(|| without_date(model, "-dddddddd"))?,
    };
    (!name.is_empty()).then_some(name)
}

/// Cuts off what looks like `shape` (`d`: a digit), when it can be a date of this century.
fn without_date<'a>(model: &'a str, shape: &str) -> Option<&'a str> {
    let start = model.len().checked_sub(shape.len())?;
    let (name, tail) = model.split_at_checked(start)?;
    let fits = tail.bytes().zip(shape.bytes()).all(|(byte, of)| match of {
        b'd' => byte.is_ascii_digit(),
        _ => byte == of,
    });
    if !fits {
        return None;
    }
    let mut digits = tail.bytes().filter(u8::is_ascii_digit);
    let mut number = |long: usize| {
        (0..long).fold(0, |number, _| {
            number * 10 + u32::from(digits.next().unwrap_or(b'0') - b'0')
        })
    };
    let (year, month, day) = (number(4), number(2), number(2));
    let is_date = chrono::NaiveDate::from_ymd_opt(year.cast_signed(), month, day).is_some();
    (is_date && (2000..2100).contains(&year)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::Currency;
    use super::*;

    fn price(id: i64) -> Price {
        Price {
            id,
            currency: Currency::Usd,
            input_nano: id,
            output_nano: id,
            cached_nano: None,
            cache_write_nano: None,
            cache_write_1h_nano: None,
            reasoning_nano: None,
            per_call_nano: 0,
            per_unit_nano: 0,
            tiers: Vec::new(),
        }
    }

    fn list(id: i64, model: &str, valid_from: i64) -> PriceRow {
        PriceRow {
            provider: "openai".into(),
            model: model.into(),
            valid_from,
            from_list: true,
            removed: false,
            price: price(id),
        }
    }

    fn operators(id: i64, model: &str, valid_from: i64) -> PriceRow {
        PriceRow {
            from_list: false,
            ..list(id, model, valid_from)
        }
    }

    fn removed(row: PriceRow) -> PriceRow {
        PriceRow {
            removed: true,
            ..row
        }
    }

    fn found(book: &PriceBook, model: &str, at: i64) -> Option<i64> {
        book.find("openai", model, at).map(|price| price.id)
    }

    #[test]
    fn calls_of_a_dated_name_are_the_models() {
        let book = PriceBook::new([list(1, "gpt-4o", 0)]);
        for (name, is) in [
            ("gpt-4o", true),
            ("gpt-4o-2024-08-06", true),
            ("gpt-4o-latest", true),
            ("gpt-4o-mini", false),
            ("gpt-4", false),
            ("", false),
        ] {
            assert_eq!(is_called("gpt-4o", name), is, "{name}");
            assert_eq!(found(&book, name, 0).is_some(), is, "{name}");
        }
    }

    #[test]
    fn the_newest_price_that_has_begun_is_in_force_whatever_the_order_of_rows() {
        let rows = [list(1, "m", 0), list(3, "m", 20), list(2, "m", 10)];
        let backwards = rows.iter().rev().cloned();
        for book in [PriceBook::new(rows.clone()), PriceBook::new(backwards)] {
            let seen = [-1, 0, 9, 10, 19, 20, i64::MAX].map(|at| found(&book, "m", at));
            let expected = [None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(3)];
            assert_eq!(seen, expected);
        }
        assert_eq!(PriceBook::default().find("openai", "m", 5), None);
        let book = PriceBook::new(rows);
        assert_eq!(book.find("azure", "m", 5), None);
        assert_eq!(found(&book, "M", 5), None);
    }

    #[test]
    fn of_two_from_the_same_moment_the_later_row_counts() {
        let book = PriceBook::new([list(2, "m", 10), list(1, "m", 10)]);
        assert_eq!(found(&book, "m", 10), Some(2));
    }

    #[test]
    fn an_operators_price_beats_the_lists_while_it_is_in_force() {
        let book = PriceBook::new([
            list(1, "m", 0),
            list(2, "m", 25),
            operators(3, "m", 10),
            removed(operators(4, "m", 30)),
            operators(5, "m", 40),
        ]);
        let seen = [5, 10, 26, 30, 39, 40].map(|at| found(&book, "m", at));
        assert_eq!(seen, [Some(1), Some(3), Some(3), Some(2), Some(2), Some(5)]);
    }

    #[test]
    fn what_the_list_no_longer_has_is_unpriced_from_then_on() {
        let book = PriceBook::new([list(1, "m", 0), removed(list(2, "m", 10))]);
        assert_eq!([9, 10].map(|at| found(&book, "m", at)), [Some(1), None]);
    }

    #[test]
    fn a_dated_name_falls_back_to_the_undated_one_only_without_a_price_of_its_own() {
        let book = PriceBook::new([
            list(1, "gpt-4o", 0),
            list(2, "gpt-4o-2024-05-13", 0),
            operators(3, "gpt-4o", 10),
        ]);
        assert_eq!(found(&book, "gpt-4o-2024-08-06", 0), Some(1));
        assert_eq!(found(&book, "gpt-4o-2024-08-06", 10), Some(3));
        assert_eq!(found(&book, "gpt-4o-2024-05-13", 10), Some(2));
        let book = PriceBook::new([list(1, "m", 0), removed(operators(2, "m-latest", 0))]);
        assert_eq!(found(&book, "m-latest", 0), Some(1));
    }

    #[test]
    fn only_what_dates_a_name_is_cut_off() {
        for (model, expected) in [
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("claude-3-5-sonnet-20241022", Some("claude-3-5-sonnet")),
            (
                "claude-3-5-sonnet-v2@20241022",
                Some("claude-3-5-sonnet-v2"),
            ),
            ("claude-sonnet-4@default", Some("claude-sonnet-4")),
            ("mistral-large-latest", Some("mistral-large")),
            ("gpt-4o", None),
            ("m-12345678", None),
            ("m-20241399", None),
            ("m-2024-13-01", None),
            ("m-2025-0101", None),
            ("gpt-4-0613", None),
            ("-latest", None),
            ("-20241022", None),
            ("@", None),
            ("", None),
            ("模型-20241022", Some("模型")),
            ("模型模型模型", None),
        ] {
            assert_eq!(undated(model), expected, "{model}");
        }
    }
}
