//! Core's port `SignIn`, for signing in with a browser, over the configured providers.
//!
//! The order of [`SignIn::finish`] matters: the issuer of the redirect is checked before the code
//! is sent, the signature of the ID token before any of its claims, and all of them before the
//! access token is sent to userinfo for what the ID token lacks.

use std::time::Duration;

use async_trait::async_trait;
use credsmith_core::address::Address;
use credsmith_core::caller::{Claims, Subject};
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::sign_in::{Begun, Flow, SignIn, Vouched};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind};
use serde_json::Value;

use crate::claims::{self, MAX_CLAIMS};
use crate::code_flow::{self, SignInError, TokenResponse};
use crate::discovery::{CodeFlowEndpoints, Discovered};
use crate::error::ProviderError;
use crate::id_token::{self, Expected};
use crate::jwt;
use crate::keys::{Reading, Signed};
use crate::lookup_queue::Lane;
use crate::options::{AskUserinfo, CodeFlow};
use crate::provider::Provider;
use crate::providers::OidcProviders;
use crate::userinfo::{Question, names_client};

/// The sentence for every refused sign-in, whatever the reason: the log has the cause.
const NOT_ACCEPTED: &str = "The sign-in was not accepted. Please begin again.";
const UNREACHABLE: &str = "The sign-in provider cannot be asked at the moment.";
const UNKNOWN: &str = "There is no such provider to sign in at.";

/// The longest code: it arrives in a request head, which has the same limit.
const MAX_CODE: usize = 16 * 1024;

impl SignInError {
    /// Whether it is a refusal of what was received: not where the provider could not be asked.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Rejected(error) if !error.is_unavailable())
    }

    fn into_error(self) -> Error {
        match self {
            Self::Rejected(error) => Error::new(Kind::Unauthenticated, NOT_ACCEPTED).because(error),
            Self::ProviderUnavailable(error) => {
                Error::new(Kind::Upstream, UNREACHABLE).because(error)
            }
        }
    }
}

impl From<ProviderError> for SignInError {
    /// An error of what was received, not of reaching the provider.
    fn from(error: ProviderError) -> Self {
        Self::Rejected(error)
    }
}

impl OidcProviders {
    /// The provider `id` and its code flow, if users can sign in there.
    fn sign_in_at(&self, id: &ProviderId) -> Result<(&Provider, &CodeFlow), Error> {
        let unknown = |cause: &'static str| Error::new(Kind::NotFound, UNKNOWN).because(cause);
        let (_, provider) = self.find(id).ok_or_else(|| unknown("no such provider"))?;
        let flow = provider
            .options
            .code_flow
            .as_ref()
            .ok_or_else(|| unknown("no code flow is configured"))?;
        if provider.options.login_disabled {
            return Err(unknown("logins at the provider are disabled"));
        }
        Ok((provider, flow))
    }

    async fn vouch(
        &self,
        provider: &Provider,
        settings: &CodeFlow,
        flow: &Flow,
        code: &Secret,
        issuer: Option<&str>,
    ) -> Result<Vouched, SignInError> {
        let found = provider.found().map_err(SignInError::ProviderUnavailable)?;
        let at = found.sign_in().map_err(SignInError::ProviderUnavailable)?;
        check_redirect_issuer(&found, at, issuer)?;
        let tokens = code_flow::redeem(provider, &found, at, flow, code).await?;
        let mut token = read(provider, &found, &tokens).await?;
        let expected = Expected {
            issuer: &found.issuer,
            redirect_issuer: issuer,
            algorithms: at.algorithms.as_deref(),
            client_id: &provider.options.client_id,
            extra_audiences: &provider.options.extra_audiences,
            nonce: &flow.nonce,
            access_token: tokens.access_token.as_ref(),
            now: self.clock.now(),
            skew: provider.options.clock_skew,
        };
        let issuer = expected.validate(&token)?;
        complete(provider, settings, &found, &tokens, &mut token.claims).await?;
        without_partial_groups(provider, &mut token.claims);
        Ok(vouched(provider, settings, token, issuer)?)
    }
}

// RFC 9207 section 2.4. Without this check, one configured provider could have codes of another one
// sent to itself.
fn check_redirect_issuer(
    found: &Discovered,
    at: &CodeFlowEndpoints,
    issuer: Option<&str>,
) -> Result<(), ProviderError> {
    match issuer {
        Some(issuer) if found.issuer.matches(issuer) => Ok(()),
        Some(_) => Err("another issuer sent the browser back".into()),
        None if at.redirect_names_issuer => {
            Err("the redirect does not name its issuer, which the provider always does".into())
        }
        None => Ok(()),
    }
}

async fn read(
    provider: &Provider,
    found: &Discovered,
    tokens: &TokenResponse,
) -> Result<Signed, ProviderError> {
    let token = tokens.id_token.expose_str().ok_or("the ID token is no text")?;
    match provider.read(found, token).await {
        Reading::Signed(signed) => Ok(signed),
        reading => match jwt::unverifiable(token, "id_token") {
            Some(why) => Err(ProviderError::new(format!("the ID token {why}"))),
            None if reading == Reading::UnknownKey => {
                Err("the ID token names a key that the provider does not publish".into())
            }
            None => Err("the ID token is not signed by the provider".into()),
        },
    }
}

