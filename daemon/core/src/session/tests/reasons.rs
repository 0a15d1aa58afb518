//! Why a sign-in was refused: in the cause for the log, and in the audit.

use super::*;

/// The only line of the audit log about a sign-in.
async fn line(setup: &Setup) -> Value {
    let lines = setup.audited().await;
    let mut of_sign_ins = lines.into_iter().filter(|line| line["action"] == "sign-in");
    let line = of_sign_ins.next().unwrap();
    assert!(of_sign_ins.next().is_none());
    line
}

#[tokio::test]
async fn what_a_provider_says_when_it_refuses_is_in_the_log_and_the_audit() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let waiting = setup.sessions.attach(&key, at(1)).unwrap();
    let reply = ProviderReply::Refused {
        error: Some("interaction_required".into()),
        description: Some("AADSTS50105: not assigned to a role".into()),
    };
    let callback = Callback { reply, ..setup.callback(&key, "alice") };
    let refused = setup.sessions.finish(callback).await.unwrap_err();
    let said = "`interaction_required` (AADSTS50105: not assigned to a role); `prompt` of the";
    assert!(refused.cause().unwrap().contains(said), "{:?}", refused.cause());
    assert!(!refused.public().contains("AADSTS"), "foreign text is not for pages");
    assert!(!waiting.tokens().await.unwrap_err().public().contains("AADSTS"));
    let line = line(&setup).await;
    assert_eq!(line["outcome"], "refused");
    assert!(line.to_string().contains(said), "{line}");
}

/// Attack: a text of any length in the address of a redirect, to fill the log.
#[tokio::test]
async fn what_a_provider_says_is_short() {
    let setup = Setup::new().await;
    let reply = ProviderReply::Refused {
        error: Some("e".repeat(100_000)),
        description: Some("d".repeat(100_000)),
    };
    let callback = Callback { reply, ..setup.callback(&setup.begin(), "alice") };
    let refused = setup.sessions.finish(callback).await.unwrap_err();
    assert!(refused.cause().unwrap().len() < 1100);
}

#[tokio::test]
async fn a_refused_sign_in_of_a_suspended_user_is_in_the_log_and_the_audit() {
    let subject = caller("alice").subject().clone();
    // Suspended before the provider vouches, and between the sign-in and the tokens.
    for (is_early, is_known) in [(true, false), (true, true), (false, true)] {
        let setup = Setup::new().await;
        if is_known {
            setup.sign_in("alice").await;
        }
        let key = setup.begin();
        if is_early {
            setup.world.leases.suspend(operator(), &subject, true).await.unwrap();
        }
        let finished = setup.finish(setup.callback(&key, "alice")).await;
        let refused = if is_early {
            finished.unwrap_err()
        } else {
            finished.unwrap();
            setup.world.leases.suspend(operator(), &subject, true).await.unwrap();
            setup.sessions.attach(&key, at(1)).unwrap().tokens().await.unwrap_err()
        };
        assert_eq!(refused.kind(), Kind::Unauthenticated);
        let cause = refused.cause().unwrap();
        assert!(cause.contains("alice") && cause.contains("suspended"), "{cause}");
        let lines = setup.audited().await;
        let refusals: Vec<_> = lines
            .iter()
            .filter(|line| line["action"] == "sign-in" && line["outcome"] == "refused")
            .collect();
        assert_eq!(refusals.len(), 1, "{lines:?}");
        assert!(refusals[0]["actor"].to_string().contains("alice"), "{}", refusals[0]);
        assert!(refusals[0].to_string().contains("suspended"), "{}", refusals[0]);
    }
}

/// The cause of a refused exchange is in the audit too.
#[tokio::test]
async fn the_cause_of_a_failed_sign_in_is_in_the_audit() {
    let setup = Setup::new().await;
    let callback = Callback { from: at(9), ..setup.callback(&setup.begin(), "alice") };
    setup.sessions.finish(callback).await.unwrap_err();
    let line = line(&setup).await;
    assert!(line.to_string().contains("same_address"), "{line}");
}
