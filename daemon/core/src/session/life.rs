//! The life of a session: a sign-in opens it, its refresh token extends it; its user, disuse, age,
//! a suspension, or the use of a spent refresh token ends it.

use super::pending::SignedIn;
use super::refusals::name_the_refused;
use super::{Sessions, TokenPair, tokens};
use crate::caller::{Client, Interface, Member};
use crate::error::{Error, Kind};
use crate::ground::{retry, suspended};
use crate::ids::SessionId;
use crate::model::session::{RefreshTokens, Session, Shown};
use crate::model::user::User;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target, Who};
use crate::ports::random_16;
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::secret::Secret;
use crate::time::Timestamp;

/// Most sessions that one sign-in ends.
const ENDED_AT_ONCE: usize = 8;

/// Why a session is ended before its time.
#[derive(Debug)]
enum EndReason {
    /// Its user asked for it.
    SignedOut(Actor),
    /// A spent refresh token was shown, from there.
    SpentTokenShown(Client),
    /// The user has begun another one, and had as many as a user may have.
    TooMany(Actor),
}

/// A session that is not over, and its user.
struct ActiveSession {
    session: Versioned<Session>,
    user: User,
}

impl Sessions {
    /// Opens a session for `user`, after a sign-in.
    pub(super) async fn open(&self, signed_in: SignedIn) -> Result<TokenPair, Error> {
        retry(|| self.try_open(&signed_in)).await
    }

    async fn try_open(&self, signed_in: &SignedIn) -> Result<TokenPair, CommitError> {
        let user = self.ground.records.user(signed_in.user).await?.ok_or_else(no_session)?;
        if user.value.suspended.is_some() {
            return Err(self.refused_at_the_end(&user.value, &signed_in.browser).into());
        }
        let (session, pair) = self.new_session(&user.value)?;
        self.commit_new(&session, &user, &signed_in.browser).await?;
        tracing::debug!(session = %session.id, "a session began");
        Ok(pair)
    }

    /// The refusal of a user who was suspended between the sign-in and the tokens: audited.
    fn refused_at_the_end(&self, user: &User, browser: &Client) -> Error {
        let error = name_the_refused(suspended(), &user.subject);
        let subject = Some(&user.subject);
        self.remark_failed_sign_in(&user.provider, subject, browser.clone(), &error);
        error
    }

    fn new_session(&self, user: &User) -> Result<(Session, TokenPair), Error> {
        let now = self.ground.clock.now();
        let session = Session {
            id: SessionId::from_random(random_16(&*self.ground.entropy)),
            user: user.id,
            session_generation: user.session_generation,
            created: now,
            idle_until: now,
            ends: now + self.options.lifetime,
            refresh: RefreshTokens::default(),
        };
        self.renewed(session, None, now)
    }

    /// `session` with a new refresh token in exchange for `shown`, and its new tokens.
    fn renewed(
        &self,
        session: Session,
        shown: Option<&[u8; 32]>,
        now: Timestamp,
    ) -> Result<(Session, TokenPair), Error> {
        let (entropy, tokens) = (&*self.ground.entropy, &*self.tokens);
        let idle_until = now + self.options.idle;
        let refresh = tokens::refresh(session.id, idle_until.min(session.ends), entropy, tokens)?;
        let next = refresh.digest();
        let known = match shown {
            Some(shown) => session.refresh.exchanged(shown, next, now, self.options.refresh_grace),
            None => RefreshTokens { good: vec![next], spent: Vec::new() },
        };
        let session = Session { idle_until, refresh: known, ..session };
        let access = tokens::access(&session, now, &self.options, entropy, tokens)?;
        Ok((session, TokenPair { access, refresh }))
    }

    async fn commit_new(
        &self,
        session: &Session,
        user: &Versioned<User>,
        browser: &Client,
    ) -> Result<(), CommitError> {
        let too_many = self.too_many(&user.value).await?;
        let Versioned { value: user, revision } = user;
        let mut writing = self.ground.records.writing();
        writing.begin_session(session).await?;
        writing.expect_user(user.id, *revision);
        writing.unless_suspended(&user.subject);
        let target = Target { provider: Some(user.provider.clone()), ..Target::default() };
        let subject = user.subject.clone();
        let who = Who::Member { subject, user: user.id, session: session.id };
        let actor = Actor { who, client: browser.clone() };
        for old in &too_many {
            writing.end_session(old);
            let reason = EndReason::TooMany(actor.clone());
            writing.event(&self.ended(user, old.value.id, &reason)).await?;
        }
        let event = self.ground.event(Some(actor), Action::SignIn, target, Outcome::Done);
        writing.event(&event).await?;
        writing.commit().await.map(drop)
    }

    /// The oldest sessions of `user`, which have to end so that there is room for another one. Of
    /// very many, some are left to the next sign-in.
    async fn too_many(&self, user: &User) -> Result<Vec<Versioned<Session>>, Error> {
        let now = self.ground.clock.now();
        let mut open = self.ground.records.sessions_of(user.id).await?;
        open.retain(|session| {
            session.value.session_generation == user.session_generation
                && session.value.over_at() > now
        });
        let most = self.options.max_sessions_per_user.saturating_sub(1);
        let count = open.len().saturating_sub(most).min(ENDED_AT_ONCE);
        open.sort_by_key(|session| (session.value.created, session.value.id));
        open.truncate(count);
        Ok(open)
    }

