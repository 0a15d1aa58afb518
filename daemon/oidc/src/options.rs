//! The options of providers, and their checks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use credsmith_core::ids::ProviderId;
use credsmith_core::secret::Secret;
use credsmith_http::client::AddressPolicy;
use url::Url;

use crate::audience::Audiences;
use crate::client_key::ClientKey;
use crate::issuer;

/// Where a discovery document lies below its issuer (OpenID Connect Discovery section 4).
pub(crate) const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// One provider. Lists show the providers in the order of their options.
#[derive(Clone)]
pub struct ProviderOptions {
    /// Its id.
    pub id: ProviderId,
    /// Its name for users.
    pub description: String,
    /// Its issuer, or the address of its discovery document, which ends in
    /// `/.well-known/openid-configuration`.
    pub issuer: String,
    /// The client id of this daemon at the provider.
    pub client_id: String,
    /// The client secret. Without one and without a client key, tokens are not introspected: an
    /// introspection endpoint must authenticate its clients.
    pub client_secret: Option<Arc<Secret>>,
    /// How the daemon proves itself at the provider; `None`: by the secret, in a way that the
    /// provider announces.
    pub client_auth: Option<ClientAuth>,
    /// The key for [`ClientAuth::PrivateKeyJwt`].
    pub client_key: Option<Arc<ClientKey>>,
    /// The scopes that a sign-in requests; `openid` is among them.
    pub scopes: Vec<String>,
    /// The audiences of access tokens that are accepted.
    pub audiences: Audiences,
    /// Audiences that an ID token may name beside `client_id` without saying which of them it was
    /// made for (OpenID Connect Core section 3.1.3.7, steps 3 and 4).
    pub extra_audiences: Vec<String>,
    /// The claim that identifies a user.
    pub subject_claim: String,
    /// Whether signing in with this provider is disabled.
    pub login_disabled: bool,
    /// Whether tokens are introspected if the provider supports it. A failed introspection refuses
    /// the token; without introspection, a revoked token is refused only if the userinfo endpoint
    /// refuses it.
    pub introspection: bool,
    /// The addresses that its issuer and every discovered endpoint may have.
    pub addresses: AddressPolicy,
    /// Certificate authorities to trust in addition to the system's, as PEM.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// Whether `http://` is allowed. Tokens are then sent in the clear.
    pub allow_insecure: bool,
    /// The tolerated difference between its clock and the daemon's.
    pub clock_skew: Duration,
    /// The accepted tenants of a provider of many: GUIDs in lower case. Required for, and only for,
    /// an `issuer` of Entra ID under `/common/v2.0` or `/organizations/v2.0`, whose discovered
    /// issuer is a template.
    pub tenants: Vec<String>,
    /// How users sign in here with a browser; `None` if they cannot.
    pub code_flow: Option<CodeFlow>,
}

/// How a client proves itself (OpenID Connect Core section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`: the secret in the `Authorization` header.
    Basic,
    /// `client_secret_post`: the secret in the form.
    Post,
    /// `private_key_jwt`: an assertion that a key signs.
    PrivateKeyJwt,
}

/// When the userinfo endpoint is asked after a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskUserinfo {
    /// When the ID token lacks a claim of [`CodeFlow::claims`] or the subject claim.
    WhenNeeded,
    /// Always.
    Always,
    /// Never: the claims of the ID token are all there are.
    Never,
}

/// A sign-in with a browser: the authorization-code flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFlow {
    /// The `prompt` parameter (OpenID Connect Core section 3.1.2.1); `None` leaves the prompts to
    /// the provider.
    pub prompt: Option<String>,
    /// The `response_mode` parameter: `query`, which is also the default of the flow.
    pub response_mode: Option<String>,
    /// Whether the `email` claim is trusted although the provider does not state that it was
    /// verified. Safe only for a provider where users cannot enter the address of another person.
    pub trust_email: bool,
    /// When the userinfo endpoint is asked, where the provider has one.
    pub userinfo: AskUserinfo,
    /// The claims that are used: those of the user's name and of rules.
    pub claims: Vec<String>,
}

impl Default for CodeFlow {
    fn default() -> Self {
        Self {
            prompt: Some("select_account".into()),
            response_mode: None,
            trust_email: false,
            userinfo: AskUserinfo::WhenNeeded,
            claims: ["name", "email", "groups"].map(str::to_owned).to_vec(),
        }
    }
}

