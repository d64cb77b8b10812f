//! The rules of serving, on files of the tests' own and, where the mounting is meant, on the whole program:
//! what it embeds may be the console or the page that says there is none.

use std::borrow::Cow;

use actix_web::body::to_bytes;
use actix_web::http::{Method, StatusCode, header};
use actix_web::test::TestRequest;
use actix_web::{HttpResponse, ResponseError};
use sha2::{Digest, Sha256};

use super::{File, answer};
use crate::testing::{Ask, World};

const SCRIPT: &str = "assets/main-abc.js";

fn files(path: &str) -> Option<File> {
    let (text, media_type) = match path {
        "index.html" => ("<page>", "text/html"),
        "index.html.br" => ("br<page>", "application/octet-stream"),
        "favicon.svg" => ("<svg>", "image/svg+xml"),
        SCRIPT => ("script", "text/javascript"),
        "assets/main-abc.js.br" => ("br<script>", "application/octet-stream"),
        "assets/main-abc.js.gz" => ("gz<script>", "application/gzip"),
        "assets/latin.woff2" => ("font", "font/woff2"),
        _ => return None,
    };
    Some(File {
        bytes: Cow::Borrowed(text.as_bytes()),
        hash: Sha256::digest(text).into(),
        media_type: Cow::Borrowed(media_type),
    })
}

fn ask(path: &str, headers: &[(&str, &str)]) -> HttpResponse {
    with(Method::GET, path, headers)
}

fn with(method: Method, path: &str, headers: &[(&str, &str)]) -> HttpResponse {
    let mut request = TestRequest::default()
        .method(method)
        .uri(&format!("/ops/{path}"));
    for (name, value) in headers {
        request = request.insert_header((*name, *value));
    }
    answer(&files, &request.to_http_request()).unwrap_or_else(|error| error.error_response())
}

fn header(response: &HttpResponse, name: header::HeaderName) -> &str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

async fn text(response: HttpResponse) -> String {
    String::from_utf8(to_bytes(response.into_body()).await.unwrap().into()).unwrap()
}

#[actix_web::test]
async fn every_route_of_a_page_gets_the_page() {
    for path in [
        "",
        "overview",
        "requests/0192-abc",
        "a/b/c",
        "v1.2/x",
        "overview?range=7d",
    ] {
        for method in [Method::GET, Method::HEAD] {
            let response = with(method, path, &[]);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(
                header(&response, header::CONTENT_TYPE),
                "text/html; charset=utf-8"
            );
            assert_eq!(header(&response, header::CACHE_CONTROL), "no-cache");
            assert_eq!(text(response).await, "<page>", "{path}");
        }
    }
}

#[actix_web::test]
async fn a_missing_file_is_missing() {
    for path in [
        "assets/gone-123.js",
        "assets/gone",
        "assets/",
        "app.css",
        "deep/er.png",
        "assets/main-abc.js.br",
        "assets/main-abc.js.gz",
        "../Cargo.toml",
        "%2e%2e/secrets.toml",
        "../../etc/passwd",
        "%2e%2E/overview",
        "requests/..%2f..%2fetc/passwd",
    ] {
        let response = ask(path, &[]);
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            header(&response, header::CONTENT_TYPE),
            "application/problem+json"
        );
        assert!(
            text(response).await.contains("\"code\":\"not_found\""),
            "{path}"
        );
    }
}

#[test]
fn only_reading_is_allowed() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let response = with(method, "overview", &[]);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, header::ALLOW), "GET, HEAD");
    }
}

#[test]
fn names_with_a_hash_are_kept_for_ever_and_others_asked_about() {
    for (path, kept) in [
        (SCRIPT, "public, max-age=31536000, immutable"),
        ("assets/latin.woff2", "public, max-age=31536000, immutable"),
        ("favicon.svg", "no-cache"),
        ("index.html", "no-cache"),
    ] {
        assert_eq!(
            header(&ask(path, &[]), header::CACHE_CONTROL),
            kept,
            "{path}"
        );
    }
}

#[actix_web::test]
async fn the_caller_gets_the_smallest_encoding_it_takes() {
    for (accepted, coding, body) in [
        ("", "", "script"),
        ("br, gzip, zstd", "br", "br<script>"),
        ("gzip, deflate", "gzip", "gz<script>"),
        ("br;q=0, gzip;q=0.5", "gzip", "gz<script>"),
        ("gzip;q=1.0, br;q=0.1", "br", "br<script>"),
        ("identity", "", "script"),
        ("*;q=0", "", "script"),
        ("nonsense, ;;q=x", "", "script"),
    ] {
        let response = ask(SCRIPT, &[("accept-encoding", accepted)]);
        assert_eq!(
            header(&response, header::CONTENT_ENCODING),
            coding,
            "{accepted}"
        );
        assert_eq!(header(&response, header::VARY), "accept-encoding");
        // The type is that of the file, not of its wrapping.
        assert_eq!(
            header(&response, header::CONTENT_TYPE),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(text(response).await, body, "{accepted}");
    }
    // A font is compressed already; the page has no gzip here.
    let font = ask("assets/latin.woff2", &[("accept-encoding", "br, gzip")]);
    assert_eq!(header(&font, header::CONTENT_ENCODING), "");
    assert_eq!(header(&font, header::CONTENT_TYPE), "font/woff2");
    let page = ask("overview", &[("accept-encoding", "gzip")]);
    assert_eq!(header(&page, header::CONTENT_ENCODING), "");
}

#[actix_web::test]
async fn who_has_it_is_told_so() {
    let plain = header(&ask("", &[]), header::ETAG).to_owned();
    let packed = header(&ask("", &[("accept-encoding", "br")]), header::ETAG).to_owned();
    assert!(plain.starts_with('"') && plain.len() > 30, "{plain}");
    // Strong: other bytes, another tag.
    assert_ne!(plain, packed);
    let weak = format!("W/{plain}");
    let several = format!("\"other\", {plain}");
    for known in [plain.as_str(), &weak, &several, "*"] {
        let response = ask("requests", &[("if-none-match", known)]);
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(header(&response, header::ETAG), plain);
        assert_eq!(header(&response, header::VARY), "accept-encoding");
        assert_eq!(header(&response, header::CACHE_CONTROL), "no-cache");
        assert_eq!(text(response).await, "");
    }
    let other = ask("requests", &[("if-none-match", packed.as_str())]);
    assert_eq!(other.status(), StatusCode::OK);
}

#[actix_web::test]
async fn the_console_is_mounted_beside_the_api() {
    let world = World::sqlite().await;
    let app = world.app().await;
    for path in ["/", "/console", "/console/", "/ops"] {
        let answer = Ask::get(path).to(&app).await;
        assert_eq!(answer.status, StatusCode::FOUND, "{path}");
        assert_eq!(answer.header("location"), "/ops/", "{path}");
    }
    for path in ["/ops/", "/ops/index.html", "/ops/requests/0192"] {
        let answer = Ask::get(path).to(&app).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.text.contains("<title>Steward"), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe-eval"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    for path in [
        "/ops/assets/gone.js",
        "/ops/.vite/manifest.json",
        "/api/v1/ops/nowhere",
        "/api/nowhere",
        "/nowhere",
    ] {
        let answer = Ask::get(path).to(&app).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.body["code"], "not_found", "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'; base-uri")
        );
    }
    // The operations center of the API is not the console.
    let users = Ask::get("/api/v1/ops/users").to(&app).await;
    assert_eq!(users.status, StatusCode::UNAUTHORIZED);
}
