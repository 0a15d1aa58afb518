//! The registered applications, their authentication, and their redirect URIs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credsmith_http::{HeaderMap, Reply, StatusCode, header};
use subtle::ConstantTimeEq as _;
use url::{Host, Url, form_urlencoded};

use crate::params::Params;
use crate::reply;

/// An application that signs users in here.
#[derive(Clone)]
pub struct Client {
    id: String,
    secret: Option<String>,
    redirect_uris: Vec<Url>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.id)
    }
}

/// Why an application cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(&'static str);

impl Client {
    /// An application with a secret, or a public one without. A redirect URI counts exactly as
    /// written, but for the port of one on loopback, which may be any (RFC 8252 section 7.3).
    ///
    /// # Errors
    /// A redirect URI that is no http or https URL, or has a fragment or a user in it; an empty id
    /// or secret.
    pub fn new(
        id: impl Into<String>,
        secret: Option<&str>,
        redirect_uris: &[&str],
    ) -> Result<Self, ClientError> {
        let id = id.into();
        if id.is_empty() || secret.is_some_and(str::is_empty) {
            return Err(ClientError(
                "a client needs an id, and its secret, if it has one, is not empty",
            ));
        }
        let wrong = ClientError("a redirect URI is an http or https URL without fragment and user");
        let redirect_uris = redirect_uris
            .iter()
            .map(|uri| redirect_uri(uri).ok_or(wrong))
            .collect::<Result<_, _>>()?;
        Ok(Self { id, secret: secret.map(str::to_owned), redirect_uris })
    }

    /// Its `client_id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `uri` parsed, if users may be sent there.
    pub(crate) fn accepts_redirect(&self, uri: &str) -> Option<Url> {
        let asked = redirect_uri(uri)?;
        let fits = |registered: &Url| {
            *registered == asked || any_port(registered) == any_port(&asked) && is_loopback(&asked)
        };
        self.redirect_uris.iter().any(fits).then_some(asked)
    }

    fn proves(&self, secret: Option<&str>) -> bool {
        match (&self.secret, secret) {
            (None, None) => true,
            (Some(own), Some(shown)) => own.as_bytes().ct_eq(shown.as_bytes()).into(),
            _ => false,
        }
    }

    /// Whether it has a secret to prove itself with.
    pub(crate) fn is_confidential(&self) -> bool {
        self.secret.is_some()
    }
}

fn redirect_uri(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

fn any_port(url: &Url) -> Url {
    let mut url = url.clone();
    // Fails for URLs without a host only, and those compare unequal as they are.
    let _ = url.set_port(None);
    url
}

/// How a client failed to prove itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unproven {
    /// Two ways at once, or none.
    Muddled,
    /// No such client, or not its secret; whether it tried by the `Authorization` header.
    Wrong { by_header: bool },
}

impl Unproven {
    /// RFC 6749 section 5.2.
    pub(crate) fn reply(self) -> Reply {
        match self {
            Self::Muddled => reply::error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "authenticate the client in exactly one way",
            ),
            Self::Wrong { by_header } => {
                let refused = reply::error(
                    StatusCode::UNAUTHORIZED,
                    "invalid_client",
                    "unknown client or wrong secret",
                );
                if by_header {
                    reply::with(refused, header::WWW_AUTHENTICATE, "Basic realm=\"dev-provider\"")
                } else {
                    refused
                }
            }
        }
    }
}

/// Which of `clients` sends this form: by the `Authorization` header, by a secret in the form, or,
/// for a public one, by its id alone (RFC 6749 section 2.3).
pub(crate) fn authenticate<'a>(
    clients: &'a [Client],
    headers: &HeaderMap,
    form: &Params,
) -> Result<&'a Client, Unproven> {
    let find = |id: &str| clients.iter().find(|client| client.id == id);
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let wrong = Unproven::Wrong { by_header: true };
        let (id, secret) = value.to_str().ok().and_then(basic).ok_or(wrong)?;
        if form.get("client_secret").is_some()
            || form.get("client_id").is_some_and(|named| named != id)
        {
            return Err(Unproven::Muddled);
        }
        return find(&id).filter(|client| client.proves(Some(&secret))).ok_or(wrong);
    }
    let id = form.get("client_id").ok_or(Unproven::Muddled)?;
    let proven = find(id).filter(|client| client.proves(form.get("client_secret")));
    proven.ok_or(Unproven::Wrong { by_header: false })
}

// RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decode(id), form_decode(secret)))
}

// `=` and `&` are encoded in a well-formed part, so that the whole part is one name.
fn form_decode(part: &str) -> String {
    let escaped = part.replace('=', "%3D").replace('&', "%26");
    form_urlencoded::parse(escaped.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Vec<Client> {
        vec![
            Client::new(
                "app",
                Some("s:cr&t="),
                &["http://127.0.0.1:1/cb", "https://app.example/cb?x=1"],
            )
            .unwrap(),
            Client::new("cli", None, &["http://localhost/", "http://[::1]/cb"]).unwrap(),
        ]
    }

    #[test]
    fn a_redirect_is_exact_but_for_the_port_on_loopback() {
        let clients = clients();
        let accepts = |n: usize, uri: &str| clients[n].accepts_redirect(uri).is_some();
        for good in [
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:54321/cb",
            "http://127.0.0.1/cb",
            "https://app.example/cb?x=1",
        ] {
            assert!(accepts(0, good), "{good}");
        }
        for bad in [
            "",
            "/cb",
            "http://127.0.0.1:1/cb/",
            "http://127.0.0.1:1/cb?x=1",
            "http://127.0.0.1:1/cb#f",
            "http://127.0.0.1:1@evil.example/cb",
            "http://user@127.0.0.1/cb",
            "https://127.0.0.1/cb",
            "http://127.0.0.2/cb",
            "http://localhost/cb",
            "http://127.0.0.1.evil.example/cb",
            "https://app.example:444/cb?x=1",
            "https://app.example/cb",
            "https://APP.example/cb?x=2",
            "javascript:alert(1)",
        ] {
            assert!(!accepts(0, bad), "{bad}");
        }
        assert!(accepts(1, "http://localhost:9/") && accepts(1, "http://[::1]:9/cb"));
    }

    #[test]
    fn a_client_proves_itself_in_one_way() {
        let clients = clients();
        let ask = |authorization: Option<&str>, form: &str| {
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            authenticate(&clients, &headers, &Params::parse(form.as_bytes()).unwrap())
                .map(Client::id)
        };
        let good = format!("Basic {}", STANDARD.encode("app:s%3Acr%26t%3D"));
        assert_eq!(ask(Some(&good), ""), Ok("app"));
        assert_eq!(ask(Some(&good), "client_id=app"), Ok("app"));
        assert_eq!(ask(None, "client_id=app&client_secret=s%3Acr%26t%3D"), Ok("app"));
        assert_eq!(ask(None, "client_id=cli"), Ok("cli"));

        assert_eq!(ask(Some(&good), "client_secret=x"), Err(Unproven::Muddled));
        assert_eq!(ask(Some(&good), "client_id=cli"), Err(Unproven::Muddled));
        assert_eq!(ask(None, ""), Err(Unproven::Muddled));
        for bad in ["app:wrong", "app:", "cli:", "unknown:x", "app"] {
            let header = format!("Basic {}", STANDARD.encode(bad));
            assert_eq!(ask(Some(&header), ""), Err(Unproven::Wrong { by_header: true }), "{bad}");
        }
        for bad in ["Bearer x", "Basic !", "Basic"] {
            assert_eq!(ask(Some(bad), ""), Err(Unproven::Wrong { by_header: true }), "{bad}");
        }
        for bad in [
            "client_id=app",
            "client_id=app&client_secret=x",
            "client_id=cli&client_secret=x",
            "client_id=no",
        ] {
            assert_eq!(ask(None, bad), Err(Unproven::Wrong { by_header: false }), "{bad}");
        }
    }

    #[test]
    fn a_client_is_checked() {
        assert!(Client::new("", None, &[]).is_err());
        assert!(Client::new("a", Some(""), &[]).is_err());
        assert!(Client::new("a", None, &["myapp:/cb"]).is_err());
        assert_eq!(format!("{:?}", clients()), "[Client(app), Client(cli)]");
    }
}