impl ProviderOptions {
    /// A provider with the default settings: tokens for the audience `client_id`, public
    /// addresses, https.
    pub fn new(id: ProviderId, issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        Self {
            description: id.to_string(),
            id,
            issuer: issuer.into(),
            audiences: Audiences::OneOf(vec![client_id.clone()]),
            client_id,
            client_secret: None,
            client_auth: None,
            client_key: None,
            extra_audiences: Vec::new(),
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            subject_claim: "sub".into(),
            login_disabled: false,
            introspection: true,
            addresses: AddressPolicy::default(),
            extra_roots_pem: None,
            allow_insecure: false,
            clock_skew: Duration::from_secs(30),
            tenants: Vec::new(),
            code_flow: None,
        }
    }

    /// Every issuer that tokens of this provider may name, by its configuration alone.
    pub(crate) fn issuers(&self) -> Vec<String> {
        issuer::configured(self.issuer(), &self.tenants)
    }

    /// The configured issuer, without the path of the discovery document.
    pub(crate) fn issuer(&self) -> &str {
        self.issuer.strip_suffix(WELL_KNOWN).unwrap_or(&self.issuer)
    }

    /// Whether the daemon can prove itself at the provider.
    pub(crate) fn authenticates(&self) -> bool {
        match self.client_auth {
            Some(ClientAuth::PrivateKeyJwt) => self.client_key.is_some(),
            Some(ClientAuth::Basic | ClientAuth::Post) | None => self.client_secret.is_some(),
        }
    }

    /// Every fault of these options.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut wrong = |setting, problem| {
            faults.push(Fault { provider: self.id.clone(), setting, problem });
        };
        if let Err(problem) = check_endpoint(self.issuer(), self.allow_insecure) {
            wrong("issuer", problem);
        }
        if self.client_id.is_empty() || self.client_id.chars().any(char::is_control) {
            wrong("client_id", "expected a printable text");
        }
        if self
            .client_secret
            .as_ref()
            .is_some_and(|secret| secret.is_empty() || secret.expose_str().is_none())
        {
            wrong("client_secret", "expected a text that is not empty");
        }
        if self.client_auth.is_some() && !self.authenticates() {
            wrong("client_auth", "expected the secret or the key that it needs");
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            wrong("scopes", "expected `openid` among them");
        }
        if !self.scopes.iter().all(|scope| is_scope(scope)) {
            wrong("scopes", "expected words without blanks, quotes or backslashes");
        }
        if self.audiences == Audiences::OneOf(Vec::new()) {
            wrong("audience", "expected at least one, or no token would be accepted");
        }
        if self.subject_claim.is_empty() {
            wrong("subject_claim", "expected the name of a claim");
        }
        if self.clock_skew > Duration::from_secs(300) {
            wrong("clock_skew", "expected five minutes at most");
        }
        if let Some(problem) = self.wrong_tenants() {
            wrong("tenants", problem);
        }
        let flow = self.code_flow.as_ref();
        if flow
            .and_then(|flow| flow.prompt.as_deref())
            .is_some_and(|prompt| !prompt.split(' ').all(is_scope))
        {
            wrong("prompt", "expected words with one blank between them, such as `select_account`");
        }
        if flow.and_then(|flow| flow.response_mode.as_deref()).is_some_and(|mode| mode != "query") {
            wrong(
                "response_mode",
                "expected `query`, the only one that a redirect to us is read with",
            );
        }
        faults
    }

    fn wrong_tenants(&self) -> Option<&'static str> {
        match issuer::template(self.issuer()) {
            Some(_) if self.tenants.is_empty() => Some(
                "expected at least one, or the users of every tenant of the provider could come in",
            ),
            None if !self.tenants.is_empty() => Some(
                "expected none, as the issuer is not one for many tenants (`/common/v2.0`, `/organizations/v2.0`)",
            ),
            Some(_) if !self.tenants.iter().all(|tenant| is_guid(tenant)) => {
                Some("expected GUIDs in lower case")
            }
            _ => None,
        }
    }
}

// 8-4-4-4-12 digits of RFC 9562 section 4, in the spelling that tokens use.
fn is_guid(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(digits)
}

// scope-token of RFC 6749 section 3.3
fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

/// Parses `text` as the URL of an endpoint that may receive a token.
pub(crate) fn check_endpoint(text: &str, allow_insecure: bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "expected a URL")?;
    match url.scheme() {
        "https" => {}
        "http" if allow_insecure => {}
        "http" => return Err("expected https, as insecure issuers are not allowed"),
        _ => return Err("expected an https URL"),
    }
    if !url.has_host()
        || !url.username().is_empty()
        || url.password().is_some()
        || url.fragment().is_some()
    {
        return Err("expected a URL with a host, without user and fragment");
    }
    Ok(url)
}

/// One fault of the options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The provider that has it.
    pub provider: ProviderId,
    /// The setting, named as the field of [`ProviderOptions`].
    pub setting: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider {}: {}: {}", self.provider, self.setting, self.problem)
    }
}

