//! The OpenAPI document, generated from the handlers: what it says, the server does.
//!
//! Handlers document what is theirs; what holds for all of them (signing in, limits, errors, idempotency
//! and preconditions) is added here by rule, so that no handler can forget it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::http::Method;
use actix_web::{App, HttpResponse};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Deprecated, PathItem, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use utoipa_actix_web::AppExt;

use super::middleware::CONTROL_PREFIX;
use super::{compat, envelope, gateway_document, idempotency, request_id, routes};
use crate::error::problem::{FieldError, MEDIA_TYPE, Problem};
use crate::error::{ApiError, ErrorCode};

/// Name of the security scheme of the control face.
const OPERATOR: &str = "operator";

#[derive(OpenApi)]
#[openapi(info(
    title = "Steward",
    description = "A self-hosted LLM gateway and operations console. Times are RFC 3339 in UTC, money is a decimal string with a currency, errors are RFC 9457 problems.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(generate);
static DOCUMENT_TEXT: LazyLock<String> =
    LazyLock::new(|| DOCUMENT.to_pretty_json().unwrap_or_default());

/// The document. Needs no state: `steward openapi` prints it offline.
pub fn openapi() -> utoipa::openapi::OpenApi {
    DOCUMENT.clone()
}

/// The document as text, as it is served.
pub fn document_json() -> &'static str {
    DOCUMENT_TEXT.as_str()
}

/// `GET /openapi.json`
pub async fn document() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document_json())
}

/// The refusal for a request that no handler takes: 405 with the methods there are, or 404.
pub fn no_such_route(method: &Method, path: &str) -> ApiError {
    let found = DOCUMENT.paths.paths.iter();
    let mut found: Vec<_> = found
        .filter(|(template, _)| matches(template, path))
        .collect();
    // A path that takes whatever follows takes in its neighbours that say more.
    if found.iter().any(|(template, _)| !is_open_ended(template)) {
        found.retain(|(template, _)| !is_open_ended(template));
    }
    let methods = found.iter().flat_map(|(_, item)| operations(item));
    let mut methods: Vec<&str> = methods.map(|(name, _)| name).collect();
    if path.ends_with("/openapi.json") && *method != Method::GET {
        methods.push("GET");
    }
    if methods.is_empty() {
        return ApiError::new(ErrorCode::NotFound).detail("There is nothing at this path.");
    }
    methods.sort_unstable();
    methods.dedup();
    ApiError::new(ErrorCode::MethodNotAllowed).allow(methods.join(", "))
}

fn generate() -> utoipa::openapi::OpenApi {
    let (_, mut document) = App::new()
        .into_utoipa_app()
        .openapi(Document::openapi())
        .configure(routes::configure)
        .split_for_parts();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        OPERATOR,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "An access token (POST /api/v1/auth/login) or an operator key.",
                ))
                .build(),
        ),
    );
    let schemas = &mut components.schemas;
    schemas.insert(Problem::name().into_owned(), Problem::schema());
    schemas.insert(FieldError::name().into_owned(), FieldError::schema());
    gateway_document::add(&mut document);
    for (path, item) in &mut document.paths.paths {
        if path.starts_with(CONTROL_PREFIX) {
            complete(path, item);
        }
        for (_, operation) in operations_mut(item) {
            name_and_describe(operation);
        }
    }
    share(&mut document);
    document
}

fn complete(path: &str, item: &mut PathItem) {
    let named = path.contains('{');
    for (method, operation) in operations_mut(item) {
        if compat::is_old_name(path) {
            operation.deprecated = Some(Deprecated::True);
            if let Some(name) = &mut operation.operation_id
                && !name.ends_with("_by_old_name")
            {
                name.push_str("_by_old_name");
            }
        }
        // `security(())` at a handler says that it is open.
        let open = operation.security.is_some();
        if !open {
            let scheme = SecurityRequirement::new(OPERATOR, Vec::<String>::new());
            operation.security = Some(vec![scheme]);
            refuses(operation, ErrorCode::Unauthenticated);
            refuses(operation, ErrorCode::Forbidden);
        }
        let feedback = path == "/api/v1/feedback" && method == "POST";
        if path.starts_with("/api/v1/ingest/") || feedback {
            // Applications send records and feedback, with their tokens.
            refuses(operation, ErrorCode::TokenInvalid);
            refuses(operation, ErrorCode::TenantSuspended);
        }
        if feedback {
            refuses(operation, ErrorCode::NotFound);
            refuses(operation, ErrorCode::CallNotBooked);
        }
        let streamed = path == "/api/v1/ops/knowledge/import" && method == "POST";
        if path.starts_with("/api/v1/ingest/") || streamed {
            // Bodies that are taken in as they come, and not waited for without end.
            refuses(operation, ErrorCode::RequestTimeout);
        }
        // Of the remote, the plan and the newest backup there is one or none.
        let one_or_none = path.starts_with("/api/v1/ops/backups");
        if named || one_or_none || method == "DELETE" {
            refuses(operation, ErrorCode::NotFound);
        }
        refuses(operation, ErrorCode::RequestInvalid);
        if operation.request_body.is_some() {
            for code in [
                ErrorCode::BodyTooLarge,
                ErrorCode::MediaTypeUnsupported,
                ErrorCode::ValidationFailed,
            ] {
                refuses(operation, code);
            }
        }
        let mut parameters = operation.parameters.iter().flatten();
        if parameters.any(|parameter| {
            matches!(parameter, RefOr::T(known) if known.parameter_in == ParameterIn::Query)
        }) {
            refuses(operation, ErrorCode::ValidationFailed);
        }
        if method != "GET" {
            refuses(operation, ErrorCode::Conflict);
        }
        if method == "POST" && !open && named {
            // Steps in the life of a row honour `If-Match` too.
            refuses(operation, ErrorCode::PreconditionFailed);
        }
        if method == "POST" && !open {
            refuses(operation, ErrorCode::ValidationFailed);
            takes(operation, IDEMPOTENCY_KEY);
        }
        if matches!(method, "PUT" | "PATCH" | "DELETE") {
            refuses(operation, ErrorCode::PreconditionFailed);
            takes(operation, IF_MATCH);
        }
        for code in [
            ErrorCode::TooManyRequests,
            ErrorCode::Internal,
            ErrorCode::Unavailable,
        ] {
            refuses(operation, code);
        }
        if path.starts_with(compat::CONSOLE_PREFIX) {
            envelope::describe(operation);
        }
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                carries_request_id(response);
            }
        }
    }
}

