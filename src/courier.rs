//! What leaves the house by order of operators: notices and other calls to addresses that they typed, and mail through
//! their relay.
//!
//! Private and loopback addresses are refused unless `egress.allow_private` says otherwise, link-local and metadata
//! addresses always, on what is really connected to; redirects are not followed. Retries, signatures and judgement are the
//! notifier's. The library for mail times out only while it connects, so a deadline lies around the whole of it.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::Full;
use lettre::address::Envelope;
use lettre::message::header::{
    ContentType, ContentTypeErr, HeaderName as MailHeaderName, HeaderValue as MailHeaderValue,
};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rustls::ClientConfig;
use steward_actors::courier::{Answered, Courier, Parcel};
use steward_actors::domain::notice::answer::{KEPT_BYTES, Outcome, judge_smtp};
use steward_actors::domain::notice::email::{AUTO_SUBMITTED, Mail};
use steward_actors::outward::{Call, Outward, Reply};

use crate::config;
use crate::http::egress::{self, Reach};

/// A POST and its answer.
const POST_WITHIN: Duration = Duration::from_secs(15);
/// A mail, from the name of the relay to its last word.
const MAIL_WITHIN: Duration = Duration::from_secs(30);
/// Of an answer, so much is read: more than is kept, since chat robots say what they think in it.
const ANSWER_MAX: usize = 64 * 1_024;

/// See the module. One per process.
pub struct Outgoing {
    tls: ClientConfig,
    reach: Reach,
    relay: Option<Relay>,
    domain: String,
}

struct Relay {
    /// `host:port`.
    address: String,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

/// Why `smtp.url` or `smtp.from` cannot be used: the key, and what to write instead.
pub fn refuse(smtp: &config::Smtp) -> Option<(&'static str, String)> {
    if smtp.url.is_empty() {
        return None;
    }
    if AsyncSmtpTransport::<Tokio1Executor>::from_url(&smtp.url).is_err() {
        let problem = "must look like smtps://user:password@host:465, smtp://host:587?tls=required or smtp://host:25";
        return Some(("smtp.url", problem.to_owned()));
    }
    match smtp.from.parse::<Mailbox>() {
        Ok(_) => None,
        Err(_) => Some((
            "smtp.from",
            "must be an address such as Steward <alerts@example.com>".to_owned(),
        )),
    }
}

impl Outgoing {
    /// By the configuration, which has been checked.
    pub fn new(tls: ClientConfig, config: &config::Config) -> Self {
        let from: Option<Mailbox> = config.smtp.from.parse().ok();
        let domain = from
            .as_ref()
            .map_or("steward.invalid", |from| from.email.domain());
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&config.smtp.url).ok();
        Self {
            domain: domain.to_owned(),
            relay: transport
                .filter(|_| !config.smtp.url.is_empty())
                .zip(from)
                .map(|(builder, from)| Relay {
                    address: relay_address(&config.smtp.url).unwrap_or_default(),
                    transport: builder.timeout(Some(MAIL_WITHIN)).build(),
                    from,
                }),
            reach: Reach::of(config.egress.allow_private),
            tls,
        }
    }
}

/// `host:port` of a relay's URL, ports as the mail library has them.
fn relay_address(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let port = match (uri.scheme_str()?, uri.query()) {
        ("smtps", _) => 465,
        (_, Some(query)) if query.contains("tls=") => 587,
        _ => 25,
    };
    Some(format!(
        "{}:{}",
        uri.host()?,
        uri.port_u16().unwrap_or(port)
    ))
}

impl Outgoing {
    /// For what the configuration names by itself: as with the database, its owner says where it is.
    #[must_use]
    pub fn to_private_addresses(self) -> Self {
        Self {
            reach: Reach::Private,
            ..self
        }
    }
}

impl Relay {
    async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<Answered, String> {
        let sending = self.transport.send_raw(envelope, message);
        match tokio::time::timeout(MAIL_WITHIN, sending).await {
            Err(_) => Err(format!("no answer within {} s", MAIL_WITHIN.as_secs())),
            Ok(Ok(response)) => Ok(Answered {
                status: response.code().into(),
                retry_after: None,
                body: kept(&response.message().collect::<Vec<_>>().join(" ")),
            }),
            Ok(Err(error)) => match error.status() {
                Some(code) => Ok(Answered {
                    status: code.into(),
                    retry_after: None,
                    body: kept(&error.to_string()),
                }),
                None => Err(error.to_string()),
            },
        }
    }
}

