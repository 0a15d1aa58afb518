//! The life of a session: opened by a sign-in, kept alive by its refresh token, ended by its user,
//! by disuse, by age, by a suspension, or because a spent refresh token was shown.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, stream};
use subtle::ConstantTimeEq as _;

use super::{Sessions, TokenPair, tokens};
use crate::caller::Member;
use crate::error::{Error, Kind};
use crate::ground::{suspended, too_contended};
use crate::ids::{SessionId, UserId};
use crate::model::session::Session;
use crate::model::user::User;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::store::Key;
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::secret::Secret;
use crate::time::Timestamp;

/// How often a change is tried against others that are faster.
const ATTEMPTS: u32 = 16;
/// How often sessions that are over are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// Sessions looked at together, and worked on at a time.
const PAGE: usize = 256;
const AT_A_TIME: usize = 16;

/// Why a session is ended before its time.
#[derive(Debug, Clone, Copy)]
enum End {
    SignedOut,
    SpentTokenShown,
}

impl Sessions {
    /// A session for `user`, who has just signed in.
    pub(super) async fn open(&self, user: UserId) -> Result<TokenPair, Error> {
        for _ in 0..ATTEMPTS {
            let known = self.ground.records.user(user).await?.ok_or_else(no_session)?;
            if known.value.suspended {
                return Err(suspended());
            }
            let now = self.ground.clock.now();
            let (session, pair) = self.begin_session(&known.value, now)?;
            match self.write_new(&session, &known).await {
                Ok(()) => return Ok(pair),
                // They were suspended, or changed their name.
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    fn begin_session(&self, user: &User, now: Timestamp) -> Result<(Session, TokenPair), Error> {
        let session = Session {
            id: SessionId::from_random(random_16(&*self.ground.entropy)),
            user: user.id,
            era: user.era,
            created: now,
            idle_until: now,
            ends: now + self.options.lifetime,
            refresh: [0; 32],
        };
        self.renewed(session, now)
    }

    /// `session` with a new refresh token, and the tokens that go with it.
    fn renewed(&self, session: Session, now: Timestamp) -> Result<(Session, TokenPair), Error> {
        let (entropy, tokens) = (&*self.ground.entropy, &*self.tokens);
        let idle_until = now + self.options.idle;
        let refresh = tokens::refresh(session.id, idle_until.min(session.ends), entropy, tokens)?;
        let session = Session { idle_until, refresh: refresh.digest(), ..session };
        let access = tokens::access(&session, now, &self.options, entropy, tokens)?;
        Ok((session, TokenPair { access, refresh }))
    }

    async fn write_new(
        &self,
        session: &Session,
        known: &Versioned<User>,
    ) -> Result<(), CommitError> {
        let Versioned { value: user, revision } = known;
        let mut writing = self.ground.records.writing();
        writing.begin_session(session).await?;
        writing.expect_user(user.id, *revision);
        writing.unless_suspended(&user.subject);
        let target = Target { provider: Some(user.provider.clone()), ..Target::default() };
        let event =
            self.event(Some(actor(user, session.id)), Action::SignIn, target, Outcome::Done);
        writing.event(&event).await?;
        writing.commit().await.map(drop)
    }

    /// Whose access token this is, with the rights of this moment.
    ///
    /// # Errors
    /// `Unauthenticated` for everything but an access token of ours that holds, of a session that
    /// lasts; `Internal` when the store fails.
    pub async fn authenticate(&self, token: &Secret) -> Result<Member, Error> {
        let now = self.ground.clock.now();
        let access =
            tokens::read_access(token, now, &self.options, &*self.tokens).ok_or_else(no_session)?;
        let Some((open, known)) = self.lasting(access.session, now).await? else {
            return Err(no_session());
        };
        if open.value.user != access.user {
            return Err(no_session());
        }
        Ok(Member {
            user: access.user,
            session: access.session,
            scopes: access.scopes,
            rights: self.users.rights(&known.value),
            subject: known.value.subject,
        })
    }

    /// The session of that id with its user, if it lasts.
    async fn lasting(
        &self,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<(Versioned<Session>, Versioned<User>)>, Error> {
        let records = &self.ground.records;
        let Some(open) = records.session(id).await? else { return Ok(None) };
        if open.value.over_at() <= now {
            return Ok(None);
        }
        let Some(known) = records.user(open.value.user).await? else { return Ok(None) };
        // A suspension begins a new era in the batch that it is in. The subject is looked up all
        // the same: both have to agree.
        let may = known.value.era == open.value.era
            && !known.value.suspended
            && !records.is_suspended(&known.value.subject).await?;
        Ok(may.then_some((open, known)))
    }

    /// New tokens for a refresh token, which is spent by that.
    ///
    /// # Errors
    /// `Unauthenticated` when it is none of ours, its session is over, or it was spent before: then
    /// the session ends, since one of the two who showed it stole it (RFC 9700 section 4.14.2).
    /// `Internal` when the store fails.
    pub async fn refresh(&self, token: &Secret) -> Result<TokenPair, Error> {
        let shown = tokens::read_refresh(token, &*self.tokens).ok_or_else(no_session)?;
        let hash = token.digest();
        for _ in 0..ATTEMPTS {
            let now = self.ground.clock.now();
            let Some((open, known)) = self.lasting(shown.session, now).await? else {
                return Err(no_session());
            };
            if !bool::from(open.value.refresh.ct_eq(&hash)) {
                self.end(open, &known.value, End::SpentTokenShown).await?;
                return Err(
                    no_session().because("a spent refresh token was shown; its session was ended")
                );
            }
            if shown.expires <= now {
                return Err(no_session());
            }
            let (renewed, pair) = self.renewed(open.value, now)?;
            let mut writing = self.ground.records.writing();
            writing.change_session(&renewed, open.revision).await?;
            match writing.commit().await {
                Ok(_) => return Ok(pair),
                // Somebody else was faster, most likely with the same token.
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// Ends the session of `member`. Doing it twice is fine.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn sign_out(&self, member: &Member) -> Result<(), Error> {
        let now = self.ground.clock.now();
        match self.lasting(member.session, now).await? {
            Some((open, known)) => self.end(open, &known.value, End::SignedOut).await,
            None => Ok(()),
        }
    }

    /// Ends `open`, and also what became of it meanwhile: a rotation that was faster is no reason
    /// to let it live on.
    async fn end(&self, mut open: Versioned<Session>, user: &User, why: End) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let mut writing = self.ground.records.writing();
            writing.end_session(&open);
            writing.event(&self.ended(user, open.value.id, why)).await?;
            match writing.commit().await {
                Ok(_) => return Ok(()),
                Err(CommitError::Failed(error)) => return Err(error),
                Err(CommitError::Conflict) => {
                    match self.ground.records.session(open.value.id).await? {
                        Some(again) => open = again,
                        None => return Ok(()),
                    }
                }
            }
        }
        Err(too_contended())
    }

    fn ended(&self, user: &User, session: SessionId, why: End) -> Event {
        match why {
            End::SignedOut => self.event(
                Some(actor(user, session)),
                Action::SignOut,
                Target::default(),
                Outcome::Done,
            ),
            End::SpentTokenShown => {
                let target = Target { user: Some(user.id), ..Target::default() };
                let event = self.event(None, Action::SignOut, target, Outcome::Done);
                let note = format!("a spent refresh token of session {session} was shown");
                Event { note: Some(note), ..event }
            }
        }
    }

    /// Has sessions that are over and sign-ins that nobody finished looked for from now on. Nothing
    /// is read at once.
    pub fn start(self: &Arc<Self>) {
        let sessions = Arc::clone(self);
        self.ground
            .tasks
            .spawn("tidy sessions", Box::pin(async move { sessions.tidy_until_stopped().await }));
    }

    async fn tidy_until_stopped(&self) {
        let mut stopping = self.ground.stopping();
        while !*stopping.borrow_and_update() {
            let pause = self.ground.clock.sleep(TIDY_EVERY);
            let stop = std::pin::pin!(stopping.changed());
            if let Either::Right((Err(_), _)) = select(pause, stop).await {
                return;
            }
            self.under_way.purge(self.ground.clock.monotonic());
            if self.ground.is_clock_off() {
                continue;
            }
            if let Err(error) = self.tidy().await {
                tracing::warn!(%error, cause = error.cause(), "sessions that are over could not be deleted yet");
            }
        }
    }

    /// Deletes the sessions that are over, of those that are due.
    pub(super) async fn tidy(&self) -> Result<(), Error> {
        let now = self.ground.clock.now();
        let mut after: Option<Key> = None;
        loop {
            let due = self.ground.records.due_sessions(after.as_ref(), now, PAGE).await?;
            let work = due.sessions.into_iter().map(|(key, id)| self.tidy_one(key, id, now));
            let results: Vec<_> = stream::iter(work).buffer_unordered(AT_A_TIME).collect().await;
            results.into_iter().collect::<Result<(), Error>>()?;
            after = due.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn tidy_one(&self, key: Key, id: SessionId, now: Timestamp) -> Result<(), Error> {
        let records = &self.ground.records;
        let over = match records.session(id).await? {
            None => None,
            Some(open) => match self.over_for(&open, now).await? {
                None => Some(open),
                Some(until) => return missed(records.postpone_session(&key, id, until).await),
            },
        };
        missed(records.forget_session(&key, over.as_ref()).await)
    }

    /// When `open` has to be looked at again; `None`: it is over.
    async fn over_for(
        &self,
        open: &Versioned<Session>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let until = open.value.over_at();
        if until <= now {
            return Ok(None);
        }
        let known = self.ground.records.user(open.value.user).await?;
        Ok(known.filter(|known| known.value.era == open.value.era).map(|_| until))
    }
}

/// Who loses a race here has nothing to do: the key stays, and is looked at again.
fn missed(result: Result<(), CommitError>) -> Result<(), Error> {
    match result {
        Ok(()) | Err(CommitError::Conflict) => Ok(()),
        Err(CommitError::Failed(error)) => Err(error),
    }
}

fn actor(user: &User, session: SessionId) -> Actor {
    Actor::Member { subject: user.subject.clone(), user: user.id, session }
}

/// The one answer to every token that does not hold.
fn no_session() -> Error {
    Error::new(Kind::Unauthenticated, "This token does not hold, or its session is over.")
}
