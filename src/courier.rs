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
use lettre::message::header::{HeaderName as MailHeaderName, HeaderValue as MailHeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rustls::ClientConfig;
use steward_actors::courier::{Answered, Courier, Parcel};
use steward_actors::domain::notice::answer::KEPT_BYTES;
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
                    transport: builder.timeout(Some(MAIL_WITHIN)).build(),
                    from,
                }),
            reach: Reach::of(config.egress.allow_private),
            tls,
        }
    }
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
        let sent = tokio::time::timeout(MAIL_WITHIN, relay.transport.send(message)).await;
        match sent {
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
        .references(mail.thread.clone())
        .raw_header(MailHeaderValue::new(auto, AUTO_SUBMITTED.to_owned()));
    for recipient in to {
        message = message.to(recipient.parse().map_err(|cause| unwritable(&cause))?);
    }
    let both = MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone());
    message.multipart(both).map_err(|cause| unwritable(&cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_that_a_machine_wrote_it_and_where_it_belongs() {
        let mail = Mail {
            subject: "[FIRING:critical] rule".into(),
            text: "text".into(),
            html: "<p>html</p>".into(),
            message_id: "<msg_1@example.com>".into(),
            thread: "<alt_1@example.com>".into(),
        };
        let from: Mailbox = "Steward <alerts@example.com>".parse().unwrap();
        let to = ["a@example.com".to_owned(), "b@example.com".to_owned()];
        let message = compose(&mail, &from, &to).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        for line in [
            "Auto-Submitted: auto-generated\r\n",
            "Message-ID: <msg_1@example.com>\r\n",
            "In-Reply-To: <alt_1@example.com>\r\n",
            "References: <alt_1@example.com>\r\n",
            "Subject: [FIRING:critical] rule\r\n",
            "To: a@example.com, b@example.com\r\n",
            "Content-Type: multipart/alternative",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(compose(&mail, &from, &["nobody".to_owned()]).is_err());
    }
}
