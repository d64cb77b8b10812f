//! The HTTP client towards upstreams: one per worker, so that its connections are driven on the worker's
//! own runtime and a call never changes threads. It speaks HTTP/1.1, one call a connection, so that no call waits
//! for another (docs/decisions/0001). It follows no redirect and adds nothing of its own. What a
//! name leads to is looked at whenever it connects: an account's host may have begun to point at this machine's
//! metadata service after it was saved.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use steward_actors::domain::setting::InForce;
use tower_service::Service;

use crate::http::egress;

/// Sends requests whose bodies are whole in memory.
pub(super) type UpstreamClient = Client<Bounded<HttpsConnector<Tcp>>, WholeBody>;

type BoxError = Box<dyn Error + Send + Sync>;

/// A connector that must be done in time: name, TCP and TLS together, whichever of them hangs. Addresses that
/// are never called are refused before anything goes out.
#[derive(Clone)]
pub(super) struct Bounded<C> {
    connector: C,
    settings: InForce,
}

/// TCP towards upstreams, under the time-out in force: of several addresses one that does not answer leaves time for the
/// next.
#[derive(Clone)]
pub(super) struct Tcp {
    connector: HttpConnector<egress::Guarded>,
    settings: InForce,
}

impl Service<http::Uri> for Tcp {
    type Response = <HttpConnector<egress::Guarded> as Service<http::Uri>>::Response;
    type Error = <HttpConnector<egress::Guarded> as Service<http::Uri>>::Error;
    type Future = <HttpConnector<egress::Guarded> as Service<http::Uri>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, to: http::Uri) -> Self::Future {
        let limit = self.settings.load().connect_timeout;
        self.connector.set_connect_timeout(Some(limit));
        self.connector.call(to)
    }
}

impl<C> Service<http::Uri> for Bounded<C>
where
    C: Service<http::Uri, Error = BoxError>,
    C::Response: 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, to: http::Uri) -> Self::Future {
        if let Err(refused) = egress::refuse_host(to.host().unwrap_or_default()) {
            return Box::pin(async move { Err(refused.into()) });
        }
        let limit = self.settings.load().connect_timeout;
        let connecting = tokio::time::timeout(limit, self.connector.call(to));
        Box::pin(async move { connecting.await? })
    }
}

/// A request body in a few pieces, all of them in memory: an edited body is slices around the edit.
pub(super) struct WholeBody {
    parts: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl WholeBody {
    /// The parts go out in order.
    pub(super) fn new(parts: Vec<Bytes>) -> Self {
        Self {
            left: parts.iter().map(|part| part.len() as u64).sum(),
            parts: parts.into_iter(),
        }
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.next();
        self.left -= part.as_ref().map_or(0, |part| part.len() as u64);
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

const POOL_IDLE: Duration = Duration::from_secs(55);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A provider's end that acknowledges nothing for this long is gone. Without it a connection whose line was
/// cut silently would be used, and answer nothing, for a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// TLS towards upstreams: ring, the machine's root certificates, TLS 1.2 and 1.3. Built once per process.
/// A machine without root certificates still starts; its `https` accounts then fail to connect.
///
/// # Errors
/// Only when the crypto provider supports no TLS version at all.
pub(crate) fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
    };
    match builder()?.with_native_roots() {
        Ok(builder) => Ok(builder.with_no_client_auth()),
        Err(cause) => {
            tracing::warn!(%cause, "no root certificates on this machine: https accounts will not connect");
            Ok(builder()?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth())
        }
    }
}

/// One worker's client. Must be called where a tokio runtime will drive it, that is in the App factory.
pub(super) fn build(tls: ClientConfig, settings: InForce) -> UpstreamClient {
    let mut tcp = HttpConnector::new_with_resolver(egress::Guarded(egress::Reach::Private));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Tcp {
            connector: tcp,
            settings: Arc::clone(&settings),
        });
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .build(Bounded {
            connector,
            settings,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_address_that_is_never_called_is_refused_when_it_is_connected_to() {
        let client = build(tls_config().unwrap(), InForce::default());
        for (to, refused) in [
            // A name that resolves to a metadata address: resolvers read a bare number as one.
            ("http://2852039166/v1", true),
            ("http://169.254.169.254/v1", true),
            ("https://169.254.169.254/v1", true),
            ("http://[fe80::1]/v1", true),
            ("http://metadata.google.internal/v1", true),
            // Nobody listens there; that is another failure.
            ("http://127.0.0.1:1/v1", false),
            ("http://localhost:1/v1", false),
        ] {
            let request = http::Request::post(to)
                .body(WholeBody::new(vec![]))
                .unwrap();
            let error = client.request(request).await.unwrap_err();
            assert!(error.is_connect(), "{to}: {error:?}");
            assert_eq!(egress::is_refusal(&error), refused, "{to}: {error:?}");
        }
    }
}
