//! The configured roles, and the rights of a user by them.

use std::sync::Arc;

use serde_json::Value;

use crate::caller::{Caller, Claims, Client, Identity, Interface};
use crate::model::user::User;
use crate::ports::sign_in::Vouched;
use crate::rights::{Rights, Role};
use crate::rules::Rules;

/// Most bytes of JSON that the kept claims of a user take up. They have to fit into the record.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// The claim that rules read only when the provider verified it.
const EMAIL: &str = "email";

/// A role, and the rules by which users have it.
#[derive(Debug, Clone)]
pub struct ConfiguredRole {
    /// The role.
    pub role: Arc<Role>,
    /// Which users have it by their claims. Without rules it is only assigned by hand.
    pub rules: Rules,
}

/// All configured roles, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Roles(Vec<ConfiguredRole>);

impl Roles {
    /// These roles. Of two roles with the same name the first one is found by it.
    pub fn new(roles: Vec<ConfiguredRole>) -> Self {
        Self(roles)
    }

    /// The role of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Role>> {
        self.0.iter().map(|configured| &configured.role).find(|role| *role.name == *name)
    }

    /// The rights of `user` by the roles as configured now.
    pub(crate) fn rights_of(&self, user: &User) -> Rights {
        let caller = as_caller(user);
        let is_assigned = |configured: &ConfiguredRole| {
            user.assigned_roles.iter().any(|name| **name == *configured.role.name)
        };
        let held = self.0.iter().filter(|configured| {
            is_assigned(configured) || configured.rules.judge(&caller).is_allowed()
        });
        Rights::new(held.map(|configured| Arc::clone(&configured.role)).collect())
    }

    /// The claims that the rules read, to be kept with the user. A rule over a claim that is not
    /// kept grants nothing: an allow rule does not match, a forbid rule does.
    pub(crate) fn claims_to_keep(&self, vouched: &Vouched) -> Claims {
        let read = self.0.iter().flat_map(|configured| configured.rules.claims());
        let kept: Claims = read
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
    let identity =
        Identity::recorded(user.provider.clone(), user.subject.clone(), user.claims.clone());
    Caller {
        identity: Arc::new(identity),
        interface: Interface::Vault,
        access_token: None,
        client: Client::default(),
    }
}
