//! Client authentication at an endpoint of the provider (RFC 6749 section 2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use openidconnect::core::CoreClientAuthMethod;
use url::{Url, form_urlencoded};

use crate::error::ProviderError;
use crate::options::ProviderOptions;
use crate::provider_client::ProviderClient;

/// How the client id and the client secret are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// In the `Authorization` header.
    Basic,
    /// In the form.
    Post,
    /// There is no client secret: the client id in the form proves nothing.
    Public,
}

impl Credentials {
    /// Picks among the methods that an endpoint supports; an endpoint that names none supports
    /// Basic, the default of the standard. `None` if none is usable.
    pub(crate) fn among(methods: Option<&Vec<CoreClientAuthMethod>>) -> Option<Self> {
        let Some(methods) = methods else { return Some(Self::Basic) };
        if methods.contains(&CoreClientAuthMethod::ClientSecretBasic) {
            Some(Self::Basic)
        } else if methods.contains(&CoreClientAuthMethod::ClientSecretPost) {
            Some(Self::Post)
        } else {
            None
        }
    }
}

/// A request with `fields` as a form for `url`, authenticated as the client.
///
/// # Errors
/// For the log: a client secret is needed, and none is configured.
pub(crate) fn authenticated_form(
    url: &Url,
    fields: &[(&str, &str)],
    credentials: Credentials,
    options: &ProviderOptions,
) -> Result<Request<Bytes>, ProviderError> {
    let id = options.client_id.as_str();
    let secret = || {
        let secret = options.client_secret.as_ref().and_then(|secret| secret.expose_str());
        secret.ok_or("there is no client secret")
    };
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    match credentials {
        Credentials::Basic => {
            let mut request = ProviderClient::post_form(url, form.finish());
            authorize(&mut request, "Basic ", basic(id, secret()?).as_bytes())?;
            return Ok(request);
        }
        Credentials::Post => {
            form.append_pair("client_id", id).append_pair("client_secret", secret()?)
        }
        Credentials::Public => form.append_pair("client_id", id),
    };
    Ok(ProviderClient::post_form(url, form.finish()))
}

// RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))
}

/// Puts `credentials` into the `Authorization` header.
///
/// # Errors
/// A header cannot carry them.
pub(crate) fn authorize(
    request: &mut Request<Bytes>,
    scheme: &str,
    credentials: &[u8],
) -> Result<(), ProviderError> {
    let mut value = HeaderValue::from_bytes(&[scheme.as_bytes(), credentials].concat())
        .map_err(|_| ProviderError::new("credentials that no header can carry"))?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}
