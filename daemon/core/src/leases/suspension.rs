//! Suspending a subject, in every dialect at once: it cannot sign in any more, its sessions are
//! over, and what is being issued to it now is taken back. What was issued before stays.

use super::Leases;
use crate::caller::Subject;
use crate::error::Error;
use crate::ground::{Ground, retry};
use crate::model::user::User;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::users::USERS;

impl Leases {
    /// Suspends `subject`, whether or not it is a user of the vault. Idempotent.
    pub(crate) async fn suspend_as(&self, actor: &Actor, subject: &Subject) -> Result<(), Error> {
        // The suspension comes first: reservations after it fail, and those before it are found
        // below.
        write(&self.ground, actor, subject, true).await?;
        self.doom_pending(subject).await
    }

    /// Lifts the suspension of `subject`, if there is one. Sessions that it ended stay over.
    pub(crate) async fn resume_as(&self, actor: &Actor, subject: &Subject) -> Result<(), Error> {
        write(&self.ground, actor, subject, false).await
    }
}

/// Suspends `subject`, or lifts its suspension. Idempotent.
pub(super) async fn write(
    ground: &Ground,
    actor: &Actor,
    subject: &Subject,
    suspended: bool,
) -> Result<(), Error> {
    retry(|| async {
        let known = ground.records.user_of(subject).await?;
        try_suspension(ground, actor, subject, known, suspended).await
    })
    .await
}

/// One batch: the suspension that binds every dialect, and the user's new session generation. A
/// first sign-in in between conflicts with it.
async fn try_suspension(
    ground: &Ground,
    actor: &Actor,
    subject: &Subject,
    known: Option<Versioned<User>>,
    suspended: bool,
) -> Result<(), CommitError> {
    let at = ground.clock.now();
    let mut writing = ground.records.writing();
    if suspended {
        writing.suspend(subject, at).await?;
    } else {
        writing.resume(subject);
    }
    let user = known.as_ref().map(|known| known.value.id);
    match known {
        None => writing.expect_no_user_of(subject),
        Some(Versioned { value: user, revision }) => {
            let session_generation = user.session_generation + u64::from(suspended);
            let updated = if user.suspended == suspended { user.updated } else { at };
            writing
                .change_user(&User { suspended, session_generation, updated, ..user }, revision)
                .await?;
            writing.bump(USERS);
        }
    }
    let action = if suspended { Action::Suspend } else { Action::Resume };
    let target = Target { subject: Some(subject.clone()), user, ..Target::default() };
    let event = ground.event(Some(actor.clone()), action, target, Outcome::Done);
    writing.event(&Event { at, ..event }).await?;
    writing.commit().await.map(drop)
}
