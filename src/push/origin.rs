//! Whether the page that opens a socket is ours: browsers let any page try, and tell which one it was.

use actix_web::HttpRequest;
use actix_web::http::Uri;
use actix_web::http::header;

use crate::error::{ApiError, ErrorCode};

/// The page must come from the address that is being asked, or from one of `allowed` (separated by commas). Who sends no
/// origin is no browser, and has nothing but its ticket.
///
/// # Errors
/// `origin_refused`.
pub(super) fn check(request: &HttpRequest, allowed: &str) -> Result<(), ApiError> {
    let mut origins = request.headers().get_all(header::ORIGIN);
    let (origin, second) = (origins.next(), origins.next());
    let Some(origin) = origin else {
        return Ok(());
    };
    let host = request.headers().get(header::HOST);
    let permitted = match (origin.to_str(), host.map(|host| host.to_str()), second) {
        (Ok(origin), Some(Ok(host)), None) => is_permitted(origin, host, allowed),
        _ => false,
    };
    if permitted {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::OriginRefused))
}

/// Hosts are compared, not schemes: behind a proxy that ends TLS this process sees http where the browser sees https.
fn is_permitted(origin: &str, host: &str, allowed: &str) -> bool {
    let listed = |entry: &str| !entry.is_empty() && entry.eq_ignore_ascii_case(origin);
    if allowed
        .split(',')
        .map(|entry| entry.trim().trim_end_matches('/'))
        .any(listed)
    {
        return true;
    }
    let Ok(origin) = origin.parse::<Uri>() else {
        return false;
    };
    let default = match origin.scheme_str() {
        Some("http") => ":80",
        Some("https") => ":443",
        _ => return false,
    };
    origin.authority().is_some_and(|authority| {
        let named = authority.as_str();
        named.eq_ignore_ascii_case(host)
            || host
                .strip_suffix(default)
                .is_some_and(|host| named.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::is_permitted;

    #[test]
    fn the_own_address_and_listed_ones_pass() {
        for (origin, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://steward.example", "steward.example"),
            ("https://Steward.example", "steward.example:443"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_permitted(origin, host, ""), "{origin} {host}");
        }
        let allowed = "https://ops.example, http://localhost:5173/";
        assert!(is_permitted(
            "https://ops.example",
            "steward.internal",
            allowed
        ));
        assert!(is_permitted(
            "http://localhost:5173",
            "steward.internal",
            allowed
        ));
    }

    #[test]
    fn others_do_not() {
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:8080"),
            ("http://127.0.0.1:8081", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080.evil.example", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080@evil.example", "127.0.0.1:8080"),
            ("null", "127.0.0.1:8080"),
            ("", "127.0.0.1:8080"),
            ("file://", "127.0.0.1:8080"),
            ("ftp://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://steward.example", "steward.example:80"),
        ] {
            assert!(!is_permitted(origin, host, ""), "{origin} {host}");
            assert!(!is_permitted(origin, host, ",, "), "{origin} {host}");
        }
    }
}
