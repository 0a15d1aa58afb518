//! Changing users: what they say of themselves, the roles that they are given by hand, and whether
//! they are suspended.

use std::collections::BTreeSet;

use super::views::no_such_user;
use super::{ATTEMPTS, UserView, Users};
use crate::access::{AssignRoles, ChangeProfile, Grant, SuspendUser};
use crate::error::{Error, FieldProblem, Kind, RequestField};
use crate::ground::too_contended;
use crate::ids::UserId;
use crate::link::check_link;
use crate::model::user::{Own, User};
use crate::ports::audit::{Action, Actor, Event};
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::users::USERS;
use crate::text::is_unfit_for_names;

/// Longest name, in characters.
const MAX_NAME: usize = 200;

/// What is to change of a profile; `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// Another name.
    pub name: Option<String>,
    /// Another picture, or none.
    pub image: Option<Option<String>>,
}

impl ProfileChange {
    /// What is wrong with it: all of it.
    pub fn problems(&self) -> Vec<FieldProblem> {
        let name = self
            .name
            .as_deref()
            .and_then(|name| check_name(name).err().map(|why| (RequestField::Name, why)));
        let image = self.image.as_ref().and_then(Option::as_deref);
        let image =
            image.and_then(|image| check_link(image).err().map(|why| (RequestField::Image, why)));
        name.into_iter()
            .chain(image)
            .map(|(field, why)| FieldProblem::new([field.into()], why))
            .collect()
    }

    fn apply(&self, own: Own) -> Own {
        let name = self.name.as_deref().map(|name| name.trim().to_owned());
        Own { name: name.or(own.name), image: self.image.clone().or(own.image) }
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
    /// Changes a member's own profile. A change of nothing leaves everything as it was.
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
            return Err(Error::new(Kind::Invalid, "The profile cannot be changed so.")
                .with_fields(problems));
        }
        let actor = Actor::from(grant.member());
        self.change(grant.member().user, &actor, Action::Change, |user| {
            Ok(User { own: change.apply(user.own.clone()), ..user.clone() })
        })
        .await
    }

    /// Gives a user these roles by hand, and no others. Roles that they have by their claims they
    /// keep.
    ///
    /// # Errors
    /// `Invalid` at its place in the roles for every name that is no role's; `NotFound` when there is no
    /// such user; `Forbidden` when a role would be given or taken that grants more than the member
    /// holds; `Internal` when the store fails.
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
            let present: BTreeSet<_> = user.hand_roles.iter().cloned().collect();
            // A role that is configured no more grants nothing: whoever may assign roles may clear
            // it away.
            for role in
                present.symmetric_difference(&wanted).filter_map(|name| self.roles.get(name))
            {
                grant.judge(role)?;
            }
            Ok(User { hand_roles: wanted.iter().cloned().collect(), ..user.clone() })
        })
        .await
    }

    /// Which of `names` are no role's, each at its place in `roles`. `None`: what could not be
    /// read.
    pub fn unknown_roles(&self, names: &[Option<String>]) -> Vec<FieldProblem> {
        let unknown = |name: &Option<String>| {
            name.as_deref().is_some_and(|name| self.roles.get(name).is_none())
        };
        let places =
            names.iter().enumerate().filter(|(_, name)| unknown(name)).map(|(place, _)| place);
        places
            .map(|place| {
                FieldProblem::new(
                    [RequestField::Roles.into(), place.into()],
                    "There is no such role.",
                )
            })
            .collect()
    }

    /// The user as they are before they are suspended or not.
    ///
    /// # Errors
    /// `NotFound` when there is no such user; `Internal` when the store fails.
    pub async fn present(&self, grant: &Grant<SuspendUser>) -> Result<UserView, Error> {
        Ok(self.view(&self.known(grant.user()).await?.value))
    }

    /// Suspends a user in every dialect, or lifts that. Their sessions are over at once, and stay
    /// so.
    ///
    /// # Errors
    /// `NotFound` when there is no such user; `Internal` when the store fails.
    pub async fn set_suspended(
        &self,
        grant: Grant<SuspendUser>,
        suspended: bool,
    ) -> Result<UserView, Error> {
        let known = self.known(grant.user()).await?;
        let subject = &known.value.subject;
        match (known.value.suspended, suspended) {
            // Again: something may have been left undone.
            (_, true) => self.leases.suspend_as(&grant.actor(), subject).await?,
            (true, false) => self.leases.resume_as(&grant.actor(), subject).await?,
            (false, false) => {}
        }
        Ok(self.view(&self.known(grant.user()).await?.value))
    }

    async fn known(&self, id: UserId) -> Result<Versioned<User>, Error> {
        self.ground.records.user(id).await?.ok_or_else(no_such_user)
    }

    /// Writes what `change` makes of the user, in one batch with the event of it.
    async fn change(
        &self,
        id: UserId,
        actor: &Actor,
        action: Action,
        change: impl Fn(&User) -> Result<User, Error>,
    ) -> Result<UserView, Error> {
        for _ in 0..ATTEMPTS {
            let known = self.known(id).await?;
            let after = change(&known.value)?;
            if after == known.value {
                return Ok(self.view(&after));
            }
            let after = User { updated: self.ground.clock.now(), ..after };
            match self.write(&known, &after, &self.event(actor.clone(), action, &after)).await {
                Ok(()) => return Ok(self.view(&after)),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    async fn write(
        &self,
        known: &Versioned<User>,
        after: &User,
        event: &Event,
    ) -> Result<(), CommitError> {
        let mut writing = self.ground.records.writing();
        writing.change_user(after, known.revision).await?;
        writing.bump(USERS);
        writing.event(event).await?;
        writing.commit().await.map(drop)
    }
}
