//! Providers are called over TLS, HTTP/1.1, and only when a known authority vouches for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::control::account;
use crate::support::{App, Setup};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A server for `localhost` that would rather speak HTTP/2.
    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What the connections of a front agreed on, `None` where a handshake failed.
type Agreed = Arc<Mutex<Vec<Option<Vec<u8>>>>>;

/// Ends TLS before `upstream`; lives as long as the set.
async fn front(acceptor: TlsAcceptor, upstream: SocketAddr) -> (u16, Agreed, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let agreed = Agreed::default();
    let seen = Arc::clone(&agreed);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut lines = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            lines.spawn(async move {
                let Ok(mut tls) = acceptor.accept(socket).await else {
                    seen.lock().unwrap().push(None);
                    return;
                };
                let spoken = tls.get_ref().1.alpn_protocol().unwrap_or_default();
                seen.lock().unwrap().push(Some(spoken.to_vec()));
                let mut plain = TcpStream::connect(upstream).await.unwrap();
                // Either side may hang up.
                let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
            });
        }
    });
    (port, agreed, tasks)
}

async fn only_account(app: &App, model: &str, port: u16) {
    let body = account("openai", &format!("https://localhost:{port}/v1"), &[model]);
    app.create("accounts", body).await;
}

#[tokio::test]
async fn a_provider_is_called_over_tls_in_http_1_when_its_authority_is_known() {
    let (known, stranger) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, &known.pem).unwrap();
    let setup = Setup::new().variable("SSL_CERT_FILE", roots.display());
    let app = setup.serving().await;
    for existing in app.get("accounts").await["items"].as_array().unwrap() {
        app.remove(&format!("accounts/{}", existing["id"].as_str().unwrap()))
            .await;
    }
    let provider = app.provider().address();
    let (port, agreed, _front) = front(known.acceptor(), provider).await;
    only_account(&app, "over-tls", port).await;
    app.chat("over-tls").await.expect_status(200);
    let mut stream = app.chat_stream("over-tls").await;
    assert_eq!(
        (stream.status, stream.rest().await),
        (200, crate::support::client::End::Clean)
    );
    let spoken = agreed.lock().unwrap().clone();
    assert!(!spoken.is_empty());
    for one in spoken {
        assert_ne!(one.expect("a handshake"), b"h2");
    }

    let (port, agreed, _front) = front(stranger.acceptor(), provider).await;
    only_account(&app, "of-a-stranger", port).await;
    let refused = app.chat("of-a-stranger").await.expect_status(502);
    assert_eq!(refused.json()["error"]["code"], "upstream_unreachable");
    assert!(
        agreed.lock().unwrap().iter().all(Option::is_none),
        "nothing was said to it"
    );
    assert_eq!(
        app.record(&refused.request_id()).await["error_code"],
        "upstream_unreachable"
    );
}
