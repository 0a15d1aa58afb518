//! The provider as a whole: its options, its routes, its discovery document.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use credsmith_http::{
    Fault, HeaderValue, Method, Reply, ReplyBody, Request, StatusCode, Surface, header,
};
use credsmith_oidc::signing::{SigningError, SigningKey};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use url::Url;

use crate::accounts::{Account, Accounts};
use crate::clients::Client;
use crate::ledger::{Grant, Ledger, random};
use crate::params::Params;
use crate::{authorize, reply, resource, token};

/// What tells the provider the time.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What a provider is made of.
#[derive(Clone)]
pub struct Options {
    /// Its issuer: scheme, host and port of the listener that serves it, such as
    /// `http://127.0.0.1:8081`.
    pub issuer: String,
    /// The applications that may sign users in. Tokens that no application asked for are meant for
    /// the first of them.
    pub clients: Vec<Client>,
    /// The accounts on its page. `user-0` to `user-999999999`, each in the group users, exist
    /// besides and are not listed.
    pub accounts: Vec<Account>,
    /// How long an access token lives.
    pub token_lifetime: Duration,
    /// The time.
    pub now: Now,
}

impl Options {
    /// The demo accounts, tokens for an hour, the time of the machine.
    pub fn new(issuer: impl Into<String>, clients: Vec<Client>) -> Self {
        Self {
            issuer: issuer.into(),
            clients,
            accounts: Account::demo(),
            token_lifetime: Duration::from_secs(3600),
            now: Arc::new(SystemTime::now),
        }
    }
}

/// Why there is no provider.
#[derive(Debug)]
pub enum OptionsError {
    /// The issuer is not just `http://` or `https://`, a host and a port.
    Issuer,
    /// Two clients have one id, or two accounts one name.
    Repeated,
    /// There is no key to sign id tokens with.
    Signing(SigningError),
    /// The system gives no randomness.
    Random(getrandom::Error),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer => f.write_str(
                "the issuer has to be `http://` or `https://`, a host and perhaps a port, and nothing else",
            ),
            Self::Repeated => f.write_str("client ids and account names have to be unique"),
            Self::Signing(cause) => cause.fmt(f),
            Self::Random(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for OptionsError {}

/// There is no account of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownUser;

impl fmt::Display for UnknownUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no account has that name")
    }
}

impl std::error::Error for UnknownUser {}

/// What a token is to be like that nobody signed in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// Its scopes.
    pub scopes: Vec<String>,
    /// For whom it is meant.
    pub audience: Vec<String>,
    /// How long it lives.
    pub lifetime: Duration,
}

/// The provider. Give it to a server as its only surface.
pub struct DevProvider {
    pub(crate) issuer: String,
    pub(crate) clients: Vec<Client>,
    pub(crate) accounts: Accounts,
    pub(crate) token_lifetime: Duration,
    pub(crate) ledger: Ledger,
    pub(crate) key: SigningKey,
    now: Now,
}

/// The scopes that it knows.
pub(crate) const SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

