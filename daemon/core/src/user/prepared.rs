//! A sign-in that is verified and not recorded yet: it waits for the answer of its user, and holds
//! no more of the claims than its record will.

use super::{Error, Users, suspended};
use crate::caller::{Claims, Subject};
use crate::model::profile::Profile;
use crate::ports::sign_in::Vouched;

/// The part of a sign-in that is recorded. Bounded: claims are foreign data of any size.
#[derive(Debug)]
pub(crate) struct PreparedSignIn {
    /// Without its claims.
    pub(super) vouched: Vouched,
    pub(super) profile: Profile,
    /// The claims that the rules of roles read.
    pub(super) claims: Claims,
}

impl PreparedSignIn {
    /// The subject that the provider vouches for.
    pub(crate) fn subject(&self) -> &Subject {
        &self.vouched.subject
    }

    /// The login name by which the provider knows the subject.
    pub(crate) fn login(&self) -> &str {
        &self.profile.login
    }
}

impl Users {
    /// Takes from a sign-in what is recorded of it.
    pub(crate) fn prepare_sign_in(&self, vouched: Vouched) -> PreparedSignIn {
        let profile = Profile::from_claims(&vouched.claims, &vouched.subject);
        let claims = self.roles.claims_to_keep(&vouched);
        PreparedSignIn { vouched: Vouched { claims: Claims::new(), ..vouched }, profile, claims }
    }

    /// Refuses a user who is suspended, before the sign-in is recorded. Recording checks it again.
    ///
    /// # Errors
    /// `Unauthenticated` when the user is suspended; `Internal` when the store fails.
    pub(crate) async fn refuse_if_suspended(&self, sign_in: &PreparedSignIn) -> Result<(), Error> {
        self.refuse_suspended(sign_in.subject()).await?;
        match self.ground.records.user_of(sign_in.subject()).await? {
            Some(user) if user.value.suspended.is_some() => Err(suspended()),
            _ => Ok(()),
        }
    }
}
