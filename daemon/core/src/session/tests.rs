//! Each attack that `daemon/dialects/vault.md` names, and the races between those who act at once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::*;
use crate::access::operator;
use crate::doubles::{FakeSignIn, FakeTokens, Gate, ISSUER, PROVIDER, caller, vouched};
use crate::error::{Error, Kind};
use crate::ports::sign_in::Vouched;
use crate::ports::tokens::{TokenKind, Tokens as _};
use crate::rights::Role;
use crate::rights::permission::Pattern;
use crate::rules::{Configured, ProviderMatch, Rule, Rules, Test};
use crate::testing::{DAY, HOUR, SECOND, World};
use crate::user::{ConfiguredRole, Roles};

const MINUTE: Duration = Duration::from_secs(60);

struct House {
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

/// `users` have `user.fetch.many` by their group; `admin` is given by hand.
fn roles() -> Roles {
    let role = |name: &str, permission: &str, rules| ConfiguredRole {
        role: Arc::new(Role {
            name: name.into(),
            permissions: vec![Pattern::parse(permission).unwrap()],
            companies: None,
        }),
        rules,
    };
    let in_group = Rule::new(ProviderMatch::Any, "groups", Test::any(true)).unwrap();
    let by_group = Rules::new(vec![in_group], Vec::new(), &Configured::default());
    Roles::new(vec![
        role("admin", "*", Rules::default()),
        role("users", "user.fetch.many", by_group),
    ])
}

impl House {
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

    /// What a browser brings back that signed in as `user`.
    fn back(&self, state: &Secret, user: &str) -> Back {
        let code = format!("code of {user} for {}", state.expose_str().unwrap());
        self.provider.add_code(&code, vouched(user));
        Back {
            state: state.clone(),
            answer: Answer::Code(Secret::new(code)),
            issuer: None,
            from: at(1),
            wants_tokens: false,
        }
    }

    async fn sign_in(&self, user: &str) -> TokenPair {
        let back = Back { wants_tokens: true, ..self.back(&self.begin(), user) };
        match self.sessions.finish(back).await.unwrap() {
            Finished::Tokens(pair) => pair,
            Finished::Delivered => panic!("no tokens"),
        }
    }

    async fn opens(&self, token: &Secret) -> bool {
        match self.sessions.authenticate(token).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Unauthenticated);
                false
            }
        }
    }

    fn actions(&self) -> usize {
        self.world.store.dump("outbox/").len()
    }
}

