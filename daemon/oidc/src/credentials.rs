//! How we say who we are at an endpoint of the provider (RFC 6749 section 2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use openidconnect::core::CoreClientAuthMethod;
use url::{Url, form_urlencoded};

use crate::options::ProviderOptions;
use crate::trouble::Trouble;
use crate::wire::Wire;

/// Where our name and our secret go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// In the `Authorization` header.
    Basic,
    /// In the form.
    Post,
    /// We have no secret: our name stands in the form and proves nothing.
    Public,
}

impl Credentials {
    /// Picks among the methods that an endpoint takes; one that names none takes Basic, the
    /// standard's default. `None` if none will do.
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

/// `fields` as a form for `url`, together with who we are.
///
/// # Errors
/// For the log: there is no secret where one is needed.
pub(crate) fn form_as_us(
    url: &Url,
    fields: &[(&str, &str)],
    credentials: Credentials,
    options: &ProviderOptions,
) -> Result<Request<Bytes>, Trouble> {
    let id = options.client_id.as_str();
    let secret = || {
        let secret = options.client_secret.as_ref().and_then(|secret| secret.expose_str());
        secret.ok_or("there is no client secret")
    };
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    match credentials {
        Credentials::Basic => {
            let mut request = Wire::post_form(url, form.finish());
            authorize(&mut request, "Basic ", basic(id, secret()?).as_bytes())?;
            return Ok(request);
        }
        Credentials::Post => {
            form.append_pair("client_id", id).append_pair("client_secret", secret()?)
        }
        Credentials::Public => form.append_pair("client_id", id),
    };
    Ok(Wire::post_form(url, form.finish()))
}

// RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))
}

/// Puts `credentials` into the `Authorization` header.
///
/// # Errors
/// No header can carry them.
pub(crate) fn authorize(
    request: &mut Request<Bytes>,
    scheme: &str,
    credentials: &[u8],
) -> Result<(), Trouble> {
    let mut value = HeaderValue::from_bytes(&[scheme.as_bytes(), credentials].concat())
        .map_err(|_| Trouble::new("credentials that no header can carry"))?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}
