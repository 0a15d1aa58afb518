//! Turns providers of the configuration into those of the OpenID crate.

use std::sync::Arc;

use credsmith_http::client::AddressPolicy;
use credsmith_oidc::{Audiences, CodeFlow, ProviderOptions};

use crate::config::{self, Provider};

/// One provider. `with_browser`: users may sign in there with a browser, for the vault.
pub(super) fn options(provider: &Provider, with_browser: bool) -> ProviderOptions {
    ProviderOptions {
        description: provider.description.clone(),
        client_secret: provider.client_secret.clone().map(Arc::new),
        scopes: provider.scopes.clone(),
        audiences: match &provider.audiences {
            config::Audiences::OneOf(audiences) => Audiences::OneOf(audiences.clone()),
            config::Audiences::Any => Audiences::Any,
        },
        subject_claim: provider.subject_claim.clone(),
        login_disabled: provider.disable_login,
        introspection: provider.introspection,
        addresses: AddressPolicy::allowing(provider.addresses.clone()),
        extra_roots_pem: provider.roots.clone(),
        allow_insecure: provider.allow_insecure_issuer,
        clock_skew: provider.clock_skew,
        tenants: provider.tenants.clone(),
        code_flow: with_browser.then(|| CodeFlow {
            prompt: provider.prompt.clone(),
            response_mode: provider.response_mode.clone(),
            trust_email: provider.trust_email,
        }),
        ..ProviderOptions::new(
            provider.id.clone(),
            provider.issuer.clone(),
            provider.client_id.clone(),
        )
    }
}
