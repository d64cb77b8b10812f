//! Calls to addresses that operators typed: which are refused, and a GET and a POST that hold to it.
//!
//! Link-local and cloud metadata addresses are refused always, written out or hidden behind a name; the check
//! is repeated on the addresses that are really connected to, so a name cannot change in between; the gateway's
//! connections to accounts hold to it too, by [`Guarded`] and [`refuse_host`]. Private and loopback addresses
//! are the caller's decision ([`Reach`]): accounts may use them, people run local models. Redirects are not followed.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::time::timeout_at;

use crate::error::{ApiError, ErrorCode};

/// Longest address taken.
const URL_MAX: usize = 500;
/// How long a name may take to resolve while an address is checked.
const RESOLVE_WITHIN: Duration = Duration::from_secs(2);
/// Names that stand for a metadata address wherever they resolve.
const METADATA_NAMES: [&str; 2] = ["metadata.google.internal", "metadata.goog"];

/// How far a call may go; link-local and metadata addresses are beyond either.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Everywhere, this machine and its network included.
    Private,
    /// Only what everybody can reach.
    Public,
}

impl Reach {
    /// What `egress.allow_private` says of addresses other than accounts'.
    pub const fn of(allow_private: bool) -> Self {
        match allow_private {
            true => Self::Private,
            false => Self::Public,
        }
    }

    fn refuses(self, address: IpAddr) -> bool {
        is_forbidden(address) || (self == Self::Public && is_private(address))
    }
}

/// Reads a base URL: `http` or `https`, a host, maybe a port and a path; no trailing slash is left.
///
/// # Errors
/// `validation_failed`, naming `field`.
pub fn base_url(field: &str, text: &str) -> Result<String, ApiError> {
    if text.contains('?') {
        let why = "must have neither query nor fragment";
        return Err(ApiError::invalid(field, why.to_owned()));
    }
    Ok(whole_url(field, text)?.trim_end_matches('/').to_owned())
}

/// The same with its query, as it stands: the keys of chat robots are in there.
///
/// # Errors
/// `validation_failed`, naming `field`.
pub fn whole_url(field: &str, text: &str) -> Result<String, ApiError> {
    let refuse = |why: &str| ApiError::invalid(field, why.to_owned());
    let text = text.trim();
    if text.len() > URL_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse("must be an address of at most 500 ASCII characters"));
    }
    if text.contains('#') {
        return Err(refuse("must have neither query nor fragment"));
    }
    let uri: Uri = text
        .parse()
        .map_err(|_| refuse("must be an address like https://api.example.com/v1"))?;
    let scheme = match uri.scheme_str().map(str::to_ascii_lowercase) {
        Some(scheme) if matches!(scheme.as_str(), "http" | "https") => scheme,
        _ => return Err(refuse("must begin with http:// or https://")),
    };
    let authority = uri.authority().ok_or_else(|| refuse("must name a host"))?;
    if authority.as_str().contains('@') {
        return Err(refuse("must hold no user name or password"));
    }
    let host = authority.host();
    let plain = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if host.is_empty() || !(plain || literal(host).is_some()) {
        return Err(refuse("must name a host"));
    }
    if authority.as_str().len() > host.len() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(refuse("must name a port between 1 and 65535, or none"));
    }
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    Ok(format!("{scheme}://{authority}{path}"))
}

/// Whether `after` leads to another server than `before` did, both read by [`whole_url`]: a secret that was meant for one is
/// not sent to the other.
pub fn leads_elsewhere(before: &str, after: &str) -> bool {
    let server = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let own = if scheme == "https" { 443 } else { 80 };
        let host = uri.host()?.trim_end_matches('.').to_ascii_lowercase();
        Some((uri.port_u16().unwrap_or(own), scheme, host))
    };
    let (before, after) = (server(before), server(after));
    before.is_none() || before != after
}

/// Refuses `url` when it leads to an address that is never called. A name that does not resolve at the moment
/// passes: it is looked at again whenever it is called.
///
/// # Errors
/// `egress_refused`, naming `field`.
pub async fn check(field: &str, url: &str, reach: Reach) -> Result<(), ApiError> {
    let refused = || {
        let error = ApiError::new(ErrorCode::EgressRefused);
        match reach {
            Reach::Private => error
                .detail("Link-local and metadata addresses are never called.")
                .field(field, "leads to a link-local or metadata address"),
            Reach::Public => error
                .detail("Private addresses are called only when `egress.allow_private` says so, metadata addresses never.")
                .field(field, "leads to a private, loopback, link-local or metadata address"),
        }
    };
    let uri: Uri = url.parse().map_err(|_| refused())?;
    let host = uri.host().unwrap_or_default();
    if forbidden_host(host, reach) {
        return Err(refused());
    }
    if literal(host).is_none() {
        let resolved = tokio::net::lookup_host((host, 0));
        if let Ok(Ok(mut found)) = tokio::time::timeout(RESOLVE_WITHIN, resolved).await
            && found.any(|address| reach.refuses(address.ip()))
        {
            return Err(refused());
        }
    }
    Ok(())
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Fetched {
    pub status: u16,
    /// The header of that name.
    pub retry_after: Option<String>,
    pub body: Bytes,
    /// Until the answer's end, in milliseconds.
    pub latency_ms: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The address is never called.
    #[error(
        "the address is refused: private ones are called only when `egress.allow_private` says so, metadata addresses never"
    )]
    Refused,
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// No connection, or it broke.
    #[error("{0}")]
    Failed(String),
}

