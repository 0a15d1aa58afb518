//! Learns from a provider's discovery document where its endpoints are (OpenID Connect Discovery
//! 1.0).
//!
//! The document decides where tokens and our client secret go. So it must be of the configured
//! issuer, and every endpoint in it has to satisfy the provider's scheme and address policy, the
//! same as the issuer itself.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use credsmith_http::client::{Client, ClientOptions, Destination};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::answer::Object;
use crate::credentials::Credentials;
use crate::issuer::Issuer;
use crate::keys::KeySet;
use crate::options::{ProviderOptions, WELL_KNOWN, check_endpoint};
use crate::trouble::Trouble;
use crate::wire::Wire;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Extra {
    introspection_endpoint: Option<String>,
    introspection_endpoint_auth_methods_supported: Option<Vec<CoreClientAuthMethod>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for Extra {}

type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What a discovery found.
pub(crate) struct Found {
    /// As whom it may speak.
    pub(crate) issuer: Issuer,
    pub(crate) userinfo: Url,
    /// Where to introspect; `None` if the provider does not offer it, or if we shall not or cannot
    /// use it.
    pub(crate) introspection: Option<Endpoint>,
    /// Where people sign in with a browser; `None` if they shall not, and why if they cannot:
    /// bearers of tokens get in all the same.
    pub(crate) sign_in: Option<Result<SignInAt, Trouble>>,
    /// Reaches the endpoints of this provider and nothing else.
    pub(crate) wire: Wire,
    keys_url: Url,
    keys: RwLock<Arc<KeySet>>,
}

/// An endpoint that asks who we are.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) credentials: Credentials,
}

/// What a code flow needs to know of the provider.
pub(crate) struct SignInAt {
    /// Where browsers are sent. We never go there.
    pub(crate) authorization: Url,
    pub(crate) token: Endpoint,
    /// What ID tokens may be signed with: asymmetric algorithms only.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Whether the provider names itself in every redirect (RFC 9207 section 3).
    pub(crate) names_itself: bool,
}

/// Asks the provider for its document and its keys.
///
/// # Errors
/// For the log: which request failed, or what in the document is not acceptable.
pub(crate) async fn discover(
    options: &ProviderOptions,
    timeout: Duration,
) -> Result<Found, Trouble> {
    let address = document_address(options)?;
    let wire = Wire::new(client(options, [&address])?, timeout);
    let document = wire.object(Wire::get(&address), "the discovery document").await?;
    let metadata = understand(document)?;
    let found = survey(&metadata, options, timeout)?;
    found.refresh_keys().await?;
    Ok(found)
}

impl Found {
    /// Where people sign in.
    ///
    /// # Errors
    /// For the log: why they cannot.
    pub(crate) fn sign_in(&self) -> Result<&SignInAt, Trouble> {
        let at = self.sign_in.as_ref().ok_or("the provider was discovered without a code flow")?;
        at.as_ref().map_err(Trouble::clone)
    }

    /// Why people cannot sign in although they shall.
    pub(crate) fn sign_in_trouble(&self) -> Option<Trouble> {
        let why = self.sign_in.as_ref()?.as_ref().err()?;
        Some(Trouble::new(format!("nobody can sign in there with a browser: {why}")))
    }

