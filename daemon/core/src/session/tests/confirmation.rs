//! Asking the user before a client gets tokens.

use super::*;

/// Attack: a foreign sign-in link. The attacker waits, from behind the same address as the victim,
/// who is sent through the provider by the link.
#[tokio::test]
async fn a_foreign_sign_in_link_hands_over_nothing_until_the_user_says_yes() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let attacker = setup.sessions.attach(&key, at(1)).unwrap();
    let mut waiting = Box::pin(attacker.tokens());
    assert!((&mut waiting).now_or_never().is_none());
    setup.world.clock.advance(7 * SECOND);
    let question = setup.ask(setup.callback(&key, "victim")).await;
    assert!((&mut waiting).now_or_never().is_none(), "the attacker learns nothing");
    for kept in ["session/", "user/", "outbox/"] {
        assert!(setup.world.store.dump(kept).is_empty(), "{kept}: nothing exists before the yes");
    }
    assert_eq!((question.program, question.waiting), (at(1), 7 * SECOND));
    assert_eq!((question.provider.as_str(), question.login.as_str()), (PROVIDER, "victim"));
    assert_eq!(question.code, code(&key.digest()));
    let shown = format!("{question:?}");
    assert!(!shown.contains(key.expose_str().unwrap()) && !shown.contains("eyJ"), "{shown}");

    setup.sessions.answer(&question.token, Answer::No, at(1)).await.unwrap();
    let heard = waiting.await.unwrap_err();
    assert_eq!(heard.kind(), Kind::Unauthenticated);
    assert!(!heard.public().contains("victim"), "{heard}");
    assert!(setup.world.store.dump("session/").is_empty());
    assert!(setup.world.store.dump("user/").is_empty());
    let lines = setup.audited().await;
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["action"], &lines[0]["outcome"]), (&json!("sign-in"), &json!("refused")));
    assert!(lines[0].to_string().contains("victim"), "the audit knows whose sign-in it was");
}

#[tokio::test]
async fn after_a_yes_the_client_gets_the_tokens() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let client = setup.sessions.attach(&key, at(1)).unwrap();
    let question = setup.ask(setup.callback(&key, "alice")).await;
    setup.sessions.answer(&question.token, Answer::Yes, at(1)).await.unwrap();
    assert!(setup.is_valid(&client.tokens().await.unwrap().access).await);

    // A browser that is faster than its client loses nothing here either.
    let key = setup.begin();
    let question = setup.ask(setup.callback(&key, "alice")).await;
    setup.sessions.answer(&question.token, Answer::Yes, at(1)).await.unwrap();
    setup.world.clock.advance(MINUTE - SECOND);
    assert!(setup.sessions.attach(&key, at(1)).unwrap().tokens().await.is_ok());
}

/// Attack: the token of a page is used again, or guessed.
#[tokio::test]
async fn an_answer_counts_once() {
    let setup = Setup::new().await;
    for (first, then) in [(Answer::No, Answer::Yes), (Answer::Yes, Answer::No)] {
        let key = setup.begin();
        let client = setup.sessions.attach(&key, at(1)).unwrap();
        let question = setup.ask(setup.callback(&key, "alice")).await;
        assert_eq!(question.token.len(), 64);
        setup.sessions.answer(&question.token, first, at(1)).await.unwrap();
        for answer in [then, first] {
            let again = setup.sessions.answer(&question.token, answer, at(1)).await;
            assert_eq!(kind(again), Some(Kind::Invalid));
        }
        assert_eq!(client.tokens().await.is_ok(), first == Answer::Yes);
    }
    for unknown in ["", "0".repeat(64).as_str()] {
        let answered = setup.sessions.answer(&Secret::new(unknown), Answer::Yes, at(1)).await;
        assert_eq!(kind(answered), Some(Kind::Invalid));
    }
    // The key of the sign-in is no token of its question, and the token no key.
    let key = setup.begin();
    let question = setup.ask(setup.callback(&key, "alice")).await;
    assert_eq!(kind(setup.sessions.answer(&key, Answer::Yes, at(1)).await), Some(Kind::Invalid));
    assert_eq!(kind(setup.sessions.attach(&question.token, at(1))), Some(Kind::NotFound));
}

/// Race: a hundred answers at once.
#[tokio::test]
async fn of_concurrent_answers_one_counts() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let client = setup.sessions.attach(&key, at(1)).unwrap();
    let question = setup.ask(setup.callback(&key, "alice")).await;
    let answers = (0..100).map(|_| setup.sessions.answer(&question.token, Answer::Yes, at(1)));
    let good = join_all(answers).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(good, 1);
    assert!(client.tokens().await.is_ok());
    assert_eq!(setup.world.store.dump("session/").len(), 1);
}