/// What is done about an answer that is longer than it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Long {
    /// It is no answer.
    Refuse,
    /// Its beginning is kept: it was given all the same.
    Cut,
}

/// One GET on a connection of its own, within a time. At most so many bytes of body.
///
/// # Errors
/// See [`NoAnswer`].
pub async fn get(
    tls: ClientConfig,
    url: &str,
    headers: HeaderMap,
    (within, max_bytes): (Duration, usize),
    reach: Reach,
) -> Result<Fetched, NoAnswer> {
    let mut request = http::Request::new(Full::default());
    *request.headers_mut() = headers;
    let bounds = (within, max_bytes, Long::Refuse);
    call(tls, url, request, bounds, reach).await
}

/// One POST on a connection of its own, within a time, and of the answer at most so many bytes from its beginning: once
/// a receiver has answered it has what it was sent, however much it says and wherever that breaks off.
///
/// # Errors
/// See [`NoAnswer`].
pub async fn post(
    tls: ClientConfig,
    url: &str,
    headers: HeaderMap,
    body: Bytes,
    (within, kept_bytes): (Duration, usize),
    reach: Reach,
) -> Result<Fetched, NoAnswer> {
    let mut request = http::Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.headers_mut() = headers;
    send(tls, url, request, (within, kept_bytes), reach).await
}

/// One request of any method, otherwise as [`post`].
///
/// # Errors
/// See [`NoAnswer`].
pub async fn send(
    tls: ClientConfig,
    url: &str,
    request: http::Request<Full<Bytes>>,
    (within, kept_bytes): (Duration, usize),
    reach: Reach,
) -> Result<Fetched, NoAnswer> {
    call(tls, url, request, (within, kept_bytes, Long::Cut), reach).await
}

/// Where a connection to `host` that is no HTTP may go now; nowhere when one of its addresses is refused.
///
/// # Errors
/// See [`NoAnswer`].
pub async fn addresses(host: &str, port: u16, reach: Reach) -> Result<Vec<SocketAddr>, NoAnswer> {
    if forbidden_host(host, reach) {
        return Err(NoAnswer::Refused);
    }
    let found = tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((host, port)));
    let found = found
        .await
        .map_err(|_| NoAnswer::TimedOut(RESOLVE_WITHIN))?
        .map_err(|cause| NoAnswer::Failed(cause.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.iter().any(|address| reach.refuses(address.ip())) {
        return Err(NoAnswer::Refused);
    }
    Ok(found)
}

async fn call(
    tls: ClientConfig,
    url: &str,
    mut request: http::Request<Full<Bytes>>,
    (within, max_bytes, long): (Duration, usize, Long),
    reach: Reach,
) -> Result<Fetched, NoAnswer> {
    let begun = Instant::now();
    let uri: Uri = url.parse().map_err(failed)?;
    if forbidden_host(uri.host().unwrap_or_default(), reach) {
        return Err(NoAnswer::Refused);
    }
    let mut tcp = HttpConnector::new_with_resolver(Guarded(reach));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    *request.uri_mut() = uri;
    let late = |_| NoAnswer::TimedOut(within);
    let deadline = tokio::time::Instant::now() + within;
    let answer = timeout_at(deadline, client.request(request)).await;
    let answer = answer.map_err(late)?.map_err(failed)?;
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get(http::header::RETRY_AFTER);
    let retry_after = retry_after
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body = match long {
        Long::Cut => beginning(answer.into_body(), max_bytes, deadline).await,
        Long::Refuse => {
            let body = Limited::new(answer.into_body(), max_bytes).collect();
            let body = timeout_at(deadline, body).await.map_err(late)?;
            body.map_err(|cause| NoAnswer::Failed(cause.to_string()))?
                .to_bytes()
        }
    };
    Ok(Fetched {
        status,
        retry_after,
        body,
        latency_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// The first so many bytes of `body`, or what there is of it by then: whoever sent a head has answered.
async fn beginning(mut body: Incoming, max_bytes: usize, deadline: tokio::time::Instant) -> Bytes {
    let mut kept = BytesMut::new();
    while kept.len() < max_bytes
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await
    {
        if let Ok(data) = frame.into_data() {
            kept.extend_from_slice(&data);
        }
    }
    kept.truncate(max_bytes);
    kept.freeze()
}

/// The causes of `error`, outermost left out when there are others: it only says that there was one.
fn failed(error: impl Error + 'static) -> NoAnswer {
    if is_refusal(&error) {
        return NoAnswer::Refused;
    }
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    match causes.is_empty() {
        true => NoAnswer::Failed(error.to_string()),
        false => NoAnswer::Failed(causes.join(": ")),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("link-local and metadata addresses are never called")]
struct Forbidden;

/// Refuses a host that names a forbidden address itself: a connector asks no resolver about literal ones.
///
/// # Errors
/// One that [`is_refusal`] knows.
pub fn refuse_host(host: &str) -> io::Result<()> {
    match forbidden_host(host, Reach::Private) {
        true => Err(forbidden()),
        false => Ok(()),
    }
}

/// Whether `error`, or what caused it, is this module's refusal to connect.
pub fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .is_some_and(|inner| inner.is::<Forbidden>())
    })
}

fn forbidden() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, Forbidden)
}

