//! The requests of the authorization-code flow: the authorization URL (with PKCE and nonce, by the
//! crate openidconnect), and the exchange of the code.
//!
//! The exchange is read as plain JSON like every other answer of a provider, not by openidconnect:
//! its typed ID tokens fail for claims that are unusual but harmless (an `email_verified` that is a
//! string), and leave out what has no standard name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credsmith_core::ports::Entropy;
use credsmith_core::ports::providers::ProviderRefusal;
use credsmith_core::ports::sign_in::{Begun, Flow};
use credsmith_core::secret::Secret;
use http::StatusCode;
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreJsonWebKeySet};
use openidconnect::{
    AuthUrl, ClientId, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope,
};
use serde_json::Value;

use crate::answer::Object;
use crate::discovery::{CodeFlowEndpoints, Discovered};
use crate::error::ProviderError;
use crate::options::{CodeFlow, ProviderOptions};
use crate::provider::Provider;

/// Bytes of a nonce and of a PKCE verifier: the 256 bits of RFC 7636 section 7.1.
const RANDOM_BYTES: usize = 32;

const TOKEN_ENDPOINT: &str = "the token endpoint";

/// Why a sign-in failed.
#[derive(Debug)]
pub(crate) enum SignInError {
    /// The browser or the provider sent something that is invalid.
    Rejected(ProviderError),
    /// The provider could not be reached, or its answer cannot be understood.
    ProviderUnavailable(ProviderError),
}

/// The tokens that the code was exchanged for.
#[derive(Debug)]
pub(crate) struct TokenResponse {
    pub(crate) id_token: Secret,
    pub(crate) access_token: Option<Secret>,
}

/// The URL that the browser is sent to, and the state that finishing needs.
///
/// # Errors
/// For the log: the redirect URI is no URL.
pub(crate) fn begin(
    options: &ProviderOptions,
    flow: &CodeFlow,
    at: &CodeFlowEndpoints,
    redirect_uri: &str,
    state: &str,
    entropy: &dyn Entropy,
) -> Result<Begun, ProviderError> {
    let (verifier, nonce) = (random(entropy), random(entropy));
    let challenge =
        PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.clone()));
    let redirect_url = RedirectUrl::new(redirect_uri.to_owned())
        .map_err(|_| ProviderError::new("the redirect URI is no URL"))?;
    // Issuer and keys serve to verify ID tokens, which this client never does.
    let issuer = IssuerUrl::from_url(at.authorization.clone());
    let client = CoreClient::new(
        ClientId::new(options.client_id.clone()),
        issuer,
        CoreJsonWebKeySet::new(Vec::new()),
    )
    .set_auth_uri(AuthUrl::from_url(at.authorization.clone()))
    .set_redirect_uri(redirect_url);
    let (state, own_nonce) = (CsrfToken::new(state.to_owned()), Nonce::new(nonce.clone()));
    // openidconnect adds `openid` itself.
    let scopes = options.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new);
    let mut request = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, || state, || own_nonce)
        .add_scopes(scopes)
        .set_pkce_challenge(challenge);
    for (name, value) in [("prompt", &flow.prompt), ("response_mode", &flow.response_mode)] {
        if let Some(value) = value {
            request = request.add_extra_param(name, value);
        }
    }
    let (uri, _, _) = request.url();
    let flow = Flow {
        provider: options.id.clone(),
        verifier: Secret::new(verifier),
        nonce: Secret::new(nonce),
        redirect_uri: redirect_uri.to_owned(),
    };
    Ok(Begun { uri: uri.into(), flow })
}

fn random(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; RANDOM_BYTES];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Exchanges `code` at the token endpoint (RFC 6749 section 4.1.3).
pub(crate) async fn redeem(
    provider: &Provider,
    found: &Discovered,
    at: &CodeFlowEndpoints,
    flow: &Flow,
    code_secret: &Secret,
) -> Result<TokenResponse, SignInError> {
    let (Some(code), Some(verifier)) = (code_secret.expose_str(), flow.verifier.expose_str())
    else {
        return Err(SignInError::Rejected(ProviderError::new("the code is no text")));
    };
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &flow.redirect_uri),
        ("code_verifier", verifier),
    ];
    let unavailable = SignInError::ProviderUnavailable;
    let request = provider.own_client().form(&at.token, &form).map_err(unavailable)?;
    let answer = found
        .client
        .send(request, TOKEN_ENDPOINT, found.client.timeout())
        .await
        .map_err(unavailable)?;
    if answer.status() == StatusCode::OK {
        return tokens(answer.json(TOKEN_ENDPOINT).map_err(unavailable)?);
    }
    let secrets = [provider.secrets(code_secret), vec![&flow.verifier]].concat();
    Err(refusal(answer.status(), answer.said(&secrets)))
}

fn tokens(answer: Object) -> Result<TokenResponse, SignInError> {
    let Object(mut members) = answer;
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Some(Secret::new(text)),
        _ => None,
    };
    let access_token = text("access_token");
    let id_token = text("id_token").ok_or_else(|| {
        SignInError::Rejected(ProviderError::new("the provider gave no ID token"))
    })?;
    Ok(TokenResponse { id_token, access_token })
}

