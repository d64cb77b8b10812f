//! Money as the control face reads and writes it: a decimal string beside its currency, never a float.

use rust_decimal::Decimal;

const NANO: u64 = 1_000_000_000;

/// Billionths of a currency's unit as a decimal number without needless zeros.
pub fn decimal(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let (whole, fraction) = (nano.unsigned_abs() / NANO, nano.unsigned_abs() % NANO);
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A decimal number, not negative, in billionths; `None` when it is something else, finer or too large.
pub fn nano(text: &str) -> Option<i64> {
    // Plain digits only: no sign, exponent or separator.
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    let nano = Decimal::from_str_exact(text)
        .ok()?
        .checked_mul(Decimal::from(NANO))?;
    i64::try_from(nano.normalize())
        .ok()
        .filter(|_| nano.fract().is_zero())
}

#[cfg(test)]
mod tests {
    use super::{decimal, nano};

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

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        for (text, expected) in [
            ("0", Some(0)),
            ("2.50", Some(2_500_000_000)),
            ("0.000000001", Some(1)),
            ("0.1000000000000", Some(100_000_000)),
            ("9223372036.854775807", Some(i64::MAX)),
            ("9223372036.854775808", None),
            ("0.0000000001", None),
            ("99999999999999999999999999999999", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1_000", None),
            ("1,5", None),
            ("", None),
            (".", None),
            (" 1", None),
            ("1.2.3", None),
            ("١", None),
        ] {
            assert_eq!(nano(text), expected, "{text}");
        }
    }
}
