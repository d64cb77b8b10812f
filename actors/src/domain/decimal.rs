//! Decimal numbers as people write them, read exactly or not at all. Never a float.

/// Reads a decimal number, not negative, exactly and in billionths; `None` when it is something else, too large or
/// finer than that.
pub fn nano(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::nano;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        for (text, expected) in [
            ("0", Some(0)),
            ("2.50", Some(2_500_000_000)),
            ("0.000000001", Some(1)),
            ("0.1000000000000", None),
            ("12.5", Some(12_500_000_000)),
            (".5", None),
            ("1.", None),
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