// Only the error codes of RFC 6749 section 5.2 with a single meaning are distinguished. What the
// provider said stays beside the reason, as data.
fn refusal(status: StatusCode, said: Option<ProviderRefusal>) -> SignInError {
    let code = said.as_ref().and_then(ProviderRefusal::error);
    let (wrap, reason): (fn(ProviderError) -> SignInError, _) = match code {
        Some("invalid_grant") => (
            SignInError::Rejected,
            ProviderError::new(
                "the provider refused the code: spent, expired, or given for something else",
            ),
        ),
        Some("invalid_client" | "unauthorized_client") => (
            SignInError::ProviderUnavailable,
            ProviderError::new(
                "the provider does not accept our client_id and client_secret for a sign-in; \
                 `client_auth` selects another way to authenticate",
            ),
        ),
        _ => (
            SignInError::ProviderUnavailable,
            ProviderError::new(format!(
                "{TOKEN_ENDPOINT}: the provider answered with status {}",
                status.as_u16()
            )),
        ),
    };
    wrap(reason.with_said(said))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use credsmith_core::doubles::SeededEntropy;
    use credsmith_core::ids::ProviderId;
    use url::Url;

    use super::*;
    use crate::credentials::{Credentials, Endpoint};

    fn at() -> CodeFlowEndpoints {
        let url = |text: &str| Url::parse(text).unwrap();
        CodeFlowEndpoints {
            authorization: url("https://op/authorize?tenant=a"),
            token: Endpoint {
                url: url("https://op/token"),
                credentials: Credentials::Basic,
                audience: "https://op/token".into(),
            },
            algorithms: None,
            redirect_names_issuer: true,
        }
    }

    fn begun(flow: &CodeFlow, entropy: &SeededEntropy) -> (Begun, HashMap<String, String>) {
        let mut options =
            ProviderOptions::new(ProviderId::parse("op").unwrap(), "https://op", "us & co");
        options.scopes = ["openid", "email"].map(str::to_owned).to_vec();
        let begun =
            begin(&options, flow, &at(), "https://us/v1/auth/redirect", "ck&1", entropy).unwrap();
        let url = Url::parse(&begun.uri).unwrap();
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let query: HashMap<_, _> = pairs.iter().cloned().collect();
        assert_eq!(pairs.len(), query.len(), "a parameter comes twice: {url}");
        (begun, query)
    }

    #[test]
    fn the_authorization_url_has_every_parameter_and_no_secret() {
        let entropy = SeededEntropy::new(1);
        let flow = CodeFlow { response_mode: Some("query".into()), ..CodeFlow::default() };
        let (Begun { uri, flow }, query) = begun(&flow, &entropy);
        let verifier = flow.verifier.expose_str().unwrap();
        assert_eq!(verifier.len(), 43);
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.into()));
        let expected = [
            ("tenant", "a"),
            ("response_type", "code"),
            ("client_id", "us & co"),
            ("redirect_uri", "https://us/v1/auth/redirect"),
            ("scope", "openid email"),
            ("state", "ck&1"),
            ("nonce", flow.nonce.expose_str().unwrap()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("prompt", "select_account"),
            ("response_mode", "query"),
        ];
        assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(uri.starts_with("https://op/authorize?") && !uri.contains(verifier), "{uri}");
        assert_eq!(flow.redirect_uri, "https://us/v1/auth/redirect");
    }

    #[test]
    fn no_two_flows_share_a_secret() {
        let (entropy, flow) =
            (SeededEntropy::new(1), CodeFlow { prompt: None, ..CodeFlow::default() });
        let ((one, query), (other, _)) = (begun(&flow, &entropy), begun(&flow, &entropy));
        assert!(!query.contains_key("prompt") && !query.contains_key("response_mode"));
        assert!(!one.flow.nonce.verify(other.flow.nonce.expose()));
        assert!(!one.flow.verifier.verify(other.flow.verifier.expose()));
        assert!(!one.flow.verifier.verify(one.flow.nonce.expose()));
    }

    #[test]
    fn a_refusal_keeps_what_the_provider_said_beside_the_reason() {
        let outcome = |status: u16, error: &str| {
            let said = ProviderRefusal::new(Some(error), Some("canary"), &[]);
            refusal(StatusCode::from_u16(status).unwrap(), said)
        };
        let said = |error: &ProviderError| {
            let source = std::error::Error::source(error).unwrap();
            source.downcast_ref::<ProviderRefusal>().unwrap().description().unwrap().to_owned()
        };
        let SignInError::Rejected(why) = outcome(400, "invalid_grant") else { panic!() };
        assert_eq!(said(&why), "canary");
        for error in ["invalid_client", "unauthorized_client", "canary"] {
            let SignInError::ProviderUnavailable(why) = outcome(401, error) else {
                panic!("{error}")
            };
            assert!(!why.to_string().contains("canary"), "{why}");
            assert_eq!(said(&why), "canary");
        }
        assert!(matches!(
            refusal(StatusCode::BAD_GATEWAY, None),
            SignInError::ProviderUnavailable(_)
        ));
    }
}
