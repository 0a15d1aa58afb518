//! Running service plugins. The host sandboxes, limits and queues; it decides nothing about leases.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::caller::{Claims, Identity};
use crate::error::BoxedCause;
use crate::ids::{LeaseId, PluginName, ServiceId};
use crate::secret::Secret;
use crate::time::Timestamp;

/// Longest plugin state, in bytes.
pub const MAX_STATE_BYTES: usize = 4 * 1024;

/// The identity of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginIdentity {
    /// Its own name.
    pub name: PluginName,
    /// Its own version.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
}

/// One value that a request may or must bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// `[a-z][a-z0-9_]*`, unique in its set.
    pub key: String,
    /// Its name for people.
    pub label: String,
    /// Its purpose, for people.
    pub help: String,
    /// As in the plugin contract: text, multiline, password, ...
    pub kind: String,
    /// The values allowed when the kind is choice.
    pub choices: Vec<String>,
    /// Whether a request has to bring it.
    pub required: bool,
    /// Never kept with the lease, never logged.
    pub secure: bool,
    /// The value that a form begins with.
    pub default: Option<String>,
}

/// The offer of a configured service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// A request has to fit one set. No set at all: no parameters.
    pub parameter_sets: Vec<Vec<Parameter>>,
    /// Whether what was issued can be taken back.
    pub can_revoke: bool,
}

/// A user in a call.
#[derive(Debug, Clone)]
pub struct CallUser {
    /// The identity, with the claims that the plugin may read.
    pub identity: Arc<Identity>,
    /// Their access token; set only where the service is granted it.
    pub access_token: Option<Arc<Secret>>,
}

/// A request for a credential, as a plugin sees it.
#[derive(Debug, Clone)]
pub struct IssueCall {
    /// The service asked for.
    pub service: ServiceId,
    /// The lease that will hold the credential: stable over retries.
    pub lease: LeaseId,
    /// The user who asks.
    pub user: CallUser,
    /// Other identities of the same person, oldest first.
    pub additional_logins: Vec<CallUser>,
    /// Parameters that fit a set of the offer. A string as sent; other JSON as compact text.
    pub parameters: Vec<(String, Secret)>,
    /// When the daemon will revoke, if there is a limit.
    pub not_after: Option<Timestamp>,
}

/// A revocation, as a plugin sees it.
#[derive(Debug, Clone)]
pub struct RevokeCall {
    /// The service that issued.
    pub service: ServiceId,
    /// The lease.
    pub lease: LeaseId,
    /// The user of the issue, with the claims that were kept; no token.
    pub user: Arc<Identity>,
    /// The parameters that were kept (none of the secure ones).
    pub parameters: Vec<(String, Secret)>,
    /// When the daemon would revoke, if there is a limit.
    pub not_after: Option<Timestamp>,
    /// The state that issue returned. Empty: an issue may have been cut short; clean up what it
    /// left.
    pub state: String,
    /// The secret that issue returned for the revocation.
    pub revoke_with: Option<Secret>,
    /// Whether a user waits for it: users come before the daemon's own revocations.
    pub urgency: Urgency,
}

/// Whether a user waits for a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A user waits.
    User,
    /// The daemon revokes on its own account.
    Background,
}

/// How one displayed part of an issued result is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// One line.
    Text,
    /// Some lines.
    Textarea,
    /// A file.
    Textfile,
}

/// One displayed part of an issued result.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// How to show it.
    pub kind: EntryKind,
    /// The value, which counts as secret whether or not the plugin says so.
    pub value: Secret,
    /// Suggested height.
    pub rows: Option<u32>,
    /// Suggested width.
    pub cols: Option<u32>,
    /// Suggested file name.
    pub save_as: Option<String>,
}

/// The result of an issue.
#[derive(Debug)]
pub struct Issued {
    /// The parts that the user gets, once.
    pub entries: Vec<Entry>,
    /// Identifies what was made; at most [`MAX_STATE_BYTES`].
    pub state: String,
    /// Is returned to the plugin at revoke; kept sealed.
    pub revoke_with: Option<Secret>,
    /// Its own end.
    pub expires_at: Option<Timestamp>,
}

/// The end of a successful issue.
#[derive(Debug)]
pub enum IssueOutcome {
    /// A credential was made.
    Issued(Issued),
    /// Nothing was made: the user has to sign in at `provider` first. The id is unchecked input
    /// from the plugin.
    LoginRequired {
        /// The provider's id.
        provider: String,
        /// Why, for the user.
        message: String,
    },
}

/// The end of an issue, and the claims that the plugin read: a revoke will need them.
#[derive(Debug)]
pub struct IssueReport {
    /// The end.
    pub outcome: Result<IssueOutcome, CallFailure>,
    /// The claims that the plugin read, however the issue ended.
    pub claims_read: Claims,
    /// Whether a request to the outside was written during the call, or may have been. Where none
    /// was, a call that broke has left nothing behind.
    pub sent: bool,
}

/// Why a call failed.
#[derive(Debug)]
pub enum CallFailure {
    /// The plugin refused, and promises that nothing was left behind.
    Refused(Refusal),
    /// The plugin never ran: its queue is full, or the daemon is ending.
    NotStarted(NotStarted),
    /// The plugin ran and failed. It may have had effects.
    Broken(Broken),
}

/// A plugin's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the user; at most 500 characters, without control characters.
    pub user: String,
    /// When a new attempt makes sense; `None`: never.
    pub retry_after: Option<Duration>,
}

/// Why a call never began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotStarted {
    /// The queue in front of the service is full, or the wait in it was too long.
    Busy,
    /// No such service is loaded; the text says why.
    NotLoaded(String),
}

/// The failure of a plugin.
#[derive(Debug)]
pub struct Broken {
    /// The kind of failure.
    pub how: BrokenHow,
    /// Names plugin, version, digest and operation; for the log.
    pub cause: BoxedCause,
}

/// The kinds of failure of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenHow {
    /// It exceeded its time limit.
    Timeout,
    /// It crashed or broke a limit of memory or depth.
    Trap,
    /// Its answer is not what the contract allows.
    BadOutput,
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "the plugin refused: {}", refusal.user),
            Self::NotStarted(NotStarted::Busy) => f.write_str("the plugin's queue is full"),
            Self::NotStarted(NotStarted::NotLoaded(why)) => {
                write!(f, "the service is not loaded: {why}")
            }
            Self::Broken(broken) => write!(f, "{}", broken.cause),
        }
    }
}

/// A configured service as the host has loaded it.
#[derive(Debug, Clone)]
pub struct LoadedService {
    /// The plugin behind it.
    pub plugin: PluginIdentity,
    /// Its offer.
    pub offer: Offer,
    /// How long an issue may take at most, waiting in the queue included: the lease's deadline
    /// builds on it.
    pub longest_call: Duration,
}

/// The plugins behind the services.
#[async_trait]
pub trait ServicePlugins: Send + Sync + 'static {
    /// What is loaded for `service`; else the reason that nothing is, as a sentence for operators.
    fn loaded(&self, service: &ServiceId) -> Result<LoadedService, String>;

    /// Issues. Ends within [`LoadedService::longest_call`]. A caller that stops polling cuts the
    /// plugin short.
    async fn issue(&self, call: IssueCall) -> IssueReport;

    /// Revokes. `Ok` when what the state identifies is gone.
    async fn revoke(&self, call: RevokeCall) -> Result<(), CallFailure>;
}
