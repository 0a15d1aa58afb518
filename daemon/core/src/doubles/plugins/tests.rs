use std::sync::Arc;

use super::*;
use crate::doubles::{caller, identity};
use crate::ports::plugins::{CallUser, Urgency};

fn ssh() -> ServiceId {
    ServiceId::parse("ssh").unwrap()
}

fn lease(number: u8) -> LeaseId {
    LeaseId::from_random([number; 16])
}

fn issue(number: u8) -> IssueCall {
    IssueCall {
        service: ssh(),
        lease: lease(number),
        user: CallUser { identity: caller("alice").identity, access_token: None },
        additional_logins: Vec::new(),
        parameters: Vec::new(),
        not_after: None,
    }
}

fn revoke(number: u8, state: &str) -> RevokeCall {
    RevokeCall {
        service: ssh(),
        lease: lease(number),
        user: Arc::new(identity("alice")),
        parameters: Vec::new(),
        not_after: None,
        state: state.into(),
        revoke_with: None,
        urgency: Urgency::User,
    }
}

fn plugins() -> ScriptedPlugins {
    ScriptedPlugins::with_services(["ssh"])
}

fn issued(report: IssueReport) -> Issued {
    match report.outcome.unwrap() {
        IssueOutcome::Issued(issued) => issued,
        IssueOutcome::LoginRequired { .. } => panic!("a login"),
    }
}

fn no() -> Refusal {
    Refusal { user: "no".into(), retry_after: None }
}

#[tokio::test]
async fn without_steps_things_come_and_go() {
    let plugins = plugins();
    let report = plugins.issue(issue(1)).await;
    assert_eq!(report.claims_read.keys().collect::<Vec<_>>(), ["sub"]);
    let made = issued(report);
    assert_eq!(made.state, lease(1).to_string());
    assert_eq!(
        plugins.things(),
        [Thing { service: ssh(), name: made.state.clone(), lease: lease(1) }]
    );
    plugins.revoke(revoke(1, &made.state)).await.unwrap();
    plugins.revoke(revoke(1, &made.state)).await.unwrap();
    assert_eq!(plugins.things(), []);
    assert_eq!(plugins.calls().len(), 3);
}

#[tokio::test]
async fn a_name_that_is_taken_stays_with_its_first_lease() {
    let plugins = plugins();
    for number in [1, 2] {
        plugins.on_issue(&ssh(), IssueStep::state("same"));
        assert_eq!(issued(plugins.issue(issue(number)).await).state, "same");
    }
    assert_eq!(plugins.things().iter().map(|thing| thing.lease).collect::<Vec<_>>(), [lease(1)]);
    plugins.revoke(revoke(2, "")).await.unwrap();
    assert_eq!(plugins.things().len(), 1, "a clean-up of lease 2 leaves what lease 1 has");
    plugins.revoke(revoke(2, "same")).await.unwrap();
    assert_eq!(plugins.things().len(), 0);
}

#[tokio::test]
async fn a_call_that_breaks_may_have_had_effects() {
    let plugins = plugins();
    for (number, effect) in [(1, Effect::None), (2, Effect::Done), (3, Effect::Late)] {
        plugins.on_issue(&ssh(), IssueStep::Break(BrokenHow::Timeout, effect));
        assert!(matches!(plugins.issue(issue(number)).await.outcome, Err(CallFailure::Broken(_))));
    }
    let leases = |plugins: &ScriptedPlugins| {
        plugins.things().iter().map(|thing| thing.lease).collect::<Vec<_>>()
    };
    assert_eq!(leases(&plugins), [lease(2)]);
    plugins.land();
    plugins.land();
    assert_eq!(leases(&plugins), [lease(2), lease(3)]);
    plugins.revoke(revoke(3, "")).await.unwrap();

    plugins.on_revoke(&ssh(), RevokeStep::Break(BrokenHow::Trap, Effect::Late));
    assert!(plugins.revoke(revoke(2, "")).await.is_err());
    assert_eq!(leases(&plugins), [lease(2)]);
    plugins.land();
    assert_eq!(leases(&plugins), []);
}

#[tokio::test]
async fn refusals_logins_and_full_queues_leave_nothing() {
    let plugins = plugins();
    plugins.on_issue(&ssh(), IssueStep::Refuse(no()));
    plugins.on_issue(&ssh(), IssueStep::Login { provider: "other".into() });
    plugins.on_issue(&ssh(), IssueStep::Busy);
    assert!(
        matches!(plugins.issue(issue(1)).await.outcome, Err(CallFailure::Refused(refusal)) if refusal == no())
    );
    assert!(matches!(
        plugins.issue(issue(1)).await.outcome,
        Ok(IssueOutcome::LoginRequired { .. })
    ));
    let busy = plugins.issue(issue(1)).await;
    assert!(matches!(busy.outcome, Err(CallFailure::NotStarted(NotStarted::Busy))));
    assert!(busy.claims_read.is_empty());
    assert_eq!(plugins.things(), []);
    assert_eq!(plugins.calls().len(), 2, "the third never reached the plugin");

    plugins.on_revoke(&ssh(), RevokeStep::Refuse(no()));
    plugins.recover();
    plugins.revoke(revoke(1, "")).await.unwrap();
}

#[tokio::test]
async fn what_is_not_loaded_does_not_start() {
    let plugins = plugins();
    plugins.unload(&ssh(), "gone");
    assert_eq!(plugins.loaded(&ssh()).unwrap_err(), "gone");
    let not_loaded = |failure: &CallFailure| matches!(failure, CallFailure::NotStarted(NotStarted::NotLoaded(why)) if why == "gone");
    assert!(not_loaded(&plugins.issue(issue(1)).await.outcome.unwrap_err()));
    assert!(not_loaded(&plugins.revoke(revoke(1, "")).await.unwrap_err()));
    plugins.load(&ssh(), ScriptedPlugins::plugin("another"));
    assert_eq!(plugins.loaded(&ssh()).unwrap().plugin.name.as_str(), "another");
    assert!(plugins.loaded(&ServiceId::parse("none").unwrap()).is_err());
}

#[tokio::test]
async fn a_gate_holds_a_call_before_or_after_its_effect() {
    let plugins = Arc::new(plugins());
    let (before, after) = (Gate::shut(), Gate::shut());
    let made = || Box::new(IssueStep::state("x"));
    plugins.on_issue(&ssh(), IssueStep::Wait(before.clone(), made()));
    plugins.on_issue(&ssh(), IssueStep::Answer(after.clone(), made()));
    let begin = || {
        let plugins = Arc::clone(&plugins);
        tokio::spawn(async move { plugins.issue(issue(1)).await })
    };
    let (first, second) = (begin(), begin());
    while before.waiting() + after.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(plugins.things().len(), 1, "the second has acted already");
    second.abort();
    before.open();
    assert_eq!(issued(first.await.unwrap()).state, "x");
    assert_eq!(plugins.things().len(), 1);
}