/// What a client is told that waits to the end.
async fn told(seat: Seat) -> Result<TokenPair, Error> {
    seat.tokens().await
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

#[tokio::test]
async fn a_client_that_waits_gets_the_tokens_of_whoever_signs_in() {
    let house = House::new().await;
    let begun = house.sessions.begin(None, at(1)).unwrap();
    let key = begun.callback_key.expose_str().unwrap();
    assert!(
        key.len() == 34 && key.starts_with("ck") && key.bytes().all(|b| b.is_ascii_alphanumeric())
    );
    assert!(begun.uri.contains(key));
    let seat = house.sessions.attach(&begun.callback_key, at(1)).unwrap();
    let mut waiting = Box::pin(seat.tokens());
    assert!((&mut waiting).now_or_never().is_none());
    let finished = house.sessions.finish(house.back(&begun.callback_key, "alice")).await.unwrap();
    assert!(matches!(finished, Finished::Delivered));
    let pair = waiting.await.unwrap();
    let member = house.sessions.authenticate(&pair.access).await.unwrap();
    assert_eq!(member.subject, *caller("alice").subject());
    assert!(member.has_scope("user.read") && member.has_scope("user.write"));
    assert!(member.rights.hold("user.fetch.many") && !member.rights.hold("company.fetch"));
    assert_eq!(house.actions(), 2, "a user was made, and signed in");
}

#[tokio::test]
async fn an_access_token_says_exactly_this() {
    let house = House::new().await;
    let pair = house.sign_in("alice").await;
    let member = house.sessions.authenticate(&pair.access).await.unwrap();
    let said = claims(&pair.access);
    let mut expected = json!({
        "iss": "https://us.example",
        "aud": "https://us.example/v1",
        "sub": member.user.as_str(),
        "sid": member.session.as_str(),
        "scope": "user.read user.write",
        "iat": house.world.now().as_secs(),
        "exp": house.world.now().as_secs() + 900,
    });
    expected["jti"] = said["jti"].clone();
    assert_eq!(Value::Object(said), expected);
    let keys: Vec<_> = claims(&pair.refresh).into_iter().map(|(name, _)| name).collect();
    assert_eq!(keys, ["exp", "jti", "sid"]);
}

/// A browser may be faster than its client.
#[tokio::test]
async fn a_result_waits_a_minute_for_its_client_and_goes_out_once() {
    let house = House::new().await;
    let (fast, slow) = (house.begin(), house.begin());
    for key in [&fast, &slow] {
        house.sessions.finish(house.back(key, "alice")).await.unwrap();
    }
    house.world.clock.advance(MINUTE - SECOND);
    assert!(house.sessions.attach(&fast, at(1)).unwrap().tokens().await.is_ok());
    assert_eq!(kind(house.sessions.attach(&fast, at(1))), Some(Kind::NotFound), "spent");
    house.world.clock.advance(SECOND);
    assert_eq!(kind(house.sessions.attach(&slow, at(1))), Some(Kind::NotFound), "too old");
}

#[tokio::test]
async fn nobody_signs_in_for_ten_minutes() {
    let house = House::new().await;
    let key = house.begin();
    let waiting = tokio::spawn(told(house.sessions.attach(&key, at(1)).unwrap()));
    house.world.run(10 * MINUTE - SECOND).await;
    assert!(!waiting.is_finished());
    house.world.run(SECOND).await;
    assert_eq!(kind(waiting.await.unwrap()), Some(Kind::Unauthenticated));
    assert_eq!(kind(house.sessions.finish(house.back(&key, "alice")).await), Some(Kind::Invalid));
}

/// Race: the browser comes back in the last second, and the provider takes longer than that.
#[tokio::test]
async fn a_browser_that_is_back_in_time_is_not_overtaken_by_the_end() {
    let house = House::new().await;
    house.sessions.start();
    let gate = Gate::shut();
    house.provider.hold(&gate);
    let key = house.begin();
    let waiting = tokio::spawn(told(house.sessions.attach(&key, at(1)).unwrap()));
    house.world.run(10 * MINUTE - SECOND).await;
    let (sessions, back) = (Arc::clone(&house.sessions), house.back(&key, "alice"));
    let finishing = tokio::spawn(async move { sessions.finish(back).await });
    house.world.run(MINUTE - SECOND).await;
    assert!(!waiting.is_finished() && !finishing.is_finished());
    gate.open();
    assert!(finishing.await.unwrap().is_ok());
    assert!(waiting.await.unwrap().is_ok());
}

/// Race: browser and client come in the very moment of the end. Whoever is first, both are told,
/// and tokens go out at most once.
#[tokio::test]
async fn at_the_end_of_its_time_a_sign_in_is_over_for_everybody() {
    let house = House::new().await;
    let key = house.begin();
    house.world.clock.advance(10 * MINUTE);
    assert_eq!(kind(house.sessions.expects(&key, at(1))), Some(Kind::NotFound));
    assert_eq!(kind(house.sessions.attach(&key, at(1))), Some(Kind::NotFound));
    let back = Back { wants_tokens: true, ..house.back(&key, "alice") };
    assert_eq!(kind(house.sessions.finish(back).await), Some(Kind::Invalid));
    assert!(house.world.store.dump("session/").is_empty());
}

/// Race: a client comes while the browser, which would take the tokens along, is being asked about
/// at the provider.
#[tokio::test]
async fn tokens_go_to_the_browser_or_to_the_client_and_never_to_both() {
    let house = House::new().await;
    let gate = Gate::shut();
    house.provider.hold(&gate);
    let key = house.begin();
    let (sessions, back) = (Arc::clone(&house.sessions), house.back(&key, "alice"));
    let finishing =
        tokio::spawn(async move { sessions.finish(Back { wants_tokens: true, ..back }).await });
    house.world.settle().await;
    let waiting = house.sessions.attach(&key, at(1)).unwrap();
    gate.open();
    assert!(matches!(finishing.await.unwrap(), Ok(Finished::Delivered)));
    assert!(waiting.tokens().await.is_ok());
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated), "once");
    assert_eq!(house.world.store.dump("session/").len(), 1);
}

