//! Learns from a provider's discovery document where its endpoints are (OpenID Connect Discovery 1.0).
//!
//! The document decides where tokens and our client secret go. So it must be of the configured issuer, and every endpoint in it has
//! to satisfy the provider's scheme and address policy, the same as the issuer itself.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use credsmith_http::client::{Client, ClientOptions, Destination};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode,
    CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, JsonWebKeySetUrl, ProviderMetadata};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::answer::Object;
use crate::keys::KeySet;
use crate::options::{ProviderOptions, WELL_KNOWN, check_endpoint, same_issuer};
use crate::trouble::Trouble;
use crate::wire::Wire;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Extra {
    introspection_endpoint: Option<String>,
    introspection_endpoint_auth_methods_supported: Option<Vec<CoreClientAuthMethod>>,
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
    /// The issuer as the document spells it.
    pub(crate) issuer: String,
    pub(crate) userinfo: Url,
    /// Where to introspect; `None` if the provider does not offer it, or if we shall not or cannot use it.
    pub(crate) introspection: Option<Introspection>,
    /// Reaches the endpoints of this provider and nothing else.
    pub(crate) wire: Wire,
    keys_url: JsonWebKeySetUrl,
    keys: RwLock<Arc<KeySet>>,
}

/// An introspection endpoint.
pub(crate) struct Introspection {
    pub(crate) url: Url,
    pub(crate) credentials: Credentials,
}

/// How we say who we are (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// In the `Authorization` header.
    Basic,
    /// In the form.
    Post,
}

/// Asks the provider for its document and its keys.
///
/// # Errors
/// For the log: which request failed, or what in the document is not acceptable.
pub(crate) async fn discover(options: &ProviderOptions, timeout: Duration) -> Result<Found, Trouble> {
    let address = document_address(options)?;
    let wire = Wire::new(client(options, [&address])?, timeout);
    let document = wire.object(Wire::get(&address), "the discovery document").await?;
    let metadata = understand(document, options)?;
    let found = survey(&metadata, options, timeout)?;
    found.refresh_keys().await?;
    Ok(found)
}

impl Found {
    /// The keys as last fetched.
    pub(crate) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches the keys anew; those at hand stay if that fails.
    pub(crate) async fn refresh_keys(&self) -> Result<(), Trouble> {
        let published = CoreJsonWebKeySet::fetch_async(&self.keys_url, &self.wire)
            .await
            .map_err(|_| Trouble::new("the keys of the provider could not be fetched, or are no key set"))?;
        let keys = Arc::new(KeySet::from_published(&published));
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

fn document_address(options: &ProviderOptions) -> Result<Url, Trouble> {
    let issuer = options.issuer();
    let address = format!("{}{WELL_KNOWN}", issuer.strip_suffix('/').unwrap_or(issuer));
    Ok(check_endpoint(&address, options.allow_insecure)?)
}

fn understand(document: Object, options: &ProviderOptions) -> Result<Metadata, Trouble> {
    let metadata: Metadata = serde_json::from_value(Value::Object(document.0)).map_err(|_| {
        Trouble::new("the discovery document lacks a required member, or has one of the wrong type")
    })?;
    if same_issuer(metadata.issuer().as_str(), options.issuer()) {
        Ok(metadata)
    } else {
        Err(Trouble::new("the discovery document is of another issuer than the configured one"))
    }
}

fn survey(metadata: &Metadata, options: &ProviderOptions, timeout: Duration) -> Result<Found, Trouble> {
    let endpoint = |name: &str, text: &str| {
        check_endpoint(text, options.allow_insecure)
            .map_err(|problem| Trouble::new(format!("{name} in the discovery document: {problem}")))
    };
    let userinfo = metadata.userinfo_endpoint().ok_or("the discovery document names no userinfo_endpoint")?;
    let userinfo = endpoint("userinfo_endpoint", userinfo.as_str())?;
    let keys = endpoint("jwks_uri", metadata.jwks_uri().as_str())?;
    let introspection = match &metadata.additional_metadata().introspection_endpoint {
        Some(text) if options.introspection && options.client_secret.is_some() => Some(Introspection {
            url: endpoint("introspection_endpoint", text)?,
            credentials: credentials(metadata)?,
        }),
        _ => None,
    };
    let destinations = [Some(&userinfo), Some(&keys), introspection.as_ref().map(|endpoint| &endpoint.url)];
    let client = client(options, destinations.into_iter().flatten())?;
    Ok(Found {
        issuer: metadata.issuer().to_string(),
        userinfo,
        introspection,
        wire: Wire::new(client, timeout),
        keys_url: JsonWebKeySetUrl::from_url(keys),
        keys: RwLock::default(),
    })
}

// What the provider does not say of its introspection endpoint is taken from its token endpoint; Basic is the standard's default.
fn credentials(metadata: &Metadata) -> Result<Credentials, Trouble> {
    let stated = metadata.additional_metadata().introspection_endpoint_auth_methods_supported.as_ref();
    let Some(methods) = stated.or(metadata.token_endpoint_auth_methods_supported()) else {
        return Ok(Credentials::Basic);
    };
    if methods.contains(&CoreClientAuthMethod::ClientSecretBasic) {
        Ok(Credentials::Basic)
    } else if methods.contains(&CoreClientAuthMethod::ClientSecretPost) {
        Ok(Credentials::Post)
    } else {
        Err(Trouble::new(
            "the introspection endpoint takes neither client_secret_basic nor client_secret_post; introspection can be switched off",
        ))
    }
}

/// A client for the places of `urls`, and for nothing else.
fn client<'a>(options: &ProviderOptions, urls: impl IntoIterator<Item = &'a Url>) -> Result<Client, Trouble> {
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
    let mut destination =
        Destination::of_url(url.as_str()).ok_or("an endpoint is at no place that can be dialled")?;
    destination.addresses = options.addresses.clone();
    if url.scheme() == "https" {
        destination.extra_roots_pem = options.extra_roots_pem.clone();
    }
    Ok(destination)
}
