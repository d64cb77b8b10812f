//! A bucket that speaks S3: PUT, GET, DELETE and ListObjectsV2, addressed by path, every request signed.
//!
//! A request that got no answer, or a passing one, is made again a few times; it comes to the same.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::sigv4::{Request, Signer, encoded};
use super::{Bucket, Depot, DepotError, FILE_MAX_BYTES, Stored, checked};
use crate::domain::clock::SharedClock;
use crate::outward::{Call, Outward, Reply};

/// A request and its answer.
const WITHIN: Duration = Duration::from_secs(120);
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const KEPT_CHARS: usize = 300;

pub(super) struct S3 {
    bucket: Bucket,
    outward: Arc<dyn Outward>,
    clock: SharedClock,
}

impl S3 {
    pub(super) fn new(bucket: Bucket, outward: Arc<dyn Outward>, clock: SharedClock) -> Self {
        Self {
            bucket,
            outward,
            clock,
        }
    }

    /// `name` without its prefix; empty: the bucket itself.
    async fn call(
        &self,
        method: &'static str,
        name: &str,
        query: &str,
        body: Bytes,
    ) -> Result<Reply, DepotError> {
        let mut wait = FIRST_WAIT;
        for tries in 1.. {
            let sent = self.outward.call(self.signed(method, name, query, &body));
            let passing = match sent.await {
                Ok(reply) if matches!(reply.status, 408 | 429 | 500 | 502..=504) => told(&reply),
                Ok(reply) if (200..300).contains(&reply.status) => return Ok(reply),
                Ok(reply) if reply.status == 404 && !name.is_empty() && is_key_missing(&reply) => {
                    return Err(DepotError::Missing(name.to_owned()));
                }
                Ok(reply) => return Err(DepotError::Failed(told(&reply))),
                Err(why) => why,
            };
            if tries >= TRIES {
                return Err(DepotError::Failed(passing));
            }
            tokio::time::sleep(wait).await;
            wait *= 4;
        }
        Err(DepotError::Failed("no answer".to_owned()))
    }

    /// Signed anew for every attempt: a signature ages.
    fn signed(&self, method: &'static str, name: &str, query: &str, body: &Bytes) -> Call {
        let Bucket {
            endpoint,
            region,
            bucket,
            access_key,
            secret_key,
            ..
        } = &self.bucket;
        let (base, host, before) = parts(endpoint);
        let path = match name {
            "" => format!("{before}/{}", encoded(bucket, false)),
            name => format!(
                "{before}/{}/{}",
                encoded(bucket, false),
                encoded(name, true)
            ),
        };
        let signer = Signer {
            access_key,
            secret_key,
            region,
        };
        let at = DateTime::<Utc>::from_timestamp_micros(self.clock.now_micros());
        let request = Request {
            method,
            host,
            path: &path,
            query,
            headers: &[],
            body,
        };
        let signed = signer.sign(&request, at.unwrap_or_default());
        let question = if query.is_empty() { "" } else { "?" };
        Call {
            method,
            url: format!("{base}{path}{question}{query}"),
            headers: vec![
                ("x-amz-date", signed.date),
                ("x-amz-content-sha256", signed.digest),
                ("authorization", signed.authorization),
            ],
            body: body.clone(),
            within: WITHIN,
            answer_max_bytes: FILE_MAX_BYTES + 1,
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.bucket.prefix)
    }
}

/// `https://host:1/a` → (`https://host:1`, `host:1`, `/a`).
fn parts(endpoint: &str) -> (&str, &str, &str) {
    let endpoint = endpoint.trim_end_matches('/');
    let host = endpoint.find("://").map_or(0, |at| at + 3);
    let path = endpoint[host..]
        .find('/')
        .map_or(endpoint.len(), |at| host + at);
    (&endpoint[..path], &endpoint[host..path], &endpoint[path..])
}

fn is_key_missing(reply: &Reply) -> bool {
    let body = String::from_utf8_lossy(&reply.body);
    body.is_empty() || between(&body, "Code").is_none_or(|code| code == "NoSuchKey")
}

