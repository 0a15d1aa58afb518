//! Reads a provider's endpoints from its discovery document (OpenID Connect Discovery 1.0).
//!
//! The document decides where tokens and the client secret are sent. So it must be of the
//! configured issuer, and every endpoint in it has to satisfy the provider's scheme and address
//! policy, as the issuer itself does.

use std::sync::Arc;
use std::time::Duration;

use credsmith_http::client::{Client, ClientOptions, Destination};
use jsonwebtoken::Algorithm;
use parking_lot::RwLock;
use url::Url;

use crate::credentials::{Credentials, Endpoint};
use crate::error::ProviderError;
use crate::issuer::Issuer;
use crate::jwt;
use crate::keys::KeySet;
use crate::metadata::Metadata;
use crate::options::{ProviderOptions, WELL_KNOWN, check_endpoint};
use crate::provider_client::ProviderClient;

/// The result of a discovery.
pub(crate) struct Discovered {
    /// The issuer that the provider may use in tokens.
    pub(crate) issuer: Issuer,
    /// The issuer that access tokens name, where the provider announces another one for them.
    pub(crate) access_token_issuer: Option<String>,
    /// The userinfo endpoint; `None` if the provider has none.
    pub(crate) userinfo: Option<Url>,
    /// The introspection endpoint; `None` if the provider has none, or if it is switched off or
    /// cannot be used since we cannot authenticate.
    pub(crate) introspection: Option<Endpoint>,
    /// The endpoints for signing in with a browser; `None` without a configured code flow, an error
    /// if the provider does not support it. Bearer tokens are accepted in either case.
    pub(crate) sign_in: Option<Result<CodeFlowEndpoints, ProviderError>>,
    /// Reaches the endpoints of this provider alone.
    pub(crate) client: ProviderClient,
    keys_url: Url,
    keys: RwLock<Arc<KeySet>>,
}

/// The part of the discovery that a code flow needs.
pub(crate) struct CodeFlowEndpoints {
    /// The authorization endpoint, for browsers alone: the daemon never calls it.
    pub(crate) authorization: Url,
    pub(crate) token: Endpoint,
    /// The algorithms that may sign ID tokens: asymmetric ones only. `None`: the provider announces
    /// none, and the keys decide.
    pub(crate) algorithms: Option<Vec<Algorithm>>,
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
    let document = client.published(&address, "the discovery document").await?;
    let metadata = Metadata::new(document, options.allow_insecure);
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
        let published = self.client.published(&self.keys_url, "the keys of the provider").await?;
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

fn from_metadata(
    metadata: &Metadata,
    options: &ProviderOptions,
    timeout: Duration,
) -> Result<Discovered, ProviderError> {
    let issuer =
        Issuer::discovered(metadata.required("issuer")?, options.issuer(), &options.tenants)?;
    let keys_url = metadata.required_endpoint("jwks_uri")?;
    let userinfo = metadata.endpoint("userinfo_endpoint")?;
    let introspection = introspection(metadata, options)?;
    let sign_in = options.code_flow.is_some().then(|| sign_in(metadata, options));
    let token = sign_in.as_ref().and_then(|at| at.as_ref().ok()).map(|at| &at.token);
    let called = [introspection.as_ref(), token];
    let destinations = std::iter::once(&keys_url)
        .chain(&userinfo)
        .chain(called.into_iter().flatten().map(|called| &called.url));
    let client = ProviderClient::new(client_for(options, destinations)?, timeout);
    Ok(Discovered {
        issuer,
        // A hint for refusing tokens unasked, which nothing is believed for.
        access_token_issuer: metadata
            .text("access_token_issuer")
            .unwrap_or_default()
            .map(str::to_owned),
        userinfo,
        introspection,
        sign_in,
        client,
        keys_url,
        keys: RwLock::default(),
    })
}

fn introspection(
    metadata: &Metadata,
    options: &ProviderOptions,
) -> Result<Option<Endpoint>, ProviderError> {
    if !options.introspection || !options.authenticates() {
        return Ok(None);
    }
    let Some(url) = metadata.endpoint("introspection_endpoint")? else { return Ok(None) };
    let credentials = Credentials::at_introspection(options, metadata).ok_or(
        "the introspection endpoint takes neither client_secret_basic nor client_secret_post; \
             `client_auth` selects another way, and `introspection = false` switches it off",
    )?;
    // The issuer is known to be the provider's own: an assertion for it opens nothing elsewhere.
    Ok(Some(Endpoint { url, credentials, audience: metadata.required("issuer")?.to_owned() }))
}

fn sign_in(
    metadata: &Metadata,
    options: &ProviderOptions,
) -> Result<CodeFlowEndpoints, ProviderError> {
    // Entra ID supports PKCE and does not announce it.
    if metadata
        .list("code_challenge_methods_supported")
        .is_some_and(|methods| !methods.is_empty() && !methods.contains(&"S256"))
    {
        return Err(ProviderError::new("the provider does not support PKCE with the method S256"));
    }
    let url = metadata.required_endpoint("token_endpoint")?;
    let credentials = Credentials::at_token(options, metadata).ok_or(
        "the token endpoint takes neither client_secret_basic nor client_secret_post; \
         `client_auth` selects another way",
    )?;
    let algorithms = algorithms(metadata);
    if algorithms.as_ref().is_some_and(Vec::is_empty) {
        return Err(ProviderError::new(
            "the provider signs its ID tokens with no algorithm that is accepted here",
        ));
    }
    Ok(CodeFlowEndpoints {
        authorization: metadata.required_endpoint("authorization_endpoint")?,
        token: Endpoint { audience: url.as_str().to_owned(), url, credentials },
        algorithms,
        redirect_names_issuer: metadata.flag("authorization_response_iss_parameter_supported"),
    })
}

fn algorithms(metadata: &Metadata) -> Option<Vec<Algorithm>> {
    let announced = metadata.list("id_token_signing_alg_values_supported")?;
    Some(announced.into_iter().filter_map(jwt::algorithm).collect())
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
