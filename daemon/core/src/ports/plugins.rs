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

/// Which plugin is behind a service.
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
    /// What a person calls it.
    pub label: String,
    /// What it is for.
    pub help: String,
    /// As in the plugin contract: text, multiline, password, ...
    pub kind: String,
    /// The values allowed when the kind is choice.
    pub choices: Vec<String>,
    /// Whether a request has to bring it.
    pub required: bool,
    /// Never kept with the lease, never logged.
    pub secure: bool,
    /// What a form may begin with.
    pub default: Option<String>,
}

/// What a configured service offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// A request has to fit one set. No set at all: no parameters.
    pub parameter_sets: Vec<Vec<Parameter>>,
    /// Whether what was issued can be taken back.
    pub can_revoke: bool,
}

/// Somebody a call speaks of.
#[derive(Debug, Clone)]
pub struct CallUser {
    /// Who, with the claims that the plugin may read.
    pub identity: Arc<Identity>,
    /// Their access token; set only where the service is granted it.
    pub access_token: Option<Arc<Secret>>,
}

/// A request for a credential, as a plugin gets to see it.
#[derive(Debug, Clone)]
pub struct IssueCall {
    /// The service asked for.
    pub service: ServiceId,
    /// The lease to be: stable over retries.
    pub lease: LeaseId,
    /// Who asks.
    pub user: CallUser,
    /// Other identities of the same person, oldest first.
    pub additional_logins: Vec<CallUser>,
    /// Parameters that fit a set of the offer. A string as sent; other JSON as compact text.
    pub parameters: Vec<(String, Secret)>,
    /// When core will revoke, if there is a limit.
    pub not_after: Option<Timestamp>,
}

/// A revocation, as a plugin gets to see it.
#[derive(Debug, Clone)]
pub struct RevokeCall {
    /// The service that issued.
    pub service: ServiceId,
    /// The lease.
    pub lease: LeaseId,
    /// Who asked at the time, with the claims that were kept; no token.
    pub user: Arc<Identity>,
    /// The parameters that were kept (none of the secure ones).
    pub parameters: Vec<(String, Secret)>,
    /// When core would revoke, if there is a limit.
    pub not_after: Option<Timestamp>,
    /// What issue returned. Empty: an issue may have been cut short; clean up what it left.
    pub state: String,
    /// What issue returned for this moment.
    pub revoke_with: Option<Secret>,
    /// Whether a user waits for it: users come before the daemon's own revocations.
    pub urgency: Urgency,
}

/// Who waits for a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A user.
    User,
    /// Nobody.
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
    /// What it is called.
    pub name: String,
    /// How it is shown.
    pub kind: EntryKind,
    /// The value; taken for secret whether or not the plugin says so.
    pub value: Secret,
    /// Suggested height.
    pub rows: Option<u32>,
    /// Suggested width.
    pub cols: Option<u32>,
    /// Suggested file name.
    pub save_as: Option<String>,
}

/// What a plugin made.
#[derive(Debug)]
pub struct Issued {
    /// What the user gets, once.
    pub entries: Vec<Entry>,
    /// Names what was made; at most [`MAX_STATE_BYTES`].
    pub state: String,
    /// Comes back at revoke; kept sealed.
    pub revoke_with: Option<Secret>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// How an issue ended when it ended well.
#[derive(Debug)]
pub enum IssueOutcome {
    /// It was made.
    Issued(Issued),
    /// Nothing was made: the user has to sign in at `provider` first. The id is the plugin's word,
    /// not checked.
    LoginRequired {
        /// The provider's id.
        provider: String,
        /// Why, for the user.
        message: String,
    },
}

/// How an issue ended, and which claims the plugin looked at on the way: they are what a revoke
/// will need.
#[derive(Debug)]
pub struct IssueReport {
    /// The end.
    pub outcome: Result<IssueOutcome, CallFailure>,
    /// The claims that the plugin read, whatever the end was.
    pub claims_read: Claims,
}

/// Why a call brought nothing.
#[derive(Debug)]
pub enum CallFailure {
    /// The plugin said no, and promises that nothing was left behind.
    Refused(Refusal),
    /// The plugin never ran: too many wait for it already, or the daemon is ending.
    NotStarted(NotStarted),
    /// The plugin ran and broke. It may have had effects.
    Broken(Broken),
}

/// A plugin's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the user; at most 500 characters, without control characters.
    pub user: String,
    /// When trying again makes sense; `None`: never.
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

/// How a plugin broke.
#[derive(Debug)]
pub struct Broken {
    /// In which way.
    pub how: BrokenHow,
    /// Names plugin, version, digest and operation; for the log.
    pub cause: BoxedCause,
}

/// In which way a plugin broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenHow {
    /// It took longer than it may.
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

/// A configured service as far as the host knows it.
#[derive(Debug, Clone)]
pub struct LoadedService {
    /// The plugin behind it.
    pub plugin: PluginIdentity,
    /// What it offers.
    pub offer: Offer,
    /// How long an issue may take at most, waiting in the queue included: the lease's deadline
    /// builds on it.
    pub longest_call: Duration,
}

/// The plugins behind the services.
#[async_trait]
pub trait ServicePlugins: Send + Sync + 'static {
    /// What is loaded for `service`; or why nothing is, as a sentence for operators.
    fn loaded(&self, service: &ServiceId) -> Result<LoadedService, String>;

    /// Issues. Ends within [`LoadedService::longest_call`]. A caller that stops polling cuts the
    /// plugin short.
    async fn issue(&self, call: IssueCall) -> IssueReport;

    /// Revokes. `Ok` when what the state names is gone.
    async fn revoke(&self, call: RevokeCall) -> Result<(), CallFailure>;
}