/// What it said: a code and a message, or the beginning of whatever it was.
fn told(reply: &Reply) -> String {
    let body = String::from_utf8_lossy(&reply.body);
    let said = match (between(&body, "Code"), between(&body, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => body.trim().to_owned(),
    };
    let said: String = said.chars().take(KEPT_CHARS).collect();
    format!("the bucket answered {} {said}", reply.status)
}

/// The text of the first element of that name.
fn between<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let from = xml.find(&open)? + open.len();
    let to = from + xml[from..].find(&close)?;
    Some(&xml[from..to])
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// Files of a page, and where the next one begins.
fn page(xml: &str, prefix: &str) -> Result<(Vec<Stored>, Option<String>), DepotError> {
    if !xml.contains("<ListBucketResult") {
        return Err(DepotError::Failed(
            "the bucket's list is none that S3 would give".to_owned(),
        ));
    }
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(content) = between(rest, "Contents") {
        let key = between(content, "Key").map(unescaped).unwrap_or_default();
        let bytes = between(content, "Size").and_then(|size| size.parse().ok());
        if let (Some(name), Some(bytes)) = (key.strip_prefix(prefix), bytes)
            && super::is_name(name)
        {
            found.push(Stored {
                name: name.to_owned(),
                bytes,
            });
        }
        let end = rest.find("</Contents>").unwrap_or(rest.len() - 1);
        rest = rest.get(end + "</Contents>".len()..).unwrap_or_default();
    }
    let next = between(xml, "IsTruncated")
        .filter(|truncated| *truncated == "true")
        .and_then(|_| between(xml, "NextContinuationToken"))
        .map(unescaped);
    Ok((found, next))
}

#[async_trait]
impl Depot for S3 {
    async fn put(&self, name: &str, content: Bytes) -> Result<(), DepotError> {
        checked(name)?;
        self.call("PUT", &self.key(name), "", content).await?;
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Bytes, DepotError> {
        checked(name)?;
        let reply = self.call("GET", &self.key(name), "", Bytes::new()).await?;
        match reply.body.len() > FILE_MAX_BYTES {
            true => Err(DepotError::Failed(format!("{name} is too large"))),
            false => Ok(reply.body),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, DepotError> {
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        let prefix = encoded(&self.key(prefix), false);
        loop {
            // In the order of the names, as the signature wants it.
            let query = match &token {
                None => format!("list-type=2&prefix={prefix}"),
                Some(token) => format!(
                    "continuation-token={}&list-type=2&prefix={prefix}",
                    encoded(token, false)
                ),
            };
            let reply = self.call("GET", "", &query, Bytes::new()).await?;
            let xml = String::from_utf8_lossy(&reply.body);
            let (found, next) = page(&xml, &self.bucket.prefix)?;
            all.extend(found);
            token = next;
            if token.is_none() {
                all.sort_unstable();
                return Ok(all);
            }
        }
    }

    async fn remove(&self, name: &str) -> Result<(), DepotError> {
        checked(name)?;
        let key = self.key(name);
        match self.call("DELETE", &key, "", Bytes::new()).await {
            Err(DepotError::Missing(_)) => Ok(()),
            done => done.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::net::SocketAddr;

    use parking_lot::Mutex;

    use super::*;
    use crate::domain::clock::ManualClock;

    /// A bucket named `b` that pages by two and gives the answers it was told to give first.
    #[derive(Debug, Default)]
    struct Server {
        files: Mutex<BTreeMap<String, Bytes>>,
        first: Mutex<VecDeque<Result<Reply, String>>>,
        calls: Mutex<Vec<String>>,
    }

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            retry_after: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[async_trait]
    impl Outward for Server {
        async fn call(&self, call: Call) -> Result<Reply, String> {
            self.calls
                .lock()
                .push(format!("{} {}", call.method, call.url));
            if let Some(first) = self.first.lock().pop_front() {
                return first;
            }
            let signed = call
                .headers
                .iter()
                .any(|(name, value)| *name == "authorization" && value.contains("/eu/s3/"));
            if !signed {
                return Ok(reply(
                    403,
                    "<Error><Code>AccessDenied</Code><Message>No</Message></Error>",
                ));
            }
            let rest = call.url.strip_prefix("https://s3.example.com:9000/b");
            let Some(rest) = rest else {
                return Ok(reply(
                    404,
                    "<Error><Code>NoSuchBucket</Code><Message>None</Message></Error>",
                ));
            };
            let mut files = self.files.lock();
            if let Some(query) = rest.strip_prefix('?') {
                let value = |name: &str| {
                    let found = query.split('&').find_map(|pair| pair.strip_prefix(name));
                    found.map(|value| value.replace("%2F", "/"))
                };
                let prefix = value("prefix=").unwrap();
                let after = value("continuation-token=").unwrap_or_default();
                let mut names = files
                    .iter()
                    .filter(|(name, _)| name.starts_with(&prefix) && **name > after);
                let page: Vec<_> = names.by_ref().take(2).collect();
                let contents: String = page
                    .iter()
                    .map(|(name, content)| {
                        format!(
                            "<Contents><Key>{name}</Key><Size>{}</Size></Contents>",
                            content.len()
                        )
                    })
                    .collect();
                let more = names.next().is_some();
                let next = page.last().map_or("", |(name, _)| name.as_str());
                return Ok(reply(
                    200,
                    &format!(
                        "<ListBucketResult><IsTruncated>{more}</IsTruncated>{contents}\
                         <NextContinuationToken>{next}</NextContinuationToken></ListBucketResult>"
                    ),
                ));
            }
            let name = rest.trim_start_matches('/').to_owned();
            Ok(match call.method {
                "PUT" => {
                    files.insert(name, call.body);
                    reply(200, "")
                }
                "GET" => match files.get(&name) {
                    Some(content) => Reply {
                        body: content.clone(),
                        ..reply(200, "")
                    },
                    None => reply(
                        404,
                        "<Error><Code>NoSuchKey</Code><Message>None</Message></Error>",
                    ),
                },
                _ => {
                    files.remove(&name);
                    reply(204, "")
                }
            })
        }

        async fn addresses(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, String> {
            Err("not asked for".to_owned())
        }
    }

    fn depot(server: &Arc<Server>, bucket: &str) -> S3 {
        let bucket = Bucket {
            endpoint: "https://s3.example.com:9000".into(),
            region: "eu".into(),
            bucket: bucket.into(),
            prefix: "backups/".into(),
            access_key: "AKIA".into(),
            secret_key: "canary".into(),
        };
        let clock = Arc::new(ManualClock::at_micros(1_773_599_400_000_000));
        S3::new(bucket, server.clone(), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn files_come_back_whole_in_pages_and_go() {
        let server = Arc::new(Server::default());
        let depot = depot(&server, "b");
        for number in 1..=5 {
            let name = format!("one/{number}.part");
            depot
                .put(&name, format!("part {number}").into())
                .await
                .unwrap();
        }
        depot.put("two/1.part", "x".into()).await.unwrap();
        let listed = depot.list("one/").await.unwrap();
        let names: Vec<&str> = listed.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "one/1.part",
                "one/2.part",
                "one/3.part",
                "one/4.part",
                "one/5.part"
            ]
        );
        assert_eq!(listed[0].bytes, 6);
        assert_eq!(depot.get("one/3.part").await.unwrap(), "part 3");
        depot.remove("one/3.part").await.unwrap();
        let missing = depot.get("one/3.part").await;
        assert!(
            matches!(missing, Err(DepotError::Missing(_))),
            "{missing:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_and_what_does_not_is_told() {
        let server = Arc::new(Server::default());
        server.first.lock().extend([
            Err("connection reset".to_owned()),
            Ok(reply(
                503,
                "<Error><Code>SlowDown</Code><Message>Please</Message></Error>",
            )),
        ]);
        let depot = depot(&server, "b");
        depot.put("a", "x".into()).await.unwrap();
        assert_eq!(server.calls.lock().len(), 3);
        server
            .first
            .lock()
            .extend((0..4).map(|_| Err("connection refused".to_owned())));
        let failed = depot.get("a").await;
        assert_eq!(failed, Err(DepotError::Failed("connection refused".into())));
        let other = self::depot(&server, "other");
        let failed = other.get("a").await;
        assert_eq!(
            failed,
            Err(DepotError::Failed(
                "the bucket answered 404 NoSuchBucket: None".into()
            ))
        );
    }

    #[test]
    fn an_endpoint_has_a_host_and_maybe_a_path() {
        assert_eq!(parts("https://a:1/b/"), ("https://a:1", "a:1", "/b"));
        assert_eq!(parts("http://a"), ("http://a", "a", ""));
    }
}
