//! Every way in which an issue can misbehave without a network: each ends as one call, in time,
//! shows no secret, and harms nobody else.

use std::time::Duration;

use credsmith_core::ports::plugins::BrokenHow::{self, BadOutput, Timeout, Trap};
use credsmith_core::ports::plugins::{CallFailure, ServicePlugins as _};

use crate::log::Mark;
use crate::stage::{CANARY, EVER, End, Ended, GRACE, SHORT, Stage, call, hostile, in_time};

/// How a call has to end.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The plugin breaks, and this is part of what is said about it.
    Broken(BrokenHow, &'static str),
    /// It may do that: what it does has a bound.
    Allowed,
    /// Nobody waits for so much work: either its deadline ends it, or the machine was fast.
    TimeoutOrAllowed,
}

use Expected::{Allowed, Broken, TimeoutOrAllowed};

/// What only the deadline ends.
const ENDLESS: [(&str, Expected); 5] = [
    ("loop", Broken(Timeout, "longer than 400ms")),
    // Waits in a host call: the clock of its epoch does not tick meanwhile.
    ("sleep", Broken(Timeout, "longer than 400ms")),
    ("log-lines", Broken(Trap, "logged more")),
    ("randomness", TimeoutOrAllowed),
    ("handles", Broken(Trap, "")),
];

/// What ends by itself.
const FINITE: [(&str, Expected); 31] = [
    ("memory", Broken(Trap, "memory")),
    ("recursion", Broken(Trap, "")),
    ("trap", Broken(Trap, "")),
    ("panic", Broken(Trap, "")),
    ("exit", Broken(Trap, "")),
    ("log-flood", Broken(Trap, "logged more")),
    ("log-inject", Allowed),
    ("log-then-trap", Broken(Trap, "")),
    ("stderr", Broken(Trap, "logged more")),
    ("stdout", Broken(Trap, "logged more")),
    ("bad-kind", Broken(BadOutput, "kind")),
    ("bad-control", Broken(BadOutput, "control")),
    ("bad-name", Broken(BadOutput, "")),
    ("empty-name", Broken(BadOutput, "name")),
    ("bad-save-as", Broken(BadOutput, "save-as")),
    ("repeated-names", Broken(BadOutput, "earlier")),
    ("many-entries", Broken(BadOutput, "more at once")),
    ("big-state", Broken(BadOutput, "state")),
    ("huge-state", Broken(BadOutput, "more at once")),
    ("empty-state", Broken(BadOutput, "state")),
    ("control-state", Broken(BadOutput, "state")),
    ("big-revoke-with", Broken(BadOutput, "revoke-with")),
    ("flood-output", Broken(BadOutput, "more at once")),
    ("flood-aliased", Broken(BadOutput, "more at once")),
    ("late", Broken(BadOutput, "expires-at")),
    ("extra", Allowed),
    ("echo-secret-refusal", Broken(BadOutput, "refusal contains a secret")),
    ("echo-secret-state", Broken(BadOutput, "state contains a secret")),
    ("echo-secret-log", Allowed),
    ("echo-secret-stderr", Allowed),
    ("echo-secret-log-then-trap", Broken(Trap, "")),
];

fn check(how: &str, expected: Expected, ended: &Ended) {
    let fits = match (expected, &ended.end) {
        (Broken(how, part), End::Broken(was, what)) => {
            // The cause names the plugin, its version, its digest and the operation.
            how == *was
                && what.contains(part)
                && what.starts_with("plugin hostile ")
                && what.contains("failed to issue")
        }
        (Allowed | TimeoutOrAllowed, End::Issued(_)) => true,
        (TimeoutOrAllowed, End::Broken(how, _)) => *how == Timeout,
        _ => false,
    };
    assert!(fits, "{how}: expected {expected:?}, got {ended:?}");
    assert!(!format!("{ended:?}").contains(CANARY), "{how} shows the secret: {ended:?}");
}

