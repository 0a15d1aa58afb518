//! The provider as a whole: its options, its state, tokens without a sign-in.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use credsmith_oidc::signing::{SigningError, SigningKey};
use url::Url;

use crate::accounts::{Account, Accounts};
use crate::clients::Client;
use crate::ledger::{Grant, Ledger, random};

/// The clock of a provider.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The options of a provider.
#[derive(Clone)]
pub struct Options {
    /// Its issuer: scheme, host and port of the listener that serves it, such as
    /// `http://127.0.0.1:8081`.
    pub issuer: String,
    /// The applications that may sign users in. The first of them is the audience of tokens without
    /// a sign-in.
    pub clients: Vec<Client>,
    /// The accounts on its page. `user-0` to `user-999999999`, each in the group users, exist
    /// besides and are not listed.
    pub accounts: Vec<Account>,
    /// How long an access token lives.
    pub token_lifetime: Duration,
    /// Whether the claims that scopes release are at userinfo alone, and not in ID tokens too, as
    /// with providers that keep to OpenID Connect Core section 5.4.
    pub thin_id_tokens: bool,
    /// Whether userinfo answers are signed (OpenID Connect Core section 5.3.2).
    pub signed_userinfo: bool,
    /// The time.
    pub now: Now,
}

impl Options {
    /// The demo accounts, tokens for an hour, full ID tokens, plain userinfo, the time of the
    /// machine.
    pub fn new(issuer: impl Into<String>, clients: Vec<Client>) -> Self {
        Self {
            issuer: issuer.into(),
            clients,
            accounts: Account::demo(),
            token_lifetime: Duration::from_secs(3600),
            thin_id_tokens: false,
            signed_userinfo: false,
            now: Arc::new(SystemTime::now),
        }
    }
}

/// Why the options make no provider.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The issuer is not just `http://` or `https://`, a host and a port.
    #[error(
        "the issuer has to be `http://` or `https://`, a host and perhaps a port, and nothing else"
    )]
    Issuer,
    /// Two clients have one id, or two accounts one name.
    #[error("client ids and account names have to be unique")]
    Repeated,
    /// There is no key to sign id tokens with.
    #[error("{0}")]
    Signing(SigningError),
    /// The system gives no randomness.
    #[error("{0}")]
    Random(getrandom::Error),
}

/// There is no account of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no account has that name")]
pub struct UnknownUser;

/// A token that is issued without a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its audience.
    pub audience: Vec<String>,
    /// How long it lives.
    pub lifetime: Duration,
}

/// The provider. A server has it as its only surface.
pub struct DevProvider {
    pub(crate) issuer: String,
    pub(crate) clients: Vec<Client>,
    pub(crate) accounts: Accounts,
    pub(crate) token_lifetime: Duration,
    pub(crate) thin_id_tokens: bool,
    pub(crate) signed_userinfo: bool,
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
            thin_id_tokens: options.thin_id_tokens,
            signed_userinfo: options.signed_userinfo,
            ledger: Ledger::new(),
            key: SigningKey::generate("dev-1").map_err(OptionsError::Signing)?,
            now: options.now,
        })
    }

    /// The token of `/dev/token`: scopes `openid profile email`, the audience of the first client,
    /// the usual life.
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
    /// # Errors No account has that name. (Without randomness there is no token either, and the
    /// error is the same.)
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

    /// Ends an access token, and all tokens of the same sign-in. Returns whether there was one.
    pub fn revoke_token(&self, token: &str) -> bool {
        self.ledger.revoke(token)
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.now)()
    }
}

/// Seconds since the epoch.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