/// Handlers are called `list` or `create`; with the tag in front an operation's name is its own.
fn name_and_describe(operation: &mut Operation) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first());
    if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
        operation.operation_id = Some(format!("{}_{name}", tag.replace([' ', '-'], "_")));
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = "Done.".to_owned();
        }
    }
}

fn refuses(operation: &mut Operation, code: ErrorCode) {
    operation
        .responses
        .responses
        .entry(code.status().to_string())
        .or_insert_with(|| RefOr::T(refusal(code)));
}

fn refusal(code: ErrorCode) -> Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(Problem::name())))
        .build();
    ResponseBuilder::new()
        .description(code.title())
        .content(MEDIA_TYPE, content)
        .build()
}

fn carries_request_id(response: &mut Response) {
    response
        .headers
        .entry(request_id::HEADER.to_owned())
        .or_insert_with(|| RefOr::Ref(Ref::new(format!("#/components/headers/{REQUEST_ID}"))));
}

/// Names of what many operations have in common and refer to.
const REQUEST_ID: &str = "request_id";
const IDEMPOTENCY_KEY: &str = "idempotency_key";
const IF_MATCH: &str = "if_match";

/// Puts what operations share in one place: said at each of them it was two thirds of the document, which everybody who
/// reads it (a browser, a generator of clients) paid for.
fn share(document: &mut utoipa::openapi::OpenApi) {
    let refusals: Vec<(&str, Response)> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let mut response = refusal(*code);
            carries_request_id(&mut response);
            (code.slug(), response)
        })
        .collect();
    let mut shared = BTreeMap::new();
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations_mut(item) {
            for said in operation.responses.responses.values_mut() {
                let RefOr::T(response) = said else { continue };
                let Some((name, _)) = refusals.iter().find(|(_, known)| known == response) else {
                    continue;
                };
                let referred = RefOr::Ref(Ref::from_response_name(*name));
                shared.insert((*name).to_owned(), std::mem::replace(said, referred));
            }
        }
    }
    let components = document.components.get_or_insert_default();
    components.responses.extend(shared);
    let id = HeaderBuilder::new()
        .schema(Some(text()))
        .description(Some("Names this request in the log."))
        .build();
    components.headers.insert(REQUEST_ID.to_owned(), id.into());
    for (name, header, description) in [
        (
            IDEMPOTENCY_KEY,
            idempotency::HEADER,
            "Sent again with the same key and body, the request has its effect once.",
        ),
        (
            IF_MATCH,
            "if-match",
            "The ETag the change was made from; 412 when somebody changed it first.",
        ),
    ] {
        let parameter = ParameterBuilder::new()
            .name(header)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(text()))
            .build();
        components
            .parameters
            .insert(name.to_owned(), parameter.into());
    }
}

fn text() -> Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

fn takes(operation: &mut Operation, parameter: &str) {
    let parameter = Ref::new(format!("#/components/parameters/{parameter}"));
    operation
        .parameters
        .get_or_insert_default()
        .push(RefOr::Ref(parameter));
}

fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("GET", &mut item.get),
        ("POST", &mut item.post),
        ("PUT", &mut item.put),
        ("PATCH", &mut item.patch),
        ("DELETE", &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The parameter that takes whatever follows, slashes too (`{path:.*}` at the handler, which the document's
/// templates do not tell).
const OPEN_ENDED: &str = "{path}";

fn is_open_ended(template: &str) -> bool {
    template.ends_with(OPEN_ENDED)
}

fn matches(template: &str, path: &str) -> bool {
    let mut wanted = template.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(OPEN_ENDED), Some(_)) => {
                let end: String = wanted.map(|segment| format!("/{segment}")).collect();
                return path.ends_with(&end);
            }
            (Some(segment), Some(text)) if segment.starts_with('{') && !text.is_empty() => {}
            (Some(segment), Some(text)) if segment == text => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod schema_names;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_operation_says_who_may_and_what_may_go_wrong() {
        let document = openapi();
        assert!(!document.paths.paths.is_empty());
        for (path, item) in &document.paths.paths {
            if !path.starts_with(CONTROL_PREFIX) {
                continue;
            }
            for (method, operation) in operations(item) {
                assert!(operation.security.is_some(), "{method} {path}");
                let statuses = &operation.responses.responses;
                assert!(statuses.contains_key("500"), "{method} {path}");
                // A connection that becomes a WebSocket has succeeded too.
                let succeeds = |status: &String| status.starts_with('2') || status == "101";
                assert!(statuses.keys().any(succeeds), "{method} {path}");
            }
        }
    }

    #[test]
    fn what_operations_share_is_said_once_and_found() {
        let document = serde_json::to_value(openapi()).unwrap();
        fn referred<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
            match value {
                serde_json::Value::Object(members) => {
                    if let Some(serde_json::Value::String(target)) = members.get("$ref") {
                        found.push(target);
                    }
                    members.values().for_each(|member| referred(member, found));
                }
                serde_json::Value::Array(items) => {
                    items.iter().for_each(|item| referred(item, found));
                }
                _ => {}
            }
        }
        let mut found = Vec::new();
        referred(&document, &mut found);
        for target in &found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
        let refusal = &document["paths"]["/api/v1/tokens"]["get"]["responses"]["401"];
        assert_eq!(
            refusal["$ref"], "#/components/responses/unauthenticated",
            "{refusal}"
        );
        let shared = &document["components"]["responses"]["unauthenticated"];
        assert!(shared["content"][MEDIA_TYPE]["schema"]["$ref"].is_string());
        assert!(shared["headers"][request_id::HEADER].is_object());
    }

    #[test]
    fn a_body_that_is_waited_for_may_come_too_slowly() {
        let document = openapi();
        for path in ["/api/v1/ops/knowledge/import", "/api/v1/ingest/records"] {
            let operation = document.paths.paths[path].post.as_ref().unwrap();
            assert!(operation.responses.responses.contains_key("408"), "{path}");
        }
    }

    /// The console's typed client and the API's readers go by the committed document. `STEWARD_WRITE_DOCS=1`
    /// writes it anew, as `make openapi` does.
    #[test]
    fn the_committed_document_is_the_one_served() {
        if std::env::var_os("STEWARD_WRITE_DOCS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/static/openapi.json");
            std::fs::write(path, format!("{}\n", document_json())).unwrap();
            return;
        }
        let committed = include_str!("../../static/openapi.json");
        assert!(
            committed.trim_end() == document_json().trim_end(),
            "static/openapi.json is older than the handlers: run `make openapi` and commit what it changes"
        );
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let document = openapi();
        let mut seen = std::collections::HashSet::new();
        for (path, item) in &document.paths.paths {
            for (method, operation) in operations(item) {
                let id = operation.operation_id.clone().unwrap_or_default();
                assert!(
                    !id.is_empty() && seen.insert(id.clone()),
                    "{method} {path}: {id}"
                );
            }
        }
    }

    /// Every `#[get("…")]` and the like of this crate, read from its source, so that a handler nobody mounted
    /// or documented is found too.
    #[test]
    fn every_handler_is_documented() {
        let document = openapi();
        let documented: Vec<(&str, String)> = document
            .paths
            .paths
            .iter()
            .flat_map(|(path, item)| operations(item).map(|(method, _)| (method, path.clone())))
            .collect();
        let mut handlers = 0;
        for (method, path) in routes_in(std::path::Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/features"
        ))) {
            handlers += 1;
            let path = path.replace(":.*}", "}");
            let found = documented
                .iter()
                .any(|(known, full)| *known == method && full.ends_with(&path));
            assert!(found, "{method} {path} is not in the OpenAPI document");
        }
        assert!(handlers > 50, "{handlers}");
    }

    fn routes_in(directory: &std::path::Path) -> Vec<(String, String)> {
        let mut routes = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                routes.extend(routes_in(&path));
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let Some((name, rest)) = line
                    .trim()
                    .strip_prefix("#[")
                    .and_then(|line| line.split_once("(\""))
                else {
                    continue;
                };
                let path = rest.split('"').next().unwrap_or_default().to_owned();
                match name {
                    "get" | "post" | "put" | "patch" | "delete" => {
                        routes.push((name.to_uppercase(), path));
                    }
                    "route" => routes.push(("GET".to_owned(), path)),
                    _ => {}
                }
            }
        }
        routes
    }

    #[test]
    fn an_unknown_method_is_told_apart_from_an_unknown_path() {
        assert_eq!(
            no_such_route(&Method::DELETE, "/api/v1/ops/roles").code(),
            ErrorCode::MethodNotAllowed
        );
        assert_eq!(
            no_such_route(&Method::GET, "/nowhere").code(),
            ErrorCode::NotFound
        );
    }
}