/// A page that is left open is good for two minutes, though the sign-in had eight more.
#[tokio::test]
async fn without_an_answer_in_two_minutes_the_sign_in_is_over() {
    let setup = Setup::new().await;
    setup.sessions.start();
    let key = setup.begin();
    let waiting = tokio::spawn(tokens_for(setup.sessions.attach(&key, at(1)).unwrap()));
    let question = setup.ask(setup.callback(&key, "alice")).await;
    setup.world.run(2 * MINUTE - SECOND).await;
    assert!(!waiting.is_finished());
    setup.world.run(SECOND).await;
    assert_eq!(kind(waiting.await.unwrap()), Some(Kind::Unauthenticated));
    let late = setup.sessions.answer(&question.token, Answer::Yes, at(1)).await;
    assert_eq!(kind(late), Some(Kind::Invalid));
    assert!(setup.world.store.dump("session/").is_empty());
    assert!(setup.world.store.dump("user/").is_empty());
    setup.world.run(MINUTE).await;
    let lines = setup.audited().await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].to_string().contains("did not answer"), "{lines:?}");
}

/// A callback in the last second leaves two minutes for the answer.
#[tokio::test]
async fn an_answer_may_come_after_the_end_of_the_ten_minutes() {
    let setup = Setup::new().await;
    setup.sessions.start();
    let key = setup.begin();
    let waiting = tokio::spawn(tokens_for(setup.sessions.attach(&key, at(1)).unwrap()));
    setup.world.run(10 * MINUTE - SECOND).await;
    let question = setup.ask(setup.callback(&key, "alice")).await;
    setup.world.run(2 * MINUTE - SECOND).await;
    assert!(!waiting.is_finished());
    setup.sessions.answer(&question.token, Answer::Yes, at(1)).await.unwrap();
    assert!(waiting.await.unwrap().is_ok());
}

/// Attack: the answer comes from elsewhere. The question still stands for its user.
#[tokio::test]
async fn an_answer_from_another_address_does_not_count() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let client = setup.sessions.attach(&key, at(1)).unwrap();
    let question = setup.ask(setup.callback(&key, "alice")).await;
    let refused = setup.sessions.answer(&question.token, Answer::Yes, at(2)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Forbidden);
    assert!(refused.public().contains("same_address"));
    setup.sessions.answer(&question.token, Answer::Yes, at(1)).await.unwrap();
    assert!(client.tokens().await.is_ok());
}

/// Attack: a page of the attacker fetches the redirect with `Accept: application/json` in the
/// victim's browser, while the attacker waits.
#[tokio::test]
async fn a_browser_that_wants_tokens_is_asked_when_a_client_ever_waited() {
    let setup = Setup::new().await;
    let key = setup.begin();
    drop(setup.sessions.attach(&key, at(1)).unwrap());
    let callback = Callback { wants_tokens: true, ..setup.callback(&key, "victim") };
    let question = setup.ask(callback).await;
    setup.sessions.answer(&question.token, Answer::No, at(1)).await.unwrap();
    let client = setup.sessions.attach(&key, at(1)).unwrap();
    assert_eq!(kind(client.tokens().await), Some(Kind::Unauthenticated));
}

#[tokio::test]
async fn a_browser_that_is_the_client_is_not_asked() {
    let setup = Setup::new().await;
    let pair = setup.sign_in("alice").await;
    assert!(setup.is_valid(&pair.access).await);
    assert_eq!(setup.sessions.pending.sizes()[..3], [0; 3]);
}

#[tokio::test]
async fn where_it_is_turned_off_no_user_is_asked() {
    let setup = Setup::with(Options { confirm: false, ..options() }).await;
    let key = setup.begin();
    let finished = setup.sessions.finish(setup.callback(&key, "alice")).await.unwrap();
    assert!(matches!(finished, SignInResult::Delivered));
    assert!(setup.sessions.attach(&key, at(1)).unwrap().tokens().await.is_ok());
}

/// Attack: a user is suspended between the question and the answer.
#[tokio::test]
async fn a_suspension_before_the_answer_stops_the_sign_in() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let client = setup.sessions.attach(&key, at(1)).unwrap();
    let question = setup.ask(setup.callback(&key, "alice")).await;
    let subject = caller("alice").subject().clone();
    setup.world.leases.suspend(operator(), &subject, true).await.unwrap();
    let answered = setup.sessions.answer(&question.token, Answer::Yes, at(1)).await;
    assert_eq!(kind(answered), Some(Kind::Unauthenticated));
    assert_eq!(kind(client.tokens().await), Some(Kind::Unauthenticated));
    assert!(setup.world.store.dump("user/").is_empty());
}

/// A page that is loaded again says what happened, whatever the state of its sign-in.
#[tokio::test]
async fn a_second_visit_learns_that_the_sign_in_was_used() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let again = async || {
        let refused = setup.sessions.finish(setup.callback(&key, "alice")).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid);
        assert!(refused.public().contains("used already"), "{refused}");
        assert!(refused.public().contains("may be signed in"), "{refused}");
    };
    let question = setup.ask(setup.callback(&key, "alice")).await;
    again().await;
    setup.sessions.answer(&question.token, Answer::Yes, at(1)).await.unwrap();
    again().await;
    assert!(setup.sessions.attach(&key, at(1)).unwrap().tokens().await.is_ok());
    again().await;
    setup.world.clock.advance(10 * MINUTE);
    let forgotten = setup.sessions.finish(setup.callback(&key, "alice")).await.unwrap_err();
    assert!(!forgotten.public().contains("used already"), "{forgotten}");
}
