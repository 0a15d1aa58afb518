//! Client authentication at an endpoint of the provider (RFC 6749 section 2.3.1, RFC 7523 section
//! 2.2).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use credsmith_core::ports::{Clock, Entropy};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use serde_json::json;
use url::{Url, form_urlencoded};

use crate::client_key::Signature;
use crate::error::ProviderError;
use crate::metadata::Metadata;
use crate::options::{ClientAuth, ProviderOptions};
use crate::provider_client::ProviderClient;

/// How long a client assertion is valid, in seconds.
const ASSERTION_LIFE: u64 = 60;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An endpoint that requires client authentication.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) credentials: Credentials,
    /// The audience of a client assertion for it.
    pub(crate) audience: String,
}

/// How the client proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Client id and client secret in the `Authorization` header.
    Basic,
    /// Both in the form.
    Post,
    /// An assertion that the client's key signs in this way.
    Assertion(Signature),
    /// There is no client secret: the client id in the form proves nothing.
    Public,
}

impl Credentials {
    /// The way of the token endpoint. `None` if the provider takes none of ours.
    pub(crate) fn at_token(options: &ProviderOptions, metadata: &Metadata) -> Option<Self> {
        Self::choose(
            options,
            metadata.list("token_endpoint_auth_methods_supported"),
            metadata.list("token_endpoint_auth_signing_alg_values_supported"),
        )
    }

    /// The way of the introspection endpoint. What the provider does not state for it is that of
    /// its token endpoint.
    pub(crate) fn at_introspection(options: &ProviderOptions, metadata: &Metadata) -> Option<Self> {
        let stated = |name: &str| {
            metadata
                .list(&format!("introspection_{name}"))
                .or_else(|| metadata.list(&format!("token_{name}")))
        };
        Self::choose(
            options,
            stated("endpoint_auth_methods_supported"),
            stated("endpoint_auth_signing_alg_values_supported"),
        )
    }

    /// The configured way, which the operator knows better than the announcement; else the first of
    /// ours that is announced. A provider that announces none takes Basic, the default of the
    /// standard.
    fn choose(
        options: &ProviderOptions,
        methods: Option<Vec<&str>>,
        algorithms: Option<Vec<&str>>,
    ) -> Option<Self> {
        match options.client_auth {
            Some(ClientAuth::Basic) => return Some(Self::Basic),
            Some(ClientAuth::Post) => return Some(Self::Post),
            Some(ClientAuth::PrivateKeyJwt) => {
                let key = options.client_key.as_ref()?;
                return Some(Self::Assertion(key.signature(&algorithms.unwrap_or_default())));
            }
            None if options.client_secret.is_none() => return Some(Self::Public),
            None => {}
        }
        let methods = methods.filter(|methods| !methods.is_empty());
        let takes = |method| methods.as_ref().is_none_or(|methods| methods.contains(&method));
        if takes("client_secret_basic") {
            Some(Self::Basic)
        } else {
            takes("client_secret_post").then_some(Self::Post)
        }
    }
}

/// This daemon as a client of one provider.
pub(crate) struct OwnClient<'a> {
    pub(crate) options: &'a ProviderOptions,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) entropy: &'a dyn Entropy,
}

impl OwnClient<'_> {
    /// A request with `fields` as a form for `endpoint`, authenticated.
    ///
    /// # Errors
    /// For the log: a secret or a key is needed, and none is configured or it cannot sign.
    pub(crate) fn form(
        &self,
        endpoint: &Endpoint,
        fields: &[(&str, &str)],
    ) -> Result<Request<Bytes>, ProviderError> {
        let id = self.options.client_id.as_str();
        let secret = || {
            let secret = self.options.client_secret.as_ref();
            secret.and_then(|secret| secret.expose_str()).ok_or("there is no client secret")
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        match endpoint.credentials {
            Credentials::Basic => {
                let mut request = ProviderClient::post_form(&endpoint.url, form.finish());
                authorize(&mut request, "Basic ", basic(id, secret()?).as_bytes())?;
                return Ok(request);
            }
            Credentials::Post => {
                form.append_pair("client_id", id).append_pair("client_secret", secret()?)
            }
            Credentials::Assertion(signature) => form
                .append_pair("client_id", id)
                .append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", &self.assertion(endpoint, signature)?),
            Credentials::Public => form.append_pair("client_id", id),
        };
        Ok(ProviderClient::post_form(&endpoint.url, form.finish()))
    }

    /// RFC 7523 section 3, OpenID Connect Core section 9.
    fn assertion(
        &self,
        endpoint: &Endpoint,
        signature: Signature,
    ) -> Result<String, ProviderError> {
        let key = self.options.client_key.as_ref().ok_or("there is no client key")?;
        let (id, now) = (&self.options.client_id, self.clock.now().as_secs());
        let mut token_id = [0; 16];
        self.entropy.fill(&mut token_id);
        let claims = json!({
            "iss": id,
            "sub": id,
            "aud": endpoint.audience,
            "jti": URL_SAFE_NO_PAD.encode(token_id),
            "iat": now,
            "exp": now + ASSERTION_LIFE,
        });
        Ok(key.sign(signature, &claims).ok_or("the client key cannot sign")?)
    }
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