impl std::error::Error for Fault {}

/// Bounds that hold for all providers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long an identification is cached.
    pub cache_ttl: Duration,
    /// How many identifications are cached.
    pub cache_entries: usize,
    /// How many look-ups of one provider may run at once.
    pub look_ups_in_flight: usize,
    /// How many sign-ins at one provider may be finished at once.
    pub sign_ins_in_flight: usize,
    /// How long one look-up, or one request of a discovery, may take.
    pub request_timeout: Duration,
    /// After how long the discovery document and the keys are fetched again.
    pub refresh: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_ttl: Duration::from_secs(30),
            cache_entries: 10_000,
            look_ups_in_flight: 32,
            sign_ins_in_flight: 32,
            request_timeout: Duration::from_secs(10),
            refresh: Duration::from_secs(3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(issuer: &str) -> ProviderOptions {
        ProviderOptions::new(ProviderId::parse("op").unwrap(), issuer, "us")
    }

    #[test]
    fn a_good_provider_has_no_faults() {
        for issuer in [
            "https://op.example",
            "https://op.example/",
            "https://op.example/a/.well-known/openid-configuration",
        ] {
            assert_eq!(options(issuer).check(), [], "{issuer}");
        }
        assert_eq!(
            options("https://op.example/a/.well-known/openid-configuration").issuer(),
            "https://op.example/a"
        );
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let mut bad = options("http://op.example");
        bad.client_id.clear();
        bad.client_secret = Some(Arc::new(Secret::new("")));
        bad.scopes = vec!["a b".into()];
        bad.audiences = Audiences::OneOf(Vec::new());
        bad.subject_claim.clear();
        bad.clock_skew = Duration::from_secs(301);
        bad.client_auth = Some(ClientAuth::PrivateKeyJwt);
        let settings: Vec<_> = bad.check().iter().map(|fault| fault.setting).collect();
        assert_eq!(
            settings,
            [
                "issuer",
                "client_id",
                "client_secret",
                "client_auth",
                "scopes",
                "scopes",
                "audience",
                "subject_claim",
                "clock_skew"
            ]
        );
    }

    #[test]
    fn an_issuer_for_many_tenants_lists_them_and_no_other_does() {
        const TENANT: &str = "11111111-1111-4111-8111-11111111111a";
        let faulty = |issuer: &str, tenants: &[&str]| {
            let mut options = options(issuer);
            options.tenants = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
            options.check().iter().any(|fault| fault.setting == "tenants")
        };
        for many in [
            "https://op/common/v2.0",
            "https://op/organizations/v2.0/.well-known/openid-configuration",
        ] {
            assert!(!faulty(many, &[TENANT]) && faulty(many, &[]), "{many}");
            for bad in [
                "common",
                "",
                "{tenantid}",
                &TENANT.to_uppercase(),
                &TENANT[1..],
                &format!("{TENANT} "),
            ] {
                assert!(faulty(many, &[TENANT, bad]), "{bad}");
            }
        }
        let one = format!("https://op/{TENANT}/v2.0");
        assert!(!faulty(&one, &[]) && faulty(&one, &[TENANT]));
    }

    #[test]
    fn only_supported_parameters_of_the_code_flow_are_accepted() {
        let faults = |flow: CodeFlow| {
            let mut options = options("https://op");
            options.code_flow = Some(flow);
            options.check().iter().map(|fault| fault.setting).collect::<Vec<_>>()
        };
        assert_eq!(faults(CodeFlow::default()), [""; 0]);
        let flow = |prompt: Option<&str>, mode: Option<&str>| CodeFlow {
            prompt: prompt.map(str::to_owned),
            response_mode: mode.map(str::to_owned),
            trust_email: true,
            ..CodeFlow::default()
        };
        assert_eq!(faults(flow(None, Some("query"))), [""; 0]);
        assert_eq!(faults(flow(Some("login consent"), None)), [""; 0]);
        assert_eq!(faults(flow(Some(""), Some("form_post"))), ["prompt", "response_mode"]);
        assert_eq!(faults(flow(Some("a  b"), Some("fragment"))), ["prompt", "response_mode"]);
    }

    #[test]
    fn an_endpoint_is_https_without_a_user() {
        for bad in [
            "",
            "op",
            "ftp://op",
            "https://",
            "https://u@op",
            "https://u:p@op",
            "https://op/#x",
            "http://op",
            "data:,x",
        ] {
            assert!(check_endpoint(bad, false).is_err(), "{bad}");
        }
        assert!(check_endpoint("http://op", true).is_ok());
    }
}
