//! Audit events, and the ports that write and show them. Events hold no secret: there is no field
//! for one.

use async_trait::async_trait;
use bytes::Bytes;

use crate::caller::{Caller, Client, Interface, Member, Subject};
use crate::error::BoxedCause;
use crate::ids::{
    CompanyId, CredentialId, LeaseId, ProviderId, ServiceId, SessionId, TypeId, UserId,
};
use crate::time::Timestamp;

/// An audit event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its time.
    pub at: Timestamp,
    /// The actor; `None` for the daemon itself.
    pub actor: Option<Actor>,
    /// The action.
    pub action: Action,
    /// The target of the action.
    pub target: Target,
    /// A remark for people, such as the reason that an operator gave.
    pub note: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
}

/// The target of an event: everything that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// A service.
    pub service: Option<ServiceId>,
    /// A lease.
    pub lease: Option<LeaseId>,
    /// The subject: the owner of the lease, or the one that was suspended.
    pub subject: Option<Subject>,
    /// The provider of a sign-in.
    pub provider: Option<ProviderId>,
    /// A user of the vault, where it is not the actor.
    pub user: Option<UserId>,
    /// A company.
    pub company: Option<CompanyId>,
    /// A type of credential.
    pub credential_type: Option<TypeId>,
    /// A credential of the vault.
    pub credential: Option<CredentialId>,
    /// Ids of the fields whose values were read, used or changed.
    pub fields: Vec<String>,
    /// The permission that was missing, or the route that was refused.
    pub asked: Option<String>,
}

/// The actor of an event, and where the actor's request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The kind of actor, and its name.
    pub who: Who,
    /// Where the request came from.
    pub client: Client,
}

/// The kind of an actor, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A user, and the interface of the request.
    User(Subject, Interface),
    /// A user of the vault.
    Member {
        /// The subject, which is the same in every dialect.
        subject: Subject,
        /// The user's id in the vault.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// An operator at the admin socket or the command line.
    Operator,
    /// A caller without a valid identity, at this interface.
    Stranger(Interface),
}

impl Actor {
    /// An operator, who asked from there.
    pub fn operator(client: Client) -> Self {
        Self { who: Who::Operator, client }
    }

    /// A caller without a valid identity, who asked from there.
    pub fn stranger(interface: Interface, client: Client) -> Self {
        Self { who: Who::Stranger(interface), client }
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        let who = Who::User(caller.subject().clone(), caller.interface);
        Self { who, client: caller.client.clone() }
    }
}

impl From<&Member> for Actor {
    fn from(member: &Member) -> Self {
        let subject = member.subject().clone();
        let who = Who::Member { subject, user: member.user(), session: member.session() };
        Self { who, client: member.client().clone() }
    }
}

/// The action of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A credential was requested.
    Issue,
    /// An issued result was handed out.
    Collect,
    /// A credential was revoked, or an attempt to revoke it failed.
    Revoke,
    /// A lease reached its own end.
    Expire,
    /// A lease was parked for an operator.
    Park,
    /// An operator sent a parked lease on again.
    Retry,
    /// An operator dropped a parked lease.
    Drop,
    /// A subject was suspended.
    Suspend,
    /// A suspension was lifted.
    Resume,
    /// A request was refused.
    Refuse,
    /// A user signed in to the vault, or a sign-in was refused.
    SignIn,
    /// A session was ended: by its user, by an operator, or because a spent refresh token was
    /// shown.
    SignOut,
    /// Credentials were shown without their secure values.
    Read,
    /// Secure values were decrypted and handed out.
    Reveal,
    /// Secure values were decrypted and given to a plugin alone.
    Use,
    /// Something was made in the vault.
    Create,
    /// Something in the vault was changed.
    Change,
    /// Something in the vault was deleted; an operator can still restore it.
    Delete,
    /// An operator brought back what was deleted.
    Restore,
    /// A deleted thing was removed for good.
    Purge,
    /// Roles were given to a user or taken away.
    AssignRoles,
    /// Companies were synchronised with their directory.
    Synchronise,
    /// An operator accepted a store that had lost something, or was older than the audit log.
    AcceptStore,
    /// An operator gave another command.
    Operate,
    /// Events were dropped for want of room.
    Lose,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Issue,
        Self::Collect,
        Self::Revoke,
        Self::Expire,
        Self::Park,
        Self::Retry,
        Self::Drop,
        Self::Suspend,
        Self::Resume,
        Self::Refuse,
        Self::SignIn,
        Self::SignOut,
        Self::Read,
        Self::Reveal,
        Self::Use,
        Self::Create,
        Self::Change,
        Self::Delete,
        Self::Restore,
        Self::Purge,
        Self::AssignRoles,
        Self::Synchronise,
        Self::AcceptStore,
        Self::Operate,
        Self::Lose,
    ];

    /// The action of that name in the audit log.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// Its name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Collect => "collect",
            Self::Revoke => "revoke",
            Self::Expire => "expire",
            Self::Park => "park",
            Self::Retry => "retry",
            Self::Drop => "drop",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Refuse => "refuse",
            Self::SignIn => "sign-in",
            Self::SignOut => "sign-out",
            Self::Read => "read",
            Self::Reveal => "reveal",
            Self::Use => "use",
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Purge => "purge",
            Self::AssignRoles => "assign-roles",
            Self::Synchronise => "synchronise",
            Self::AcceptStore => "accept-store",
            Self::Operate => "operate",
            Self::Lose => "lose",
        }
    }
}

/// The outcome of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// The caller was not allowed, or a plugin refused; the text is for people.
    Refused(String),
    /// It failed; the text is for people.
    Failed(String),
}

/// Shows events once they are durable in the audit log: the daemon's own log.
pub trait AuditEcho: Send + Sync + 'static {
    /// Shows one event.
    fn echo(&self, event: &Event);
}

/// The file of the audit log. One daemon at a time writes it; others may move it away or read it at
/// any time.
#[async_trait]
pub trait AuditFile: Send + Sync + 'static {
    /// How long it is, in bytes; 0 when it is not there.
    async fn length(&self) -> Result<u64, BoxedCause>;

    /// The bytes from `from` on, at most `most`. Fewer only at the end of the file.
    async fn read(&self, from: u64, most: usize) -> Result<Bytes, BoxedCause>;

    /// Makes `bytes` the end of the file, from `at` on, and creates the file where there is none.
    /// `left` bytes at most stand there, which are written over: what a write that failed has left,
    /// or the same bytes. Durable when it returns, with the entry of the file in its directory;
    /// after a failure a part may have been written, and nothing that is read back shows whether it
    /// is durable.
    async fn write(&self, at: u64, left: u64, bytes: Bytes) -> Result<(), BoxedCause>;

    /// Files beside it that it was before it was moved away, as it seems by their names; the newest
    /// first. Of each the bytes from `from` on, at most `most`, which are durable.
    async fn moved(&self, from: u64, most: usize) -> Result<Vec<Bytes>, BoxedCause>;

    /// Truncates it to `length` bytes, durably.
    async fn cut(&self, length: u64) -> Result<(), BoxedCause>;
}
