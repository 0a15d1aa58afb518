//! Directories that misbehave, as core gets them: each call ends alone, shows no secret, and what
//! it brings is checked.

use std::time::Duration;

use credsmith_core::ports::directory::Directory;
use credsmith_core::ports::plugins::BrokenHow::{self, BadOutput, Timeout, Trap};
use credsmith_core::ports::plugins::{CallFailure, NotStarted};
use credsmith_host::{Described, DirectoryPlugin, DirectorySetup, LoadFault, World};

use crate::log::Mark;
use crate::stage::{CANARY, EVER, SHORT, Stage, canary, destination, fixture, source, text};

/// A directory with patience, and with the canary as its secret, which it may see.
fn hostile(plugin_timeout: Duration) -> DirectorySetup {
    let mut setup = DirectorySetup {
        plugin_timeout,
        queue_wait: EVER,
        ..DirectorySetup::new(source(fixture("hostile-directory")))
    };
    setup.settings.insert("secret".to_owned(), canary(Vec::new()));
    setup
}

async fn load(stage: &Stage, setup: &DirectorySetup) -> DirectoryPlugin {
    stage.host.load_directory(setup).await.expect("a directory")
}

/// How a walk of one page ended, where it has to end badly.
async fn walk(directory: &DirectoryPlugin, how: &str) -> CallFailure {
    match directory.companies(Some(how)).await {
        Ok(page) => panic!("{how} brought a page with {} companies", page.companies.len()),
        Err(failure) => failure,
    }
}

