//! Core's port for signing in with a browser, over the configured providers.
//!
//! The order of [`SignIn::finish`] matters: who redirected is asked before the code goes anywhere,
//! and of the ID token nothing is believed before its signature.

use std::time::Duration;

use async_trait::async_trait;
use credsmith_core::caller::Subject;
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::sign_in::{Begun, Flow, SignIn, Vouched};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind};

use crate::claims;
use crate::code_flow::{self, Redeemed, Setback};
use crate::discovery::{Found, SignInAt};
use crate::id_token::{self, Expected};
use crate::keys::{Reading, Signed};
use crate::options::CodeFlow;
use crate::provider::Provider;
use crate::providers::OidcProviders;
use crate::trouble::Trouble;

/// Said for every sign-in that does not hold, whatever the reason: the log has the cause.
const NOT_ACCEPTED: &str = "The sign-in was not accepted. Please begin again.";
const UNREACHABLE: &str = "The sign-in provider cannot be asked at the moment.";
const UNKNOWN: &str = "There is no such provider to sign in at.";

/// No code is longer: it came in a request head, which is bounded by the same number.
const MAX_CODE: usize = 16 * 1024;

impl Setback {
    fn into_error(self) -> Error {
        match self {
            Self::Refused(trouble) => {
                Error::new(Kind::Unauthenticated, NOT_ACCEPTED).because(trouble)
            }
            Self::Unasked(trouble) => Error::new(Kind::Upstream, UNREACHABLE).because(trouble),
        }
    }
}

impl From<Trouble> for Setback {
    /// A trouble with what came in, not with asking.
    fn from(trouble: Trouble) -> Self {
        Self::Refused(trouble)
    }
}

impl OidcProviders {
    /// The provider `id` and its settings for signing in, if one can sign in there.
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
    ) -> Result<Vouched, Setback> {
        let found = provider.found().map_err(Setback::Unasked)?;
        let at = found.sign_in().map_err(Setback::Unasked)?;
        redirected_by_the_provider(&found, at, issuer)?;
        let redeemed = code_flow::redeem(&provider.options, &found, at, flow, code).await?;
        let token = read(provider, &found, &redeemed).await?;
        let expected = Expected {
            issuer: &found.issuer,
            redirected_by: issuer,
            algorithms: &at.algorithms,
            client_id: &provider.options.client_id,
            nonce: &flow.nonce,
            access_token: redeemed.access_token.as_ref(),
            now: self.clock.now(),
            skew: provider.options.clock_skew,
        };
        let issuer = expected.judge(&token)?;
        Ok(vouched(provider, settings, token, issuer)?)
    }
}

// RFC 9207 section 2.4. Were it not asked, a provider that is configured too could have our codes
// for another one sent to itself.
fn redirected_by_the_provider(
    found: &Found,
    at: &SignInAt,
    issuer: Option<&str>,
) -> Result<(), Trouble> {
    match issuer {
        Some(issuer) if found.issuer.is(issuer) => Ok(()),
        Some(_) => Err("another issuer sent the browser back".into()),
        None if at.names_itself => {
            Err("the redirect does not name its issuer, which the provider always does".into())
        }
        None => Ok(()),
    }
}

async fn read(provider: &Provider, found: &Found, redeemed: &Redeemed) -> Result<Signed, Trouble> {
    let token = redeemed.id_token.expose_str().ok_or("the ID token is no text")?;
    match provider.read(found, token).await {
        Reading::Signed(signed) => Ok(signed),
        Reading::UnknownKey => {
            Err("the ID token names a key that the provider does not publish".into())
        }
        Reading::Opaque => Err("the ID token is not signed by the provider".into()),
    }
}

fn vouched(
    provider: &Provider,
    settings: &CodeFlow,
    token: Signed,
    issuer: String,
) -> Result<Vouched, Trouble> {
    let options = &provider.options;
    let mut claims = token.claims;
    let subject = claims::subject(&claims, &options.subject_claim)?.to_owned();
    if id_token::groups_are_elsewhere(&claims) {
        // Should some have come nevertheless, they are not to be taken for all of them.
        claims.remove("groups");
        tracing::warn!(
            provider = options.id.as_str(),
            "the provider left out the groups of somebody who is in too many; rules see none"
        );
    }
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
        let found = provider.found().map_err(|trouble| Setback::Unasked(trouble).into_error())?;
        let at = found.sign_in().map_err(|trouble| Setback::Unasked(trouble).into_error())?;
        code_flow::begin(&provider.options, settings, at, redirect_uri, state, &*self.entropy)
            .map_err(Error::internal)
    }

    async fn finish(
        &self,
        flow: Flow,
        code: Secret,
        issuer: Option<&str>,
    ) -> Result<Vouched, Error> {
        let (provider, settings) = self.sign_in_at(&flow.provider)?;
        if code.is_empty() || code.len() > MAX_CODE {
            return Err(Setback::Refused("the code is empty or too long".into()).into_error());
        }
        let Ok(_slot) = provider.sign_in_slots.try_acquire() else {
            return Err(Error::new(Kind::Busy, "Too many sign-ins at once; please try again.")
                .because("as many sign-ins as the provider may have are being finished")
                .retry_after(Duration::from_secs(1)));
        };
        self.vouch(provider, settings, &flow, &code, issuer).await.map_err(Setback::into_error)
    }
}
