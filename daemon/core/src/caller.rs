//! The caller: an identity, the interface of the request, and the rights of a member.
//!
//! [`Identity`] and [`Member`] are proofs. Their fields are private; an identity is made where a
//! provider vouches for one or where a record of that is read, a member where a session is checked.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{ProviderId, SessionId, UserId};
use crate::rights::Rights;
use crate::secret::Secret;

/// The claims that a provider makes about a subject, by name.
pub type Claims = Map<String, Value>;

/// One person, in every dialect: the issuer of the name, and the name. Two providers never share a
/// subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The issuer as its discovery document spells it.
    pub issuer: String,
    /// The subject claim (`sub` unless configured otherwise).
    pub subject: String,
}

impl Subject {
    /// The subject as any provider may spell its issuer: without a slash at the end, and with one.
    /// The two are one issuer, as they are for discovery.
    pub(crate) fn spellings(&self) -> [Self; 2] {
        let subject = &self.subject;
        let bare = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        [bare.to_owned(), format!("{bare}/")]
            .map(|issuer| Self { issuer, subject: subject.clone() })
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.subject, self.issuer)
    }
}

/// A subject with the claims of the provider that vouches for it.
///
/// Only its constructors make one:
/// ```compile_fail,E0451
/// use credsmith_core::caller::{Claims, Identity, Subject};
/// use credsmith_core::ids::ProviderId;
/// fn forge(provider: ProviderId, subject: Subject) -> Identity {
///     Identity { provider, subject, claims: Claims::new() }
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    provider: ProviderId,
    subject: Subject,
    claims: Claims,
}

impl Identity {
    /// The subject that `provider` has vouched for, with the claims that it made, `iss` and `sub`
    /// included. For implementations of the `Providers` port.
    pub fn vouched_by(provider: ProviderId, subject: Subject, claims: Claims) -> Self {
        Self { provider, subject, claims }
    }

    /// An identity as a record of ours keeps it from an earlier request: the claims are those that
    /// were kept.
    pub(crate) fn recorded(provider: ProviderId, subject: Subject, claims: Claims) -> Self {
        Self { provider, subject, claims }
    }

    /// The configured provider that vouched.
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// The subject.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Its claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// The interface that a request came in by. Kept with the lease.
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

/// Where a request comes from: for audit events, logs and bounds, never for a decision about
/// rights. Nothing of it is known for what the daemon does by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The address of the client, as the connection or a trusted proxy names it; `None` for a Unix
    /// socket.
    pub address: Option<IpAddr>,
    /// The id of the request, as the answer carries it.
    pub request: Option<Arc<str>>,
    /// The user id of the process at the other end of a Unix socket.
    pub uid: Option<u32>,
}

/// The caller of a use-case.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The identity.
    pub identity: Arc<Identity>,
    /// The interface of the request.
    pub interface: Interface,
    /// The access token of the request, for services that are granted it.
    pub access_token: Option<Arc<Secret>>,
    /// Where the request comes from.
    pub client: Client,
}

impl Caller {
    /// The subject of the caller.
    pub fn subject(&self) -> &Subject {
        self.identity.subject()
    }
}

/// A user of the vault with a session, as of this very request: rights that were taken away are
/// gone.
///
/// Only `session` makes one:
/// ```compile_fail,E0624
/// use credsmith_core::caller::{Client, Member, Subject};
/// use credsmith_core::ids::{SessionId, UserId};
/// use credsmith_core::rights::Rights;
/// fn forge(user: UserId, subject: Subject, session: SessionId) -> Member {
///     Member::of_session(session, user, subject, Vec::new(), Rights::default(), Client::default())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Member {
    user: UserId,
    subject: Subject,
    session: SessionId,
    scopes: Vec<String>,
    rights: Rights,
    client: Client,
}

impl Member {
    /// The scope that lets a client read its user.
    pub const READ: &str = "user.read";
    /// The scope that lets a client change its user.
    pub const WRITE: &str = "user.write";

    /// The user of a session that was checked for this request, with the scopes of the token and
    /// the rights that the user has now.
    pub(crate) fn of_session(
        session: SessionId,
        user: UserId,
        subject: Subject,
        scopes: Vec<String>,
        rights: Rights,
        client: Client,
    ) -> Self {
        Self { user, subject, session, scopes, rights, client }
    }

    /// A member without a session, which fills the vault of a demonstration. It proves no sign-in:
    /// `credsmith dev` alone may make one, and its data serve this machine only.
    pub fn of_demonstration(user: UserId, session: SessionId, rights: Rights) -> Self {
        let subject = Subject { issuer: "credsmith".to_owned(), subject: "dev".to_owned() };
        let (scopes, client) = (Vec::new(), Client::default());
        Self { user, subject, session, scopes, rights, client }
    }

    /// The user's id in the vault.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The user's subject, which is the same in every dialect.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The scopes of the token: `user.read`, `user.write`.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The rights of the user.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Where the request comes from.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the token has `scope`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}