/// Adds what only userinfo says, where it is to be asked: many providers put next to nothing into
/// ID tokens (OpenID Connect Core section 5.4).
async fn complete(
    provider: &Provider,
    settings: &CodeFlow,
    found: &Discovered,
    tokens: &TokenResponse,
    claims: &mut Claims,
) -> Result<(), SignInError> {
    let options = &provider.options;
    let lacks = |name: &String| {
        let is_absent = |name: &str| claims.get(name).is_none_or(Value::is_null);
        // An address without any statement about it may be verified there.
        let is_unstated = name == "email" && !settings.trust_email;
        is_absent(name) || is_unstated && is_absent("email_verified") && is_absent("xms_edov")
    };
    let wanted = match settings.userinfo {
        AskUserinfo::Never => false,
        AskUserinfo::Always => true,
        AskUserinfo::WhenNeeded => {
            settings.claims.iter().chain([&options.subject_claim]).any(lacks)
        }
    };
    let Some(endpoint) = found.userinfo.as_ref().filter(|_| wanted) else { return Ok(()) };
    let Some(token) = &tokens.access_token else {
        return if settings.userinfo == AskUserinfo::Always {
            Err(ProviderError::from("the provider gave no access token to ask userinfo with")
                .into())
        } else {
            Ok(())
        };
    };
    let accepts = |audience: &Value| names_client(audience, &options.client_id);
    let time = found.client.timeout();
    let question = Question { found, endpoint, token, time, accepts: &accepts };
    let userinfo = provider.userinfo(&question).await.map_err(|error| {
        SignInError::ProviderUnavailable(
            error.with_hint("`userinfo = \"never\"` keeps sign-ins from asking it"),
        )
    })?;
    // Without this check, a token that was swapped for another user's would add that user's claims
    // (OpenID Connect Core section 5.3.2).
    if userinfo.get("sub") != claims.get("sub") {
        return Err(ProviderError::from("userinfo is about another user than the ID token").into());
    }
    claims::complete(claims, userinfo);
    if claims::text_length(claims) > MAX_CLAIMS {
        return Err(ProviderError::from("the claims of the user are too large").into());
    }
    Ok(())
}

/// Removes groups that are not all of the user's: rules must not take them for all.
fn without_partial_groups(provider: &Provider, claims: &mut Claims) {
    if id_token::groups_are_omitted(claims) {
        claims.remove("groups");
        tracing::warn!(
            provider = provider.options.id.as_str(),
            "the provider left out the groups of a user who is in too many; rules see none"
        );
    }
}

fn vouched(
    provider: &Provider,
    settings: &CodeFlow,
    token: Signed,
    issuer: String,
) -> Result<Vouched, ProviderError> {
    let (options, claims) = (&provider.options, token.claims);
    let subject = claims::subject(&claims, &options.subject_claim)?.to_owned();
    Ok(Vouched {
        provider: options.id.clone(),
        subject: Subject { issuer, subject },
        email_is_trusted: settings.trust_email || id_token::email_is_verified(&claims),
        claims,
    })
}

#[async_trait]
impl SignIn for OidcProviders {
    fn begin(
        &self,
        provider: &ProviderId,
        redirect_uri: &str,
        state: &str,
    ) -> Result<Begun, Error> {
        let (provider, settings) = self.sign_in_at(provider)?;
        let found = provider
            .found()
            .map_err(|error| SignInError::ProviderUnavailable(error).into_error())?;
        let at = found
            .sign_in()
            .map_err(|error| SignInError::ProviderUnavailable(error).into_error())?;
        code_flow::begin(&provider.options, settings, at, redirect_uri, state, &*self.entropy)
            .map_err(Error::internal)
    }

    async fn finish(
        &self,
        flow: &Flow,
        code: Secret,
        issuer: Option<&str>,
        from: Address,
    ) -> Result<Vouched, Error> {
        let (provider, settings) = self.sign_in_at(&flow.provider)?;
        if code.is_empty() || code.len() > MAX_CODE {
            return Err(SignInError::Rejected("the code is empty or too long".into()).into_error());
        }
        let Some(place) = provider.exchanges.place(Some(from), Lane::Stranger).await else {
            return Err(Error::new(Kind::Busy, "Too many sign-ins at once; please try again.")
                .because("as many sign-ins as the provider may have are being finished")
                .retry_after(Duration::from_secs(1)));
        };
        let outcome = self.vouch(provider, settings, flow, &code, issuer).await;
        match &outcome {
            Ok(_) => place.end(true),
            Err(error) if error.is_refusal() => place.end(false),
            Err(_) => drop(place),
        }
        outcome.map_err(SignInError::into_error)
    }
}