    /// Identifies the member by an access token, with the current rights.
    ///
    /// # Errors
    /// `Unauthenticated` unless it is a valid access token of ours, of a session that is not over;
    /// `Internal` when the store fails.
    pub async fn authenticate(&self, token: &Secret, client: Client) -> Result<Member, Error> {
        let now = self.ground.clock.now();
        let claims =
            tokens::read_access(token, now, &self.options, &*self.tokens).ok_or_else(no_session)?;
        let Some(ActiveSession { session, user }) = self.active(claims.session, now).await? else {
            return Err(no_session());
        };
        if session.value.user != claims.user {
            return Err(no_session());
        }
        let rights = self.users.rights(&user);
        let (session, subject, scopes) = (claims.session, user.subject, claims.scopes);
        Ok(Member::of_session(session, claims.user, subject, scopes, rights, client))
    }

    /// The session of that id with its user, if it is not over.
    async fn active(&self, id: SessionId, now: Timestamp) -> Result<Option<ActiveSession>, Error> {
        let records = &self.ground.records;
        let Some(session) = records.session(id).await? else { return Ok(None) };
        if session.value.over_at() <= now {
            return Ok(None);
        }
        let Some(user) = records.user(session.value.user).await? else { return Ok(None) };
        let user = user.value;
        // A suspension begins a new session generation in its own batch. The subject is looked up
        // as well: both records have to allow the session.
        let is_active = user.session_generation == session.value.session_generation
            && user.suspended.is_none()
            && !records.is_suspended(&user.subject).await?;
        Ok(is_active.then_some(ActiveSession { session, user }))
    }

    /// Exchanges a refresh token, which is spent by this, for new tokens. One that was spent within
    /// `refresh_grace` gets a pair of its own: answers get lost, and two tabs may refresh at once.
    ///
    /// # Errors
    /// `Unauthenticated` when it is no refresh token of ours, its session is over, or it was spent
    /// before: then the session ends, since one of the two clients that showed it stole it (RFC
    /// 9700 section 4.14.2). `Internal` when the store fails.
    pub async fn refresh(&self, token: &Secret, client: &Client) -> Result<TokenPair, Error> {
        let claims = tokens::read_refresh(token, &*self.tokens).ok_or_else(no_session);
        let claims = claims.inspect_err(|error| self.remark_refused_refresh(client, error))?;
        let hash = token.digest();
        // A conflict most likely means that another request showed the same token.
        let refreshed = retry(|| self.try_refresh(&claims, &hash, client)).await;
        refreshed.inspect_err(|error| self.remark_refused_refresh(client, error))
    }

    fn remark_refused_refresh(&self, client: &Client, error: &Error) {
        if error.kind() == Kind::Unauthenticated {
            let asked = Some("a new pair of tokens".to_owned());
            let target = Target { asked, ..Target::default() };
            self.remark_refused_stranger(client.clone(), target, error);
        }
    }

    async fn try_refresh(
        &self,
        claims: &tokens::RefreshClaims,
        hash: &[u8; 32],
        client: &Client,
    ) -> Result<TokenPair, CommitError> {
        let now = self.ground.clock.now();
        let active = self.active(claims.session, now).await?.ok_or_else(no_session)?;
        let shown = active.session.value.refresh.judge(hash, now, self.options.refresh_grace);
        if shown == Shown::Spent {
            self.end(active, EndReason::SpentTokenShown(client.clone())).await?;
            let cause = "a spent refresh token was shown; its session was ended";
            return Err(no_session().because(cause).into());
        }
        if claims.expires <= now {
            return Err(no_session().into());
        }
        let Versioned { value: session, revision } = active.session;
        let (renewed, pair) = self.renewed(session, Some(hash), now)?;
        let mut writing = self.ground.records.writing();
        writing.change_session(&renewed, revision).await?;
        writing.commit().await?;
        tracing::debug!(session = %renewed.id, ?shown, "the tokens of a session were renewed");
        Ok(pair)
    }

    /// Ends the session of `member`. Idempotent.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn sign_out(&self, member: &Member) -> Result<(), Error> {
        match self.active(member.session(), self.ground.clock.now()).await? {
            Some(active) => self.end(active, EndReason::SignedOut(member.into())).await,
            None => Ok(()),
        }
    }

    /// Ends the session, in whatever state it is now: a refresh that committed first does not keep
    /// it alive.
    async fn end(&self, active: ActiveSession, reason: EndReason) -> Result<(), Error> {
        let ActiveSession { session, user } = active;
        retry(|| self.try_end(session.value.id, &user, &reason)).await
    }

    async fn try_end(
        &self,
        id: SessionId,
        user: &User,
        reason: &EndReason,
    ) -> Result<(), CommitError> {
        let Some(session) = self.ground.records.session(id).await? else { return Ok(()) };
        let mut writing = self.ground.records.writing();
        writing.end_session(&session);
        writing.event(&self.ended(user, id, reason)).await?;
        writing.commit().await.map(drop)
    }

    fn ended(&self, user: &User, session: SessionId, reason: &EndReason) -> Event {
        match reason {
            EndReason::SignedOut(actor) => self.ground.event(
                Some(actor.clone()),
                Action::SignOut,
                Target::default(),
                Outcome::Done,
            ),
            EndReason::TooMany(actor) => {
                let actor = Some(actor.clone());
                let event =
                    self.ground.event(actor, Action::SignOut, Target::default(), Outcome::Done);
                let note = format!("session {session} made room for another one of its user");
                Event { note: Some(note), ..event }
            }
            EndReason::SpentTokenShown(client) => {
                let shown_by = Some(Actor::stranger(Interface::Vault, client.clone()));
                let target = Target { user: Some(user.id), ..Target::default() };
                let event = self.ground.event(shown_by, Action::SignOut, target, Outcome::Done);
                let note = format!("a spent refresh token of session {session} was shown");
                Event { note: Some(note), ..event }
            }
        }
    }
}

/// The one refusal of every token that is not valid.
fn no_session() -> Error {
    Error::new(Kind::Unauthenticated, "This token is not valid, or its session is over.")
}
