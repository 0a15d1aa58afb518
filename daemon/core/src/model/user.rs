//! A user of the vault.

use super::profile::Profile;
use crate::caller::{Claims, Subject};
use crate::ids::{ProviderId, UserId};
use crate::time::Timestamp;

/// A user as we keep them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) subject: Subject,
    /// Where they signed in last.
    pub(crate) provider: ProviderId,
    /// What their provider said of them at the last sign-in.
    pub(crate) profile: Profile,
    /// What they said of themselves; it wins.
    pub(crate) own: Own,
    /// Those claims of the last sign-in that rules look at.
    pub(crate) claims: Claims,
    /// Roles given by hand, configured or not.
    pub(crate) hand_roles: Vec<String>,
    pub(crate) suspended: bool,
    /// Sessions of earlier eras are over.
    pub(crate) era: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

/// What a user changed of their profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) name: Option<String>,
    /// `Some(None)`: they want no picture.
    pub(crate) image: Option<Option<String>>,
}

impl User {
    pub(crate) fn name(&self) -> &str {
        self.own.name.as_deref().unwrap_or(&self.profile.name)
    }

    pub(crate) fn image(&self) -> Option<&str> {
        self.own.image.as_ref().unwrap_or(&self.profile.image).as_deref()
    }

    /// The user after another sign-in.
    pub(crate) fn signed_in(
        &self,
        provider: ProviderId,
        profile: Profile,
        claims: Claims,
        now: Timestamp,
    ) -> Self {
        let after = Self { provider, profile, claims, ..self.clone() };
        if after == *self { after } else { Self { updated: now, ..after } }
    }
}