async fn one(stage: &Stage, service: &str, how: &str, expected: Expected) -> Duration {
    let ended = stage.misbehave(service, how).await;
    check(how, expected, &ended);
    stage.good_call().await;
    ended.took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_plugin_does_the_call_ends_alone_and_in_time() {
    let stage = Stage::with_good().await;
    stage.load(hostile("endless", SHORT)).await.unwrap();
    // With room for its hundred MiB, so that it is the size of the answer that ends it.
    stage
        .load(credsmith_host::ServiceSetup { memory_bytes: 160 << 20, ..hostile("finite", EVER) })
        .await
        .unwrap();
    let mark = Mark::now();
    for (how, expected) in ENDLESS {
        in_time(SHORT + GRACE, async || one(&stage, "endless", how, expected).await).await;
    }
    for (how, expected) in FINITE {
        let took = one(&stage, "finite", how, expected).await;
        assert!(took < EVER, "{how} took {took:?}");
    }
    assert!(!mark.text().contains(CANARY), "the log shows the secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bomb_in_memory_meets_the_limit_of_its_service() {
    let stage = Stage::with_good().await;
    for memory in [4 << 20, 64 << 20] {
        let setup = credsmith_host::ServiceSetup { memory_bytes: memory, ..hostile("bomb", EVER) };
        stage.load(setup).await.unwrap();
        let ended = stage.misbehave("bomb", "memory").await;
        let said = format!("more than its {memory} bytes of memory");
        assert!(matches!(&ended.end, End::Broken(Trap, what) if what.contains(&said)), "{ended:?}");
        stage.good_call().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_shows_nothing_of_the_machine() {
    let stage = Stage::new().await;
    stage.load(hostile("curious", EVER)).await.unwrap();
    let ended = stage.misbehave("curious", "files").await;
    let seen = ended.end.made().entry("seen").to_owned();
    let [files, variables, arguments, socket] = seen.lines().collect::<Vec<_>>()[..] else {
        panic!("{seen}")
    };
    assert_eq!(files, "files [false, false, false, false]");
    assert_eq!(variables, "variables 0");
    assert_eq!(arguments, "arguments 0");
    assert!(socket.starts_with("socket Err("), "{socket}");
}

/// Far more than a call may log, by three ways: the call is ended, its lines are withheld as after
/// every trap but for its last words, and their number is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_ends_the_call_and_not_the_log() {
    let stage = Stage::new().await;
    stage.load(hostile("flooding", EVER)).await.unwrap();
    for how in ["log-flood", "stderr", "stdout"] {
        let mark = Mark::now();
        let ended = stage.misbehave("flooding", how).await;
        assert!(matches!(ended.end, End::Broken(Trap, _)), "{how}: {ended:?}");
        assert_eq!(mark.said("flooding"), [""; 0], "{how}");
        let written = mark.own().len();
        assert!((1..1 << 16).contains(&written), "{how}: {written} bytes written");
        assert!(
            mark.events("flooding")
                .iter()
                .any(|event| event["message"] == "log lines of a plugin were dropped"),
            "{how}: nobody is told that lines are missing"
        );
    }
}

/// What a plugin logs stands in one field of a line whose message is ours; nothing in it is a
/// control character.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_cannot_forge_log_lines() {
    let stage = Stage::new().await;
    stage.load(hostile("forging", EVER)).await.unwrap();
    let mark = Mark::now();
    stage.misbehave("forging", "log-inject").await.end.made();
    let said = mark.said("forging");
    assert_eq!(said.len(), 5, "{said:?}");
    assert_eq!(said[0], "one\\ntwo\\r\\nthree");
    for text in &said {
        let unruly = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}');
        assert!(!text.chars().any(unruly), "{text:?}");
    }
    for event in mark.events("forging") {
        assert_eq!(event["message"], "a plugin logged");
        assert_eq!(event["plugin"], "hostile");
        assert_eq!(event["operation"], "issue");
    }
    let forged = mark
        .text()
        .lines()
        .any(|line| line.contains(r#""message":"forged""#) && !line.contains("\\\""));
    assert!(!forged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_was_logged_before_a_trap_the_last_words_reach_the_operator() {
    let stage = Stage::new().await;
    stage.load(hostile("trapping", EVER)).await.unwrap();
    let mark = Mark::now();
    let ended = stage.misbehave("trapping", "log-then-trap").await;
    assert!(matches!(ended.end, End::Broken(Trap, _)), "{ended:?}");
    assert_eq!(mark.said("trapping"), Vec::<String>::new());
    let told = |event: &serde_json::Value| {
        event.get("lines").is_some_and(|lines| lines == 1)
            && event["last_words"] == "said before the end"
    };
    assert!(mark.events("trapping").iter().any(told), "{:?}", mark.events("trapping"));
}

/// The words go with the failure, to be kept with the lease; a secret in them is masked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_words_of_a_plugin_are_part_of_its_failure() {
    let stage = Stage::new().await;
    stage.load(hostile("speaking", EVER)).await.unwrap();
    for (how, expected) in [
        ("log-then-trap", Some("said before the end")),
        ("echo-secret-log-then-trap", Some("[masked]")),
        ("panic", Some("a plugin lost its head")),
        ("trap", None),
    ] {
        let report = stage.host.issue(call("speaking", &[("how", how)])).await;
        let Err(CallFailure::Broken(broken)) = report.outcome else { panic!("{how}") };
        match (broken.last_words.as_deref(), expected) {
            (Some(words), Some(expected)) => assert!(words.contains(expected), "{how}: {words}"),
            (words, expected) => assert_eq!(words, expected, "{how}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_a_log_line_is_masked() {
    let stage = Stage::new().await;
    stage.load(hostile("echoing", EVER)).await.unwrap();
    let mark = Mark::now();
    for how in ["echo-secret-log", "echo-secret-stderr"] {
        stage.misbehave("echoing", how).await.end.made();
    }
    let refused = stage.misbehave("echoing", "echo-secret-refusal-log").await;
    assert_eq!(refused.end, End::Refused("No.".to_owned()));
    let said = mark.said("echoing");
    assert!(said.iter().any(|text| text.starts_with("the secret is [masked]")), "{said:?}");
    assert!(said.iter().any(|text| text == "[masked]"), "{said:?}");
    assert!(said.iter().any(|text| text == "refused: the secret is [masked]"), "{said:?}");
    assert!(!mark.text().contains(CANARY));
}

/// A secret that may be revealed may be part of what the user gets. It is still no matter of the
/// log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_may_carry_a_revealed_secret_and_the_log_may_not() {
    let stage = Stage::new().await;
    stage.load(hostile("sharing", EVER)).await.unwrap();
    let mark = Mark::now();
    let ended = stage.misbehave("sharing", "echo-secret-entry").await;
    assert_eq!(ended.end.made().entry("secret"), CANARY);
    assert!(!mark.text().contains(CANARY));
}

/// Without the grant the plugin never sees its secret, whatever it asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_may_not_be_revealed_is_not() {
    let stage = Stage::new().await;
    let mut setup = hostile("blind", EVER);
    let value = credsmith_core::secret::Secret::new(CANARY);
    let handle = credsmith_host::Setting::Secret {
        value,
        destinations: Vec::new(),
        reveal: false,
        hmac: false,
    };
    setup.settings.insert("secret".to_owned(), handle);
    stage.load(setup).await.unwrap();
    let mark = Mark::now();
    let ended = stage.misbehave("blind", "echo-secret-entry").await;
    let made = ended.end.made();
    assert_eq!((made.entry("secret"), made.entry("length")), ("", "0"));
    assert!(!mark.text().contains(CANARY));
}
