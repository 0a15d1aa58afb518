//! Changes of users: their own profile, the roles that are assigned by hand, suspension.

use std::collections::BTreeSet;

use super::views::no_such_user;
use super::{UserView, Users};
use crate::access::{AssignRoles, ChangeProfile, Grant, SuspendUser};
use crate::error::{Error, FieldProblem, Kind, RequestField};
use crate::ground::retry;
use crate::ids::UserId;
use crate::leases::SuspensionOrder;
use crate::link::check_link;
use crate::model::user::{ProfileOverrides, SuspendedBy, User};
use crate::ports::audit::{Action, Actor, Event};
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::users::USERS;
use crate::text::is_unfit_for_names;

/// Longest name, in characters.
const MAX_NAME: usize = 200;

/// A change of a profile; `None` leaves the field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The new name.
    pub name: Option<String>,
    /// The new picture; `Some(None)` removes it.
    pub image: Option<Option<String>>,
}

impl ProfileChange {
    /// All problems of the change.
    pub fn problems(&self) -> Vec<FieldProblem> {
        let name = self
            .name
            .as_deref()
            .and_then(|name| Some((RequestField::Name, check_name(name).err()?)));
        let image = self.image.as_ref().and_then(Option::as_deref);
        let image = image.and_then(|image| Some((RequestField::Image, check_link(image).err()?)));
        name.into_iter()
            .chain(image)
            .map(|(field, problem)| FieldProblem::new([field.into()], problem))
            .collect()
    }

    fn apply(&self, overrides: ProfileOverrides) -> ProfileOverrides {
        let name = self.name.as_deref().map(|name| name.trim().to_owned());
        ProfileOverrides {
            name: name.or(overrides.name),
            image: self.image.clone().or(overrides.image),
        }
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let name = name.trim();
    let fits = (1..=MAX_NAME).contains(&name.chars().count()) && !name.contains(is_unfit_for_names);
    if fits {
        Ok(())
    } else {
        Err("Expected 1 to 200 characters, none of them a control character.")
    }
}

impl Users {
    /// Changes a member's own profile. An empty change writes nothing.
    ///
    /// # Errors
    /// `Invalid` with all [`ProfileChange::problems`]; `Internal` when the store fails.
    pub async fn change_profile(
        &self,
        grant: Grant<ChangeProfile>,
        change: &ProfileChange,
    ) -> Result<UserView, Error> {
        let problems = change.problems();
        if !problems.is_empty() {
            return Err(Error::new(Kind::Invalid, "The profile cannot be changed in this way.")
                .with_fields(problems));
        }
        let actor = Actor::from(grant.member());
        self.change(grant.member().user(), &actor, Action::Change, |user| {
            Ok(User { overrides: change.apply(user.overrides.clone()), ..user.clone() })
        })
        .await
    }

    /// Replaces the roles that a user is assigned by hand. Roles that the user has by claims are
    /// not affected.
    ///
    /// # Errors
    /// `Invalid` at its place in the roles for every name of no configured role; `NotFound` when
    /// there is no such user; `Forbidden` when a role that grants more than the member holds would
    /// be assigned or removed; `Internal` when the store fails.
    pub async fn assign_roles(
        &self,
        grant: Grant<AssignRoles>,
        names: &[String],
    ) -> Result<UserView, Error> {
        let names: Vec<_> = names.iter().cloned().map(Some).collect();
        let problems = self.unknown_roles(&names);
        if !problems.is_empty() {
            let error = Error::new(Kind::Invalid, "Some of the roles are not configured.");
            return Err(error.with_fields(problems));
        }
        let wanted: BTreeSet<_> = names.into_iter().flatten().collect();
        self.change(grant.user(), &grant.actor(), Action::AssignRoles, |user| {
            let assigned: BTreeSet<_> = user.assigned_roles.iter().cloned().collect();
            let changed = assigned.symmetric_difference(&wanted);
            // A role that is no longer configured grants nothing: it may be removed in any case.
            let configured = changed.filter_map(|name| self.roles.get(name));
            configured.into_iter().try_for_each(|role| grant.judge(role))?;
            Ok(User { assigned_roles: wanted.iter().cloned().collect(), ..user.clone() })
        })
        .await
    }

