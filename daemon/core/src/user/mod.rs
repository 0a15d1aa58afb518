//! Users of the vault: who they are here, what they may do, and how that changes.
//!
//! A user is known by issuer and subject, never by a name or an address. The first sign-in makes
//! the record; later ones bring it up to date and leave alone what the user changed. Rights are
//! worked out at each request, from the roles that are configured now: start with `Users::rights`
//! and [`Roles`].
//!
//! Never here: a token, a session (they are [`crate::session`]'s).

mod changes;
mod roles;
#[cfg(test)]
mod tests;
mod views;

use std::sync::Arc;

pub use changes::ProfileChange;
pub use roles::{ConfiguredRole, Roles};
pub use views::{Granted, UserView, granted};

use crate::caller::{Claims, Interface, Subject};
use crate::error::Error;
use crate::ground::Ground;
use crate::ground::{suspended, too_contended};
use crate::ids::UserId;
use crate::leases::Leases;
use crate::model::profile::Profile;
use crate::model::user::{Own, User};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::sign_in::Vouched;
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::users::USERS;
use crate::rights::Rights;
use views::LastNames;

/// How often a change is tried against others that are faster.
const ATTEMPTS: u32 = 16;

/// The users of the vault.
pub struct Users {
    ground: Arc<Ground>,
    leases: Arc<Leases>,
    roles: Roles,
    names: LastNames,
}

impl Users {
    /// Users who may have `roles`.
    pub fn new(leases: Arc<Leases>, roles: Roles) -> Self {
        let ground = Arc::clone(&leases.ground);
        Self { ground, leases, roles, names: LastNames::default() }
    }

    /// What `user` may do, by the roles that are configured now: those that were given by hand, and
    /// those that the rules give for the claims of the last sign-in.
    pub(crate) fn rights(&self, user: &User) -> Rights {
        self.roles.of(user)
    }

    /// The user whom a provider vouches for: made at the first sign-in, brought up to date at later
    /// ones.
    ///
    /// # Errors
    /// `Unauthenticated` when they are suspended.
    pub(crate) async fn welcome(&self, vouched: Vouched) -> Result<UserId, Error> {
        let profile = Profile::from_claims(&vouched.claims, &vouched.subject);
        let claims = self.roles.claims_of(&vouched);
        for _ in 0..ATTEMPTS {
            let known = self.ground.records.user_of(&vouched.subject).await?;
            if known.as_ref().is_some_and(|known| known.value.suspended) {
                return Err(suspended());
            }
            let (id, written) = match known {
                None => self.begin(&vouched, &profile, &claims).await,
                Some(known) => self.bring_up_to_date(known, &vouched, &profile, &claims).await,
            };
            match written {
                Ok(()) => return Ok(id),
                Err(CommitError::Conflict) => self.refuse_suspended(&vouched.subject).await?,
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    async fn begin(
        &self,
        vouched: &Vouched,
        profile: &Profile,
        claims: &Claims,
    ) -> (UserId, Result<(), CommitError>) {
        let now = self.ground.clock.now();
        let user = User {
            id: UserId::from_random(random_16(&*self.ground.entropy)),
            subject: vouched.subject.clone(),
            provider: vouched.provider.clone(),
            profile: profile.clone(),
            own: Own::default(),
            claims: claims.clone(),
            hand_roles: Vec::new(),
            suspended: false,
            era: 0,
            created: now,
            updated: now,
        };
        (user.id, self.write_new(&user).await)
    }

    async fn write_new(&self, user: &User) -> Result<(), CommitError> {
        let mut writing = self.ground.records.writing();
        writing.begin_user(user).await?;
        writing.unless_suspended(&user.subject);
        writing.bump(USERS);
        let actor = Actor::User(user.subject.clone(), Interface::Vault);
        writing.event(&self.event(actor, Action::Create, user)).await?;
        writing.commit().await.map(drop)
    }

    async fn bring_up_to_date(
        &self,
        known: Versioned<User>,
        vouched: &Vouched,
        profile: &Profile,
        claims: &Claims,
    ) -> (UserId, Result<(), CommitError>) {
        let id = known.value.id;
        let (provider, now) = (vouched.provider.clone(), self.ground.clock.now());
        let after = known.value.signed_in(provider, profile.clone(), claims.clone(), now);
        if after == known.value {
            return (id, Ok(()));
        }
        (id, self.write_change(&known, &after).await)
    }

    async fn write_change(&self, known: &Versioned<User>, after: &User) -> Result<(), CommitError> {
        let mut writing = self.ground.records.writing();
        writing.change_user(after, known.revision).await?;
        writing.unless_suspended(&after.subject);
        writing.bump(USERS);
        writing.commit().await.map(drop)
    }

    async fn refuse_suspended(&self, subject: &Subject) -> Result<(), Error> {
        if self.ground.records.is_suspended(subject).await? { Err(suspended()) } else { Ok(()) }
    }

    fn event(&self, actor: Actor, action: Action, user: &User) -> Event {
        Event {
            at: self.ground.clock.now(),
            actor: Some(actor),
            action,
            target: Target { user: Some(user.id), ..Target::default() },
            note: None,
            outcome: Outcome::Done,
        }
    }
}
