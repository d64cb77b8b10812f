//! The web console at `/ops/`: files that the build embedded, and what browsers must be told about them.
//!
//! Which file answers, in which encoding, and how long it may be kept is decided by [`answer`], a function of
//! the request's words and a set of files; tests give it files of their own. What the pages do is the web
//! app's business (`static/`), the API's reference at `/api/docs` is [`docs`].

pub mod docs;

use std::borrow::Cow;

use actix_web::http::header::{self, AcceptEncoding, Encoding, EntityTag, Header, IfNoneMatch};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use rust_embed::RustEmbed;

use crate::error::{ApiError, ErrorCode};

/// Where the console lives. `/api/v1/ops` is the API's operations center and has nothing to do with it.
const HOME: &str = "/ops/";
/// Names in here carry a hash of their content: what one of them names never changes.
const HASHED: &str = "assets/";
const PAGE: &str = "index.html";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// What the console's pages may do: talk to this server and nobody else, run this server's scripts and no
/// others. Styles may stand in the page, since charts and floating panels place themselves that way.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

// `struct Embedded`, with the folder that `build.rs` has made.
include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// A file of the console.
struct File {
    bytes: Cow<'static, [u8]>,
    /// Of the bytes.
    hash: [u8; 32],
    media_type: Cow<'static, str>,
}

fn embedded(path: &str) -> Option<File> {
    let file = Embedded::get(path)?;
    Some(File {
        hash: file.metadata.sha256_hash(),
        media_type: Cow::Owned(file.metadata.mimetype().to_owned()),
        bytes: file.data,
    })
}

/// Mounts the console, and the names that lead to it.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(home))
        .route("/console", web::get().to(home))
        .route("/console/", web::get().to(home))
        .route("/ops", web::get().to(home))
        .route("/ops/{path:.*}", web::to(serve));
}

async fn home() -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, HOME))
        .insert_header((header::CACHE_CONTROL, ASK_AGAIN))
        .finish()
}

async fn serve(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer(&embedded, &request)
}

/// Answers a request below [`HOME`] from `files`.
fn answer(
    files: &dyn Fn(&str) -> Option<File>,
    request: &HttpRequest,
) -> Result<HttpResponse, ApiError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::new(ErrorCode::MethodNotAllowed).allow("GET, HEAD".to_owned()));
    }
    let path = request.path().strip_prefix(HOME).unwrap_or_default();
    let (path, file) = find(files, path).ok_or_else(|| {
        ApiError::new(ErrorCode::NotFound).detail("The console has no such file.")
    })?;
    let media_type = told(&file.media_type);
    let (coding, file) = smallest(files, path, file, request);
    let tag = EntityTag::new_strong(hex::encode(&file.hash[..16]));
    let mut response = HttpResponse::build(StatusCode::OK);
    response
        .insert_header(("content-security-policy", POLICY))
        .insert_header((header::VARY, "accept-encoding"))
        .insert_header((header::ETAG, tag.to_string()))
        .insert_header((
            header::CACHE_CONTROL,
            if path.starts_with(HASHED) {
                FOR_EVER
            } else {
                ASK_AGAIN
            },
        ));
    if has_it(request, &tag) {
        return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
    }
    if let Some(coding) = coding {
        response.insert_header((header::CONTENT_ENCODING, coding));
    }
    Ok(response.content_type(media_type).body(file.bytes))
}

/// The file at `path`, or the page that draws every route of the console. A name with a dot is a file's, and
/// a file that is missing is missing: a browser that asks for a script must not be given a page. No route of
/// the console climbs: a path with a dotted step, however it is written, is somebody feeling for a hole.
fn find<'a>(files: &dyn Fn(&str) -> Option<File>, path: &'a str) -> Option<(&'a str, File)> {
    // These are encodings of other files, not files of their own.
    let encoded = CODINGS.iter().any(|(_, suffix)| path.ends_with(suffix));
    if !path.is_empty()
        && !encoded
        && let Some(file) = files(path)
    {
        return Some((path, file));
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let climbs = path
        .split(['/', '\\'])
        .any(|step| step.starts_with("..") || step.to_ascii_lowercase().starts_with("%2e%2e"));
    let is_route = !climbs && !name.contains('.') && !path.starts_with(HASHED);
    is_route
        .then(|| files(PAGE))
        .flatten()
        .map(|file| (PAGE, file))
}

/// Codings that the build writes beside a file, the best first.
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// The encoding of `file` that the caller takes and that is the smallest there is.
fn smallest(
    files: &dyn Fn(&str) -> Option<File>,
    path: &str,
    file: File,
    request: &HttpRequest,
) -> (Option<&'static str>, File) {
    let accepted = AcceptEncoding::parse(request).unwrap_or(AcceptEncoding(Vec::new()));
    for (coding, suffix) in CODINGS {
        let Ok(known) = coding.parse::<Encoding>() else {
            continue;
        };
        if accepted.negotiate([known.clone()].iter()) == Some(known)
            && let Some(encoded) = files(&format!("{path}{suffix}"))
        {
            return (Some(coding), encoded);
        }
    }
    (None, file)
}

fn has_it(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

fn told(media_type: &str) -> String {
    if media_type.starts_with("text/") {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_owned()
    }
}

#[cfg(test)]
mod tests;