/// Attack: a browser asks for tokens that a client waits for, or waited for once.
#[tokio::test]
async fn a_browser_gets_no_tokens_that_a_client_ever_waited_for() {
    let house = House::new().await;
    let key = house.begin();
    drop(house.sessions.attach(&key, at(1)).unwrap());
    let back = Back { wants_tokens: true, ..house.back(&key, "alice") };
    assert!(matches!(house.sessions.finish(back).await.unwrap(), Finished::Delivered));
    assert!(house.sessions.attach(&key, at(1)).unwrap().tokens().await.is_ok());
}

/// Attack: the state of a sign-in is shown again, with the same code or another one.
#[tokio::test]
async fn state_replay() {
    let house = House::new().await;
    let key = house.begin();
    house.sessions.finish(house.back(&key, "alice")).await.unwrap();
    for user in ["alice", "mallory"] {
        assert_eq!(kind(house.sessions.finish(house.back(&key, user)).await), Some(Kind::Invalid));
    }
    for unknown in ["", "ck00000000000000000000000000000000"] {
        let back = house.back(&Secret::new(unknown), "mallory");
        assert_eq!(kind(house.sessions.finish(back).await), Some(Kind::Invalid));
    }
}

/// Attack: a code that was used is brought to another sign-in.
#[tokio::test]
async fn code_replay() {
    let house = House::new().await;
    let (first, second) = (house.begin(), house.begin());
    let back = house.back(&first, "alice");
    let Answer::Code(code) = &back.answer else { panic!("no code") };
    let again = Back {
        state: second.clone(),
        answer: Answer::Code(code.clone()),
        ..house.back(&second, "x")
    };
    house.sessions.finish(back).await.unwrap();
    let waiting = house.sessions.attach(&second, at(1)).unwrap();
    assert_eq!(kind(house.sessions.finish(again).await), Some(Kind::Unauthenticated));
    assert_eq!(
        kind(waiting.tokens().await),
        Some(Kind::Unauthenticated),
        "the client hears it too"
    );
}

/// Attack: the answer of one provider is passed off as another's (RFC 9207).
#[tokio::test]
async fn mix_up() {
    let house = House::new().await;
    let key = house.begin();
    let back = Back { issuer: Some("https://evil.example".into()), ..house.back(&key, "alice") };
    assert_eq!(kind(house.sessions.finish(back).await), Some(Kind::Unauthenticated));
    let key = house.begin();
    let back = Back { issuer: Some(ISSUER.into()), ..house.back(&key, "alice") };
    assert!(house.sessions.finish(back).await.is_ok());
}

/// Attack: a state of one provider, a code of another.
#[tokio::test]
async fn a_state_is_bound_to_its_provider() {
    let house = House::new().await;
    let other = ProviderId::parse("other").unwrap();
    house.provider.add_provider(other.clone());
    let key = house.sessions.begin(Some(&other), at(1)).unwrap().callback_key;
    assert_eq!(
        kind(house.sessions.finish(house.back(&key, "alice")).await),
        Some(Kind::Unauthenticated)
    );
    let unknown = ProviderId::parse("unknown").unwrap();
    let refused = house.sessions.begin(Some(&unknown), at(1)).unwrap_err();
    assert_eq!((refused.kind(), refused.fields()[0].place().as_str()), (Kind::Invalid, "provider"));
    let misconfigured = House::with(Options { provider: unknown, ..options() }).await;
    assert_eq!(kind(misconfigured.sessions.begin(None, at(1))), Some(Kind::Internal));
}

