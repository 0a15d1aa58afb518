//! Who is asking.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{ProviderId, SessionId, UserId};
use crate::rights::Rights;
use crate::secret::Secret;

/// What a provider says about somebody, by claim name.
pub type Claims = Map<String, Value>;

/// One person, in every dialect: who issued the name, and the name. Two providers never share a
/// subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The issuer as its discovery document spells it.
    pub issuer: String,
    /// The subject claim (`sub` unless configured otherwise).
    pub subject: String,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.subject, self.issuer)
    }
}

/// Somebody whom a provider vouches for. Made by the `Providers` port alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The configured provider that vouched.
    pub provider: ProviderId,
    /// Who it is.
    pub subject: Subject,
    /// What the provider said, `iss` and `sub` included.
    pub claims: Claims,
}

/// Through which door somebody came. Kept with the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// A REST client with a bearer token.
    Rest,
    /// The web page.
    Web,
    /// A relying service provider.
    Rsp,
    /// A session of the vault.
    Vault,
}

/// Who is asking, and how they came in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The door they used.
    pub interface: Interface,
    /// The access token they showed, for services that are granted it.
    pub access_token: Option<Arc<Secret>>,
}

impl Caller {
    /// The person behind the caller.
    pub fn subject(&self) -> &Subject {
        &self.identity.subject
    }
}

/// A user of the vault with a session, as of this very request: rights that were taken away are
/// gone.
#[derive(Debug, Clone)]
pub struct Member {
    /// Who it is here.
    pub user: UserId,
    /// Who it is everywhere.
    pub subject: Subject,
    /// By which sign-in.
    pub session: SessionId,
    /// What the token may be used for: `user.read`, `user.write`.
    pub scopes: Vec<String>,
    /// What the user may do.
    pub rights: Rights,
}

impl Member {
    /// The scope that lets a client see its user.
    pub const READ: &str = "user.read";
    /// The scope that lets a client change its user.
    pub const WRITE: &str = "user.write";

    /// Whether the token may be used for `scope`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}
