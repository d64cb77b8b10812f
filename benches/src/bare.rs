//! A reverse proxy that does nothing: reads the body, sends it on, relays the bytes. The limit of this stack.
//!
//! The same server and client as Steward's, with the same settings. It looks at nothing and records nothing.

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpResponseBuilder, HttpServer, web};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, BodyStream, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

type Upstream = Client<HttpConnector, Full<Bytes>>;

struct Provider(u16);

const BODY_MAX_BYTES: usize = 32 << 20;

const HOP_BY_HOP: [&str; 4] = ["connection", "transfer-encoding", "content-length", "host"];

async fn forward(
    request: HttpRequest,
    body: Bytes,
    upstream: web::Data<Upstream>,
    provider: web::Data<Provider>,
) -> HttpResponse {
    let uri = format!("http://127.0.0.1:{}{}", provider.0, request.uri());
    let mut sent = http::Request::post(uri).body(Full::new(body)).unwrap();
    for (name, value) in request.headers() {
        if !HOP_BY_HOP.contains(&name.as_str()) {
            let name = http::HeaderName::from_bytes(name.as_str().as_bytes()).unwrap();
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            sent.headers_mut().append(name, value);
        }
    }
    let Ok(answer) = upstream.request(sent).await else {
        return HttpResponse::BadGateway().finish();
    };
    let (head, body) = answer.into_parts();
    let status = actix_web::http::StatusCode::from_u16(head.status.as_u16()).unwrap();
    let mut response = HttpResponseBuilder::new(status);
    let mut length = None;
    for (name, value) in &head.headers {
        if name == "content-length" {
            length = value
                .to_str()
                .ok()
                .and_then(|text| text.parse::<u64>().ok());
        } else if !HOP_BY_HOP.contains(&name.as_str()) {
            response.append_header((name.as_str(), value.as_bytes()));
        }
    }
    if let Some(length) = length {
        response.no_chunking(length);
    }
    let chunks =
        BodyStream::new(body.map_frame(|frame| frame)).filter_map(async |frame| match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(cause) => Some(Err(cause)),
        });
    response.streaming(Box::pin(chunks))
}

/// Serves until it is killed; its port is the first line it prints.
pub(crate) fn run(provider: u16) {
    actix_rt::System::new().block_on(async {
        let server = HttpServer::new(move || {
            let mut tcp = HttpConnector::new();
            tcp.set_nodelay(true);
            let upstream: Upstream = Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(Duration::from_secs(55))
                .build(tcp);
            App::new()
                .app_data(web::Data::new(upstream))
                .app_data(web::Data::new(Provider(provider)))
                .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
                .default_service(web::to(forward))
        })
        .tcp_nodelay(true)
        .h1_allow_half_closed(false)
        .keep_alive(Duration::from_secs(75))
        .backlog(4_096)
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap();
        println!("{}", server.addrs()[0].port());
        std::io::stdout().flush().unwrap();
        server.run().await.unwrap();
    });
}
