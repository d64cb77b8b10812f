//! Money as the control face reads and writes it: a decimal string beside its currency, never a float.

use serde::{Deserialize, Serialize};
pub use steward_actors::domain::decimal::nano;
use steward_actors::domain::price::Currency;
use utoipa::ToSchema;

use crate::error::ApiError;

const NANO: u64 = 1_000_000_000;
/// A larger budget is a slip of the finger.
const BUDGET_MAX_NANO: i64 = 1_000_000_000 * NANO as i64;

/// A currency as the control face spells it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CurrencyCode {
    /// US dollar.
    #[default]
    Usd,
    /// Chinese yuan.
    Cny,
}

impl CurrencyCode {
    /// As it is stored.
    pub fn stored(self) -> String {
        Currency::from(self).as_str().to_owned()
    }

    /// Reads the stored form; what only a later version knows is told as dollars.
    pub fn of(stored: &str) -> Self {
        match Currency::parse(stored) {
            Some(Currency::Cny) => Self::Cny,
            _ => Self::Usd,
        }
    }
}

impl From<CurrencyCode> for Currency {
    fn from(code: CurrencyCode) -> Self {
        match code {
            CurrencyCode::Usd => Self::Usd,
            CurrencyCode::Cny => Self::Cny,
        }
    }
}

/// A budget in billionths, from the decimal in `field`.
///
/// # Errors
/// `validation_failed`, naming the field.
pub fn budget(field: &str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let read = nano(text.trim()).filter(|nano| *nano <= BUDGET_MAX_NANO);
    read.map(Some).ok_or_else(|| {
        ApiError::invalid(
            field,
            "must be a decimal number such as 20.00, from 0 to 1000000000 with at most nine decimals",
        )
    })
}

/// Billionths of a currency's unit as a decimal number without needless zeros.
pub fn decimal(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let (whole, fraction) = (nano.unsigned_abs() / NANO, nano.unsigned_abs() % NANO);
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimals_are_exact_and_short() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (-20_000_000_000, "-20"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(decimal(nano), text);
        }
    }
}