/// Attack: somebody else waits with the callback key, or has somebody else sign in with it.
#[tokio::test]
async fn a_stolen_callback_key_is_no_use_elsewhere() {
    let house = House::new().await;
    let key = house.begin();
    for refused in
        [house.sessions.attach(&key, at(2)).err(), house.sessions.expects(&key, at(2)).err()]
    {
        let refused = refused.unwrap();
        assert_eq!(refused.kind(), Kind::Forbidden);
        assert!(refused.public().contains("same_address"));
    }
    assert!(house.sessions.expects(&key, at(1)).is_ok(), "its owner waits all the same");
    let waiting = house.sessions.attach(&key, at(1)).unwrap();
    let victim = Back { from: at(2), ..house.back(&key, "victim") };
    let refused = house.sessions.finish(victim).await.unwrap_err();
    assert_eq!((refused.kind(), refused.fields()[0].place().as_str()), (Kind::Forbidden, "state"));
    assert!(refused.fields()[0].message.contains("same_address"));
    let heard = waiting.tokens().await.unwrap_err();
    assert!(heard.kind() == Kind::Forbidden && heard.public().contains("same_address"));
    assert!(house.world.store.dump("user/").is_empty(), "the provider was not even asked");
    let later = house.back(&key, "victim");
    assert_eq!(
        kind(house.sessions.finish(later).await),
        Some(Kind::Invalid),
        "nor can the thief go on with it"
    );

    let lax = House::with(Options { same_address: false, ..options() }).await;
    let key = lax.begin();
    let waiting = lax.sessions.attach(&key, at(2)).unwrap();
    lax.sessions.finish(Back { from: at(3), ..lax.back(&key, "alice") }).await.unwrap();
    assert!(waiting.tokens().await.is_ok());
}

/// Attack: a second client waits for the same sign-in.
#[tokio::test]
async fn a_second_socket() {
    let house = House::new().await;
    let key = house.begin();
    let first = house.sessions.attach(&key, at(1)).unwrap();
    assert_eq!(kind(house.sessions.attach(&key, at(1))), Some(Kind::Conflict));
    assert_eq!(kind(house.sessions.expects(&key, at(1))), Some(Kind::Conflict));
    drop(first);
    assert!(house.sessions.attach(&key, at(1)).is_ok(), "a client whose line broke may come again");
}

#[tokio::test]
async fn a_provider_that_says_no_is_told_to_the_client() {
    let house = House::new().await;
    let key = house.begin();
    let waiting = house.sessions.attach(&key, at(1)).unwrap();
    let back = Back { answer: Answer::Refused, ..house.back(&key, "alice") };
    assert_eq!(kind(house.sessions.finish(back).await), Some(Kind::Unauthenticated));
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated));
}

#[tokio::test]
async fn a_sign_in_goes_on_when_its_browser_goes_away() {
    let house = House::new().await;
    let gate = Gate::shut();
    house.provider.hold(&gate);
    let key = house.begin();
    let waiting = house.sessions.attach(&key, at(1)).unwrap();
    assert!(house.sessions.finish(house.back(&key, "alice")).now_or_never().is_none());
    gate.open();
    assert!(waiting.tokens().await.is_ok());
}

/// Race: one state comes back twice hundred times at once.
#[tokio::test]
async fn of_many_who_finish_one_sign_in_one_does() {
    let house = House::new().await;
    let key = house.begin();
    let attempts = (0..200).map(|number| {
        let back = Back { wants_tokens: true, ..house.back(&key, &format!("user-{number}")) };
        house.sessions.finish(back)
    });
    let ended = join_all(attempts).await;
    let tokens = ended.iter().filter(|ended| matches!(ended, Ok(Finished::Tokens(_)))).count();
    let refused = ended.into_iter().filter_map(kind).filter(|kind| *kind == Kind::Invalid).count();
    assert_eq!((tokens, refused), (1, 199));
    assert_eq!(house.world.store.dump("user/").len(), 1);
}

/// Race: somebody signs in for the first time in many windows.
#[tokio::test]
async fn a_first_sign_in_makes_one_user_however_often_at_once() {
    let house = House::with(Options { begun_per_minute: None, ..options() }).await;
    let pairs = join_all((0..50).map(|_| house.sign_in("alice"))).await;
    let mut ids = Vec::new();
    for pair in &pairs {
        ids.push(house.sessions.authenticate(&pair.access).await.unwrap().user);
    }
    ids.dedup();
    assert_eq!((ids.len(), house.world.store.dump("user/").len()), (1, 1));
    assert_eq!(house.world.store.dump("session/").len(), 50);
}