/// Resolves names, and refuses those that lead to a forbidden address: at each connection anew, whatever the
/// name led to when it was saved.
#[derive(Clone)]
pub struct Guarded(pub Reach);

impl tower_service::Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| reach.refuses(address.ip())) {
                return Err(forbidden());
            }
            Ok(found.into_iter())
        })
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

fn forbidden_host(host: &str, reach: Reach) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    METADATA_NAMES.contains(&name.as_str())
        || literal(host).is_some_and(|address| reach.refuses(address))
}

/// Whether only this machine, its network or nobody is there.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast()
                || address.is_documentation()
                || a == 0
                // Carriers' networks, protocol assignments, benchmarks, and what is reserved.
                || (a == 100 && (b & 0xc0) == 64)
                || (a == 192 && address.octets()[1..3] == [0, 0])
                || (a == 198 && (b & 0xfe) == 18)
                || a >= 240
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, high, low] = address.segments();
            let inner = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
            let translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
            let compatible = [a, b, c, d, e, f] == [0; 6];
            // 6to4 carries an IPv4 address after its prefix.
            let six_to_four = Ipv4Addr::from((u32::from(b) << 16) | u32::from(c));
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || (a & 0xfe00) == 0xfc00
                || (a & 0xffc0) == 0xfec0
                || (a == 0x2001 && b == 0xdb8)
                || ((translated || compatible) && is_private(IpAddr::V4(inner)))
                || (a == 0x2002 && is_private(IpAddr::V4(six_to_four)))
        }
    }
}