/// Refused for good.
fn is_final(answered: &Answered) -> bool {
    judge_smtp(Some(answered.status)) == Outcome::Rejected
}

#[async_trait]
impl Courier for Outgoing {
    async fn post(&self, parcel: Parcel) -> Result<Answered, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in parcel.headers {
            let value = HeaderValue::from_str(&value).map_err(|cause| cause.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let sent = egress::post(
            self.tls.clone(),
            &parcel.url,
            headers,
            parcel.body.into(),
            (POST_WITHIN, ANSWER_MAX),
            self.reach,
        );
        let posted = sent.await.map_err(|cause| cause.to_string())?;
        Ok(Answered {
            status: posted.status,
            retry_after: posted.retry_after,
            body: posted.body.to_vec(),
        })
    }

    async fn mail(&self, mail: &Mail, to: &[String]) -> Result<Answered, String> {
        let relay = self
            .relay
            .as_ref()
            .ok_or("no mail relay is configured (`smtp.url`)")?;
        let message = compose(mail, &relay.from, to)?;
        let (envelope, message) = (message.envelope().clone(), message.formatted());
        let all = relay.send(&envelope, &message).await?;
        if envelope.to().len() < 2 || !is_final(&all) {
            return Ok(all);
        }
        // A relay that refuses one recipient has taken the mail for nobody: the others shall have it.
        let mut best: Option<Answered> = None;
        for recipient in envelope.to() {
            let alone = Envelope::new(envelope.from().cloned(), vec![recipient.clone()]);
            let alone = alone.map_err(|cause| cause.to_string())?;
            let answered = relay.send(&alone, &message).await?;
            if !is_final(&answered) && answered.status >= 400 {
                return Ok(answered);
            }
            if is_final(&answered) {
                let why = String::from_utf8_lossy(&answered.body).into_owned();
                tracing::warn!(
                    status = answered.status,
                    why,
                    "a recipient of notices is refused by the mail relay"
                );
            }
            if best.as_ref().is_none_or(is_final) {
                best = Some(answered);
            }
        }
        Ok(best.unwrap_or(all))
    }

    fn relay(&self) -> Option<&str> {
        self.relay.as_ref().map(|relay| relay.address.as_str())
    }

    async fn greet_relay(&self) -> Result<(), String> {
        let Some(relay) = &self.relay else {
            return Ok(());
        };
        match relay.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err("the mail relay closed the connection".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn mail_domain(&self) -> &str {
        &self.domain
    }
}

#[async_trait]
impl Outward for Outgoing {
    async fn call(&self, call: Call) -> Result<Reply, String> {
        let unsendable = |cause: &dyn std::fmt::Display| format!("it cannot be sent: {cause}");
        let mut request = http::Request::new(Full::new(call.body));
        let method = Method::from_bytes(call.method.as_bytes());
        *request.method_mut() = method.map_err(|cause| unsendable(&cause))?;
        for (name, value) in call.headers {
            let mut value = HeaderValue::from_str(&value).map_err(|cause| unsendable(&cause))?;
            value.set_sensitive(true);
            let name = HeaderName::from_static(name);
            request.headers_mut().insert(name, value);
        }
        let bounds = (call.within, call.answer_max_bytes);
        let sent = egress::send(self.tls.clone(), &call.url, request, bounds, self.reach);
        let fetched = sent.await.map_err(|cause| cause.to_string())?;
        Ok(Reply {
            status: fetched.status,
            retry_after: fetched.retry_after,
            body: fetched.body,
        })
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let found = egress::addresses(host, port, self.reach).await;
        found.map_err(|cause| cause.to_string())
    }
}

fn kept(text: &str) -> Vec<u8> {
    text.bytes().take(KEPT_BYTES).collect()
}

fn compose(mail: &Mail, from: &Mailbox, to: &[String]) -> Result<Message, String> {
    let unwritable = |cause: &dyn std::fmt::Display| format!("the mail cannot be written: {cause}");
    let auto = MailHeaderName::new_from_ascii_str("Auto-Submitted");
    let mut message = Message::builder()
        .from(from.clone())
        .subject(&mail.subject)
        .message_id(Some(mail.message_id.clone()))
        .in_reply_to(mail.thread.clone())
        .references(mail.references.clone())
        .raw_header(MailHeaderValue::new(auto, AUTO_SUBMITTED.to_owned()));
    for recipient in to {
        message = message.to(recipient.parse().map_err(|cause| unwritable(&cause))?);
    }
    let body = body(mail).map_err(|cause| unwritable(&cause))?;
    message.multipart(body).map_err(|cause| unwritable(&cause))
}

/// Both texts, the HTML with its images, and beside them the files.
fn body(mail: &Mail) -> Result<MultiPart, ContentTypeErr> {
    let mut page = MultiPart::related().singlepart(SinglePart::html(mail.html.clone()));
    for image in &mail.images {
        let media = ContentType::parse(image.media_type)?;
        let inline = Attachment::new_inline(image.name.clone());
        page = page.singlepart(inline.body(image.bytes.clone(), media));
    }
    let texts = match mail.images.as_slice() {
        [] => MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()),
        _ => MultiPart::alternative()
            .singlepart(SinglePart::plain(mail.text.clone()))
            .multipart(page),
    };
    if mail.files.is_empty() {
        return Ok(texts);
    }
    let mut whole = MultiPart::mixed().multipart(texts);
    for file in &mail.files {
        let media = ContentType::parse(file.media_type)?;
        let attached = Attachment::new(file.name.clone());
        whole = whole.singlepart(attached.body(file.bytes.clone(), media));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_relay_is_known_by_its_address_and_nothing_secret() {
        for (url, address) in [
            (
                "smtps://me:secret%40@mail.example.com",
                "mail.example.com:465",
            ),
            (
                "smtp://mail.example.com?tls=required",
                "mail.example.com:587",
            ),
            (
                "smtp://me:secret@mail.example.com:2525?tls=required",
                "mail.example.com:2525",
            ),
            ("smtp://[::1]", "[::1]:25"),
        ] {
            assert_eq!(relay_address(url).as_deref(), Some(address), "{url}");
        }
    }

    #[test]
    fn a_mail_says_that_a_machine_wrote_it_and_where_it_belongs() {
        let mail = Mail {
            subject: "[FIRING:critical] rule".into(),
            text: "text".into(),
            html: "<p>html</p>".into(),
            message_id: "<msg_1@example.com>".into(),
            thread: "<alt_1@example.com>".into(),
            references: "<alt_1@example.com> <alt_2@example.com>".into(),
            images: Vec::new(),
            files: Vec::new(),
        };
        let from: Mailbox = "Steward <alerts@example.com>".parse().unwrap();
        let to = ["a@example.com".to_owned(), "b@example.com".to_owned()];
        let message = compose(&mail, &from, &to).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        for line in [
            "Auto-Submitted: auto-generated\r\n",
            "Message-ID: <msg_1@example.com>\r\n",
            "In-Reply-To: <alt_1@example.com>\r\n",
            "References: <alt_1@example.com> <alt_2@example.com>\r\n",
            "Subject: [FIRING:critical] rule\r\n",
            "To: a@example.com, b@example.com\r\n",
            "Content-Type: multipart/alternative",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(compose(&mail, &from, &["nobody".to_owned()]).is_err());
    }

    /// By default configuration, except that this machine may be called and that this is the relay.
    fn outgoing(allow_private: bool, relay: &str) -> Outgoing {
        let mut config = config::Config::load(None, []).unwrap();
        config.egress.allow_private = allow_private;
        config.smtp.url = relay.to_owned();
        config.smtp.from = "Steward <alerts@example.com>".to_owned();
        Outgoing::new(crate::gateway::tls_config().unwrap(), &config)
    }

    fn parcel(url: &str) -> Parcel {
        Parcel {
            url: url.to_owned(),
            headers: vec![("webhook-id", "msg_1".to_owned())],
            body: "{}".to_owned(),
        }
    }

    fn mail() -> Mail {
        Mail {
            subject: "subject".into(),
            text: "text".into(),
            html: "html".into(),
            message_id: "<msg_1@example.com>".into(),
            thread: "<alt_1@example.com>".into(),
            references: "<alt_1@example.com>".into(),
            images: Vec::new(),
            files: Vec::new(),
        }
    }

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Takes a connection, greets if it is told to, hears one thing, and says nothing more for a minute. Time is virtual
    /// from then on: it passes when everybody waits.
    async fn stalls(listener: TcpListener, greeting: &str) {
        let (mut socket, _) = listener.accept().await.unwrap();
        if !greeting.is_empty() {
            socket.write_all(greeting.as_bytes()).await.unwrap();
            assert!(socket.read(&mut [0; 1_024]).await.unwrap() > 0);
        }
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    #[tokio::test]
    async fn a_relay_that_stalls_is_left_in_time() {
        for greeting in ["", "220 relay.example.com ESMTP\r\n"] {
            let (listener, address) = listen().await;
            let outgoing = outgoing(true, &format!("smtp://{address}"));
            let begun = tokio::time::Instant::now();
            let sending = async {
                let sent = outgoing
                    .mail(&mail(), &["ada@example.com".to_owned()])
                    .await;
                (sent, begun.elapsed())
            };
            let ((sent, took), ()) = tokio::join!(sending, stalls(listener, greeting));
            assert!(sent.is_err(), "{sent:?}");
            assert!(
                took <= Duration::from_secs(31),
                "{took:?} after {greeting:?}"
            );
            tokio::time::resume();
        }
    }

    #[tokio::test]
    async fn a_receiver_that_stalls_is_left_in_time() {
        let (listener, address) = listen().await;
        let outgoing = outgoing(true, "");
        let begun = tokio::time::Instant::now();
        let posting = async {
            let sent = outgoing
                .post(parcel(&format!("http://{address}/hook")))
                .await;
            (sent, begun.elapsed())
        };
        let ((sent, took), ()) = tokio::join!(posting, stalls(listener, ""));
        assert_eq!(sent, Err("no answer within 15 s".to_owned()));
        assert!(took <= Duration::from_secs(16), "{took:?}");
    }

    /// Answers one request so.
    async fn answers(listener: &TcpListener, answer: &str) {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 4_096]).await.unwrap() > 0);
        socket.write_all(answer.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn redirects_lead_nowhere_and_patience_is_brought_back() {
        let (listener, address) = listen().await;
        let (elsewhere, target) = listen().await;
        let outgoing = outgoing(true, "");
        let url = format!("http://{address}/hook");
        for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
            let answer = format!(
                "HTTP/1.1 {status}\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n"
            );
            let (sent, ()) = tokio::join!(outgoing.post(parcel(&url)), answers(&listener, &answer));
            assert_eq!(sent.unwrap().status.to_string(), status[..3]);
        }
        // Whoever was followed would have connected by now: the answer is there.
        let elsewhere = elsewhere.into_std().unwrap();
        let nobody = elsewhere.accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);

        let busy = "HTTP/1.1 429 Busy\r\nretry-after: 120\r\ncontent-length: 4\r\n\r\nbusy";
        let (sent, ()) = tokio::join!(outgoing.post(parcel(&url)), answers(&listener, busy));
        let sent = sent.unwrap();
        assert_eq!((sent.status, sent.body.as_slice()), (429, &b"busy"[..]));
        assert_eq!(sent.retry_after.as_deref(), Some("120"));
    }

    #[tokio::test]
    async fn what_must_not_be_called_is_not_whatever_it_is_called() {
        let (listener, address) = listen().await;
        let port = address.port();
        let open = outgoing(true, "");
        let closed = outgoing(false, "");
        let never = [
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "http://[fe80::1]/".to_owned(),
            "http://metadata.google.internal/".to_owned(),
            // What a resolver makes of it is looked at, not what it looks like.
            "http://2852039166/".to_owned(),
        ];
        let at_home = [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("http://2130706433:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
        ];
        for url in never.iter().chain(&at_home) {
            let refused = closed.post(parcel(url)).await.unwrap_err();
            assert!(
                refused.starts_with("the address is refused"),
                "{url}: {refused}"
            );
        }
        for url in &never {
            let refused = open.post(parcel(url)).await.unwrap_err();
            assert!(
                refused.starts_with("the address is refused"),
                "{url}: {refused}"
            );
        }
        let listener = listener.into_std().unwrap();
        assert!(listener.accept().is_err(), "nobody came");
    }

    #[tokio::test]
    async fn names_that_are_gone_are_tried_again_later() {
        let gone = outgoing(false, "smtp://relay.invalid");
        let posted = gone
            .post(parcel("http://hooks.invalid/"))
            .await
            .unwrap_err();
        assert!(!posted.contains("refused:"), "{posted}");
        let mailed = gone.mail(&mail(), &["ada@example.com".to_owned()]).await;
        // No answer is no refusal: both are later.
        assert!(mailed.is_err(), "{mailed:?}");
        let nobody = outgoing(false, "");
        let mailed = nobody.mail(&mail(), &["ada@example.com".to_owned()]).await;
        assert_eq!(
            mailed,
            Err("no mail relay is configured (`smtp.url`)".to_owned())
        );
    }
}
