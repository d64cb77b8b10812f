//! When a certificate ends, read from its DER bytes and from nothing else of it.
//!
//! A look at a provider tells its certificate's last day; whether the certificate is good is the TLS library's
//! business. The bytes come from outside: anything that is not as X.509 has it answers `None`.

use chrono::{NaiveDate, NaiveDateTime};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The `notAfter` of a certificate, microseconds since the Unix epoch.
pub(super) fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut body, _) = expect(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = element(body)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        body = element(body)?.2;
    }
    let (validity, _) = expect(body, SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    let text = std::str::from_utf8(time).ok()?;
    let moment = match tag {
        UTC_TIME => {
            // RFC 5280, 4.1.2.5.1: two digits, of 1950 to 2049.
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            moment(&format!("{century}{text}"))
        }
        GENERALIZED_TIME => moment(text),
        _ => None,
    }?;
    Some(moment.and_utc().timestamp_micros())
}

/// `YYYYMMDDhhmmssZ`.
fn moment(text: &str) -> Option<NaiveDateTime> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<u32>().ok();
    NaiveDate::from_ymd_opt(
        i32::try_from(number(0, 4)?).ok()?,
        number(4, 6)?,
        number(6, 8)?,
    )?
    .and_hms_opt(number(8, 10)?, number(10, 12)?, number(12, 14)?)
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// The first element: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let many = usize::from(first & 0x7f);
        if many == 0 || many > 4 || rest.len() < many {
            return None;
        }
        let (digits, after) = rest.split_at(many);
        length = digits
            .iter()
            .fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
        rest = after;
    }
    if rest.len() < length {
        return None;
    }
    let (content, after) = rest.split_at(length);
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        match content.len() {
            len @ ..128 => bytes.push(len as u8),
            len => bytes.extend([0x82, (len >> 8) as u8, len as u8]),
        }
        bytes.extend(content);
        bytes
    }

    fn certificate(time_tag: u8, time: &str, with_version: bool) -> Vec<u8> {
        let mut body = Vec::new();
        if with_version {
            body.extend(wrap(VERSION, &[2, 1, 2]));
        }
        body.extend(wrap(2, &[1; 20]));
        body.extend(wrap(SEQUENCE, &[0; 10]));
        body.extend(wrap(SEQUENCE, &[0; 200]));
        let validity = [
            wrap(UTC_TIME, b"200101000000Z"),
            wrap(time_tag, time.as_bytes()),
        ]
        .concat();
        body.extend(wrap(SEQUENCE, &validity));
        body.extend(wrap(SEQUENCE, &[0; 300]));
        wrap(SEQUENCE, &wrap(SEQUENCE, &body))
    }

    #[test]
    fn both_ways_to_write_a_day_are_read() {
        let day = |text: &str| {
            Some(
                chrono::DateTime::parse_from_rfc3339(text)
                    .unwrap()
                    .timestamp_micros(),
            )
        };
        for with_version in [true, false] {
            assert_eq!(
                not_after(&certificate(UTC_TIME, "270228235959Z", with_version)),
                day("2027-02-28T23:59:59Z")
            );
            assert_eq!(
                not_after(&certificate(
                    GENERALIZED_TIME,
                    "20560101120000Z",
                    with_version
                )),
                day("2056-01-01T12:00:00Z")
            );
        }
        assert_eq!(
            not_after(&certificate(UTC_TIME, "510101000000Z", true)),
            day("1951-01-01T00:00:00Z")
        );
        for bad in [
            "270230000000Z",
            "2702282359Z",
            "270228235959",
            "ab0228235959Z",
        ] {
            assert_eq!(not_after(&certificate(UTC_TIME, bad, true)), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..700, at in 0usize..700, byte: u8) {
            let _ = not_after(&bytes);
            let mut good = certificate(UTC_TIME, "270228235959Z", true);
            let index = at % good.len();
            good[index] = byte;
            good.truncate(cut);
            let _ = not_after(&good);
        }
    }
}
