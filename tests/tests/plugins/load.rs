//! Plugins that misbehave while they are loaded: each load ends with a fault that names the cause,
//! and serves nothing.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use credsmith_core::error::FieldProblem;
use credsmith_host::{ComponentSource, LoadError, LoadFault, ServiceSetup};

use crate::log::Mark;
use crate::peer::Peer;
use crate::stage::{
    EVER, End, GRACE, SHORT, Stage, destination, fixture, in_time, setup, source, text,
};

fn loading(how: &str, plugin_timeout: Duration) -> ServiceSetup {
    let mut setup = ServiceSetup { plugin_timeout, ..setup("loading", fixture("hostile-load")) };
    setup.settings.insert("how".to_owned(), text(how));
    setup
}

async fn refused(stage: &Stage, how: &str) -> LoadError {
    let error =
        stage.load(loading(how, EVER)).await.map(|()| panic!("{how} was loaded")).unwrap_err();
    assert_eq!(stage.misbehave("loading", "ok").await.end, End::NotLoaded, "{how}");
    stage.good_call().await;
    assert_eq!(error.origin(), "hostile-load");
    let shown = error.to_string();
    assert!(!error.fix().is_empty() && shown.contains(error.fix()), "{how}: {shown}");
    assert!(!shown.chars().any(char::is_control), "{how}: {shown:?}");
    assert!(shown.len() < 100_000, "{how}: {} bytes of error", shown.len());
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_breaks_while_it_is_configured_is_not_served() {
    let stage = Stage::with_good().await;
    for (how, fault) in [
        ("trap", LoadFault::Broke),
        ("memory", LoadFault::Broke),
        ("faults", LoadFault::BadSettings),
        ("many-faults", LoadFault::Broke),
        ("repeated-keys", LoadFault::BadDescription),
        ("bad-key", LoadFault::BadDescription),
        ("control", LoadFault::BadDescription),
    ] {
        assert_eq!(refused(&stage, how).await.fault(), fault, "{how}");
    }
    for how in ["huge-list", "huge-text"] {
        let fault = refused(&stage, how).await.fault();
        assert!(matches!(fault, LoadFault::Broke | LoadFault::BadDescription), "{how}: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuring_has_a_deadline() {
    let stage = Stage::with_good().await;
    // Once without a deadline that matters, so that compiling is not measured.
    stage.load(loading("fine", EVER)).await.unwrap();
    for how in ["loop", "sleep"] {
        // Two calls of describe come before it.
        let allowance = Duration::from_millis(200);
        in_time(SHORT + GRACE + allowance, async || {
            let begun = Instant::now();
            let error = stage.load(loading(how, SHORT)).await.unwrap_err();
            let took = begun.elapsed();
            assert_eq!(error.fault(), LoadFault::Broke, "{how}");
            assert!(error.to_string().contains("longer than 400ms"), "{error}");
            took
        })
        .await;
        stage.good_call().await;
    }
    let kept = stage.issue(crate::stage::call("loading", &[])).await;
    assert_eq!(kept.end.made().entry("how"), "fine", "what was there before stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_with_settings_are_told_by_path() {
    let stage = Stage::with_good().await;
    let two = refused(&stage, "faults").await;
    let paths: Vec<_> = two.problems().iter().map(FieldProblem::place).collect();
    assert_eq!(paths.len(), 2, "{two}");
    assert!(paths.contains(&"settings.target".to_owned()), "{paths:?}");
    let twice = refused(&stage, "repeated-keys").await;
    assert!(twice.to_string().contains("twice"), "{twice}");
}

/// Kinds that the contract does not know yet are texts: plugins of tomorrow run in the host of
/// today.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_kind_of_parameter_is_no_fault() {
    let stage = Stage::new().await;
    stage.load(loading("unknown-kind", EVER)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_and_little_is_logged_while_a_plugin_is_loaded() {
    let stage = Stage::new().await;
    let peer = Peer::answering().await;
    let mut setup = loading("http", EVER);
    setup.destinations = vec![destination(&peer.url(), true)];
    setup.settings.insert("target".to_owned(), text(peer.url()));
    stage.load(setup).await.unwrap();
    assert_eq!(peer.connections(), 0);

    let mark = Mark::now();
    let flooded = stage.load(loading("log-flood", EVER)).await.unwrap_err();
    assert!(flooded.to_string().contains("logged more"), "{flooded}");
    let said: usize = mark.said("loading").iter().map(String::len).sum();
    assert!(said <= 64 * 1024, "{said} bytes of log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_contradicts_itself_is_not_served() {
    let stage = Stage::new().await;
    let error = stage.load(setup("fickle", fixture("hostile-describe"))).await.unwrap_err();
    assert_eq!(error.fault(), LoadFault::BadDescription);
    assert!(error.to_string().contains("differently"), "{error}");
}

/// A description that changes with the day is the same in two calls of one load: the clock that a
/// plugin sees while it describes itself is no clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_describes_itself_by_the_clock_is_not_served() {
    let stage = Stage::new().await;
    let error = stage.load(setup("daily", fixture("hostile-describe-clock"))).await.unwrap_err();
    assert_eq!(error.fault(), LoadFault::BadDescription);
    assert!(error.to_string().contains("at different times"), "{error}");
}

/// Its load and its inspection remark on a component without a source of randomness.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_without_randomness_is_remarked_on_at_load() {
    let stage = Stage::new().await;
    let mark = Mark::now();
    for (service, plugin, remarked) in [("without", "remote", true), ("with", "unique", false)] {
        let _ = stage.load(setup(service, fixture(plugin))).await;
        let events = mark.events(service);
        let remark = |event: &serde_json::Value| {
            event["remark"].as_str().is_some_and(|text| text.contains("no source of randomness"))
        };
        assert_eq!(events.iter().any(remark), remarked, "{plugin}: {events:?}");
        let inspection = stage.host.inspect(&source(fixture(plugin))).await.unwrap();
        assert_eq!(!inspection.remarks.is_empty(), remarked, "{plugin}");
    }
}

/// Bytes that are no plugin at all: what an admin may have in the wrong place, and what an attacker
/// may have put there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_plugin_is_refused_in_words() {
    let stage = Stage::with_good().await;
    let whole = fixture("unique").bytes;
    let mut spoilt = whole.to_vec();
    spoilt[whole.len() / 2] ^= 0xff;
    let module = b"\0asm\x01\0\0\0".to_vec();
    for (what, bytes, faults) in [
        ("nothing", Vec::new(), [LoadFault::NotAComponent, LoadFault::NotAComponent]),
        (
            "a text",
            b"#!/bin/sh\necho\n".to_vec(),
            [LoadFault::NotAComponent, LoadFault::NotAComponent],
        ),
        ("a module", module, [LoadFault::NotAComponent, LoadFault::NotAComponent]),
        (
            "half a plugin",
            whole[..whole.len() / 2].to_vec(),
            [LoadFault::NotAComponent, LoadFault::NotAComponent],
        ),
        (
            "an empty component",
            b"\0asm\x0d\0\x01\0".to_vec(),
            [LoadFault::WrongWorld, LoadFault::Unfit],
        ),
    ] {
        let component =
            ComponentSource { bytes: Cow::Owned(bytes), origin: what.to_owned(), sha256: None };
        let setup = ServiceSetup::new(crate::stage::service_id("none"), component);
        let error = stage.load(setup).await.map(|()| panic!("{what} was loaded")).unwrap_err();
        assert!(faults.contains(&error.fault()), "{what}: {:?} {error}", error.fault());
        stage.good_call().await;
    }
    // One flipped byte may leave a valid component; pinned, it is refused in every case.
    let component = ComponentSource {
        bytes: Cow::Owned(spoilt),
        origin: "spoilt".to_owned(),
        sha256: Some(fixture("unique").sha256.to_owned()),
    };
    let error = stage
        .load(ServiceSetup::new(crate::stage::service_id("none"), component))
        .await
        .unwrap_err();
    assert_eq!(error.fault(), LoadFault::WrongDigest);
    let pinned = ComponentSource {
        sha256: Some(fixture("unique").sha256.to_uppercase()),
        ..source(fixture("unique"))
    };
    stage.load(ServiceSetup::new(crate::stage::service_id("pinned"), pinned)).await.unwrap();
    // A plugin for credentials is no plugin for services.
    let error = stage.load(setup("type", fixture("type-login"))).await.unwrap_err();
    assert_eq!(error.fault(), LoadFault::WrongWorld);
}
