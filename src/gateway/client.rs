//! The HTTP client towards upstreams: one per worker, so that its connections are driven on the worker's
//! own runtime and a call never changes threads. It follows no redirect and adds nothing of its own.

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
use tower_service::Service;

/// Sends requests whose bodies are whole in memory.
pub(super) type UpstreamClient = Client<Bounded<HttpsConnector<HttpConnector>>, WholeBody>;

type BoxError = Box<dyn Error + Send + Sync>;

/// A connector that must be done in time: name, TCP and TLS together, whichever of them hangs.
#[derive(Clone)]
pub(super) struct Bounded<C> {
    connector: C,
    limit: Duration,
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
        let connecting = tokio::time::timeout(self.limit, self.connector.call(to));
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
const HTTP2_WINDOW_BYTES: u32 = 1 << 20;

/// TLS towards upstreams: ring, the machine's root certificates, TLS 1.2 and 1.3. Built once per process.
/// A machine without root certificates still starts; its `https` accounts then fail to connect.
///
/// # Errors
/// Only when the crypto provider supports no TLS version at all.
pub(super) fn tls_config() -> Result<ClientConfig, rustls::Error> {
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
pub(super) fn build(tls: ClientConfig, connect_timeout: Duration) -> UpstreamClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // One address that does not answer leaves time for the next.
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http2_initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .http2_initial_connection_window_size(HTTP2_WINDOW_BYTES * 4)
        .build(Bounded {
            connector,
            limit: connect_timeout,
        })
}
