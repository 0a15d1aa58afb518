//! Reads a provider's endpoints from its discovery document (OpenID Connect Discovery 1.0).
//!
//! The document decides where tokens and the client secret are sent. So it must be of the
//! configured issuer, and every endpoint in it has to satisfy the provider's scheme and address
//! policy, as the issuer itself does.

use std::sync::Arc;
use std::time::Duration;

use credsmith_http::client::{Client, ClientOptions, Destination};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::answer::Object;
use crate::credentials::Credentials;
use crate::error::ProviderError;
use crate::issuer::Issuer;
use crate::keys::KeySet;
use crate::options::{ProviderOptions, WELL_KNOWN, check_endpoint};
use crate::provider_client::ProviderClient;

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

/// The result of a discovery.
pub(crate) struct Discovered {
    /// The issuer that the provider may use in tokens.
    pub(crate) issuer: Issuer,
    pub(crate) userinfo: Url,
    /// The introspection endpoint; `None` if the provider has none, or if it is switched off or
    /// cannot be used without a client secret.
    pub(crate) introspection: Option<Endpoint>,
    /// The endpoints for signing in with a browser; `None` without a configured code flow, an error
    /// if the provider does not support it. Bearer tokens are accepted in either case.
    pub(crate) sign_in: Option<Result<CodeFlowEndpoints, ProviderError>>,
    /// Reaches the endpoints of this provider alone.
    pub(crate) client: ProviderClient,
    keys_url: Url,
    keys: RwLock<Arc<KeySet>>,
}

/// An endpoint that requires client authentication.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) credentials: Credentials,
}

/// The part of the discovery that a code flow needs.
pub(crate) struct CodeFlowEndpoints {
    /// The authorization endpoint, for browsers alone: the daemon never calls it.
    pub(crate) authorization: Url,
    pub(crate) token: Endpoint,
    /// The algorithms that may sign ID tokens: asymmetric ones only.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Whether every redirect names its issuer (RFC 9207 section 3).
    pub(crate) redirect_names_issuer: bool,
}

/// Fetches the provider's document and its keys.
///
/// # Errors
/// For the log: the request that failed, or the fault of the document.
pub(crate) async fn discover(
    options: &ProviderOptions,
    timeout: Duration,
) -> Result<Discovered, ProviderError> {
    let address = document_address(options)?;
    let client = ProviderClient::new(client_for(options, [&address])?, timeout);
    let document = client.object(ProviderClient::get(&address), "the discovery document").await?;
    let metadata = parse(document)?;
    let found = from_metadata(&metadata, options, timeout)?;
    found.refresh_keys().await?;
    Ok(found)
}

impl Discovered {
    /// The endpoints for signing in.
    ///
    /// # Errors
    /// For the log: why users cannot sign in.
    pub(crate) fn sign_in(&self) -> Result<&CodeFlowEndpoints, ProviderError> {
        let at = self.sign_in.as_ref().ok_or("the provider was discovered without a code flow")?;
        at.as_ref().map_err(ProviderError::clone)
    }

    /// Why users cannot sign in although a code flow is configured.
    pub(crate) fn sign_in_error(&self) -> Option<ProviderError> {
        let why = self.sign_in.as_ref()?.as_ref().err()?;
        Some(ProviderError::new(format!("users cannot sign in there with a browser: {why}")))
    }

    /// The keys of the last successful fetch.
    pub(crate) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read())
    }

    /// Fetches the keys again; the current ones stay if that fails.
    pub(crate) async fn refresh_keys(&self) -> Result<(), ProviderError> {
        let published = self
            .client
            .object(ProviderClient::get(&self.keys_url), "the keys of the provider")
            .await?;
        let keys = Arc::new(KeySet::from_published(published)?);
        *self.keys.write() = keys;
        Ok(())
    }
}

fn document_address(options: &ProviderOptions) -> Result<Url, ProviderError> {
    let issuer = options.issuer();
    let address = format!("{}{WELL_KNOWN}", issuer.strip_suffix('/').unwrap_or(issuer));
    Ok(check_endpoint(&address, options.allow_insecure)?)
}