    /// The keys as last fetched.
    pub(crate) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches the keys anew; those at hand stay if that fails.
    pub(crate) async fn refresh_keys(&self) -> Result<(), Trouble> {
        let published =
            self.wire.object(Wire::get(&self.keys_url), "the keys of the provider").await?;
        let keys = Arc::new(KeySet::from_published(published)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

fn document_address(options: &ProviderOptions) -> Result<Url, Trouble> {
    let issuer = options.issuer();
    let address = format!("{}{WELL_KNOWN}", issuer.strip_suffix('/').unwrap_or(issuer));
    Ok(check_endpoint(&address, options.allow_insecure)?)
}

fn understand(document: Object) -> Result<Metadata, Trouble> {
    serde_json::from_value(Value::Object(document.0)).map_err(|_| {
        Trouble::new("the discovery document lacks a required member, or has one of the wrong type")
    })
}

fn survey(
    metadata: &Metadata,
    options: &ProviderOptions,
    timeout: Duration,
) -> Result<Found, Trouble> {
    let issuer = Issuer::discovered(metadata.issuer().as_str(), options)?;
    let userinfo =
        metadata.userinfo_endpoint().ok_or("the discovery document names no userinfo_endpoint")?;
    let userinfo = endpoint("userinfo_endpoint", userinfo.as_str(), options)?;
    let keys_url = endpoint("jwks_uri", metadata.jwks_uri().as_str(), options)?;
    let introspection = introspection(metadata, options)?;
    let sign_in = options.code_flow.is_some().then(|| sign_in(metadata, options));
    let token = sign_in.as_ref().and_then(|at| at.as_ref().ok()).map(|at| &at.token);
    let called = [introspection.as_ref(), token];
    let destinations = [&userinfo, &keys_url]
        .into_iter()
        .chain(called.into_iter().flatten().map(|called| &called.url));
    let wire = Wire::new(client(options, destinations)?, timeout);
    Ok(Found { issuer, userinfo, introspection, sign_in, wire, keys_url, keys: RwLock::default() })
}

fn endpoint(name: &str, text: &str, options: &ProviderOptions) -> Result<Url, Trouble> {
    check_endpoint(text, options.allow_insecure)
        .map_err(|problem| Trouble::new(format!("{name} in the discovery document: {problem}")))
}

fn introspection(
    metadata: &Metadata,
    options: &ProviderOptions,
) -> Result<Option<Endpoint>, Trouble> {
    let extra = metadata.additional_metadata();
    let wanted = options.introspection && options.client_secret.is_some();
    let Some(text) = extra.introspection_endpoint.as_ref().filter(|_| wanted) else {
        return Ok(None);
    };
    // What the provider does not say of this endpoint is taken from its token endpoint.
    let stated = extra.introspection_endpoint_auth_methods_supported.as_ref();
    let credentials = Credentials::among(stated.or(metadata.token_endpoint_auth_methods_supported())).ok_or(
        "the introspection endpoint takes neither client_secret_basic nor client_secret_post; introspection can be switched off",
    )?;
    Ok(Some(Endpoint { url: endpoint("introspection_endpoint", text, options)?, credentials }))
}

fn sign_in(metadata: &Metadata, options: &ProviderOptions) -> Result<SignInAt, Trouble> {
    let extra = metadata.additional_metadata();
    // Entra ID knows PKCE and does not say so.
    if extra
        .code_challenge_methods_supported
        .as_ref()
        .is_some_and(|methods| !methods.iter().any(|m| m == "S256"))
    {
        return Err(Trouble::new("the provider knows no PKCE with the method S256"));
    }
    let token =
        metadata.token_endpoint().ok_or("the discovery document names no token_endpoint")?;
    let credentials = if options.client_secret.is_some() {
        Credentials::among(metadata.token_endpoint_auth_methods_supported())
            .ok_or("the token endpoint takes neither client_secret_basic nor client_secret_post")?
    } else {
        Credentials::Public
    };
    let algorithms = algorithms(metadata);
    if algorithms.is_empty() {
        return Err(Trouble::new(
            "the provider signs its ID tokens with no algorithm that we take",
        ));
    }
    Ok(SignInAt {
        authorization: endpoint(
            "authorization_endpoint",
            metadata.authorization_endpoint().as_str(),
            options,
        )?,
        token: Endpoint { url: endpoint("token_endpoint", token.as_str(), options)?, credentials },
        algorithms,
        names_itself: extra.authorization_response_iss_parameter_supported == Some(true),
    })
}

fn algorithms(metadata: &Metadata) -> Vec<Algorithm> {
    let stated = metadata.id_token_signing_alg_values_supported().iter();
    let names = stated.filter_map(|algorithm| serde_json::to_value(algorithm).ok());
    let known = names.filter_map(|name| name.as_str()?.parse::<Algorithm>().ok());
    known.filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac).collect()
}

/// A client for the places of `urls`, and for nothing else.
fn client<'a>(
    options: &ProviderOptions,
    urls: impl IntoIterator<Item = &'a Url>,
) -> Result<Client, Trouble> {
    let mut destinations: Vec<Destination> = Vec::new();
    for url in urls {
        let destination = destination(options, url)?;
        if !destinations.iter().any(|known| known.origin() == destination.origin()) {
            destinations.push(destination);
        }
    }
    Client::new(ClientOptions { destinations, ..ClientOptions::default() })
        .map_err(|error| Trouble::new(format!("no connection can be prepared: {error}")))
}

fn destination(options: &ProviderOptions, url: &Url) -> Result<Destination, Trouble> {
    let mut destination = Destination::of_url(url.as_str())
        .ok_or("an endpoint is at no place that can be dialled")?;
    destination.addresses = options.addresses.clone();
    if url.scheme() == "https" {
        destination.extra_roots_pem = options.extra_roots_pem.clone();
    }
    Ok(destination)
}
