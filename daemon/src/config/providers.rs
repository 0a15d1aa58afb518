//! `[providers.<id>]`: OpenID providers, which authenticate users.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use credsmith_core::ids::ProviderId;
use credsmith_core::secret::Secret;
use credsmith_oidc::{AskUserinfo, ClientAuth, ClientKey};
use ipnet::IpNet;
use url::Url;

use super::read::{Table, Value};
use super::report::Position;
use super::{networks, pem, secrets};

/// One OpenID provider.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) id: ProviderId,
    pub(crate) description: String,
    /// As it was written.
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret>,
    /// How the daemon proves itself; `None`: by the secret, as the provider announces.
    pub(crate) client_auth: Option<ClientAuth>,
    /// The key for `private_key_jwt`.
    pub(crate) client_key: Option<Arc<ClientKey>>,
    pub(crate) scopes: Vec<String>,
    pub(crate) audiences: Audiences,
    /// Audiences that may stand beside `client_id` in an ID token.
    pub(crate) extra_audiences: Vec<String>,
    pub(crate) subject_claim: String,
    pub(crate) disable_login: bool,
    pub(crate) allow_insecure_issuer: bool,
    /// Addresses that are not public and to which connections are allowed.
    pub(crate) addresses: Vec<IpNet>,
    /// Further roots of trust, PEM.
    pub(crate) roots: Option<Vec<u8>>,
    pub(crate) clock_skew: Duration,
    /// Whether tokens are introspected at a provider that supports it.
    pub(crate) introspection: bool,
    /// The prompt that the provider shows at every sign-in; `None`: none in particular.
    pub(crate) prompt: Option<String>,
    /// How the browser returns the code; `None`: the default of the provider.
    pub(crate) response_mode: Option<String>,
    /// Whether rules may use an email address that the provider has not verified.
    pub(crate) trust_email: bool,
    /// When a sign-in asks the userinfo endpoint.
    pub(crate) userinfo: AskUserinfo,
    /// Tenants whose users may sign in, where the issuer is a template.
    pub(crate) tenants: Vec<String>,
    at: Position,
    key: String,
}

/// The audience that a token must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audiences {
    /// One of these.
    OneOf(Vec<String>),
    /// Any.
    Any,
}

/// Reads all providers in the order of the file.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<Provider>> {
    let providers = value.named(|id, value| {
        let id = ProviderId::parse(id).map_err(|error| value.fault(error.to_string()));
        value.table(|table| Provider::read(table, id.ok())).flatten()
    });
    if let Some(providers) = &providers {
        refuse_shared_issuers(providers, value);
    }
    providers
}

/// Refuses two providers with one issuer: it would be undefined which of them a token belongs to.
fn refuse_shared_issuers(providers: &[Provider], value: &Value<'_>) {
    let mut seen: BTreeMap<&str, &Provider> = BTreeMap::new();
    for provider in providers {
        let issuer = provider.issuer.trim_end_matches('/');
        if let Some(first) = seen.insert(issuer, provider) {
            let message = format!(
                "has the issuer of the provider `{}`, expected one provider for an issuer",
                first.id
            );
            value.reading.report.fault(Some(provider.at), &provider.key, message);
        }
    }
}

impl Provider {
    fn read(table: &Table<'_>, id: Option<ProviderId>) -> Option<Self> {
        let allow_insecure_issuer = table.or("allow_insecure_issuer", false, Value::flag);
        let description = table.required("description", "\"Example Login\"", Value::line);
        let issuer = table.required("issuer", "\"https://login.example.org\"", |value| {
            issuer(value, allow_insecure_issuer)
        });
        let client_id = table.required("client_id", "\"credsmith\"", Value::line);
        let client_secret = table.get("client_secret").map(|value| secrets::secret(&value));
        let client = client(table, client_secret.is_some());
        let audiences = audiences(table);
        let roots = table.get("roots").map(|value| pem::roots(&value));
        let provider = Self {
            scopes: table.or("scopes", vec!["openid".into(), "profile".into()], scopes),
            subject_claim: table.or("subject_claim", "sub".into(), Value::line),
            disable_login: table.or("disable_login", false, Value::flag),
            addresses: table.or("addresses", Vec::new(), networks::read),
            clock_skew: table.or("clock_skew", Duration::from_secs(30), |value| {
                value.duration(Duration::ZERO..=Duration::from_secs(300))
            }),
            introspection: table.or("introspection", true, Value::flag),
            prompt: table
                .or("prompt", Some("select_account".to_owned()), |value| value.text().map(Some))
                .filter(|prompt| !prompt.is_empty()),
            response_mode: table
                .optional("response_mode", |value| value.one_of(&[("query", "query")]))
                .map(ToOwned::to_owned),
            trust_email: table.or("trust_email", false, Value::flag),
            userinfo: table.or("userinfo", AskUserinfo::WhenNeeded, |value| {
                value.one_of(&[
                    ("when_needed", AskUserinfo::WhenNeeded),
                    ("always", AskUserinfo::Always),
                    ("never", AskUserinfo::Never),
                ])
            }),
            extra_audiences: table
                .or("extra_audiences", Vec::new(), |value| value.list(Value::line)),
            tenants: table.or("tenants", Vec::new(), |value| value.list(tenant)),
            id: id?,
            description: description?,
            issuer: issuer?,
            client_id: client_id?,
            client_secret: client_secret.map_or(Some(None), |read| read.map(Some))?,
            client_auth: client.as_ref()?.0,
            client_key: client?.1,
            audiences: audiences?,
            roots: roots.map_or(Some(None), |read| read.map(Some))?,
            allow_insecure_issuer,
            at: table.value().at(),
            key: table.value().key().to_owned(),
        };
        Some(provider)
    }
}

