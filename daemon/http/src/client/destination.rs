//! The places that a client may reach, as configured, and their normal form.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};
use zeroize::Zeroizing;

use super::address::AddressPolicy;

/// The protocol of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn of(url: &Url) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str() == url.scheme())
    }
}

/// The client certificate, presented to a server that requests one.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The client's certificate, then the intermediates up to a root.
    pub chain_pem: Vec<u8>,
    /// Its private key, unencrypted.
    pub key_pem: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(..)")
    }
}

/// A place that a client may reach, and how.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Whether to use TLS.
    pub scheme: Scheme,
    /// A name or an address, in any spelling that a URL may have; no wildcards.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Roots to trust in addition to the system's, as PEM.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// The client certificate, presented if the server requests one.
    pub identity: Option<ClientIdentity>,
    /// The addresses that the name may resolve to.
    pub addresses: AddressPolicy,
}

impl Destination {
    /// A destination at public addresses, with the system's roots and without a client certificate.
    pub fn new(scheme: Scheme, host: impl Into<String>, port: u16) -> Self {
        Self {
            scheme,
            host: host.into(),
            port,
            extra_roots_pem: None,
            identity: None,
            addresses: AddressPolicy::default(),
        }
    }

    /// The destination that requests to `url` need: its scheme, host and port. `None` if `url` is
    /// no http(s) URL, or contains a user name or password.
    pub fn of_url(url: &str) -> Option<Self> {
        let (origin, _) = Origin::of(url)?;
        let host = match origin.host {
            Host::Ipv6(address) => address.to_string(),
            host => host.to_string(),
        };
        Some(Self::new(origin.scheme, host, origin.port))
    }

    /// `https://host:port`, normalised: equal for two spellings of one place. `None` if the host
    /// is invalid.
    pub fn origin(&self) -> Option<String> {
        Origin::configured(self).map(|origin| origin.to_string())
    }
}

/// Scheme, host and port in their one normal form. All decisions are made on this, never on text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

impl Origin {
    /// Whether both are the same listener, whatever the scheme.
    pub(super) fn same_place(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }

    /// The origin of `url`, together with the parsed URL. One parser reads both what is checked and
    /// what is sent.
    pub(super) fn of(url: &str) -> Option<(Self, Url)> {
        let url = Url::parse(url).ok()?;
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let scheme = Scheme::of(&url)?;
        let host = match url.host()? {
            Host::Domain(name) => Host::Domain(without_dot(name)?.to_owned()),
            Host::Ipv4(address) => Host::Ipv4(address),
            Host::Ipv6(address) => Host::Ipv6(address),
        };
        let port = url.port_or_known_default()?;
        (port != 0).then_some((Self { scheme, host, port }, url))
    }

    pub(super) fn configured(destination: &Destination) -> Option<Self> {
        let Destination { scheme, host, port, .. } = destination;
        // The text becomes the host of a URL, and must not be able to end it there.
        if host.contains(['/', '\\', '?', '#', '@', '*']) || host.trim() != host {
            return None;
        }
        let text = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("{}://[{address}]:{port}/", scheme.as_str()),
            _ => format!("{}://{host}:{port}/", scheme.as_str()),
        };
        Self::of(&text).map(|(origin, _)| origin).filter(|origin| origin.port == *port)
    }

    /// The value of the `host` header: the port is named unless it is the scheme's default.
    pub(super) fn host_header(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// `name` without its final dot, if it has one: the same name, as its certificate spells it.
fn without_dot(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty() && !name.ends_with('.')).then_some(name)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_place_have_one_origin() {
        for (url, origin) in [
            ("http://example.org", "http://example.org:80"),
            ("HTTP://EXAMPLE.org:80/x?y#z", "http://example.org:80"),
            ("https://example.org./", "https://example.org:443"),
            ("https://example.org:8443/", "https://example.org:8443"),
            ("http://127.0.0.1/", "http://127.0.0.1:80"),
            ("http://2130706433/", "http://127.0.0.1:80"),
            ("http://0x7f.1/", "http://127.0.0.1:80"),
            ("http://0177.0.0.01/", "http://127.0.0.1:80"),
            ("http://127.1/", "http://127.0.0.1:80"),
            ("http://%31%32%37.0.0.1/", "http://127.0.0.1:80"),
            ("http://[::1]/", "http://[::1]:80"),
            ("http://[0:0:0:0:0:0:0:1]:81/", "http://[::1]:81"),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]:80"),
            ("http://b\u{fc}cher.example/", "http://xn--bcher-kva.example:80"),
            ("http://good.example\\@evil.example/", "http://good.example:80"),
        ] {
            assert_eq!(
                Origin::of(url).map(|(origin, _)| origin.to_string()).as_deref(),
                Some(origin),
                "{url}"
            );
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            "",
            "/path",
            "example.org",
            "ftp://example.org/",
            "file:///etc/passwd",
            "unix:/run/x",
            "http://",
            "http://user@example.org/",
            "http://user:pw@example.org/",
            "http://:pw@example.org/",
            "http://example.org:0/",
            "http://example.org:65536/",
            "http://example.org../",
            "http://./",
            "http://[fe80::1%25eth0]/",
            "http://256.256.256.256/",
            "http://a b/",
        ] {
            assert!(Origin::of(url).is_none(), "{url}");
        }
    }

    #[test]
    fn destinations_are_normalised_like_urls() {
        for (host, origin) in [
            ("Example.ORG", Some("https://example.org:8443")),
            ("example.org.", Some("https://example.org:8443")),
            ("0x7f.1", Some("https://127.0.0.1:8443")),
            ("::1", Some("https://[::1]:8443")),
            ("[::1]", Some("https://[::1]:8443")),
            ("*.example.org", None),
            ("example.org:1", None),
            ("user@example.org", None),
            ("example.org/x", None),
            ("example.org#", None),
            (" example.org", None),
            ("", None),
        ] {
            let destination = Destination::new(Scheme::Https, host, 8443);
            assert_eq!(destination.origin().as_deref(), origin, "{host}");
        }
        let found = Destination::of_url("https://[::1]/userinfo").unwrap();
        assert_eq!(found.origin().as_deref(), Some("https://[::1]:443"));
    }
}
