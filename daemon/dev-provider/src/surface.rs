//! The routes of the provider and its discovery document.

use credsmith_http::{Fault, Method, Reply, ReplyBody, Request, StatusCode, Surface};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::params::Params;
use crate::provider::{DevProvider, SCOPES, UnknownUser};
use crate::{authorize, reply, resource, token};

impl Surface for DevProvider {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        self.answer(request).map(reply::harden).boxed()
    }

    fn fault(&self, fault: Fault) -> Reply {
        reply::fault(fault)
    }
}

impl DevProvider {
    async fn answer(&self, mut request: Request) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let reads = method == Method::GET || method == Method::HEAD;
        match (path.as_str(), &method) {
            ("/.well-known/openid-configuration", _) if reads => self.discovery(),
            ("/jwks", _) if reads => {
                ReplyBody::json(StatusCode::OK, self.key.public_jwks().to_string())
            }
            ("/authorize", _) if reads => authorize::by_query(self, &request),
            ("/authorize", &Method::POST) => authorize::by_form(self, &mut request).await,
            ("/token", &Method::POST) => token::endpoint(self, &mut request).await,
            ("/userinfo", _) if reads || method == Method::POST => {
                resource::userinfo(self, request.headers())
            }
            ("/introspect", &Method::POST) => resource::introspect(self, &mut request).await,
            ("/dev/token", _) if reads => self.hand_out(&request),
            (path, _) => reply::fault(
                allowed(path).map_or(Fault::NotFound, |allow| Fault::MethodNotAllowed { allow }),
            ),
        }
    }

    /// OpenID Connect Discovery section 3, with what RFC 8414 and RFC 9207 add.
    fn discovery(&self) -> Reply {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let secrets = ["client_secret_basic", "client_secret_post"];
        let document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "introspection_endpoint": at("/introspect"),
            "jwks_uri": at("/jwks"),
            "scopes_supported": SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "userinfo_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "introspection_endpoint_auth_methods_supported": secrets,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "claims_parameter_supported": false,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
        });
        ReplyBody::json(StatusCode::OK, document.to_string())
    }

    fn hand_out(&self, request: &Request) -> Reply {
        let query = Params::of_query(request).unwrap_or_default();
        let user = query.get("user").unwrap_or_default();
        reply::no_store(match self.issue_token(user, &self.usual_token()) {
            Ok(token) => ReplyBody::text(StatusCode::OK, token),
            Err(UnknownUser) => ReplyBody::text(
                StatusCode::NOT_FOUND,
                "no such account; try /dev/token?user=alice\n",
            ),
        })
    }
}

fn allowed(path: &str) -> Option<&'static str> {
    match path {
        "/.well-known/openid-configuration" | "/jwks" | "/dev/token" => Some("GET, HEAD"),
        "/authorize" | "/userinfo" => Some("GET, HEAD, POST"),
        "/token" | "/introspect" => Some("POST"),
        _ => None,
    }
}
