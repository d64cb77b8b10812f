//! Money as the control face writes it: a decimal string beside its currency, never a float.

const NANO: u64 = 1_000_000_000;

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
