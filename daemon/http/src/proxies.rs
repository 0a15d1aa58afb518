//! The address of the client behind proxies. Only a listed proxy is trusted, and each only about
//! its direct peer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::listener::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request comes from: an extension of each request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Source {
    /// The address of the client: the connection's, or the one that a trusted proxy names; `None`
    /// for a Unix socket.
    pub address: Option<IpAddr>,
    /// The user id of the process at the other end of a Unix socket.
    pub uid: Option<u32>,
}

impl Source {
    /// What the server noted with the request.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.uid) {
            (Some(address), _) => address.fmt(f),
            (None, Some(uid)) => write!(f, "uid {uid}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// The proxies that are trusted to name the address of their client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A text that is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidNetwork;

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an address like \"192.0.2.1\" or a network like \"192.0.2.0/24\"")
    }
}

impl std::error::Error for InvalidNetwork {}

impl TrustedProxies {
    /// Trusts this proxy too: an address, or a network with the length of its prefix.
    ///
    /// # Errors
    /// [`InvalidNetwork`].
    pub fn add(&mut self, text: &str) -> Result<(), InvalidNetwork> {
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| InvalidNetwork)?;
        self.0.push(network);
        Ok(())
    }

    /// Whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a request with these headers comes from, that arrived from `peer`.
    pub fn source(&self, peer: &Peer, headers: &HeaderMap) -> Source {
        let uid = if let Peer::Unix(uid) = peer { *uid } else { None };
        Source { address: self.client(peer, headers), uid }
    }

    /// The address of the client behind `peer`: read from the end of `x-forwarded-for`, as long as
    /// the proxy that wrote an entry is trusted. Entries that the client wrote itself are ignored.
    /// `None` for a Unix socket.
    pub fn client(&self, peer: &Peer, headers: &HeaderMap) -> Option<IpAddr> {
        let Peer::Tcp(peer) = peer else { return None };
        let mut client = peer.ip().to_canonical();
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let mut entries =
            lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.trusts(client) {
            match entries.next().and_then(entry) {
                Some(before) => client = before.to_canonical(),
                None => break,
            }
        }
        Some(client)
    }

    /// Whether `peer` is a trusted proxy.
    pub(crate) fn is_proxy(&self, peer: &Peer) -> bool {
        matches!(peer, Peer::Tcp(peer) if self.trusts(peer.ip().to_canonical()))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Parses an entry: an address, which some proxies write with a port or in brackets.
fn entry(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&'static str]) -> String {
        let mut proxies = TrustedProxies::default();
        for text in ["10.0.0.0/8", "2001:db8::1", "192.0.2.7"] {
            proxies.add(text).unwrap();
        }
        let headers =
            lines.iter().map(|line| (X_FORWARDED_FOR, HeaderValue::from_static(line))).collect();
        let peer = Peer::Tcp(SocketAddr::new(peer.parse().unwrap(), 443));
        proxies.client(&peer, &headers).unwrap().to_string()
    }

    #[test]
    fn a_listed_proxy_names_its_client() {
        for (peer, lines, expected) in [
            ("10.0.0.1", &["198.51.100.9"][..], "198.51.100.9"),
            ("::ffff:10.0.0.1", &["198.51.100.9"], "198.51.100.9"),
            ("2001:db8::1", &["[2001:db8::9]:4711"], "2001:db8::9"),
            ("10.0.0.1", &["[2001:db8::9]"], "2001:db8::9"),
            ("10.0.0.1", &["198.51.100.9:80, 192.0.2.7"], "198.51.100.9"),
            ("10.0.0.1", &["198.51.100.9", "192.0.2.7"], "198.51.100.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    /// Attack: a client writes the header itself, to appear under another address.
    #[test]
    fn entries_of_other_senders_are_ignored() {
        for (peer, lines, expected) in [
            ("198.51.100.9", &["203.0.113.1"][..], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.1, 198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.1", "198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1,"], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
        assert_eq!(TrustedProxies::default().client(&Peer::Unix(None), &HeaderMap::new()), None);
    }

    #[test]
    fn only_addresses_and_networks_are_listed() {
        let mut proxies = TrustedProxies::default();
        for bad in ["", "proxy.example", "10.0.0.0/33", "10.0.0.1:80"] {
            assert_eq!(proxies.add(bad), Err(InvalidNetwork), "{bad}");
        }
        assert!(proxies.is_empty());
    }
}
