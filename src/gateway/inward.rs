//! Calls that the console makes: admitted, sent and booked as every call is, for a token that is named by somebody who may
//! use it, not presented. What the console's own request holds (its credential, its cookies) has no part in them.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::HeaderMap;
use bytes::Bytes;
use futures_util::stream;
use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::TokenKey;

use super::client::UpstreamClient;
use super::{Asked, Gateway, dialect, make};

/// What carries calls to upstreams; one per worker.
#[derive(Clone)]
pub struct Outgoing(pub(super) UpstreamClient);

/// A call to make.
pub struct Inward {
    /// Public id of the token on whose behalf.
    pub token: String,
    pub operation: Operation,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Where whoever asked for it sits.
    pub address: IpAddr,
}

impl Gateway {
    /// Makes a call; `None` when there is no such token. Its answer is what a caller of the gateway gets: dropped before its end, the
    /// call is cancelled.
    pub async fn inward(
        self: &Arc<Self>,
        outgoing: &Outgoing,
        call: Inward,
    ) -> Option<HttpResponse> {
        let token = {
            let snapshot = self.snapshot.load();
            let mut keys = snapshot.tokens.values();
            let key = keys.find(|key| key.token.public_id == call.token)?;
            Arc::clone(&key.token)
        };
        let key = TokenKey {
            token,
            valid_until: None,
        };
        let address = || call.address;
        let asked = Asked {
            gateway: self,
            client: &outgoing.0,
            headers: &call.headers,
            query: None,
            address: &address,
            protocol: dialect::protocol_of(call.operation),
            id: self.rids.next(),
        };
        let body = stream::iter([Ok(call.body)]);
        Some(make(&asked, &key, None, call.operation, body).await)
    }
}
