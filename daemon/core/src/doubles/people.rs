//! Callers and services to begin with.

use std::sync::Arc;

use serde_json::json;

use crate::caller::{Caller, Claims, Identity, Interface, Subject};
use crate::catalogue::Service;
use crate::ids::{ProviderId, ServiceId};
use crate::rules::{Configured, ProviderMatch, Rule, Rules, Test};

/// The id of the provider that everybody here comes from.
pub const PROVIDER: &str = "op";
/// Its issuer.
pub const ISSUER: &str = "https://op.example.org";

/// `subject` as [`PROVIDER`] knows them: `iss`, `sub`, and the group `users`.
///
/// # Panics
/// Never: the id of the provider is one.
#[expect(clippy::expect_used, reason = "a constant that parses")]
pub fn identity(subject: &str) -> Identity {
    let mut claims = Claims::new();
    claims.insert("iss".into(), json!(ISSUER));
    claims.insert("sub".into(), json!(subject));
    claims.insert("groups".into(), json!(["users"]));
    Identity {
        provider: ProviderId::parse(PROVIDER).expect("a constant that parses"),
        subject: Subject { issuer: ISSUER.into(), subject: subject.into() },
        claims,
    }
}

/// `subject` with a bearer token that is not kept.
pub fn caller(subject: &str) -> Caller {
    Caller { identity: Arc::new(identity(subject)), interface: Interface::Rest, access_token: None }
}

/// Rules that let everybody in who has a `sub`.
///
/// # Panics
/// Never: the rule is one.
#[expect(clippy::expect_used, reason = "a constant that parses")]
pub fn everybody() -> Rules {
    let rule =
        Rule::new(ProviderMatch::Any, "sub", Test::any(true)).expect("a constant that parses");
    Rules::new(vec![rule], Vec::new(), &Configured::default())
}

/// A service for [`everybody`], without limits.
///
/// # Panics
/// When `id` is no id.
#[expect(clippy::expect_used, reason = "tests name their services themselves")]
pub fn service(id: &str) -> Service {
    Service {
        id: ServiceId::parse(id).expect("the id of a service"),
        description: format!("The service {id}"),
        display_priority: None,
        limit: None,
        allow_same_state: false,
        pass_access_token: false,
        max_lifetime: None,
        rules: everybody(),
        hide: false,
        tooltip: None,
    }
}
