//! Sessions of the vault: signing in with a browser, the tokens of a session, and its end.
//!
//! A sign-in begins with [`Sessions::begin`]; the browser returns to [`Sessions::finish`]; its user
//! is asked ([`Confirmation`]) and the answer comes to [`Sessions::answer`]; the tokens go to the
//! client that waits ([`WaitingClient`]), or to a browser that is the client. Pending sign-ins are
//! kept in memory only (`pending`). A session is one record; its refresh token is stored as a hash
//! and replaced at each use (`life`); access tokens are signed, and checked against the session's
//! record (`tokens`). Sessions that are over are deleted in the background (`cleanup`).
//!
//! Never here: a status, a query, a header. Never a token in a log, in an error, or in the store.

mod cleanup;
mod confirmation;
mod life;
mod pending;
mod rate;
mod refusals;
mod sign_in;
#[cfg(test)]
mod tests;
mod tokens;
mod used;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use crate::address::Address;
pub use confirmation::{Answer, Confirmation};
pub use sign_in::{Callback, PendingSignIn, ProviderReply, SignInResult};
pub use waiting::WaitingClient;

use crate::caller::{Client, Interface, Member};
use crate::error::Error;
use crate::ground::{Ground, Work, outcome_of};
use crate::ids::ProviderId;
use crate::ports::audit::{Action, Actor, Event, Target};
use crate::ports::random_16;
use crate::ports::sign_in::SignIn;
use crate::ports::tokens::Tokens;
use crate::secret::Secret;
use crate::user::Users;
use confirmation::code;
use pending::PendingSignIns;
use rate::RateLimit;

/// Bounds and lifetimes of sessions and sign-ins, and the claims of their tokens.
#[derive(Debug, Clone)]
pub struct Options {
    /// The issuer of the tokens: `iss`.
    pub issuer: String,
    /// Their audience: `aud`.
    pub audience: String,
    /// The providers at which users sign in. The redirect URI of the first one names no provider;
    /// each other one has a URI of its own.
    pub providers: Vec<SignInProvider>,
    /// The provider of a sign-in that names none.
    pub provider: ProviderId,
    /// Whether users are asked before a client that waits gets their tokens.
    pub confirm: bool,
    /// How long a user may take to answer.
    pub confirm_lifetime: Duration,
    /// How long after its use a refresh token still gets a pair of its own; zero: not at all.
    pub refresh_grace: Duration,
    /// How long an access token is valid.
    pub access_lifetime: Duration,
    /// How long a session lasts without a refresh of its tokens.
    pub idle: Duration,
    /// How long a session lasts at most.
    pub lifetime: Duration,
    /// How long a sign-in may take.
    pub sign_in_lifetime: Duration,
    /// How long the result of a sign-in is kept for its client.
    pub result_lifetime: Duration,
    /// Whether browser and waiting client must have the address that began the sign-in.
    pub same_address: bool,
    /// Most pending sign-ins. Above it, the oldest of the address that has most of them goes.
    pub max_sign_ins: usize,
    /// Most pending sign-ins that began at one address.
    pub max_sign_ins_per_address: usize,
    /// Most sessions of one user. A further one ends the oldest.
    pub max_sessions_per_user: usize,
    /// Most waiting clients.
    pub max_waiting_clients: usize,
    /// Most sign-ins that one address may begin in a minute; `None`: any number.
    pub sign_ins_per_minute: Option<u32>,
}

/// A provider at which users sign in.
#[derive(Debug, Clone)]
pub struct SignInProvider {
    /// The provider.
    pub id: ProviderId,
    /// The URI to which it redirects the browser.
    pub redirect_uri: String,
}

impl Options {
    /// The default bounds and lifetimes, with one provider.
    pub fn new(
        issuer: String,
        audience: String,
        redirect_uri: String,
        provider: ProviderId,
    ) -> Self {
        Self {
            issuer,
            audience,
            providers: vec![SignInProvider { id: provider.clone(), redirect_uri }],
            provider,
            confirm: true,
            confirm_lifetime: Duration::from_secs(2 * 60),
            refresh_grace: Duration::from_secs(10),
            access_lifetime: Duration::from_secs(15 * 60),
            idle: Duration::from_secs(12 * 60 * 60),
            lifetime: Duration::from_secs(7 * 24 * 60 * 60),
            sign_in_lifetime: Duration::from_secs(10 * 60),
            result_lifetime: Duration::from_secs(60),
            same_address: true,
            max_sign_ins: 20_000,
            max_sign_ins_per_address: 100,
            max_sessions_per_user: 50,
            max_waiting_clients: 10_000,
            sign_ins_per_minute: Some(60),
        }
    }
}

/// The tokens of a session.
#[derive(Debug)]
pub struct TokenPair {
    /// The access token, valid for minutes.
    pub access: Secret,
    /// The refresh token, valid for one use.
    pub refresh: Secret,
}

/// All pending sign-ins and sessions. Shared behind its `Arc`.
pub struct Sessions {
    ground: Arc<Ground>,
    users: Arc<Users>,
    sign_in: Arc<dyn SignIn>,
    tokens: Arc<dyn Tokens>,
    options: Options,
    pending: PendingSignIns,
    rate_limit: RateLimit,
    waiting_clients: Arc<Semaphore>,
}

impl Sessions {
    /// Creates the sessions over `ground`. No task runs before [`Sessions::start`].
    pub fn new(
        ground: Arc<Ground>,
        users: Arc<Users>,
        sign_in: Arc<dyn SignIn>,
        tokens: Arc<dyn Tokens>,
        options: Options,
    ) -> Arc<Self> {
        let pending = PendingSignIns::new(options.max_sign_ins, options.max_sign_ins_per_address);
        let rate_limit = RateLimit::new(options.sign_ins_per_minute);
        let most = options.max_waiting_clients.min(Semaphore::MAX_PERMITS);
        let waiting_clients = Arc::new(Semaphore::new(most));
        Arc::new(Self {
            ground,
            users,
            sign_in,
            tokens,
            options,
            pending,
            rate_limit,
            waiting_clients,
        })
    }

    /// The public keys of our tokens, as a JSON Web Key Set (RFC 7517).
    pub fn public_keys(&self) -> serde_json::Value {
        self.tokens.public_keys()
    }

    /// A random text of hexadecimal digits, for the content security policy of a page with an
    /// inline script.
    pub fn nonce(&self) -> String {
        hex::encode(random_16(&*self.ground.entropy))
    }

    /// Counts a request of `member` as in work until the result is dropped.
    ///
    /// # Errors
    /// `Busy` when the user has too many in work already.
    pub fn begin_work(&self, member: &Member) -> Result<Work, Error> {
        self.ground.begin_work(member.subject())
    }

    /// Queues the audit event of a refused request of `member`; `target` names the route and its
    /// object.
    pub fn remark_refusal(&self, member: &Member, target: Target, error: &Error) {
        let event =
            self.ground.event(Some(member.into()), Action::Refuse, target, outcome_of(error));
        self.ground.remark(Event { note: error.cause(), ..event });
    }

    /// Queues the audit event of a refused request whose sender is not known: a token that is not
    /// valid, too many requests. How many of one address come into the log is bounded.
    pub fn remark_refused_stranger(&self, client: Client, target: Target, error: &Error) {
        let stranger = Some(Actor::stranger(Interface::Vault, client));
        self.ground.remark(self.ground.event(stranger, Action::Refuse, target, outcome_of(error)));
    }
}

/// The scopes of every session that began in a browser.
const SCOPES: [&str; 2] = [Member::READ, Member::WRITE];
