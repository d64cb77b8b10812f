//! Whose word about a caller's address is taken: the proxies that the configuration names, and nobody else.
//!
//! What a proxy says (`x-forwarded-for`, or `forwarded` where that is missing) is read from the end: each proxy appends
//! whom it heard from, so the last address that is no trusted proxy's is the caller's, and whatever stands before it
//! was written by the caller. Whether a request came over TLS is not asked here.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

/// Proxies by address or network. None: every caller is its connection's peer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Reads a list such as `127.0.0.1, 10.0.0.0/8, ::1`.
impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| {
                item.parse::<IpNet>()
                    .or_else(|_| item.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| item.to_owned())
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl TrustedProxies {
    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of whoever made a request, IPv4 as IPv4. `peer` is the connection's other end.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.0.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let told = |name: &str| -> Vec<String> {
            let values = headers
                .get_all(name)
                .filter_map(|value| value.to_str().ok());
            values
                .flat_map(|value| value.split(','))
                .map(|item| item.trim().to_owned())
                .collect()
        };
        let mut hops = told("x-forwarded-for");
        if hops.is_empty() {
            hops = told("forwarded")
                .iter()
                .map(|item| forwarded_for(item).unwrap_or_default().to_owned())
                .collect();
        }
        let mut client = peer;
        for hop in hops.iter().rev() {
            // What is no address (`unknown`, a name) ends what is known.
            let Some(address) = address(hop) else { break };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// `for=` of one element of a `forwarded` header.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for")
            .then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without a port, in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|known| known.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_last_stranger_is_the_caller() {
        let trusted: TrustedProxies = "127.0.0.1, 10.0.0.0/8,::1".parse().unwrap();
        let none = TrustedProxies::default();
        let forwarded_for = "x-forwarded-for";
        for (proxies, peer, headers, client) in [
            // Nobody is believed by default, nor a stranger ever.
            (
                &none,
                "127.0.0.1",
                vec![(forwarded_for, "1.2.3.4")],
                "127.0.0.1",
            ),
            (
                &trusted,
                "9.9.9.9",
                vec![(forwarded_for, "1.2.3.4")],
                "9.9.9.9",
            ),
            (&trusted, "127.0.0.1", vec![], "127.0.0.1"),
            (
                &trusted,
                "127.0.0.1",
                vec![(forwarded_for, "1.2.3.4")],
                "1.2.3.4",
            ),
            // What the caller wrote itself stands before what the proxies wrote.
            (
                &trusted,
                "10.1.1.1",
                vec![(forwarded_for, "6.6.6.6, 1.2.3.4, 10.2.2.2")],
                "1.2.3.4",
            ),
            (
                &trusted,
                "10.1.1.1",
                vec![(forwarded_for, "6.6.6.6"), (forwarded_for, "1.2.3.4")],
                "1.2.3.4",
            ),
            (
                &trusted,
                "::ffff:127.0.0.1",
                vec![(forwarded_for, "[2001:db8::1]:443")],
                "2001:db8::1",
            ),
            (
                &trusted,
                "::1",
                vec![(
                    "forwarded",
                    "for=6.6.6.6, for=\"[2001:db8::2]:80\";proto=https",
                )],
                "2001:db8::2",
            ),
            (
                &trusted,
                "::1",
                vec![(forwarded_for, "1.2.3.4, unknown, 10.0.0.9")],
                "10.0.0.9",
            ),
            (
                &trusted,
                "::1",
                vec![(forwarded_for, "1.2.3.4:5678")],
                "1.2.3.4",
            ),
            (
                &trusted,
                "::1",
                vec![(forwarded_for, "10.0.0.1, 10.0.0.2")],
                "10.0.0.1",
            ),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.append(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            let found = proxies.client(peer.parse().unwrap(), &map);
            assert_eq!(
                found,
                client.parse::<IpAddr>().unwrap(),
                "{peer} {headers:?}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert_eq!(
            "10.0.0.0/8, proxy.local".parse::<TrustedProxies>(),
            Err("proxy.local".to_owned())
        );
        assert_eq!(
            "10.0.0.0/33".parse::<TrustedProxies>(),
            Err("10.0.0.0/33".to_owned())
        );
        assert_eq!(
            " , ".parse::<TrustedProxies>(),
            Ok(TrustedProxies::default())
        );
    }
}
