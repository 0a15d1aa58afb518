//! Sessions over a fake provider and a store in memory.

mod attacks;
mod confirmation;
mod life;
mod limits;
mod reasons;
mod sign_in;
mod suspension;
mod tokens;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::*;
use crate::access::operator;
use crate::audit::AuditLog;
use crate::caller::Client;
use crate::doubles::{
    FakeSignIn, FakeTokens, Gate, ISSUER, MemoryFile, PROVIDER, RecordingAudit, caller, vouched,
};
use crate::error::{Error, Kind};
use crate::ports::sign_in::Vouched;
use crate::ports::tokens::{TokenKind, Tokens as _};
use crate::rights::Role;
use crate::rights::permission::Pattern;
use crate::rules::{Condition, Configured, ProviderMatch, Rule, Rules};
use crate::testing::{DAY, HOUR, SECOND, World};
use crate::user::{ConfiguredRole, Roles};

const MINUTE: Duration = Duration::from_secs(60);

struct Setup {
    world: World,
    provider: Arc<FakeSignIn>,
    sessions: Arc<Sessions>,
}

fn options() -> Options {
    let provider = ProviderId::parse(PROVIDER).unwrap();
    Options::new(
        "https://us.example".into(),
        "https://us.example/v1".into(),
        "https://us.example/back".into(),
        provider,
    )
}

fn at(last: u8) -> Address {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)).into()
}

/// `users` is held by a group and grants `user.fetch.many`; `admin` is assigned by hand.
fn roles() -> Roles {
    let role = |name: &str, permission: &str, rules| ConfiguredRole {
        role: Arc::new(Role {
            name: name.into(),
            permissions: vec![Pattern::parse(permission).unwrap()],
            companies: None,
        }),
        rules,
    };
    let in_group = Rule::new(ProviderMatch::Any, "groups", Condition::any(true)).unwrap();
    let by_group = Rules::new(vec![in_group], Vec::new(), &Configured::default());
    Roles::new(vec![
        role("admin", "*", Rules::default()),
        role("users", "user.fetch.many", by_group),
    ])
}

impl Setup {
    async fn new() -> Self {
        Self::with(options()).await
    }

    async fn with(options: Options) -> Self {
        let world = World::new().await;
        let provider = Arc::new(FakeSignIn::new());
        let sessions = Self::sessions(&world, &provider, options);
        Self { world, provider, sessions }
    }

    fn sessions(world: &World, provider: &Arc<FakeSignIn>, options: Options) -> Arc<Sessions> {
        let users = Arc::new(Users::new(Arc::clone(&world.leases), roles()));
        Sessions::new(
            Arc::clone(world.ground()),
            users,
            provider.clone(),
            Arc::new(FakeTokens),
            options,
        )
    }

    /// The daemon is killed, and another one starts.
    async fn crash(&mut self) {
        self.world.crash().await;
        self.sessions = Self::sessions(&self.world, &self.provider, options());
    }

    fn begin(&self) -> Secret {
        self.sessions.begin(None, at(1)).unwrap().callback_key
    }

    /// The callback of a browser in which `user` signed in.
    fn callback(&self, state: &Secret, user: &str) -> Callback {
        let code = format!("code of {user} for {}", state.expose_str().unwrap());
        self.provider.add_code(&code, vouched(user));
        Callback {
            state: state.clone(),
            reply: ProviderReply::Code(Secret::new(code)),
            own_uri_of: None,
            issuer: None,
            from: at(1),
            wants_tokens: false,
            client: Client::default(),
        }
    }

    async fn sign_in(&self, user: &str) -> TokenPair {
        let callback = Callback { wants_tokens: true, ..self.callback(&self.begin(), user) };
        match self.sessions.finish(callback).await.unwrap() {
            SignInResult::Tokens(pair) => pair,
            other => panic!("no tokens: {other:?}"),
        }
    }

    /// The question that a callback leads to.
    async fn ask(&self, callback: Callback) -> Confirmation {
        match self.sessions.finish(callback).await.unwrap() {
            SignInResult::Ask(confirmation) => confirmation,
            other => panic!("no question: {other:?}"),
        }
    }

    /// Finishes a sign-in as a user does who answers with yes.
    async fn finish(&self, callback: Callback) -> Result<SignInResult, Error> {
        finish(&self.sessions, callback).await
    }

    /// The lines of the audit log so far.
    async fn audited(&self) -> Vec<Value> {
        let file = MemoryFile::default();
        let (ground, echo) = (Arc::clone(self.world.ground()), Arc::new(RecordingAudit::new()));
        AuditLog::new(ground, Arc::new(file.clone()), echo).finish().await.unwrap();
        file.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn is_valid(&self, token: &Secret) -> bool {
        match self.sessions.authenticate(token, Client::default()).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Unauthenticated);
                false
            }
        }
    }

    fn event_count(&self) -> usize {
        self.world.store.dump("outbox/").len()
    }
}

/// Finishes a sign-in as a user does who answers with yes.
async fn finish(sessions: &Arc<Sessions>, callback: Callback) -> Result<SignInResult, Error> {
    let from = callback.from;
    match sessions.finish(callback).await? {
        SignInResult::Ask(Confirmation { token, .. }) => {
            sessions.answer(&token, Answer::Yes, from).await.map(|()| SignInResult::Delivered)
        }
        other => Ok(other),
    }
}

/// A provider that refused without a word.
fn refused() -> ProviderReply {
    ProviderReply::Refused { error: None, description: None }
}

/// What `client` gets in the end.
async fn tokens_for(client: WaitingClient) -> Result<TokenPair, Error> {
    client.tokens().await
}

fn kind<T>(result: Result<T, Error>) -> Option<Kind> {
    result.err().map(|error| error.kind())
}

fn claims(token: &Secret) -> Map<String, Value> {
    FakeTokens
        .verify(TokenKind::Access, token)
        .or_else(|| FakeTokens.verify(TokenKind::Refresh, token))
        .unwrap()
}
