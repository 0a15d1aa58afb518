//! Callers and services to begin with.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::caller::{Caller, Claims, Client, Identity, Interface, Member, Subject};
use crate::catalogue::Service;
use crate::ids::{ProviderId, ServiceId, SessionId, UserId};
use crate::rights::Rights;
use crate::rules::{Condition, Configured, ProviderMatch, Rule, Rules};

/// The id of the provider of all doubles.
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
    let provider = ProviderId::parse(PROVIDER).expect("a constant that parses");
    let subject = Subject { issuer: ISSUER.into(), subject: subject.into() };
    Identity::vouched_by(provider, subject, claims)
}

/// `subject` with a bearer token that is not kept.
pub fn caller(subject: &str) -> Caller {
    Caller {
        identity: Arc::new(identity(subject)),
        interface: Interface::Rest,
        access_token: None,
        client: Client::default(),
    }
}

/// [`caller`] with one more claim.
pub fn caller_with_claim(subject: &str, name: &str, value: Value) -> Caller {
    let known = identity(subject);
    let mut claims = known.claims().clone();
    claims.insert(name.into(), value);
    let identity = Identity::vouched_by(known.provider().clone(), known.subject().clone(), claims);
    Caller { identity: Arc::new(identity), ..caller(subject) }
}

/// The user as a member with these scopes and rights, in one session for all tests.
pub fn member(user: UserId, subject: Subject, scopes: &[&str], rights: Rights) -> Member {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let session = SessionId::from_random([2; 16]);
    Member::of_session(session, user, subject, scopes, rights, Client::default())
}

/// `member` with other scopes.
pub fn member_with_scopes(member: &Member, scopes: &[&str]) -> Member {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let (user, subject) = (member.user(), member.subject().clone());
    let (rights, client) = (member.rights().clone(), member.client().clone());
    Member::of_session(member.session(), user, subject, scopes, rights, client)
}

/// `member` with other rights.
pub fn member_with_rights(member: &Member, rights: Rights) -> Member {
    let (user, subject) = (member.user(), member.subject().clone());
    let (scopes, client) = (member.scopes().to_vec(), member.client().clone());
    Member::of_session(member.session(), user, subject, scopes, rights, client)
}

/// Rules that allow every caller with a `sub`.
///
/// # Panics
/// Never: the rule is one.
#[expect(clippy::expect_used, reason = "a constant that parses")]
pub fn open_rules() -> Rules {
    let rule =
        Rule::new(ProviderMatch::Any, "sub", Condition::any(true)).expect("a constant that parses");
    Rules::new(vec![rule], Vec::new(), &Configured::default())
}

/// A service with [`open_rules`], without limits.
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
        rules: open_rules(),
        hide: false,
        tooltip: None,
    }
}
