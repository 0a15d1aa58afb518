//! The configured roles, and who has which.

use std::sync::Arc;

use serde_json::Value;

use crate::caller::{Caller, Claims, Identity, Interface};
use crate::model::user::User;
use crate::ports::sign_in::Vouched;
use crate::rights::{Rights, Role};
use crate::rules::Rules;

/// Most of a user's claims that is kept, in bytes of JSON. It has to fit into their record.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// The claim that decides nothing unless the provider verified it.
const EMAIL: &str = "email";

/// A role, and whom its rules give it to.
#[derive(Debug, Clone)]
pub struct ConfiguredRole {
    /// What it grants.
    pub role: Arc<Role>,
    /// Who has it by their claims; no rules: nobody, it is given by hand alone.
    pub rules: Rules,
}

/// All configured roles, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Roles(Vec<ConfiguredRole>);

impl Roles {
    /// These roles. A name that stands twice is the first one's.
    pub fn new(roles: Vec<ConfiguredRole>) -> Self {
        Self(roles)
    }

    /// The role of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Role>> {
        self.0.iter().map(|configured| &configured.role).find(|role| *role.name == *name)
    }

    /// The rights of `user` as of now.
    pub(crate) fn of(&self, user: &User) -> Rights {
        let caller = as_caller(user);
        let has = |configured: &&ConfiguredRole| {
            user.hand_roles.iter().any(|name| **name == *configured.role.name)
                || configured.rules.judge(&caller).is_allowed()
        };
        Rights::new(
            self.0.iter().filter(has).map(|configured| Arc::clone(&configured.role)).collect(),
        )
    }

    /// The claims that rules look at. A rule over a claim that is not kept gives nothing: an allow
    /// rule does not match, a forbid rule does.
    pub(crate) fn claims_of(&self, vouched: &Vouched) -> Claims {
        let looked_at = self.0.iter().flat_map(|configured| configured.rules.claims());
        let kept: Claims = looked_at
            .filter(|name| *name != EMAIL || vouched.email_is_trusted)
            .filter_map(|name| Some((name.to_owned(), vouched.claims.get(name)?.clone())))
            .collect();
        if Value::Object(kept.clone()).to_string().len() > MAX_KEPT_BYTES {
            tracing::warn!(provider = %vouched.provider, "the claims of a user are too large to be kept; they give no role");
            return Claims::new();
        }
        kept
    }
}

fn as_caller(user: &User) -> Caller {
    let identity = Identity {
        provider: user.provider.clone(),
        subject: user.subject.clone(),
        claims: user.claims.clone(),
    };
    Caller { identity: Arc::new(identity), interface: Interface::Vault, access_token: None }
}