fn check_broken(how: &str, failure: &CallFailure, expected: BrokenHow, part: &str) {
    let CallFailure::Broken(broken) = failure else { panic!("{how}: {failure:?}") };
    let cause = broken.cause.to_string();
    assert_eq!(broken.how, expected, "{how}: {cause}");
    assert!(
        cause.starts_with("plugin hostile-directory ") && cause.contains(part),
        "{how}: {cause}"
    );
    assert!(!cause.contains(CANARY), "{how} shows the secret: {cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_walk_brings_is_checked_and_the_next_one_works() {
    let stage = Stage::new().await;
    let directory = load(&stage, &hostile(EVER)).await;
    let mark = Mark::now();
    for (how, expected, part) in [
        ("trap", Trap, ""),
        ("memory", Trap, "memory"),
        ("many", BadOutput, "1001 companies"),
        ("flood", BadOutput, "more at once"),
        ("twice", BadOutput, "earlier"),
        ("empty-id", BadOutput, "no fit id"),
        ("long-id", BadOutput, "no fit id"),
        ("control-id", BadOutput, "no fit id"),
        ("leak-name", BadOutput, "a secret in its name"),
        ("leak-cursor", BadOutput, "cursor contains a secret"),
        ("leak-refusal", BadOutput, "refusal contains a secret"),
        ("empty-cursor", BadOutput, "cursor"),
        ("long-cursor", BadOutput, "cursor"),
        ("huge-cursor", BadOutput, "more at once"),
        ("control-cursor", BadOutput, "cursor"),
        ("same-cursor", BadOutput, "never ends"),
    ] {
        check_broken(how, &walk(&directory, how).await, expected, part);
        let page = directory.companies(None).await.expect("a good page after a bad one");
        assert_eq!(
            (page.companies[0].name.as_str(), page.next.as_deref()),
            ("Acme Corp", Some("2"))
        );
    }
    for how in [
        "empty-identifier",
        "blank-name",
        "long-identifier",
        "long-name",
        "control-identifier",
        "control-name",
    ] {
        let page = directory.companies(Some(how)).await.expect("one odd company ends no walk");
        assert_eq!((page.companies[0].id.as_str(), page.companies[0].name.as_str()), ("1", ""));
    }
    for how in ["leak-log", "extra"] {
        assert!(directory.companies(Some(how)).await.is_ok(), "{how}");
    }
    assert!(!mark.text().contains(CANARY), "the log shows the secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_says_about_a_company_is_checked() {
    let stage = Stage::new().await;
    let directory = load(&stage, &hostile(EVER)).await;
    for (how, expected, part) in [
        ("trap", Trap, ""),
        ("empty", BadOutput, "no JSON"),
        ("not-json", BadOutput, "no JSON at line 1, column 2"),
        ("two", BadOutput, "no JSON"),
        ("large", BadOutput, "are allowed"),
        ("flood", BadOutput, "more at once"),
        ("leak", BadOutput, "contain a secret"),
    ] {
        let failure = directory.configurations(how).await.expect_err(how);
        check_broken(how, &failure, expected, part);
        let mark = Mark::now();
        let good = directory.configurations("1").await.unwrap();
        assert_eq!(good, r#"[{"id": 1, "questions": [{"answer": "hunter2"}]}]"#, "as it came");
        assert!(
            !mark.text().contains("hunter2"),
            "what a company has for passwords is no matter of the log"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_says_when_to_come_back() {
    let stage = Stage::new().await;
    let directory = load(&stage, &hostile(EVER)).await;
    for (how, seconds) in
        [("refuse", None), ("retry", Some(7)), ("retry-forever", Some(u64::from(u32::MAX)))]
    {
        let CallFailure::Refused(refusal) = walk(&directory, how).await else { panic!("{how}") };
        assert_eq!(refusal.retry_after, seconds.map(Duration::from_secs), "{how}");
    }
    let mark = Mark::now();
    walk(&directory, "refuse").await;
    assert!(mark.said("").contains(&"refused: said\\nno".to_owned()), "{:?}", mark.said(""));
    let CallFailure::Refused(_) = walk(&directory, "not-granted").await else {
        panic!("it was sent")
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_end_is_ended_and_holds_up_only_its_lane() {
    let stage = Stage::new().await;
    let setup = DirectorySetup { parallel_looks: 1, queue_length: 1, ..hostile(SHORT) };
    for how in ["loop", "sleep"] {
        let directory = load(&stage, &setup).await;
        // Of three walks one runs, one waits, and there is no room for the third; so it is with
        // looks, in a lane of their own.
        let (walk, next_walk, third_walk, look, next_look, third_look) = tokio::join!(
            directory.companies(Some(how)),
            directory.companies(None),
            directory.companies(None),
            directory.configurations(how),
            directory.configurations("1"),
            directory.configurations("1"),
        );
        check_broken(
            how,
            &walk.unwrap_err(),
            Timeout,
            "failed to list companies: it took longer than",
        );
        check_broken(
            how,
            &look.unwrap_err(),
            Timeout,
            "failed to read configurations: it took longer than",
        );
        for failure in [third_walk.map(|_| ()).unwrap_err(), third_look.map(|_| ()).unwrap_err()] {
            assert!(matches!(failure, CallFailure::NotStarted(NotStarted::Busy)), "{failure:?}");
        }
        assert!(next_walk.is_ok() && next_look.is_ok(), "{next_walk:?} {next_look:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_configured_wrongly_says_so() {
    let stage = Stage::new().await;
    let fault = async |setup: DirectorySetup| {
        let error = stage.host.load_directory(&setup).await.map(|_| ()).unwrap_err();
        (error.fault(), error.to_string())
    };
    let other = fault(DirectorySetup::new(source(fixture("unique")))).await;
    assert_eq!(other.0, LoadFault::WrongWorld);
    assert!(other.1.contains("it is a service-plugin, not a directory-plugin"), "{}", other.1);

    let mut unknown = hostile(EVER);
    unknown.settings.insert("sight".to_owned(), text("x"));
    let (was, what) = fault(unknown).await;
    assert!(was == LoadFault::BadSettings && what.contains("settings.sight"), "{what}");

    let mut slip = hostile(EVER);
    let place = credsmith_host::Endpoint::new("api.example", 443);
    slip.settings.insert("secret".to_owned(), canary(vec![place.into()]));
    let (was, what) = fault(slip).await;
    assert!(was == LoadFault::BadSettings && what.contains("api.example:443"), "{what}");
    assert!(!what.contains(CANARY));

    let greedy = DirectorySetup { memory_bytes: 1 << 40, ..hostile(EVER) };
    assert_eq!(fault(greedy).await.0, LoadFault::BadGrant);
}

/// A directory gets what a service gets of the network: what is granted, at the addresses that are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granted_name_does_not_open_loopback() {
    let stage = Stage::new().await;
    let peer = crate::peer::Peer::answering().await;
    for (private, reaches) in [(false, false), (true, true)] {
        let mut setup = hostile(EVER);
        setup.settings.insert("target".to_owned(), text(peer.url()));
        setup.destinations = vec![destination(&peer.url(), private)];
        let directory = load(&stage, &setup).await;
        assert_eq!(directory.companies(Some("http")).await.is_ok(), reaches);
        assert_eq!(peer.connections() > 0, reaches);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inspection_shows_its_settings() {
    let stage = Stage::new().await;
    let connectwise = credsmith_bundle::find("connectwise").expect("a bundled plugin");
    let inspection = stage.host.inspect(&source(connectwise)).await.unwrap();
    assert_eq!(inspection.world, World::DirectoryPlugin);
    let Described::Directory(description) = inspection.described else { panic!("{inspection:?}") };
    assert_eq!(description.name.as_str(), "connectwise");
    let keys: Vec<_> = description.settings.iter().map(|field| field.key.as_str()).collect();
    let own =
        ["site", "codebase", "company", "public_key", "private_key", "client_id", "api_version"];
    assert_eq!(keys[..7], own);
    assert_eq!(keys[7..], ["conditions", "child_conditions", "page_size"]);
    let foreign = |import: &String| import.contains("call") || import.contains("keys");
    assert!(!inspection.imports.iter().any(foreign), "{:?}", inspection.imports);
}