#[tokio::test]
async fn there_is_room_for_so_many_and_no_more() {
    let house = House::with(Options { max_sign_ins: 3, max_seats: 1, ..options() }).await;
    let keys: Vec<_> = (0..3).map(|_| house.begin()).collect();
    let full = house.sessions.begin(None, at(1)).unwrap_err();
    assert_eq!((full.kind(), full.retry_hint()), (Kind::Busy, Some(10 * MINUTE)));
    let seat = house.sessions.attach(&keys[0], at(1)).unwrap();
    let full = house.sessions.attach(&keys[1], at(1)).unwrap_err();
    assert!(full.kind() == Kind::Busy && full.retry_hint().is_some());
    drop(seat);
    assert!(house.sessions.attach(&keys[1], at(1)).is_ok());
    house.world.clock.advance(10 * MINUTE);
    house.begin();
    assert_eq!(house.sessions.under_way.sizes(), (1, 1), "the old ones are gone");
}

/// The bounds of the specification, each reached.
#[tokio::test]
async fn twenty_thousand_sign_ins_and_ten_thousand_clients_and_not_one_more() {
    let house = House::with(Options { begun_per_minute: None, ..options() }).await;
    let keys: Vec<_> = (0..20_000).map(|_| house.begin()).collect();
    assert_eq!(kind(house.sessions.begin(None, at(2))), Some(Kind::Busy));
    let seats: Vec<_> =
        keys.iter().take(10_000).map(|key| house.sessions.attach(key, at(1)).unwrap()).collect();
    assert_eq!(kind(house.sessions.attach(&keys[10_000], at(1))), Some(Kind::Busy));
    assert!(house.sessions.expects(&keys[10_000], at(1)).is_ok());
    drop(seats);
    assert!(house.sessions.attach(&keys[10_000], at(1)).is_ok());
}

/// Attack: clients that have what they waited for, and do not go, while others are let in in their
/// place.
#[tokio::test]
async fn a_client_counts_until_it_is_gone() {
    let house = House::with(Options { max_seats: 1, ..options() }).await;
    let (first, second) = (house.begin(), house.begin());
    let seat = house.sessions.attach(&first, at(1)).unwrap();
    house.sessions.finish(house.back(&first, "alice")).await.unwrap();
    assert!(seat.tokens().await.is_ok());
    assert_eq!(kind(house.sessions.attach(&second, at(1))), Some(Kind::Busy));
    drop(seat);
    assert!(house.sessions.attach(&second, at(1)).is_ok());
}

/// Attack: memory filled with sign-ins that were left at every stage.
#[tokio::test]
async fn nothing_of_a_sign_in_is_kept_beyond_its_time() {
    let house = House::with(Options { begun_per_minute: None, ..options() }).await;
    for number in 0..60 {
        let key = house.begin();
        let seat = (number % 2 == 0).then(|| house.sessions.attach(&key, at(1)).unwrap());
        let back = Back { wants_tokens: number % 3 == 0, ..house.back(&key, "alice") };
        match number % 5 {
            0 => {}
            1 => drop(house.sessions.finish(Back { answer: Answer::Refused, ..back }).await),
            2 => drop(house.sessions.finish(Back { from: at(9), ..back }).await),
            3 => drop(house.sessions.finish(back).now_or_never()),
            _ => drop(house.sessions.finish(back).await),
        }
        if let Some(seat) = seat.filter(|_| number % 4 == 0) {
            let _ = seat.tokens().now_or_never();
        }
    }
    house.world.settle().await;
    let (sign_ins, ends) = house.sessions.under_way.sizes();
    assert!(sign_ins > 0 && sign_ins == ends, "{sign_ins} {ends}");
    house.sessions.start();
    house.world.run(11 * MINUTE).await;
    assert_eq!(house.sessions.under_way.sizes(), (0, 0));
}