fn parse(document: Object) -> Result<Metadata, ProviderError> {
    serde_json::from_value(Value::Object(document.0)).map_err(|_| {
        ProviderError::new(
            "the discovery document lacks a required member, or has one of the wrong type",
        )
    })
}

fn from_metadata(
    metadata: &Metadata,
    options: &ProviderOptions,
    timeout: Duration,
) -> Result<Discovered, ProviderError> {
    let issuer =
        Issuer::discovered(metadata.issuer().as_str(), options.issuer(), &options.tenants)?;
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
    let client = ProviderClient::new(client_for(options, destinations)?, timeout);
    Ok(Discovered {
        issuer,
        userinfo,
        introspection,
        sign_in,
        client,
        keys_url,
        keys: RwLock::default(),
    })
}

fn endpoint(name: &str, text: &str, options: &ProviderOptions) -> Result<Url, ProviderError> {
    check_endpoint(text, options.allow_insecure).map_err(|problem| {
        ProviderError::new(format!("{name} in the discovery document: {problem}"))
    })
}

fn introspection(
    metadata: &Metadata,
    options: &ProviderOptions,
) -> Result<Option<Endpoint>, ProviderError> {
    let extra = metadata.additional_metadata();
    let wanted = options.introspection && options.client_secret.is_some();
    let Some(text) = extra.introspection_endpoint.as_ref().filter(|_| wanted) else {
        return Ok(None);
    };
    // Methods that the provider does not state for this endpoint are those of its token endpoint.
    let stated = extra.introspection_endpoint_auth_methods_supported.as_ref();
    let credentials = Credentials::among(stated.or(metadata.token_endpoint_auth_methods_supported())).ok_or(
        "the introspection endpoint takes neither client_secret_basic nor client_secret_post; introspection can be switched off",
    )?;
    Ok(Some(Endpoint { url: endpoint("introspection_endpoint", text, options)?, credentials }))
}

fn sign_in(
    metadata: &Metadata,
    options: &ProviderOptions,
) -> Result<CodeFlowEndpoints, ProviderError> {
    let extra = metadata.additional_metadata();
    // Entra ID supports PKCE and does not announce it.
    if extra
        .code_challenge_methods_supported
        .as_ref()
        .is_some_and(|methods| !methods.iter().any(|m| m == "S256"))
    {
        return Err(ProviderError::new("the provider does not support PKCE with the method S256"));
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
        return Err(ProviderError::new(
            "the provider signs its ID tokens with no algorithm that is accepted here",
        ));
    }
    Ok(CodeFlowEndpoints {
        authorization: endpoint(
            "authorization_endpoint",
            metadata.authorization_endpoint().as_str(),
            options,
        )?,
        token: Endpoint { url: endpoint("token_endpoint", token.as_str(), options)?, credentials },
        algorithms,
        redirect_names_issuer: extra.authorization_response_iss_parameter_supported == Some(true),
    })
}

fn algorithms(metadata: &Metadata) -> Vec<Algorithm> {
    let stated = metadata.id_token_signing_alg_values_supported().iter();
    let names = stated.filter_map(|algorithm| serde_json::to_value(algorithm).ok());
    let known = names.filter_map(|name| name.as_str()?.parse::<Algorithm>().ok());
    known.filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac).collect()
}

/// A client for the places of `urls` alone.
fn client_for<'a>(
    options: &ProviderOptions,
    urls: impl IntoIterator<Item = &'a Url>,
) -> Result<Client, ProviderError> {
    let mut destinations: Vec<Destination> = Vec::new();
    for url in urls {
        let destination = destination(options, url)?;
        if !destinations.iter().any(|known| known.origin() == destination.origin()) {
            destinations.push(destination);
        }
    }
    Client::new(ClientOptions { destinations, ..ClientOptions::default() })
        .map_err(|error| ProviderError::new(format!("no connection can be prepared: {error}")))
}

fn destination(options: &ProviderOptions, url: &Url) -> Result<Destination, ProviderError> {
    let mut destination =
        Destination::of_url(url.as_str()).ok_or("an endpoint has no host that can be dialled")?;
    destination.addresses = options.addresses.clone();
    if url.scheme() == "https" {
        destination.extra_roots_pem = options.extra_roots_pem.clone();
    }
    Ok(destination)
}
