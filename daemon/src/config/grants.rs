//! What a plugin is granted of the network: which servers, with which roots and identity, and which
//! secrets may go where.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::component::Destination;
use super::read::{Table, Value};
use super::report::did_you_mean;
use super::{pem, providers, secrets};

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
        let nobody = url.username().is_empty() && url.password().is_none();
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(()),
        };
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if bare && nobody => {
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

const ORIGIN: &str =
    "a server like \"https://api.example.org\" or \"https://api.example.org:8443\", without a path";

/// What a plugin may do with the user's access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenGrant {
    /// Whether it may see the token itself.
    pub(crate) reveal: bool,
    /// Where the host may send it.
    pub(crate) destinations: Vec<Origin>,
}

/// Reads `http`, a list of servers.
pub(crate) fn destinations(value: &Value<'_>) -> Option<Vec<Destination>> {
    let destinations = value.list(|item| item.table(destination).flatten())?;
    for (place, destination) in destinations.iter().enumerate() {
        if destinations.iter().take(place).any(|earlier| earlier.origin == destination.origin) {
            value.fault(format!("has {} twice, expected each server once", destination.origin));
        }
    }
    Some(destinations)
}

fn destination(table: &Table<'_>) -> Option<Destination> {
    let origin =
        table.required("destination", "\"https://api.example.org\"", |value| value.parsed(ORIGIN));
    let roots = table.get("roots").map(|value| pem::roots(&value));
    let certificate = table.get("certificate").map(|value| pem::certificates(&value));
    let private_key = table.get("private_key").map(|value| secrets::secret(&value));
    let addresses = table.or("addresses", Vec::new(), providers::networks);
    let origin: Origin = origin?;
    let identity = match (certificate, private_key) {
        (None, None) => None,
        (Some(certificate), Some(private_key)) => {
            let identity = (certificate?, private_key?);
            pem::check_identity(table.value(), &identity.0, &identity.1)?;
            Some(identity)
        }
        _ => {
            table.value().fault(
                "has a certificate without a private_key or the reverse, expected both or none",
            );
            return None;
        }
    };
    if !origin.https && (roots.is_some() || identity.is_some()) {
        table.value().fault("is an http:// server with roots or a certificate, expected https://");
    }
    Some(Destination {
        origin,
        addresses,
        roots: roots.map_or(Some(None), |read| read.map(Some))?,
        identity,
    })
}

/// Reads `destinations` of a secret: servers that `http` grants. Absent: none.
pub(crate) fn secret_destinations(table: &Table<'_>, http: &[Destination]) -> Vec<Origin> {
    table.or("destinations", Vec::new(), |value| value.list(|item| granted(item, http)))
}

fn granted(item: &Value<'_>, http: &[Destination]) -> Option<Origin> {
    let origin: Origin = item.parsed(ORIGIN)?;
    if http.iter().any(|destination| destination.origin == origin) {
        return Some(origin);
    }
    let granted: Vec<String> =
        http.iter().map(|destination| destination.origin.to_string()).collect();
    let hint = did_you_mean(&origin.to_string(), granted.iter().map(String::as_str));
    item.fault(format!(
        "is {origin}, which the service's http list does not grant; expected one of its servers{hint}"
    ));
    None
}

/// Reads `pass_access_token` and what goes with it. `None`: the plugin does not get the token.
pub(crate) fn access_token(table: &Table<'_>, http: &[Destination]) -> Option<TokenGrant> {
    let passed = table.or("pass_access_token", false, Value::flag);
    let read = |table: &Table<'_>| TokenGrant {
        reveal: table.or("reveal", false, Value::flag),
        destinations: secret_destinations(table, http),
    };
    let grant = table.section("access_token", read)?;
    if grant != (TokenGrant { reveal: false, destinations: Vec::new() }) && !passed {
        table.value().fault(
            "grants uses of the access token without pass_access_token = true, expected both",
        );
    }
    passed.then_some(grant)
}

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