#[tokio::test]
async fn an_address_begins_sixty_a_minute() {
    let house = House::new().await;
    (0..60).for_each(|_| drop(house.begin()));
    let refused = house.sessions.begin(None, at(1)).unwrap_err();
    assert!(refused.kind() == Kind::LimitReached && refused.retry_hint().is_some());
    assert!(house.sessions.begin(None, at(2)).is_ok());
    house.world.clock.advance(MINUTE);
    house.begin();
}

#[tokio::test]
async fn tokens_are_refreshed_as_long_as_the_session_lasts() {
    let house = House::new().await;
    let mut pair = house.sign_in("alice").await;
    let mut span = Duration::ZERO;
    while span + 11 * HOUR < 7 * DAY {
        house.world.clock.advance(11 * HOUR);
        span += 11 * HOUR;
        assert!(!house.opens(&pair.access).await, "after fifteen minutes");
        pair = house.sessions.refresh(&pair.refresh).await.unwrap();
        assert!(house.opens(&pair.access).await);
    }
    house.world.clock.advance(7 * DAY - span);
    assert!(!house.opens(&pair.access).await);
    assert_eq!(kind(house.sessions.refresh(&pair.refresh).await), Some(Kind::Unauthenticated));
}

#[tokio::test]
async fn an_idle_session_is_over() {
    let house = House::new().await;
    let pair = house.sign_in("alice").await;
    house.world.clock.advance(12 * HOUR);
    assert_eq!(kind(house.sessions.refresh(&pair.refresh).await), Some(Kind::Unauthenticated));
}

/// Attack: a refresh token was stolen, and both it and what came of it are used.
#[tokio::test]
async fn refresh_replay_ends_the_session() {
    let house = House::new().await;
    let first = house.sign_in("alice").await;
    let elsewhere = house.sign_in("alice").await;
    let second = house.sessions.refresh(&first.refresh).await.unwrap();
    let events = house.actions();
    assert_eq!(kind(house.sessions.refresh(&first.refresh).await), Some(Kind::Unauthenticated));
    assert_eq!(house.actions(), events + 1, "it is told");
    assert!(!house.opens(&second.access).await, "nobody knows which of the two is the thief");
    assert_eq!(kind(house.sessions.refresh(&second.refresh).await), Some(Kind::Unauthenticated));
    assert!(house.opens(&elsewhere.access).await, "another sign-in is another session");
}

/// Race: one refresh token is shown many times at once.
#[tokio::test]
async fn of_many_who_refresh_at_once_one_gets_tokens_and_the_session_ends() {
    let house = House::new().await;
    for many in [2, 200] {
        let pair = house.sign_in("alice").await;
        let results = join_all((0..many).map(|_| house.sessions.refresh(&pair.refresh))).await;
        let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 1);
        assert!(bad.into_iter().all(|refused| kind(refused) == Some(Kind::Unauthenticated)));
        for pair in good {
            assert!(!house.opens(&pair.unwrap().access).await);
        }
    }
    assert!(house.world.store.dump("session/").is_empty());
}

/// A store that does not say whether it committed ends no session.
#[tokio::test]
async fn a_commit_of_unknown_fate_is_no_replay() {
    use crate::doubles::Fault;
    let house = House::new().await;
    let mut pair = house.sign_in("alice").await;
    for applied in [true, false] {
        house.world.store.fail_next(Fault::Unknown { applied });
        pair = house.sessions.refresh(&pair.refresh).await.unwrap();
        assert!(house.opens(&pair.access).await, "{applied}");
    }
}

