//! Bounds of pending sign-ins and waiting clients.

use super::*;

#[tokio::test]
async fn pending_sign_ins_and_waiting_clients_are_bounded() {
    let setup = Setup::with(Options { max_sign_ins: 3, max_waiting_clients: 1, ..options() }).await;
    let keys: Vec<_> = (0..3).map(|_| setup.begin()).collect();
    let full = setup.sessions.begin(None, at(1)).unwrap_err();
    assert_eq!((full.kind(), full.retry_hint()), (Kind::Busy, Some(10 * MINUTE)));
    let client = setup.sessions.attach(&keys[0], at(1)).unwrap();
    let full = setup.sessions.attach(&keys[1], at(1)).unwrap_err();
    assert!(full.kind() == Kind::Busy && full.retry_hint().is_some());
    drop(client);
    assert!(setup.sessions.attach(&keys[1], at(1)).is_ok());
    setup.world.clock.advance(10 * MINUTE);
    setup.begin();
    assert_eq!(setup.sessions.pending.sizes(), [1, 1, 0, 0], "expired sign-ins are removed");
}

/// The defaults are those of the specification.
#[tokio::test]
async fn the_default_bounds_are_twenty_thousand_sign_ins_and_ten_thousand_clients() {
    let setup = Setup::with(Options {
        sign_ins_per_minute: None,
        max_sign_ins_per_address: usize::MAX,
        ..options()
    })
    .await;
    let keys: Vec<_> = (0..20_000).map(|_| setup.begin()).collect();
    assert_eq!(kind(setup.sessions.begin(None, at(1))), Some(Kind::Busy));
    let clients: Vec<_> =
        keys.iter().take(10_000).map(|key| setup.sessions.attach(key, at(1)).unwrap()).collect();
    assert_eq!(kind(setup.sessions.attach(&keys[10_000], at(1))), Some(Kind::Busy));
    assert!(setup.sessions.check_attach(&keys[10_000], at(1)).is_ok());
    drop(clients);
    assert!(setup.sessions.attach(&keys[10_000], at(1)).is_ok());
}

/// Attack: clients stay connected after they got their tokens, so that others exceed the bound.
#[tokio::test]
async fn a_client_counts_until_it_is_dropped() {
    let setup = Setup::with(Options { max_waiting_clients: 1, ..options() }).await;
    let (first, second) = (setup.begin(), setup.begin());
    let client = setup.sessions.attach(&first, at(1)).unwrap();
    setup.finish(setup.callback(&first, "alice")).await.unwrap();
    assert!(client.tokens().await.is_ok());
    assert_eq!(kind(setup.sessions.attach(&second, at(1))), Some(Kind::Busy));
    drop(client);
    assert!(setup.sessions.attach(&second, at(1)).is_ok());
}

/// Attack: memory is filled with sign-ins that are abandoned at every stage.
#[tokio::test]
async fn expired_sign_ins_leave_nothing_in_memory() {
    let setup = Setup::with(Options { sign_ins_per_minute: None, ..options() }).await;
    for number in 0..60 {
        let key = setup.begin();
        let client = (number % 2 == 0).then(|| setup.sessions.attach(&key, at(1)).unwrap());
        let callback = Callback { wants_tokens: number % 3 == 0, ..setup.callback(&key, "alice") };
        match number % 5 {
            0 => {}
            1 => drop(setup.finish(Callback { reply: refused(), ..callback }).await),
            2 => drop(setup.finish(Callback { from: at(9), ..callback }).await),
            3 => drop(setup.finish(callback).now_or_never()),
            _ if number % 2 == 0 => drop(setup.sessions.finish(callback).await),
            _ => drop(setup.finish(callback).await),
        }
        if let Some(client) = client.filter(|_| number % 4 == 0) {
            let _ = client.tokens().now_or_never();
        }
    }
    setup.world.settle().await;
    let [sign_ins, ends, questions, used] = setup.sessions.pending.sizes();
    assert!(sign_ins > 0 && sign_ins == ends, "{sign_ins} {ends}");
    assert!(questions > 0 && used > questions, "{questions} {used}");
    setup.sessions.start();
    setup.world.run(11 * MINUTE).await;
    assert_eq!(setup.sessions.pending.sizes(), [0; 4]);
}

#[tokio::test]
async fn an_address_begins_sixty_sign_ins_a_minute() {
    let setup = Setup::new().await;
    (0..60).for_each(|_| drop(setup.begin()));
    let refused = setup.sessions.begin(None, at(1)).unwrap_err();
    assert!(refused.kind() == Kind::LimitReached && refused.retry_hint().is_some());
    assert!(setup.sessions.begin(None, at(2)).is_ok());
    setup.world.clock.advance(MINUTE);
    setup.begin();
}

/// Attack: one address keeps sign-ins pending.
#[tokio::test]
async fn an_address_has_a_hundred_sign_ins_under_way() {
    let setup = Setup::with(Options { sign_ins_per_minute: None, ..options() }).await;
    (0..100).for_each(|_| drop(setup.begin()));
    let refused = setup.sessions.begin(None, at(1)).unwrap_err();
    assert_eq!((refused.kind(), refused.retry_hint()), (Kind::LimitReached, Some(10 * MINUTE)));
    assert!(setup.sessions.begin(None, at(2)).is_ok());
    setup.world.clock.advance(10 * MINUTE);
    setup.begin();
}

