//! One GET on a connection of its own, for its head and its certificate: what a look at a provider takes.
//!
//! The connection is made apart from the request, since the certificate is seen nowhere else; [`egress`]'s refusals hold
//! here too. The body is not read. The caller gives it a deadline.

use std::error::Error;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderValue, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tower_service::Service;

use super::certificate;
use super::own::millis;
use crate::http::egress::{self, Guarded, Reach};

/// What answered.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    /// From the first packet to the answer's head.
    pub(super) latency_ms: u64,
    /// When the certificate ends, microseconds since the Unix epoch; absent without TLS.
    pub(super) certificate_expires_at: Option<i64>,
}

/// Why nothing did.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unseen {
    #[error("link-local and metadata addresses are never called")]
    Refused,
    #[error("the address cannot be read")]
    BadAddress,
    /// Nothing was reached.
    #[error("{0}")]
    Unreachable(String),
    /// Something was reached, and it is not what it should be.
    #[error("{0}")]
    Tls(String),
    /// It was reached and did not answer as HTTP has it.
    #[error("{0}")]
    Broken(hyper::Error),
}

pub(super) async fn get(
    tls: &ClientConfig,
    url: &str,
    mut headers: HeaderMap,
) -> Result<Seen, Unseen> {
    let uri: Uri = url.parse().map_err(|_| Unseen::BadAddress)?;
    let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else {
        return Err(Unseen::BadAddress);
    };
    egress::refuse_host(host).map_err(|_| Unseen::Refused)?;
    let to = HeaderValue::from_str(authority.as_str()).map_err(|_| Unseen::BadAddress)?;
    headers.insert(header::HOST, to);
    let mut request = http::Request::new(Empty::<Bytes>::new());
    *request.headers_mut() = headers;
    *request.uri_mut() = uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str)
        .parse()
        .map_err(|_| Unseen::BadAddress)?;

    let mut tcp = HttpConnector::new_with_resolver(Guarded(Reach::Private));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let begun = Instant::now();
    let stream = connector.call(uri).await.map_err(|cause| unseen(&*cause))?;
    let certificate_expires_at = match &stream {
        MaybeHttpsStream::Http(_) => None,
        MaybeHttpsStream::Https(stream) => {
            let certificates = stream.inner().get_ref().1.peer_certificates();
            let first = certificates.and_then(<[_]>::first);
            first.and_then(|certificate| certificate::not_after(certificate))
        }
    };
    let (mut sender, connection) = http1::handshake(stream).await.map_err(Unseen::Broken)?;
    let answer = std::pin::pin!(sender.send_request(request));
    // The connection moves only while it is looked at; it may end before the answer is taken.
    let answer = match select(answer, std::pin::pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    };
    Ok(Seen {
        status: answer.map_err(Unseen::Broken)?.status().as_u16(),
        latency_ms: millis(begun),
        certificate_expires_at,
    })
}

/// Why there is no connection: the innermost cause tells it best.
fn unseen(cause: &(dyn Error + Send + Sync + 'static)) -> Unseen {
    if egress::is_refusal(cause) {
        return Unseen::Refused;
    }
    let mut innermost: &(dyn Error + 'static) = cause;
    let mut is_tls = false;
    loop {
        is_tls |= innermost.is::<rustls::Error>()
            || innermost
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref)
                .is_some_and(|inner| inner.is::<rustls::Error>());
        match innermost.source() {
            Some(source) => innermost = source,
            None => break,
        }
    }
    let text = innermost.to_string();
    if is_tls {
        Unseen::Tls(text)
    } else {
        Unseen::Unreachable(text)
    }
}