/// Whether nothing is ever called there.
fn is_forbidden(address: IpAddr) -> bool {
    const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address == ALIBABA_METADATA,
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, high, low] = address.segments();
            // NAT64 carries an IPv4 address in its last 32 bits, as what is only compatible does; 6to4 after its prefix.
            let translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
            let compatible = [a, b, c, d, e, f] == [0; 6];
            let inner = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
            let six_to_four = Ipv4Addr::from((u32::from(b) << 16) | u32::from(c));
            (a & 0xffc0) == 0xfe80
                || address == AWS_METADATA
                || ((translated || compatible) && is_forbidden(IpAddr::V4(inner)))
                || (a == 0x2002 && is_forbidden(IpAddr::V4(six_to_four)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_read_as_sdks_write_them() {
        for (text, read) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            (" HTTPS://api.openai.com/v1/ ", "https://api.openai.com/v1"),
            ("http://127.0.0.1:11434/", "http://127.0.0.1:11434"),
            ("http://[::1]:8080/v1//", "http://[::1]:8080/v1"),
            ("http://models_1.local", "http://models_1.local"),
        ] {
            assert_eq!(base_url("base_url", text).unwrap(), read, "{text}");
        }
        for bad in [
            "",
            "/v1",
            "api.openai.com",
            "ftp://a",
            "file:///etc/passwd",
            "https://",
            "https:///v1",
            "https://user:pass@a/v1",
            "https://a/v1?x=1",
            "https://a/v1#x",
            "https://a:0",
            "https://a:99999",
            "https://a:",
            "https://a b",
            "https://ä.example",
            "http://[::1",
            "http://[v1.x]",
            "https://a\r\nx: y",
            &format!("https://{}", "a".repeat(500)),
        ] {
            assert!(base_url("base_url", bad).is_err(), "{bad}");
        }
    }

    #[actix_web::test]
    async fn metadata_addresses_are_refused_however_they_are_written() {
        for bad in [
            "http://169.254.169.254",
            "http://169.254.0.1/latest",
            "http://[fe80::1]",
            "http://[febf::1]:80",
            "http://[fd00:ec2::254]",
            "http://[::ffff:169.254.169.254]",
            "http://[64:ff9b::a9fe:a9fe]",
            "http://[2002:a9fe:a9fe::]",
            "http://[::a9fe:a9fe]",
            "http://[2002:6464:64c8::1]",
            "http://100.100.100.200",
            "http://metadata.google.internal",
            "http://Metadata.Google.Internal./x",
            // Numbers that a resolver reads as an address.
            "http://2852039166",
            "http://0xa9fea9fe",
        ] {
            let error = check("base_url", bad, Reach::Private).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::EgressRefused, "{bad}");
        }
        for good in [
            "http://127.0.0.1:1",
            "http://10.0.0.1",
            "http://[fd00::1]",
            "http://localhost",
        ] {
            check("base_url", good, Reach::Private).await.unwrap();
        }
    }

    #[actix_web::test]
    async fn what_only_this_network_reaches_is_refused_to_the_public_reach() {
        for bad in [
            "http://127.0.0.1:1",
            "http://10.0.0.1",
            "http://172.16.9.9",
            "http://192.168.1.1",
            "http://100.64.0.1",
            "http://0.0.0.0",
            "http://[::1]",
            "http://[::]",
            "http://[fd00::1]",
            "http://[::ffff:127.0.0.1]",
            "http://[64:ff9b::7f00:1]",
            "http://[2002:7f00:1::]",
            "http://169.254.169.254",
            "http://localhost",
            "http://2130706433",
        ] {
            let error = check("url", bad, Reach::Public).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::EgressRefused, "{bad}");
        }
        for good in ["http://93.184.216.34", "https://[2606:4700::1111]"] {
            check("url", good, Reach::Public).await.unwrap();
        }
    }

    #[test]
    fn another_server_is_told_from_another_path() {
        let before = "https://Api.Example.com/v1";
        for same in [
            "https://api.example.com/v2",
            "https://api.example.com:443",
            "https://api.example.com./v1?x=1",
        ] {
            assert!(!leads_elsewhere(before, same), "{same}");
        }
        for other in [
            "http://api.example.com/v1",
            "https://api.example.com:8443/v1",
            "https://api.example.com.evil.example/v1",
            "https://evil.example/api.example.com",
        ] {
            assert!(leads_elsewhere(before, other), "{other}");
        }
        assert!(leads_elsewhere("", before));
    }

    #[test]
    fn robots_keep_their_query() {
        let url = "https://oapi.example.com/robot/send?access_token=abc";
        assert_eq!(whole_url("url", url).unwrap(), url);
        assert!(base_url("url", url).is_err());
    }

    #[actix_web::test]
    async fn whoever_answers_at_length_has_answered() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        // It promises more than it sends, and is gone.
        let talker = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1_024]).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n";
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&[b'x'; 2_000]).await.unwrap();
        };
        let tls = crate::gateway::tls_config().unwrap();
        let bounds = (Duration::from_secs(10), 500);
        let body = Bytes::from_static(b"{}");
        let sent = post(tls, &url, HeaderMap::new(), body, bounds, Reach::Private);
        let (answered, ()) = tokio::join!(sent, talker);
        let answered = answered.unwrap();
        assert_eq!((answered.status, answered.body.len()), (200, 500));
    }

    #[actix_web::test]
    async fn whoever_says_it_slowly_has_answered() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (over, is_over) = tokio::sync::oneshot::channel::<()>();
        // The rest of it comes when nobody listens any more.
        let dribbler = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1_024]).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\nok so far";
            socket.write_all(head.as_bytes()).await.unwrap();
            let _ = is_over.await;
        };
        let tls = crate::gateway::tls_config().unwrap();
        let bounds = (Duration::from_secs(2), 500);
        let body = Bytes::from_static(b"{}");
        let sent = async {
            let sent = post(tls, &url, HeaderMap::new(), body, bounds, Reach::Private).await;
            let _ = over.send(());
            sent
        };
        let (answered, ()) = tokio::join!(sent, dribbler);
        let answered = answered.unwrap();
        assert_eq!((answered.status, &*answered.body), (200, &b"ok so far"[..]));
    }

    #[actix_web::test]
    async fn what_is_connected_to_is_checked_again() {
        use tower_service::Service;
        let hidden: Name = "2852039166".parse().unwrap();
        let error = Guarded(Reach::Private).call(hidden).await.unwrap_err();
        let local: Name = "localhost".parse().unwrap();
        assert!(Guarded(Reach::Public).call(local).await.is_err());
        assert!(is_refusal(&error));
        assert!(!is_refusal(&io::Error::from(
            io::ErrorKind::PermissionDenied
        )));
        let local: Name = "localhost".parse().unwrap();
        assert!(Guarded(Reach::Private).call(local).await.is_ok());
    }
}
