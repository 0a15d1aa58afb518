//! What is told to whoever answers for the daemon. Events hold no secret: there is no field for one.

use crate::caller::{Interface, Subject};
use crate::ids::{LeaseId, ServiceId};
use crate::time::Timestamp;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who did it; `None` for the daemon itself.
    pub actor: Option<Actor>,
    /// What.
    pub action: Action,
    /// To which service.
    pub service: Option<ServiceId>,
    /// To which lease.
    pub lease: Option<LeaseId>,
    /// Whom it befell: whose lease it is, or who was suspended.
    pub subject: Option<Subject>,
    /// What a person should know besides, such as the reason that an operator gave.
    pub note: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Who did something.
#[derive(Debug, Clone)]
pub enum Actor {
    /// A user, and the door they used.
    User(Subject, Interface),
    /// Somebody at the admin socket or the command line.
    Operator,
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

/// Where events go.
pub trait AuditSink: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: Event);
}