    /// A problem for each of `names` that is no configured role, at its place in `roles`. `None`
    /// stands for an item that could not be decoded, which is reported elsewhere.
    pub fn unknown_roles(&self, names: &[Option<String>]) -> Vec<FieldProblem> {
        let is_unknown = |name: &Option<String>| {
            name.as_deref().is_some_and(|name| self.roles.get(name).is_none())
        };
        let unknown = names.iter().enumerate().filter(|(_, name)| is_unknown(name));
        unknown
            .map(|(place, _)| {
                FieldProblem::new(
                    [RequestField::Roles.into(), place.into()],
                    "There is no such role.",
                )
            })
            .collect()
    }

    /// The user before a change of the suspension.
    ///
    /// # Errors
    /// `NotFound` when there is no such user; `Internal` when the store fails.
    pub async fn before_suspension(&self, grant: &Grant<SuspendUser>) -> Result<UserView, Error> {
        Ok(self.view(&self.stored(grant.user()).await?.value))
    }

    /// Suspends a user in every dialect, or lifts the suspension. A suspension ends all sessions of
    /// the user for good.
    ///
    /// # Errors
    /// `NotFound` when there is no such user; `Forbidden` when the user holds more than the member
    /// does, or an operator suspended the user and the suspension is to be lifted; `Internal` when
    /// the store fails.
    pub async fn set_suspended(
        &self,
        grant: Grant<SuspendUser>,
        suspended: bool,
    ) -> Result<UserView, Error> {
        let user = self.stored(grant.user()).await?.value;
        let judge = |user: &User| grant.judge(&self.rights(user));
        judge(&user)?;
        let actor = grant.actor();
        let order = SuspensionOrder { actor: &actor, by: SuspendedBy::User, judge: &judge };
        match (user.suspended, suspended) {
            // Repeated even when suspended already: an earlier attempt may have been cut short.
            (_, true) => self.leases.suspend_as(&order, &user.subject).await?,
            (Some(_), false) => drop(self.leases.resume_as(&order, &user.subject).await?),
            (None, false) => {}
        }
        Ok(self.view(&self.stored(grant.user()).await?.value))
    }

    async fn stored(&self, id: UserId) -> Result<Versioned<User>, Error> {
        self.ground.records.user(id).await?.ok_or_else(no_such_user)
    }

    /// Applies `change` to the user and commits the result with its event in one batch. A change
    /// without effect writes nothing.
    async fn change(
        &self,
        id: UserId,
        actor: &Actor,
        action: Action,
        change: impl Fn(&User) -> Result<User, Error>,
    ) -> Result<UserView, Error> {
        retry(|| self.try_change(id, actor, action, &change)).await
    }

    async fn try_change(
        &self,
        id: UserId,
        actor: &Actor,
        action: Action,
        change: impl Fn(&User) -> Result<User, Error>,
    ) -> Result<UserView, CommitError> {
        let stored = self.stored(id).await?;
        let after = change(&stored.value)?;
        if after == stored.value {
            return Ok(self.view(&after));
        }
        let after = User { updated: self.ground.clock.now(), ..after };
        let event = self.event(actor.clone(), action, &after);
        self.commit_change(&stored, &after, &event).await?;
        Ok(self.view(&after))
    }

    async fn commit_change(
        &self,
        stored: &Versioned<User>,
        after: &User,
        event: &Event,
    ) -> Result<(), CommitError> {
        let mut writing = self.ground.records.writing();
        writing.change_user(after, stored.revision).await?;
        writing.bump(USERS);
        writing.event(event).await?;
        writing.commit().await.map(drop)
    }
}
