//! A service that users request credentials from: the trait that a plugin implements, and its
//! answers.

pub(crate) mod key;
pub(crate) mod not_issued;
pub(crate) mod request;

use self::not_issued::NotIssued;
use self::request::Request;
use crate::description::Description;
use crate::field::Field;
use crate::refusal::Refusal;
use crate::settings::{Noted, Settings};

/// A service plugin. The implementing type is the configured service; a new one is made for every
/// call, so it keeps nothing.
pub trait Service: Sized {
    /// Describes the plugin and the settings it takes. Pure: the same at every call, from nothing
    /// but code.
    fn describe() -> Description;

    /// Makes the configured service. Runs at load and before each call, without http.
    ///
    /// # Errors
    /// [`Noted`], when some setting is wrong; the faults themselves are in `settings`.
    fn configure(settings: &Settings) -> Result<Self, Noted>;

    /// The offer with these settings.
    fn offer(&self) -> Offer;

    /// Makes a credential.
    ///
    /// # Errors
    /// [`NotIssued`]: a refusal promises that nothing was left behind. When that is not certain,
    /// say [`NotIssued::Unsure`]; a `?` on a failed request makes the choice.
    fn issue(&self, request: &Request<'_>) -> Result<Outcome, NotIssued>;

    /// Ends a credential. A credential that is gone already is a success: the daemon may ask again.
    ///
    /// # Errors
    /// A refusal. With `retry_after` the daemon tries again; without, the credential stays active.
    fn revoke(&self, request: &Request<'_>, made: &Made) -> Result<(), Refusal>;
}

/// The parameters that a configured service takes, and whether it can revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// A request has to fit one of these sets. None: it brings no parameters.
    pub parameter_sets: Vec<Vec<Field>>,
    /// Whether credentials can be revoked. If not, the daemon refuses to revoke and counts
    /// the credential until its end.
    pub can_revoke: bool,
    /// For later versions of the contract; unknown keys are ignored.
    pub extra: Vec<(String, String)>,
}

impl Offer {
    /// Credentials without parameters that can be revoked.
    pub fn revocable() -> Self {
        Self { parameter_sets: Vec::new(), can_revoke: true, extra: Vec::new() }
    }

    /// Credentials without parameters that cannot be revoked and only expire.
    pub fn irrevocable() -> Self {
        Self { can_revoke: false, ..Self::revocable() }
    }

    /// One more set of parameters that a request may bring. An empty one: a request without
    /// parameters fits as well.
    #[must_use]
    pub fn parameters(mut self, set: impl IntoIterator<Item = Field>) -> Self {
        self.parameter_sets.push(set.into_iter().collect());
        self
    }

    /// A further property.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((key.into(), value.into()));
        self
    }
}

/// How an issue ended that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A credential was made.
    Issued(Issued),
    /// Nothing was made: the user has to sign in at another provider first.
    LoginRequired {
        /// The configured id of the provider.
        provider: String,
        /// Why, for the user.
        message: String,
    },
}

impl From<Issued> for Outcome {
    fn from(issued: Issued) -> Self {
        Self::Issued(issued)
    }
}

/// A credential that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// The entries that the user gets, once.
    pub entries: Vec<Entry>,
    /// Names what was made; comes back at the revoke. Not empty, at most 4 KiB, no secret.
    pub state: String,
    /// A secret that the revoke needs; at most 4 KiB, kept sealed, deleted with the lease.
    pub revoke_with: Option<String>,
    /// Unix seconds at which the credential expires.
    pub expires_at: Option<u64>,
    /// For later versions of the contract; unknown keys are ignored.
    pub extra: Vec<(String, String)>,
}

impl Issued {
    /// A credential that `state` names. Two live credentials of one user at one service cannot
    /// share a state.
    pub fn new(state: impl Into<String>) -> Self {
        Self {
            entries: Vec::new(),
            state: state.into(),
            revoke_with: None,
            expires_at: None,
            extra: Vec::new(),
        }
    }

    /// One more part that the user gets.
    #[must_use]
    pub fn entry(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// A secret that the revoke needs.
    #[must_use]
    pub fn revoke_with(mut self, secret: impl Into<String>) -> Self {
        self.revoke_with = Some(secret.into());
        self
    }

    /// When it expires, in Unix seconds.
    #[must_use]
    pub fn expires_at(mut self, seconds: u64) -> Self {
        self.expires_at = Some(seconds);
        self
    }

    /// A further property.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((key.into(), value.into()));
        self
    }
}

/// One part of the credential that the user gets. The daemon never stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its name, unique among the entries.
    pub name: String,
    /// How it is shown: text, textarea or textfile.
    pub kind: String,
    /// The value.
    pub value: String,
    /// Suggested height in lines.
    pub rows: Option<u32>,
    /// Suggested width in characters.
    pub cols: Option<u32>,
    /// Suggested file name.
    pub save_as: Option<String>,
    /// Whether the value is masked in the log.
    pub secret: bool,
    /// For later versions of the contract; unknown keys are ignored.
    pub extra: Vec<(String, String)>,
}

impl Entry {
    /// One line.
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::of_kind("text", name, value)
    }

    /// Some lines.
    pub fn textarea(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::of_kind("textarea", name, value)
    }

    /// A file, with the name it should get.
    pub fn textfile(
        name: impl Into<String>,
        save_as: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self { save_as: Some(save_as.into()), ..Self::of_kind("textfile", name, value) }
    }

    /// An entry of a kind that this crate does not know yet. A daemon that does not know it either
    /// refuses the whole answer.
    pub fn of_kind(
        kind: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            value: value.into(),
            rows: None,
            cols: None,
            save_as: None,
            secret: false,
            extra: Vec::new(),
        }
    }

    /// How large it is shown.
    #[must_use]
    pub fn size(mut self, rows: u32, cols: u32) -> Self {
        (self.rows, self.cols) = (Some(rows), Some(cols));
        self
    }

    /// Its value is a secret.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// A further property.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((key.into(), value.into()));
        self
    }
}

/// The parts of an issue's answer that its revoke gets.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    state: String,
    revoke_with: Option<String>,
}

impl Made {
    pub(crate) fn new(state: String, revoke_with: Option<String>) -> Self {
        Self { state, revoke_with }
    }

    /// The state that the issue answered. `None`: the issue was cut short. Remove anything that it
    /// may have left behind for this credential id; finding nothing is a success.
    pub fn state(&self) -> Option<&str> {
        (!self.state.is_empty()).then_some(self.state.as_str())
    }

    /// The secret that the issue answered for the revoke.
    pub fn revoke_with(&self) -> Option<&str> {
        self.revoke_with.as_deref()
    }
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("state", &self.state).finish_non_exhaustive()
    }
}
