//! PostgREST, as Supabase runs it: `POST {base}/{table}?on_conflict=stat_date` with `resolution=merge-duplicates`.
//!
//! New keys (`sb_secret_…`) go into `apikey` alone; the older ones are JWTs and are a bearer as well.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::row::COLUMNS;
use super::{Address, Failure, Remote, RemoteRow, Tested, Verdict, judge, kept};
use crate::outward::{Call, Outward, Reply};

/// A request and its answer.
const WITHIN: Duration = Duration::from_secs(30);
/// A page of rows that are read back, and what it may weigh.
const PAGE_ROWS: usize = 1_000;
const ANSWER_MAX: usize = 4 << 20;
/// Where Supabase has it.
const SUPABASE_PATH: &str = "/rest/v1";

/// The address tables lie under: as it stands when it has a path, else where Supabase has it.
pub fn base_of(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.contains('/') {
        true => url.to_owned(),
        false => format!("{url}{SUPABASE_PATH}"),
    }
}

pub(super) struct Postgrest {
    /// Of the table.
    url: String,
    key: String,
    outward: Arc<dyn Outward>,
}

impl Postgrest {
    pub(super) fn new(
        address: &Address,
        table: &str,
        outward: Arc<dyn Outward>,
    ) -> Result<Self, String> {
        let key = address.key.clone().ok_or("the service key is missing")?;
        Ok(Self {
            url: format!("{}/{table}", base_of(&address.url)),
            key,
            outward,
        })
    }

    async fn call(
        &self,
        method: &'static str,
        query: &str,
        prefer: Option<&str>,
        body: Bytes,
    ) -> Result<Reply, Failure> {
        let mut headers = vec![
            ("apikey", self.key.clone()),
            ("accept", "application/json".to_owned()),
        ];
        if self.key.starts_with("eyJ") {
            headers.push(("authorization", format!("Bearer {}", self.key)));
        }
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        headers.extend(prefer.map(|prefer| ("prefer", prefer.to_owned())));
        let call = Call {
            method,
            url: format!("{}?{query}", self.url),
            headers,
            body,
            within: WITHIN,
            answer_max_bytes: ANSWER_MAX,
        };
        let reply = self.outward.call(call).await;
        let reply = reply.map_err(|why| Failure::later(kept(&why, &[&self.key])))?;
        let retry_after = reply.retry_after.as_deref();
        match judge(reply.status, retry_after, &reply.body, &[&self.key]) {
            None => Ok(reply),
            Some(failure) => Err(failure),
        }
    }
}

fn read(body: &[u8]) -> Result<Vec<RemoteRow>, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure {
        verdict: Verdict::Misset,
        why: format!("answered with something that is no row of the table: {error}"),
    })
}

/// Numbers that a float would blur come as text.
fn selected() -> String {
    COLUMNS
        .map(|column| match column {
            "cost" => "cost::text",
            column => column,
        })
        .join(",")
}

#[async_trait]
impl Remote for Postgrest {
    async fn push(&self, rows: &[RemoteRow]) -> Result<(), Failure> {
        let body = serde_json::to_vec(rows).map_err(|error| Failure::later(error.to_string()))?;
        let prefer = "resolution=merge-duplicates,return=minimal";
        self.call("POST", "on_conflict=stat_date", Some(prefer), body.into())
            .await?;
        Ok(())
    }

    async fn rows_since(&self, from: &str) -> Result<Vec<RemoteRow>, Failure> {
        let mut all: Vec<RemoteRow> = Vec::new();
        loop {
            // A server may give fewer rows than asked for: the next page begins after what was really given.
            let after = match all.last() {
                None => format!("gte.{from}"),
                Some(row) => format!("gt.{}", row.stat_date),
            };
            let query = format!(
                "select={}&stat_date={after}&order=stat_date.asc&limit={PAGE_ROWS}",
                selected()
            );
            let reply = self.call("GET", &query, None, Bytes::new()).await?;
            let page = read(&reply.body)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    async fn forget_before(&self, before: &str) -> Result<(), Failure> {
        let query = format!("stat_date=lt.{before}");
        self.call("DELETE", &query, Some("return=minimal"), Bytes::new())
            .await?;
        Ok(())
    }

    async fn test(&self) -> Result<Tested, Failure> {
        let query = format!("select={}&order=stat_date.desc&limit=1", selected());
        let reply = self.call("GET", &query, None, Bytes::new()).await?;
        read(&reply.body)?;
        Ok(Tested {
            status: Some(reply.status),
            response: kept(&String::from_utf8_lossy(&reply.body), &[&self.key]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::base_of;

    #[test]
    fn a_bare_address_is_supabases() {
        for (url, base) in [
            ("https://x.supabase.co", "https://x.supabase.co/rest/v1"),
            ("https://x.supabase.co/", "https://x.supabase.co/rest/v1"),
            (
                "https://x.supabase.co/rest/v1/",
                "https://x.supabase.co/rest/v1",
            ),
            ("http://127.0.0.1:3000/api", "http://127.0.0.1:3000/api"),
        ] {
            assert_eq!(base_of(url), base);
        }
    }
}
