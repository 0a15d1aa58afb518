//! Suspending a subject, in every dialect at once: it cannot sign in any more, its sessions are
//! over, and what is being issued to it now is taken back. What was issued before stays.
//!
//! A suspension keeps who decided it. What an operator suspended stays suspended until an operator
//! lifts it. Issuers that differ in a slash at their end are one.

use super::Leases;
use crate::caller::Subject;
use crate::error::{Error, FieldProblem, RequestField};
use crate::ground::{Ground, retry};
use crate::model::user::{SuspendedBy, Suspension, User};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::store::Versioned;
use crate::records::users::USERS;
use crate::records::{CommitError, Writing};
use crate::rights::forbidden;

/// Who suspends, or lifts a suspension.
#[derive(Clone, Copy)]
pub(crate) struct SuspensionOrder<'a> {
    /// The actor of the event.
    pub(crate) actor: &'a Actor,
    /// As whose the suspension counts.
    pub(crate) by: SuspendedBy,
    /// Whether it may be done to this user, who is as stored when the change is committed.
    pub(crate) judge: &'a (dyn Fn(&User) -> Result<(), Error> + Sync),
}

impl<'a> SuspensionOrder<'a> {
    /// The order of an operator, who may do it to every user.
    pub(crate) fn of_operator(actor: &'a Actor) -> Self {
        Self { actor, by: SuspendedBy::Operator, judge: &|_| Ok(()) }
    }
}

/// Whether a suspension was lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifted {
    /// By this order.
    Now,
    /// There was none.
    Before,
}

impl Leases {
    /// Suspends `subject`, whether or not it is a user of the vault. Idempotent; the suspension of
    /// an operator stays one.
    pub(crate) async fn suspend_as(
        &self,
        order: &SuspensionOrder<'_>,
        subject: &Subject,
    ) -> Result<(), Error> {
        // The suspension comes first: reservations after it fail, and those before it are found
        // below.
        suspend(&self.ground, order, subject).await?;
        self.doom_pending(subject).await
    }

    /// Lifts the suspension of `subject`, if there is one. Sessions that it ended stay over.
    ///
    /// # Errors
    /// `Forbidden` when an operator suspended the subject, and the order is not an operator's.
    pub(crate) async fn resume_as(
        &self,
        order: &SuspensionOrder<'_>,
        subject: &Subject,
    ) -> Result<Lifted, Error> {
        lift(&self.ground, order, subject).await
    }
}

/// Records the suspension of `subject`. Idempotent.
pub(super) async fn suspend(
    ground: &Ground,
    order: &SuspensionOrder<'_>,
    subject: &Subject,
) -> Result<(), Error> {
    retry(|| try_suspend(ground, order, subject)).await
}

/// Lifts the suspension of `subject`, if there is one.
///
/// # Errors
/// As [`Leases::resume_as`].
pub(super) async fn lift(
    ground: &Ground,
    order: &SuspensionOrder<'_>,
    subject: &Subject,
) -> Result<Lifted, Error> {
    retry(|| try_lift(ground, order, subject)).await
}

async fn try_suspend(
    ground: &Ground,
    order: &SuspensionOrder<'_>,
    subject: &Subject,
) -> Result<(), CommitError> {
    let users = judged_users(ground, order, subject).await?;
    let earlier = ground.records.suspension(subject).await?;
    let by = earlier.map_or(order.by, |earlier| earlier.by.max(order.by));
    let suspension = Suspension { subject: subject.clone(), since: ground.clock.now(), by };
    let mut writing = ground.records.writing();
    writing.suspend(&suspension).await?;
    commit(ground, writing, order, &users, &suspension, Action::Suspend).await
}

async fn try_lift(
    ground: &Ground,
    order: &SuspensionOrder<'_>,
    subject: &Subject,
) -> Result<Lifted, CommitError> {
    let users = judged_users(ground, order, subject).await?;
    let Some(suspension) = ground.records.suspension(subject).await? else {
        return Ok(Lifted::Before);
    };
    if order.by < suspension.by {
        return Err(of_an_operator().into());
    }
    let mut writing = ground.records.writing();
    writing.resume(subject);
    commit(ground, writing, order, &users, &suspension, Action::Resume).await?;
    Ok(Lifted::Now)
}

/// The users of the vault that the subject is, each judged by the order.
async fn judged_users(
    ground: &Ground,
    order: &SuspensionOrder<'_>,
    subject: &Subject,
) -> Result<Vec<Versioned<User>>, Error> {
    let users = ground.records.users_of_any_spelling(subject).await?;
    users.iter().try_for_each(|user| (order.judge)(&user.value))?;
    Ok(users)
}

/// One batch: the suspension that binds every dialect, the new session generation of the user, and
/// the event. A first sign-in in between conflicts with it.
async fn commit(
    ground: &Ground,
    mut writing: Writing<'_>,
    order: &SuspensionOrder<'_>,
    users: &[Versioned<User>],
    suspension: &Suspension,
    action: Action,
) -> Result<(), CommitError> {
    let at = ground.clock.now();
    let suspended = (action == Action::Suspend).then_some(suspension.by);
    let is_user = |spelling: &Subject| users.iter().any(|user| user.value.subject == *spelling);
    for spelling in suspension.subject.spellings().iter().filter(|spelling| !is_user(spelling)) {
        writing.expect_no_user_of(spelling);
    }
    for Versioned { value: user, revision } in users {
        let session_generation = user.session_generation + u64::from(suspended.is_some());
        let updated = if user.suspended == suspended { user.updated } else { at };
        let after = User { suspended, session_generation, updated, ..user.clone() };
        writing.change_user(&after, *revision).await?;
    }
    if !users.is_empty() {
        writing.bump(USERS);
    }
    let user = users.first().map(|user| user.value.id);
    let subject = Some(suspension.subject.clone());
    let target = Target { subject, user, ..Target::default() };
    let actor = Some(order.actor.clone());
    let event = Event { at, actor, action, target, note: None, outcome: Outcome::Done };
    writing.event(&event).await?;
    writing.commit().await.map(drop)
}

/// The refusal to lift what an operator decided.
fn of_an_operator() -> Error {
    let sentence = "An operator suspended this user; only an operator can lift that.";
    forbidden()
        .because("the suspension is an operator's")
        .with_fields(vec![FieldProblem::new([RequestField::Suspended.into()], sentence)])
}
