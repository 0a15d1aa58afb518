//! What is told to whoever answers for the daemon. Events hold no secret: there is no field for
//! one.

use async_trait::async_trait;
use bytes::Bytes;

use crate::caller::{Interface, Member, Subject};
use crate::error::BoxedCause;
use crate::ids::{
    CompanyId, CredentialId, LeaseId, ProviderId, ServiceId, SessionId, TypeId, UserId,
};
use crate::time::Timestamp;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who did it; `None` for the daemon itself.
    pub actor: Option<Actor>,
    /// What.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// What a person should know besides, such as the reason that an operator gave.
    pub note: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What an event is about: everything that has a name in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// A service.
    pub service: Option<ServiceId>,
    /// A lease.
    pub lease: Option<LeaseId>,
    /// Whom it befell: whose lease it is, or who was suspended.
    pub subject: Option<Subject>,
    /// A provider that somebody signed in at.
    pub provider: Option<ProviderId>,
    /// A user of the vault, where it is not the actor.
    pub user: Option<UserId>,
    /// A company.
    pub company: Option<CompanyId>,
    /// A type of credential.
    pub credential_type: Option<TypeId>,
    /// A credential of the vault.
    pub credential: Option<CredentialId>,
    /// Ids of fields: which values were seen, used or changed.
    pub fields: Vec<String>,
    /// The permission that was missing, or the route that was refused.
    pub asked: Option<String>,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user, and the door they used.
    User(Subject, Interface),
    /// A user of the vault.
    Member {
        /// Who it is everywhere.
        subject: Subject,
        /// Who it is in the vault.
        user: UserId,
        /// By which sign-in.
        session: SessionId,
    },
    /// Somebody at the admin socket or the command line.
    Operator,
    /// Somebody who did not show who they are, at this door.
    Stranger(Interface),
}

impl From<&Member> for Actor {
    fn from(member: &Member) -> Self {
        let subject = member.subject().clone();
        Self::Member { subject, user: member.user(), session: member.session() }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A credential was asked for.
    Issue,
    /// An issued result was handed out.
    Collect,
    /// A credential was revoked, or tried to be.
    Revoke,
    /// A lease ended by itself.
    Expire,
    /// A lease was put aside for an operator.
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
    /// Somebody signed in to the vault.
    SignIn,
    /// A session was ended: by its user, by an operator, or because a spent refresh token was
    /// shown.
    SignOut,
    /// Secure values were decrypted and handed out.
    Reveal,
    /// Secure values were decrypted and seen by a plugin alone.
    Use,
    /// Something was made in the vault.
    Create,
    /// Something in the vault was changed.
    Change,
    /// Something in the vault was deleted; an operator can still restore it.
    Delete,
    /// An operator brought back what was deleted.
    Restore,
    /// What was deleted is gone for good.
    Purge,
    /// Roles were given to a user or taken away.
    AssignRoles,
    /// Companies were synchronised with their directory.
    Synchronise,
    /// An operator gave another command.
    Operate,
    /// Events were dropped for want of room.
    Lose,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 23] = [
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
        Self::Reveal,
        Self::Use,
        Self::Create,
        Self::Change,
        Self::Delete,
        Self::Restore,
        Self::Purge,
        Self::AssignRoles,
        Self::Synchronise,
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
            Self::Reveal => "reveal",
            Self::Use => "use",
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Purge => "purge",
            Self::AssignRoles => "assign-roles",
            Self::Synchronise => "synchronise",
            Self::Operate => "operate",
            Self::Lose => "lose",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// Somebody may not, or a plugin said no; the text is for people.
    Refused(String),
    /// It broke; the text is for people.
    Failed(String),
}

/// Where events are shown once they are durable in the audit log: the daemon's own log.
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

    /// What stands from `from` on, at most `most` bytes. Fewer only where it ends.
    async fn read(&self, from: u64, most: usize) -> Result<Bytes, BoxedCause>;

    /// Writes `bytes` at its end, which is `at`, and makes the file where it is not there. Durable
    /// when it answers; after a failure some of it may stand there.
    async fn append(&self, at: u64, bytes: Bytes) -> Result<(), BoxedCause>;

    /// Takes away what stands from `length` on, durably.
    async fn cut(&self, length: u64) -> Result<(), BoxedCause>;
}