/// Attack: 336 addresses take all 20,000 places for ten minutes.
#[tokio::test]
async fn many_addresses_that_take_all_sign_ins_shut_no_other_out() {
    let options = Options { sign_ins_per_minute: None, confirm: false, ..options() };
    let setup = Setup::with(options).await;
    let early = setup.sessions.begin(None, from_number(0)).unwrap().callback_key;
    let waiting = setup.sessions.attach(&early, from_number(0)).unwrap();
    let mut begun = 1;
    for number in 1..=336 {
        for _ in 0..60 {
            begun += usize::from(setup.sessions.begin(None, from_number(number)).is_ok());
        }
    }
    assert_eq!(begun, 1 + 336 * 60, "an address with fewer than others gets a place");
    let [sign_ins, expiries, ..] = setup.sessions.pending.sizes();
    assert_eq!((sign_ins, expiries), (20_000, 20_000));
    // An honest user begins, and the one who began before them finishes.
    let late = setup.sessions.begin(None, from_number(1000)).unwrap().callback_key;
    for (key, number) in [(early, 0), (late, 1000)] {
        let callback = setup.callback(&key, "alice");
        let callback = Callback { from: from_number(number), ..callback };
        setup.sessions.finish(callback).await.unwrap();
    }
    assert!(waiting.tokens().await.is_ok());
}

/// Attack: the address that has most of all sign-ins has none that may make room, since their users
/// were asked and do not answer.
#[tokio::test]
async fn questions_without_an_answer_shut_no_other_address_out() {
    let options = Options { sign_ins_per_minute: None, max_sign_ins: 10, ..options() };
    let setup = Setup::with(options).await;
    for _ in 0..6 {
        let key = setup.begin();
        setup.ask(setup.callback(&key, "mallory")).await;
    }
    let begin = |number| {
        setup.world.clock.advance(SECOND);
        setup.sessions.begin(None, from_number(number))
    };
    let kept: Vec<_> = [1, 1, 1, 2].map(|number| begin(number).unwrap().callback_key).into();
    let late = begin(3).unwrap().callback_key;
    for (key, number, stays) in
        [(&kept[0], 1, false), (&kept[1], 1, true), (&kept[3], 2, true), (&late, 3, true)]
    {
        let attached = setup.sessions.check_attach(key, from_number(number));
        assert_eq!(attached.is_ok(), stays, "{number}");
    }
    assert_eq!(kind(begin(1)), Some(Kind::Busy), "no other address with more has one that may go");
    assert_eq!(setup.sessions.pending.sizes()[..3], [10, 10, 6]);
}

fn from_number(number: u32) -> Address {
    IpAddr::from((0x0a00_0000 | number).to_be_bytes()).into()
}

/// Attack: browsers with made-up codes occupy all exchanges while the token endpoint is slow.
#[tokio::test]
async fn a_sign_in_whose_turn_did_not_come_keeps_its_state() {
    let setup = Setup::with(Options { confirm: false, ..options() }).await;
    for _ in 0..2 {
        let key = setup.begin();
        let client = setup.sessions.attach(&key, at(1)).unwrap();
        setup.provider.fail_next(Kind::Busy);
        let callback = setup.callback(&key, "alice");
        assert_eq!(kind(setup.sessions.finish(callback).await), Some(Kind::Busy));
        let callback = setup.callback(&key, "alice");
        setup.sessions.finish(callback).await.unwrap();
        assert!(client.tokens().await.is_ok(), "the client has waited on");
        let again = setup.callback(&key, "alice");
        assert_eq!(kind(setup.sessions.finish(again).await), Some(Kind::Invalid), "spent now");
    }
}

/// Attack: a user, or a script of theirs, signs in again and again.
#[tokio::test]
async fn a_user_has_fifty_sessions_and_the_oldest_ends() {
    let setup = Setup::with(Options { sign_ins_per_minute: None, ..options() }).await;
    let mut pairs = Vec::new();
    for _ in 0..52 {
        pairs.push(setup.sign_in("alice").await);
        setup.world.clock.advance(SECOND);
    }
    let other = setup.sign_in("bob").await;
    for (number, pair) in pairs.iter().enumerate() {
        assert_eq!(setup.is_valid(&pair.access).await, number >= 2, "{number}");
    }
    assert!(setup.is_valid(&other.access).await);
    assert_eq!(setup.world.store.dump("session/").len(), 51);
    assert_eq!(setup.world.store.dump("session-of/").len(), 51);
    // Sessions that are over make room.
    let member = setup.sessions.authenticate(&pairs[51].access, Client::default()).await.unwrap();
    setup.sessions.sign_out(&member).await.unwrap();
    setup.sign_in("alice").await;
    assert!(setup.is_valid(&pairs[2].access).await);
}