impl DevProvider {
    /// A provider with a signing key of its own and nothing given out.
    ///
    /// # Errors
    /// The options contradict themselves, or the system gives no randomness.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        check_issuer(&options.issuer)?;
        unique(options.clients.iter().map(Client::id))?;
        unique(options.accounts.iter().map(|account| account.name.as_str()))?;
        Ok(Self {
            issuer: options.issuer,
            clients: options.clients,
            accounts: Accounts::new(options.accounts),
            token_lifetime: options.token_lifetime,
            ledger: Ledger::new(),
            key: SigningKey::generate("dev-1").map_err(OptionsError::Signing)?,
            now: options.now,
        })
    }

    /// What `/dev/token` hands out: scopes `openid profile email`, the audience of the first
    /// client, the usual life.
    pub fn usual_token(&self) -> TokenSpec {
        TokenSpec {
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            audience: self
                .clients
                .first()
                .map(|client| client.id().to_owned())
                .into_iter()
                .collect(),
            lifetime: self.token_lifetime,
        }
    }

    /// An access token for `user` without a sign-in.
    ///
    /// # Errors
    /// No account has that name. (Without randomness there is no token either, and the same is
    /// said.)
    pub fn issue_token(&self, user: &str, spec: &TokenSpec) -> Result<String, UnknownUser> {
        let account = self.accounts.find(user).ok_or(UnknownUser)?;
        let grant = Grant {
            account,
            client: spec.audience.first().cloned().unwrap_or_default(),
            scopes: spec.scopes.clone(),
            audience: spec.audience.clone(),
            authenticated: self.now(),
            family: random().map_err(|_| UnknownUser)?,
        };
        self.ledger.give_access(grant, self.now(), spec.lifetime).map_err(|_| UnknownUser)
    }

    /// Ends an access token, and all tokens of the same sign-in. Tells whether there was one.
    pub fn revoke_token(&self, token: &str) -> bool {
        self.ledger.revoke(token)
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.now)()
    }

    async fn answer(&self, mut request: Request) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let reads = method == Method::GET || method == Method::HEAD;
        match (path.as_str(), &method) {
            ("/.well-known/openid-configuration", _) if reads => self.discovery(),
            ("/jwks", _) if reads => {
                ReplyBody::json(StatusCode::OK, self.key.public_jwks().to_string())
            }
            ("/authorize", _) if reads => authorize::by_query(self, &request),
            ("/authorize", &Method::POST) => authorize::by_form(self, &mut request).await,
            ("/token", &Method::POST) => token::endpoint(self, &mut request).await,
            ("/userinfo", _) if reads || method == Method::POST => {
                resource::userinfo(self, request.headers())
            }
            ("/introspect", &Method::POST) => resource::introspect(self, &mut request).await,
            ("/dev/token", _) if reads => self.hand_out(&request),
            (path, _) => self.fault(
                allowed(path).map_or(Fault::NotFound, |allow| Fault::MethodNotAllowed { allow }),
            ),
        }
    }

    /// OpenID Connect Discovery section 3, with what RFC 8414 and RFC 9207 add.
    fn discovery(&self) -> Reply {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let secrets = ["client_secret_basic", "client_secret_post"];
        let document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "introspection_endpoint": at("/introspect"),
            "jwks_uri": at("/jwks"),
            "scopes_supported": SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "introspection_endpoint_auth_methods_supported": secrets,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "claims_parameter_supported": false,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
        });
        ReplyBody::json(StatusCode::OK, document.to_string())
    }

    fn hand_out(&self, request: &Request) -> Reply {
        let query = Params::of_query(request).unwrap_or_default();
        let user = query.get("user").unwrap_or_default();
        reply::no_store(match self.issue_token(user, &self.usual_token()) {
            Ok(token) => ReplyBody::text(StatusCode::OK, token),
            Err(UnknownUser) => ReplyBody::text(
                StatusCode::NOT_FOUND,
                "no such account; try /dev/token?user=alice\n",
            ),
        })
    }
}

fn allowed(path: &str) -> Option<&'static str> {
    match path {
        "/.well-known/openid-configuration" | "/jwks" | "/dev/token" => Some("GET, HEAD"),
        "/authorize" | "/userinfo" => Some("GET, HEAD, POST"),
        "/token" | "/introspect" => Some("POST"),
        _ => None,
    }
}

fn check_issuer(issuer: &str) -> Result<(), OptionsError> {
    let url = Url::parse(issuer).map_err(|_| OptionsError::Issuer)?;
    let bare =
        url.origin().ascii_serialization() == issuer && matches!(url.scheme(), "http" | "https");
    bare.then_some(()).ok_or(OptionsError::Issuer)
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), OptionsError> {
    let mut seen = std::collections::HashSet::new();
    let mut names = names;
    if names.all(|name| seen.insert(name)) { Ok(()) } else { Err(OptionsError::Repeated) }
}

impl fmt::Debug for DevProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevProvider({})", self.issuer)
    }
}

impl Surface for DevProvider {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        self.answer(request).map(harden).boxed()
    }

    fn fault(&self, fault: Fault) -> Reply {
        let body: Value =
            json!({ "error": "invalid_request", "error_description": fault.sentence() });
        let mut reply = harden(reply::private_json(fault.status(), &body));
        if let Some(allow) = fault.allow() {
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = fault.retry_after() {
            reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        reply
    }
}

/// No answer is taken for something else, framed, or named in a `referer`.
fn harden(reply: Reply) -> Reply {
    let reply = reply::with(reply, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let reply = reply::with(reply, header::X_FRAME_OPTIONS, "DENY");
    reply::with(reply, header::REFERRER_POLICY, "no-referrer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        let client = |id: &str| Client::new(id, None, &[]).unwrap();
        for bad in [
            "",
            "127.0.0.1:1",
            "http://127.0.0.1:1/",
            "http://127.0.0.1/op",
            "http://u@127.0.0.1",
            "ftp://x",
            "http://X:80",
        ] {
            let outcome = DevProvider::new(Options::new(bad, vec![]));
            assert!(matches!(outcome, Err(OptionsError::Issuer)), "{bad}");
        }
        let twice =
            DevProvider::new(Options::new("http://127.0.0.1:1", vec![client("a"), client("a")]));
        assert!(matches!(twice, Err(OptionsError::Repeated)));
        assert!(DevProvider::new(Options::new("http://[::1]:1", vec![client("a")])).is_ok());
    }
}
