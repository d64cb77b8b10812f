//! The API's reference at `/api/docs/`: Swagger UI, embedded, reading `/openapi.json` of this server. Offline:
//! nothing is asked of anybody else, the validator badge included.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{self, AcceptEncoding, Encoding, Header};
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa_swagger_ui::Config;

use crate::error::{ApiError, ErrorCode};

const HOME: &str = "/api/docs/";

/// As the console's, and as narrow: Swagger UI draws with styles in the page and pictures in data addresses.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from("/openapi.json")
        .validator_url("none")
        .deep_linking(true)
        .doc_expansion("none")
        .filter(true)
        .use_base_layout();
    Arc::new(config)
});

/// Mounts it. To be called before the scope that answers for the rest of `/api`.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/docs", web::get().to(home))
        .route("/api/docs/{path:.*}", web::get().to(serve));
}

async fn home() -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, HOME))
        .finish()
}

async fn serve(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let path = request.path().strip_prefix(HOME).unwrap_or_default();
    let file = utoipa_swagger_ui::serve(path, Arc::clone(&CONFIG))
        .map_err(ApiError::internal)?
        .ok_or_else(|| {
            ApiError::new(ErrorCode::NotFound).detail("There is nothing at this path.")
        })?;
    let mut response = HttpResponse::Ok();
    response
        .content_type(file.content_type)
        .insert_header(("content-security-policy", POLICY))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::VARY, "accept-encoding"));
    if !file.gzpipped {
        return Ok(response.body(file.bytes.into_owned()));
    }
    let accepted = AcceptEncoding::parse(&request).unwrap_or(AcceptEncoding(Vec::new()));
    if accepted.negotiate([Encoding::gzip()].iter()) == Some(Encoding::gzip()) {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
        return Ok(response.body(file.bytes.into_owned()));
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&*file.bytes)
        .read_to_end(&mut plain)
        .map_err(ApiError::internal)?;
    Ok(response.body(plain))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;

    use crate::testing::{Ask, World};

    #[actix_web::test]
    async fn the_reference_is_served_whole_from_here() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let bare = Ask::get("/api/docs").to(&app).await;
        assert_eq!(
            (bare.status, bare.header("location")),
            (StatusCode::FOUND, super::HOME)
        );
        let page = Ask::get("/api/docs/").to(&app).await;
        assert_eq!(page.header("content-type"), "text/html");
        assert!(
            page.header("content-security-policy")
                .contains("script-src 'self';")
        );
        assert!(!page.text.contains("://"), "{}", page.text);
        let named: Vec<&str> = page
            .text
            .split(['"'])
            .filter(|text| text.starts_with("./"))
            .collect();
        assert!(named.len() >= 5, "{named:?}");
        for name in named {
            let file = Ask::get(&format!("/api/docs/{}", &name[2..]))
                .to(&app)
                .await;
            assert_eq!(file.status, StatusCode::OK, "{name}");
        }
        let start = Ask::get("/api/docs/swagger-initializer.js").to(&app).await;
        assert!(
            start.text.contains(r#""url": "/openapi.json""#),
            "{}",
            start.text
        );
        assert!(
            start.text.contains(r#""validatorUrl": "none""#),
            "{}",
            start.text
        );
        let missing = Ask::get("/api/docs/nothing.js").to(&app).await;
        assert_eq!(missing.body["code"], "not_found");
    }

    #[actix_web::test]
    async fn what_is_kept_compressed_is_unpacked_for_who_cannot() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let path = "/api/docs/swagger-ui.css";
        let packed = Ask::get(path)
            .header("accept-encoding", "gzip, br")
            .to(&app)
            .await;
        assert_eq!(packed.header("content-encoding"), "gzip");
        let plain = Ask::get(path).to(&app).await;
        assert_eq!(plain.header("content-encoding"), "");
        assert!(plain.text.contains(".swagger-ui"));
    }
}
