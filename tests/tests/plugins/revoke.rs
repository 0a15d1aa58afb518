//! Revocations that misbehave: the same limits, and a no that is told apart from a failure.

use credsmith_core::ports::plugins::BrokenHow::{Timeout, Trap};

use crate::stage::{EVER, End, GRACE, SHORT, Stage, hostile, in_time};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_never_ends_is_ended() {
    let stage = Stage::with_good().await;
    stage.load(hostile("endless", SHORT)).await.unwrap();
    for how in ["revoke-loop", "revoke-sleep"] {
        in_time(SHORT + GRACE, async || {
            let ended = stage.revoke("endless", &format!("{how}/1")).await;
            assert!(matches!(ended.end, End::Broken(Timeout, _)), "{how}: {ended:?}");
            stage.good_call().await;
            ended.took
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_breaks_ends_alone() {
    let stage = Stage::with_good().await;
    stage.load(hostile("breaking", EVER)).await.unwrap();
    for how in ["revoke-trap", "revoke-panic", "revoke-memory", "revoke-recursion", "revoke-exit"] {
        let ended = stage.revoke("breaking", &format!("{how}/1")).await;
        let End::Broken(Trap, what) = &ended.end else { panic!("{how}: {ended:?}") };
        assert!(
            what.starts_with("plugin hostile ") && what.contains("failed to revoke"),
            "{how}: {what}"
        );
        stage.good_call().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_is_told_and_is_no_failure() {
    let stage = Stage::with_good().await;
    stage.load(hostile("refusing", EVER)).await.unwrap();
    for (state, words) in [("revoke-refuse/1", "This stays."), ("revoke-retry/1", "Not now.")] {
        assert_eq!(stage.revoke("refusing", state).await.end, End::Refused(words.to_owned()));
    }
    assert_eq!(stage.revoke("refusing", "anything else").await.end, End::Revoked);
    assert_eq!(stage.revoke("refusing", "").await.end, End::Revoked, "what a cut-short issue left");
    assert_eq!(stage.revoke("nobody", "x").await.end, End::NotLoaded);
}