/// Attack: a token of one kind, or of somebody else, where another is due.
#[tokio::test]
async fn token_confusion() {
    let house = House::new().await;
    let pair = house.sign_in("alice").await;
    assert!(!house.opens(&pair.refresh).await, "a refresh token opens nothing");
    assert_eq!(kind(house.sessions.refresh(&pair.access).await), Some(Kind::Unauthenticated));
    let provider = ProviderId::parse(PROVIDER).unwrap();
    assert!(
        house
            .world
            .leases
            .sign_in(&provider, Secret::new("alice"), crate::caller::Interface::Rest)
            .await
            .is_ok()
    );
    assert!(
        !house.opens(&Secret::new("alice")).await,
        "what opens the other dialect opens nothing here"
    );
    let ours = house
        .world
        .leases
        .sign_in(&provider, pair.access.clone(), crate::caller::Interface::Rest)
        .await;
    assert_eq!(kind(ours), Some(Kind::Unauthenticated), "and the other way round");

    let good = claims(&pair.access);
    let other = house.sign_in("bob").await;
    for (name, value) in [
        ("iss", json!("https://us.example/")),
        ("aud", json!("https://us.example")),
        ("aud", json!(["https://us.example/v1"])),
        ("sub", claims(&other.access)["sub"].clone()),
        ("sid", json!("c000000000000000000000000")),
        ("exp", json!(house.world.now().as_secs())),
        ("exp", json!("never")),
        ("iat", json!(house.world.now().as_secs() + 61)),
    ] {
        let mut changed = good.clone();
        changed.insert(name.into(), value.clone());
        let token = FakeTokens.sign(TokenKind::Access, &changed).unwrap();
        assert!(!house.opens(&token).await, "{name} {value}");
        changed.remove(name);
        assert!(
            !house.opens(&FakeTokens.sign(TokenKind::Access, &changed).unwrap()).await,
            "without {name}"
        );
    }
    assert!(house.opens(&FakeTokens.sign(TokenKind::Access, &good).unwrap()).await);
}

#[tokio::test]
async fn a_session_that_was_signed_out_is_over_at_once() {
    let house = House::new().await;
    let pair = house.sign_in("alice").await;
    let member = house.sessions.authenticate(&pair.access).await.unwrap();
    let events = house.actions();
    for _ in 0..2 {
        house.sessions.sign_out(&member).await.unwrap();
    }
    assert_eq!(house.actions(), events + 1);
    assert!(!house.opens(&pair.access).await);
    assert_eq!(kind(house.sessions.refresh(&pair.refresh).await), Some(Kind::Unauthenticated));
}

#[tokio::test]
async fn suspension_ends_every_session_and_lifting_it_brings_none_back() {
    let house = House::new().await;
    let pairs = [house.sign_in("alice").await, house.sign_in("alice").await];
    let subject = caller("alice").subject().clone();
    house.world.leases.suspend(operator(), &subject).await.unwrap();
    for pair in &pairs {
        assert!(!house.opens(&pair.access).await);
        assert_eq!(kind(house.sessions.refresh(&pair.refresh).await), Some(Kind::Unauthenticated));
    }
    let back = house.back(&house.begin(), "alice");
    assert_eq!(kind(house.sessions.finish(back).await), Some(Kind::Unauthenticated));
    house.world.leases.resume(operator(), &subject).await.unwrap();
    assert!(!house.opens(&pairs[0].access).await);
    assert!(house.opens(&house.sign_in("alice").await.access).await);
}

/// Attack: a sign-in that is under way while its user is suspended.
#[tokio::test]
async fn suspension_mid_flight() {
    let house = House::new().await;
    let subject = caller("alice").subject().clone();
    // Nobody knows them yet, and the provider takes its time.
    let gate = Gate::shut();
    house.provider.hold(&gate);
    let key = house.begin();
    let waiting = house.sessions.attach(&key, at(1)).unwrap();
    let finishing = tokio::spawn({
        let (sessions, back) = (Arc::clone(&house.sessions), house.back(&key, "alice"));
        async move { sessions.finish(back).await }
    });
    house.world.settle().await;
    house.world.leases.suspend(operator(), &subject).await.unwrap();
    gate.open();
    assert_eq!(kind(finishing.await.unwrap()), Some(Kind::Unauthenticated));
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated));
    assert!(house.world.store.dump("user/").is_empty());
    // Signed in already, and the client has not come yet.
    house.world.leases.resume(operator(), &subject).await.unwrap();
    let key = house.begin();
    house.sessions.finish(house.back(&key, "alice")).await.unwrap();
    house.world.leases.suspend(operator(), &subject).await.unwrap();
    let waiting = house.sessions.attach(&key, at(1)).unwrap();
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated));
    assert!(house.world.store.dump("session/").is_empty());
}

