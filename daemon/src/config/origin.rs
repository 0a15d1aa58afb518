//! A server by scheme, host and port.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Scheme, host and port: a server as a plugin may address it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) https: bool,
    /// As URLs have it: lower case, IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url: Url = text.parse().map_err(|_| ())?;
        let bare =
            matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let without_user = url.username().is_empty() && url.password().is_none();
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(()),
        };
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if bare && without_user => {
                Ok(Self { https, host: host.to_owned(), port })
            }
            _ => Err(()),
        }
    }
}

impl Origin {
    /// As the header `Origin` has it: without the port that goes with the scheme (RFC 6454 section
    /// 6.2).
    pub(crate) fn serialized(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        match (self.https, self.port) {
            (true, 443) | (false, 80) => format!("{scheme}://{}", self.host),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// What a reader expects where an [`Origin`] has to be.
pub(super) const EXPECTED: &str =
    "a server like \"https://api.example.org\" or \"https://api.example.org:8443\", without a path";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (text, shown) in [
            ("https://api.example.org", "https://api.example.org:443"),
            ("http://API.example.org/", "http://api.example.org:80"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), shown);
        }
        for bad in [
            "api.example.org",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://",
            "",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
