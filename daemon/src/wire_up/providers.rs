//! Turns providers of the configuration into those of the OpenID crate.

use std::collections::BTreeSet;
use std::sync::Arc;

use credsmith_core::rules::{ProviderMatch, Rule};
use credsmith_http::client::AddressPolicy;
use credsmith_oidc::{Audiences, CodeFlow, ProviderOptions};

use crate::config::{self, Config, Provider};

/// The claims that name a user and give the address.
const OF_A_PROFILE: [&str; 2] = ["name", "email"];

/// One provider of `config`. Where the vault names it, users may sign in there with a browser.
pub(super) fn options(provider: &Provider, config: &Config) -> ProviderOptions {
    let of_vault = config.vault.as_ref();
    let with_browser =
        of_vault.map(|vault| vault.sign_in_providers(&config.providers)).unwrap_or_default();
    ProviderOptions {
        description: provider.description.clone(),
        client_secret: provider.client_secret.clone().map(Arc::new),
        client_auth: provider.client_auth,
        client_key: provider.client_key.clone(),
        extra_audiences: provider.extra_audiences.clone(),
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
        code_flow: with_browser.contains(&provider.id).then(|| CodeFlow {
            prompt: provider.prompt.clone(),
            response_mode: provider.response_mode.clone(),
            trust_email: provider.trust_email,
            userinfo: provider.userinfo,
            claims: claims_of(provider, config),
        }),
        ..ProviderOptions::new(
            provider.id.clone(),
            provider.issuer.clone(),
            provider.client_id.clone(),
        )
    }
}

/// The claims of the provider's users that the vault uses: those of a profile, and those by which
/// rules assign roles.
fn claims_of(provider: &Provider, config: &Config) -> Vec<String> {
    let is_about = |rule: &&Rule| match rule.provider() {
        ProviderMatch::Any => true,
        ProviderMatch::Id(id) => *id == provider.id,
        ProviderMatch::Rsp(_) => false,
    };
    let assigning = config.roles.iter().flat_map(|role| &role.assign).map(|line| &line.rule);
    let of_rules = assigning.filter(is_about).map(Rule::claim);
    let claims: BTreeSet<_> = OF_A_PROFILE.into_iter().chain(of_rules).collect();
    claims.into_iter().map(str::to_owned).collect()
}
