//! A user of the vault.

use super::profile::Profile;
use crate::caller::{Claims, Subject};
use crate::ids::{ProviderId, UserId};
use crate::time::Timestamp;

/// A user as stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) subject: Subject,
    /// The provider of the last sign-in.
    pub(crate) provider: ProviderId,
    /// The profile by the claims of the last sign-in.
    pub(crate) profile: Profile,
    /// Whether the provider verified the mail address of the profile at the last sign-in; `None`:
    /// not known, or there is no address.
    pub(crate) email_verified: Option<bool>,
    /// The user's own changes to the profile; they take precedence.
    pub(crate) overrides: ProfileOverrides,
    /// Those claims of the last sign-in that the rules of roles read.
    pub(crate) claims: Claims,
    /// Names of the roles that were assigned by hand, configured or not.
    pub(crate) assigned_roles: Vec<String>,
    pub(crate) suspended: Option<SuspendedBy>,
    /// Sessions of an earlier generation are over. A suspension begins a new one.
    pub(crate) session_generation: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

/// Who suspended a subject. What an operator suspended, only an operator lifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuspendedBy {
    /// A user of the vault, with the permission for it.
    User,
    /// An operator.
    Operator,
}

/// The suspension of a subject, in every dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// The subject.
    pub subject: Subject,
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: SuspendedBy,
}

/// The parts of the profile that the user changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProfileOverrides {
    pub(crate) name: Option<String>,
    /// `Some(None)`: the user removed the picture.
    pub(crate) image: Option<Option<String>>,
}

impl User {
    pub(crate) fn name(&self) -> &str {
        self.overrides.name.as_deref().unwrap_or(&self.profile.name)
    }

    pub(crate) fn image(&self) -> Option<&str> {
        self.overrides.image.as_ref().unwrap_or(&self.profile.image).as_deref()
    }

    /// The user after another sign-in.
    pub(crate) fn signed_in(
        &self,
        provider: ProviderId,
        (profile, email_verified): (Profile, Option<bool>),
        claims: Claims,
        now: Timestamp,
    ) -> Self {
        let after = Self { provider, profile, email_verified, claims, ..self.clone() };
        if after == *self { after } else { Self { updated: now, ..after } }
    }
}
