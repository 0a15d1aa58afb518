//! Secrets as plugins hold them: by handle, with what the configuration grants for each; and the
//! search for them in what plugins get and say ([`guard`]).
//!
//! Never here: the value on its way to a log or an error.

pub(crate) mod binding;
pub(crate) mod guard;
pub(crate) mod prints;
mod spellings;
mod tokens;

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use credsmith_core::secret::Secret;

pub use binding::{BadBinding, Binding};

/// A host and port that a secret may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name in lower case, or an address; IPv6 without brackets.
    pub host: String,
    /// The port, always spelled out.
    pub port: u16,
}

impl Endpoint {
    /// From a host as written and a port. Spellings of one host are one endpoint: case, brackets, a
    /// last dot, short forms of addresses, letters beyond ASCII.
    pub fn new(host: &str, port: u16) -> Self {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let host = match bare.parse::<Ipv6Addr>() {
            Ok(address) => address.to_string(),
            Err(_) => url::Host::parse(bare)
                .map_or_else(|_| bare.to_ascii_lowercase(), |host| host.to_string()),
        };
        Self { host, port }
    }

    /// Where `url` leads, if it names a host and a port is known for its scheme.
    pub(crate) fn of(url: &url::Url) -> Option<Self> {
        Some(Self::new(url.host_str()?, url.port_or_known_default()?))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A secret with the grants of a plugin for it.
#[derive(Debug)]
pub(crate) struct GuardedSecret {
    /// Its name in messages: the key of the setting, or `access token`.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: Arc<Secret>,
    /// Which requests the host may put it into.
    pub(crate) bindings: Vec<Binding>,
    /// Whether the plugin may see it.
    pub(crate) reveal: bool,
    /// Whether the plugin may compute HMACs with it.
    pub(crate) hmac: bool,
}

/// The handle of a secret.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct SecretHandle(pub(crate) Arc<GuardedSecret>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_are_one_endpoint() {
        for (url, host, port) in [
            ("https://API.example/x", "api.example", 443),
            ("http://api.example:8080", "API.example", 8080),
            ("https://[::1]:8443/", "::1", 8443),
            ("https://[::1]:8443/", "[0:0:0:0:0:0:0:1]", 8443),
            ("https://api.example./", "api.example", 443),
            ("https://127.0.0.1/", "127.1", 443),
            ("https://xn--bcher-kva.example/", "Bücher.example", 443),
        ] {
            assert_eq!(
                Endpoint::of(&url::Url::parse(url).unwrap()).unwrap(),
                Endpoint::new(host, port)
            );
        }
        assert!(Endpoint::of(&url::Url::parse("data:text/plain,x").unwrap()).is_none());
        assert_eq!(Endpoint::new("::1", 1).to_string(), "[::1]:1");
    }
}
