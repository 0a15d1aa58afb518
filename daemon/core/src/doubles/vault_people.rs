//! The people of a vault: who signs in, and what they may do.

use std::sync::Arc;

use super::{
    FakeProviders, FakeSignIn, FakeTokens, ManualClock, MemoryStore, PROVIDER, ScriptedPlugins,
    TestTasks, ground, vouched,
};
use crate::caller::Client;
use crate::catalogue::Catalogue;
use crate::ground::Ground;
use crate::ids::ProviderId;
use crate::leases::{Leases, LeasesDependencies};
use crate::rights::Role;
use crate::rights::permission::Pattern;
use crate::rules::{Condition, Configured, ProviderMatch, Rule, Rules};
use crate::session::{
    Address, Callback, Options, ProviderReply, Sessions, SignInResult, TokenPair,
};
use crate::user::{ConfiguredRole, Roles, Users};

/// Sessions and users over a core of their own.
pub struct People {
    /// Their time.
    pub clock: ManualClock,
    /// The store of their records.
    pub store: MemoryStore,
    /// The provider that they sign in at.
    pub provider: Arc<FakeSignIn>,
    /// Their ground.
    pub ground: Arc<Ground>,
    /// The issuing half, which suspends.
    pub leases: Arc<Leases>,
    /// The users.
    pub users: Arc<Users>,
    /// Their sessions.
    pub sessions: Arc<Sessions>,
}

/// Options for sessions at [`PROVIDER`], of a vault at `https://vault.example`.
///
/// # Panics
/// Never: the id of the provider is one.
#[expect(clippy::expect_used, reason = "a constant that parses")]
pub fn session_options() -> Options {
    let provider = ProviderId::parse(PROVIDER).expect("a constant that parses");
    let [issuer, audience, redirect_uri] =
        ["", "/v1", "/v1/auth/redirect"].map(|path| format!("https://vault.example{path}"));
    Options::new(issuer, audience, redirect_uri, provider)
}

/// A role of these permissions, which the user `whose` has by their subject.
///
/// # Panics
/// When a permission is none.
#[expect(clippy::expect_used, reason = "tests name their permissions themselves")]
pub fn role_of(whose: &str, name: &str, permissions: &[&str]) -> ConfiguredRole {
    let rule = Rule::new(ProviderMatch::Any, "sub", Condition::equals(whose))
        .expect("a constant that parses");
    let permissions =
        permissions.iter().map(|text| Pattern::parse(text).expect("a permission")).collect();
    ConfiguredRole {
        role: Arc::new(Role { name: name.into(), permissions, companies: None }),
        rules: Rules::new(vec![rule], Vec::new(), &Configured::default()),
    }
}

impl People {
    /// Without users yet.
    ///
    /// # Panics
    /// Never: the store fails only when a test makes it fail.
    #[expect(clippy::expect_used, reason = "a store in memory that no test has made fail")]
    pub async fn new(roles: Vec<ConfiguredRole>, options: Options) -> Self {
        let (clock, store) = (ManualClock::default(), MemoryStore::new());
        let ground = ground(&clock, &store, Arc::new(TestTasks::new()), 1000).await;
        let leases = Leases::new(
            Arc::clone(&ground),
            LeasesDependencies {
                providers: Arc::new(FakeProviders::new()),
                plugins: Arc::new(ScriptedPlugins::new()),
                catalogue: Catalogue::new(Vec::new()).expect("no services"),
                options: crate::leases::Options::default(),
            },
        );
        let provider = Arc::new(FakeSignIn::new());
        let users = Arc::new(Users::new(Arc::clone(&leases), Roles::new(roles)));
        let sessions = Sessions::new(
            Arc::clone(&ground),
            Arc::clone(&users),
            provider.clone(),
            Arc::new(FakeTokens),
            options,
        );
        Self { clock, store, provider, ground, leases, users, sessions }
    }

    /// Signs `user` in, from an address that no other client has.
    ///
    /// # Panics
    /// When they cannot sign in.
    #[expect(clippy::expect_used, clippy::panic, reason = "a test of something else ends here")]
    pub async fn sign_in(&self, user: &str) -> TokenPair {
        let from = Address::V6Network([0; 4]);
        let state = self.sessions.begin(None, from).expect("a sign-in").callback_key;
        self.provider.add_code(user, vouched(user));
        let reply = ProviderReply::Code(crate::secret::Secret::new(user));
        let (own_uri_of, issuer, client) = (None, None, Client::default());
        let callback =
            Callback { state, reply, own_uri_of, issuer, from, wants_tokens: true, client };
        match self.sessions.finish(callback).await.expect("a sign-in") {
            SignInResult::Tokens(pair) => pair,
            SignInResult::Delivered | SignInResult::Ask(_) => panic!("no client waits"),
        }
    }
}