/// Race: suspended in the very moment of signing in. Whoever was first, no session outlives the
/// suspension.
#[tokio::test]
async fn no_session_outlives_a_suspension_at_the_same_moment() {
    let house = House::with(Options { begun_per_minute: None, ..options() }).await;
    for round in 0..40 {
        let user = format!("user-{round}");
        let subject = caller(&user).subject().clone();
        let back = Back { wants_tokens: true, ..house.back(&house.begin(), &user) };
        let (finished, suspended) = tokio::join!(house.sessions.finish(back), async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            house.world.leases.suspend(operator(), &subject).await
        });
        suspended.unwrap();
        if let Ok(Finished::Tokens(pair)) = finished {
            assert!(!house.opens(&pair.access).await, "{round}");
        }
    }
}

#[tokio::test]
async fn sessions_survive_a_restart_and_sign_ins_under_way_do_not() {
    let mut house = House::new().await;
    let pair = house.sign_in("alice").await;
    let key = house.begin();
    house.crash().await;
    assert!(house.opens(&pair.access).await);
    assert!(house.sessions.refresh(&pair.refresh).await.is_ok());
    assert_eq!(kind(house.sessions.attach(&key, at(1))), Some(Kind::NotFound));
}

#[tokio::test]
async fn sessions_that_are_over_are_deleted_and_others_are_not() {
    let house = House::new().await;
    let idle = house.sign_in("alice").await;
    let suspended = house.sign_in("bob").await;
    let mut busy = house.sign_in("carol").await;
    house.world.leases.suspend(operator(), caller("bob").subject()).await.unwrap();
    house.world.clock.advance(11 * HOUR);
    busy = house.sessions.refresh(&busy.refresh).await.unwrap();
    assert_eq!(house.world.store.dump("session/").len(), 3);
    house.sessions.start();
    house.world.run(2 * HOUR).await;
    assert_eq!(house.world.store.dump("session/").len(), 1);
    assert_eq!(house.world.store.dump("session-due/").len(), 1, "looked at again later");
    assert!(house.sessions.refresh(&busy.refresh).await.is_ok());
    assert!(!house.opens(&idle.access).await && !house.opens(&suspended.access).await);
    house.world.clock.advance(7 * DAY);
    house.sessions.tidy().await.unwrap();
    assert!(house.world.store.dump("session").is_empty());
}

#[tokio::test]
async fn nothing_that_opens_anything_reaches_the_store_or_the_log() {
    let house = House::new().await;
    let key = house.begin();
    house.sessions.finish(Back { wants_tokens: true, ..house.back(&key, "alice") }).await.unwrap();
    let pair = house.sign_in("alice").await;
    assert!(!format!("{pair:?}").contains(pair.access.expose_str().unwrap()));
    let begun = house.sessions.begin(None, at(1)).unwrap();
    assert!(!format!("{:?}", begun.callback_key).contains("ck"));
    for (_, value) in house.world.store.dump("") {
        let token = pair.refresh.expose();
        assert!(!value.windows(token.len()).any(|part| part == token));
    }
}

#[tokio::test]
async fn an_untrusted_address_decides_nothing() {
    let by_email = Rule::new(ProviderMatch::Any, "email", Test::any(true)).unwrap();
    let rules = Rules::new(vec![by_email], Vec::new(), &Configured::default());
    let role = Role {
        name: "mail".into(),
        permissions: vec![Pattern::parse("*").unwrap()],
        companies: None,
    };
    let roles = Roles::new(vec![ConfiguredRole { role: Arc::new(role), rules }]);
    let world = World::new().await;
    let users = Users::new(Arc::clone(&world.leases), roles);
    for (name, email_is_trusted) in [("alice", true), ("mallory", false)] {
        let id = users.welcome(Vouched { email_is_trusted, ..vouched(name) }).await.unwrap();
        let user = world.ground().records.user(id).await.unwrap().unwrap().value;
        assert_eq!(users.rights(&user).hold("company.fetch"), email_is_trusted, "{name}");
        assert_eq!(
            user.profile.email.unwrap(),
            format!("{name}@example.org"),
            "shown all the same"
        );
    }
}
