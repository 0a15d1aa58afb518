//! Users of the vault: their records, their rights, and changes of both.
//!
//! A user is identified by issuer and subject, never by a name or a mail address. The first sign-in
//! creates the record; later ones update it and keep the user's own changes. Rights are computed at
//! each request, from the roles as configured now: start with `Users::rights` and [`Roles`].
//!
//! Never here: a token, a session (see [`crate::session`]).

mod changes;
mod prepared;
mod roles;
#[cfg(test)]
mod tests;
mod views;

use std::sync::Arc;

use serde_json::Value;

pub use changes::ProfileChange;
pub(crate) use prepared::PreparedSignIn;
pub use roles::{ConfiguredRole, Roles};
pub use views::{EffectivePermission, UserView, effective_permissions};

use crate::caller::{Claims, Client, Interface, Subject};
use crate::error::Error;
use crate::ground::Ground;
use crate::ground::{retry, suspended};
use crate::ids::UserId;
use crate::leases::Leases;
use crate::model::profile::Profile;
use crate::model::user::{ProfileOverrides, User};
pub use crate::model::user::{SuspendedBy, Suspension};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target, Who};
use crate::ports::random_16;
use crate::ports::sign_in::Vouched;
use crate::ports::store::Versioned;
use crate::records::users::USERS;
use crate::records::{CommitError, Projection};
use crate::rights::Rights;
use views::Names;

/// The users of the vault.
pub struct Users {
    ground: Arc<Ground>,
    leases: Arc<Leases>,
    roles: Roles,
    names: Projection<Names>,
}

impl Users {
    /// Users with the configured `roles`.
    pub fn new(leases: Arc<Leases>, roles: Roles) -> Self {
        let ground = Arc::clone(&leases.ground);
        Self { ground, leases, roles, names: Projection::default() }
    }

    /// The rights of `user` by the roles as configured now: those that are assigned by hand, and
    /// those whose rules match the claims of the last sign-in.
    pub(crate) fn rights(&self, user: &User) -> Rights {
        self.roles.rights_of(user)
    }

    /// [`Users::prepare_sign_in`] and [`Users::record_prepared`] in one.
    #[cfg(test)]
    pub(crate) async fn record_sign_in(
        &self,
        vouched: Vouched,
        client: &Client,
    ) -> Result<UserId, Error> {
        self.record_prepared(&self.prepare_sign_in(vouched), client).await
    }

    /// Records a sign-in: creates the user at the first one, updates the user at later ones.
    ///
    /// # Errors
    /// `Unauthenticated` when the user is suspended.
    pub(crate) async fn record_prepared(
        &self,
        sign_in: &PreparedSignIn,
        client: &Client,
    ) -> Result<UserId, Error> {
        let PreparedSignIn { vouched, profile, claims } = sign_in;
        retry(|| self.try_record_sign_in(vouched, profile, claims, client)).await
    }

    async fn try_record_sign_in(
        &self,
        vouched: &Vouched,
        profile: &Profile,
        claims: &Claims,
        client: &Client,
    ) -> Result<UserId, CommitError> {
        let recorded = match self.ground.records.user_of(&vouched.subject).await? {
            None => self.create(vouched, profile, claims, client).await,
            Some(stored) => self.update(stored, vouched, profile, claims).await,
        };
        if let Err(CommitError::Conflict) = recorded {
            self.refuse_suspended(&vouched.subject).await?;
        }
        recorded
    }

    async fn create(
        &self,
        vouched: &Vouched,
        profile: &Profile,
        claims: &Claims,
        client: &Client,
    ) -> Result<UserId, CommitError> {
        let now = self.ground.clock.now();
        let user = User {
            id: UserId::from_random(random_16(&*self.ground.entropy)),
            subject: vouched.subject.clone(),
            provider: vouched.provider.clone(),
            profile: profile.clone(),
            email_verified: email_verified(vouched, profile),
            overrides: ProfileOverrides::default(),
            claims: claims.clone(),
            assigned_roles: Vec::new(),
            suspended: None,
            session_generation: 0,
            created: now,
            updated: now,
        };
        self.commit_new(&user, client).await?;
        Ok(user.id)
    }

    async fn commit_new(&self, user: &User, client: &Client) -> Result<(), CommitError> {
        let mut writing = self.ground.records.writing();
        writing.begin_user(user).await?;
        writing.unless_suspended(&user.subject);
        writing.bump(USERS);
        let who = Who::User(user.subject.clone(), Interface::Vault);
        let actor = Actor { who, client: client.clone() };
        writing.event(&self.event(actor, Action::Create, user)).await?;
        writing.commit().await.map(drop)
    }

    async fn update(
        &self,
        stored: Versioned<User>,
        vouched: &Vouched,
        profile: &Profile,
        claims: &Claims,
    ) -> Result<UserId, CommitError> {
        let user = &stored.value;
        if user.suspended.is_some() {
            return Err(suspended().into());
        }
        let (provider, now) = (vouched.provider.clone(), self.ground.clock.now());
        let after = user.signed_in(
            provider,
            (profile.clone(), email_verified(vouched, profile)),
            claims.clone(),
            now,
        );
        if after != *user {
            self.commit_update(&stored, &after).await?;
        }
        Ok(user.id)
    }

    async fn commit_update(
        &self,
        stored: &Versioned<User>,
        after: &User,
    ) -> Result<(), CommitError> {
        let mut writing = self.ground.records.writing();
        writing.change_user(after, stored.revision).await?;
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

/// Whether the provider verified the mail address of `profile`. An address that comes from another
/// claim than `email` is verified by none.
fn email_verified(vouched: &Vouched, profile: &Profile) -> Option<bool> {
    let email = profile.email.as_deref()?;
    let claimed = vouched.claims.get("email").and_then(Value::as_str);
    Some(vouched.email_is_trusted && claimed.is_some_and(|claimed| claimed.trim() == email))
}
