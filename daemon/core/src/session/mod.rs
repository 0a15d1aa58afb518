//! Sessions of the vault: signing in with a browser, the tokens that follow, and their end.
//!
//! A sign-in begins with [`Sessions::begin`], comes back with [`Sessions::finish`], and ends with
//! tokens for whoever waits: a client on a [`Seat`], or the browser itself. Sign-ins under way are
//! kept in memory alone (`under_way`). A session is one record; its refresh token is kept as a hash
//! and replaced at each use (`life`); access tokens are signed and looked up (`tokens`).
//!
//! Never here: a status, a query, a header. Never a token in a log, in an error, or in the store.

mod address;
mod life;
mod rate;
mod sign_in;
#[cfg(test)]
mod tests;
mod tokens;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use address::Address;
pub use sign_in::{Answer, Back, Beginning, Finished, Seat};

use crate::caller::Member;
use crate::error::Error;
use crate::ground::{Ground, outcome_of};
use crate::ids::ProviderId;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::sign_in::SignIn;
use crate::ports::tokens::Tokens;
use crate::secret::Secret;
use crate::user::Users;
use rate::Rate;
use under_way::UnderWay;

/// Bounds and spans of sessions, and what their tokens name.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who issues the tokens: `iss`.
    pub issuer: String,
    /// For whom they are: `aud`.
    pub audience: String,
    /// Where a provider sends the browser back to.
    pub redirect_uri: String,
    /// Where one signs in who names no provider.
    pub provider: ProviderId,
    /// How long an access token holds.
    pub access_lifetime: Duration,
    /// How long a session lasts that gets no new tokens.
    pub idle: Duration,
    /// How long a session lasts at most.
    pub lifetime: Duration,
    /// How long a sign-in may take.
    pub sign_in_lifetime: Duration,
    /// How long what came of a sign-in waits for its client.
    pub wait_for_client: Duration,
    /// Whether browser and waiting client have to come from the address that began the sign-in.
    pub same_address: bool,
    /// Most sign-ins under way.
    pub max_sign_ins: usize,
    /// Most clients that wait.
    pub max_seats: usize,
    /// Most sign-ins that one address may begin in a minute; `None`: any number.
    pub begun_per_minute: Option<u32>,
}

impl Options {
    /// The usual bounds and spans.
    pub fn new(
        issuer: String,
        audience: String,
        redirect_uri: String,
        provider: ProviderId,
    ) -> Self {
        Self {
            issuer,
            audience,
            redirect_uri,
            provider,
            access_lifetime: Duration::from_secs(15 * 60),
            idle: Duration::from_secs(12 * 60 * 60),
            lifetime: Duration::from_secs(7 * 24 * 60 * 60),
            sign_in_lifetime: Duration::from_secs(10 * 60),
            wait_for_client: Duration::from_secs(60),
            same_address: true,
            max_sign_ins: 20_000,
            max_seats: 10_000,
            begun_per_minute: Some(60),
        }
    }
}

/// What a client of the vault holds.
#[derive(Debug)]
pub struct TokenPair {
    /// Opens the vault, for minutes.
    pub access: Secret,
    /// Gets the next pair, once.
    pub refresh: Secret,
}

/// All sign-ins and sessions. Cheap to share behind its `Arc`.
pub struct Sessions {
    ground: Arc<Ground>,
    users: Arc<Users>,
    sign_in: Arc<dyn SignIn>,
    tokens: Arc<dyn Tokens>,
    options: Options,
    under_way: UnderWay,
    rate: Rate,
    seats: Arc<Semaphore>,
}

impl Sessions {
    /// Puts the parts together. Nothing runs before [`Sessions::start`].
    pub fn new(
        ground: Arc<Ground>,
        users: Arc<Users>,
        sign_in: Arc<dyn SignIn>,
        tokens: Arc<dyn Tokens>,
        options: Options,
    ) -> Arc<Self> {
        let under_way = UnderWay::new(options.max_sign_ins);
        let rate = Rate::new(options.begun_per_minute);
        let seats = Arc::new(Semaphore::new(options.max_seats.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { ground, users, sign_in, tokens, options, under_way, rate, seats })
    }

    /// The public keys of our tokens, as a JSON Web Key Set (RFC 7517).
    pub fn public_keys(&self) -> serde_json::Value {
        self.tokens.public_keys()
    }

    /// Something that nobody can guess, of letters and digits: for a page that has to prove that
    /// its script is its own.
    pub fn nonce(&self) -> String {
        hex(&random_16(&*self.ground.entropy))
    }

    /// Has it audited that `member` was refused what they asked for: a route, and what of it.
    pub fn remark_refusal(&self, member: &Member, target: Target, error: &Error) {
        let event = self.event(Some(member.into()), Action::Refuse, target, outcome_of(error));
        self.ground.remark(Event { note: error.cause(), ..event });
    }

    fn event(
        &self,
        actor: Option<Actor>,
        action: Action,
        target: Target,
        outcome: Outcome,
    ) -> Event {
        Event { at: self.ground.clock.now(), actor, action, target, note: None, outcome }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The scopes of every session that began with a browser.
const SCOPES: [&str; 2] = [Member::READ, Member::WRITE];