fn issuer(value: &Value<'_>, allow_insecure: bool) -> Option<String> {
    let expected = "an issuer like \"https://login.example.org\"";
    let url: Url = value.parsed(expected)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match url.scheme() {
        _ if !plain || !url.has_host() => value.fault(format!("is not usable, expected {expected}")),
        "https" => return value.text(),
        "http" if allow_insecure => return value.text(),
        "http" => value.fault(
            "begins with http://, so that an attacker on the network can impersonate any user; expected https://, or \
             allow_insecure_issuer = true for trying things out",
        ),
        _ => value.fault(format!("is not usable, expected {expected}")),
    }
    None
}

/// How the daemon proves itself, and the key for it.
fn client(
    table: &Table<'_>,
    has_secret: bool,
) -> Option<(Option<ClientAuth>, Option<Arc<ClientKey>>)> {
    let auth = table.optional("client_auth", |value| {
        value.one_of(&[
            ("basic", ClientAuth::Basic),
            ("post", ClientAuth::Post),
            ("private_key_jwt", ClientAuth::PrivateKeyJwt),
        ])
    });
    let key = table.get("client_key").map(|value| client_key(&value));
    let wants_key = auth == Some(ClientAuth::PrivateKeyJwt);
    let problem = match (auth, key.is_some()) {
        (Some(ClientAuth::PrivateKeyJwt), false) => {
            "sets client_auth to private_key_jwt and has no client_key, expected `client_key = { file \
             = \"...\" }`"
        }
        (_, true) if !wants_key => {
            "has a client_key that is not used, expected `client_auth = \"private_key_jwt\"` with it"
        }
        (Some(ClientAuth::Basic | ClientAuth::Post), _) if !has_secret => {
            "sets client_auth and has no client_secret, expected `client_secret = { file = \"...\" }`"
        }
        _ => return Some((auth, key.map_or(Some(None), |read| read.map(Some))?)),
    };
    table.value().fault(problem);
    None
}

/// A reference to a private key in PEM, with the name that the provider knows it by.
fn client_key(value: &Value<'_>) -> Option<Arc<ClientKey>> {
    let (fetched, id) = secrets::secret_with(value, |table| table.optional("id", Value::line))?;
    ClientKey::from_pem(&fetched.secret, id.as_deref())
        .map(Arc::new)
        .map_err(|error| value.fault(error.to_string()))
        .ok()
}

fn audiences(table: &Table<'_>) -> Option<Audiences> {
    let any = table.or("any_audience", false, Value::flag);
    let listed = table.get("audience");
    match (listed, any) {
        (Some(value), false) => {
            let audiences = value.list(Value::line)?;
            if audiences.is_empty() {
                value.fault(
                    "is empty, so that no token would be accepted; expected at least one audience",
                );
            }
            Some(Audiences::OneOf(audiences))
        }
        (None, true) => Some(Audiences::Any),
        (Some(value), true) => {
            value.fault("is set beside any_audience = true, expected one of the two");
            None
        }
        (None, false) => {
            table.value().fault(
                "sets neither audience nor any_audience, so that no audience of a token is defined; expected \
                 `audience = [\"credsmith\"]`, or `any_audience = true` to accept tokens made for other services",
            );
            None
        }
    }
}

/// The GUID of a tenant, in lower case.
fn tenant(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.to_ascii_lowercase();
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    let fits = groups == [8, 4, 4, 4, 12]
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if !fits {
        value.fault(
            "is not a tenant, expected a GUID like \"11111111-2222-3333-4444-555555555555\"",
        );
    }
    fits.then_some(text)
}

fn scopes(value: &Value<'_>) -> Option<Vec<String>> {
    let scopes = value.list(|item| {
        let scope = item.line()?;
        // RFC 6749 section 3.3: printable ASCII without space, quote and backslash.
        let fits = scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if !fits {
            item.fault(
                "is not a scope, expected printable ASCII without blanks, quotes and backslashes",
            );
        }
        fits.then_some(scope)
    })?;
    if !scopes.iter().any(|scope| scope == "openid") {
        value.fault(
            "has no \"openid\", expected it: without it a provider need not identify the user",
        );
    }
    Some(scopes)
}
