//! Plugins for types of credentials, as core gets them: by name, and with nothing of a secret told.

use credsmith_core::error::FieldProblem;
use credsmith_core::field::Field;
use credsmith_core::ids::PluginName;
use credsmith_core::ports::plugins::BrokenHow::{self, BadOutput, Trap};
use credsmith_core::ports::types::{NormaliseFailure, TypePlugins, TypeValue};
use credsmith_core::secret::Secret;
use credsmith_host::{LoadError, LoadFault, TypePluginSet};

use crate::log::Mark;
use crate::stage::{CANARY, Stage, fixture, source};

async fn login(stage: &Stage) -> (TypePluginSet, Vec<Field>) {
    let types = stage.host.load_types(&[source(fixture("type-login"))]).await.expect("a type");
    let fields = types.list()[0].declares.clone().expect("a declared type").fields;
    (types, fields)
}

fn name(name: &str) -> PluginName {
    PluginName::parse(name).expect("the name of a plugin")
}

fn value(field: &str, value: &str, named: bool) -> TypeValue {
    TypeValue { field: field.to_owned(), value: Secret::new(value), named }
}

fn broken(failure: NormaliseFailure) -> (BrokenHow, String) {
    match failure {
        NormaliseFailure::Broken(broken) => (broken.how, broken.cause.to_string()),
        other => panic!("it did not break: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_contradicts_itself_is_not_loaded() {
    let stage = Stage::new().await;
    let fickle = source(fixture("hostile-describe-type"));
    let errors = stage.host.load_types(&[fickle]).await.expect_err("a description of its own");
    assert_eq!(
        errors.iter().map(LoadError::fault).collect::<Vec<_>>(),
        [LoadFault::BadDescription]
    );
    assert!(errors[0].to_string().contains("differently"), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_type_normalises_and_computes() {
    let stage = Stage::new().await;
    let (types, fields) = login(&stage).await;
    let view = &types.list()[0];
    assert_eq!(view.identity.name, name("type-login"));
    assert_eq!(view.identity.digest, fixture("type-login").sha256);
    assert_eq!(fields.iter().map(|field| field.id.as_str()).collect::<Vec<_>>().len(), 3);
    assert!(fields[1].secure && fields[2].computed);

    let given = [value("userName", " alice ", true), value("password", CANARY, false)];
    let normal = types.normalise(&name("type-login"), &fields, &given).await.unwrap();
    let of = |id: &str| {
        normal.iter().find(|(field, _)| field == id).unwrap().1.expose_str().unwrap().to_owned()
    };
    assert_eq!((of("userName").as_str(), of("password").as_str()), ("alice", CANARY));
    assert_eq!(of("passwordLength"), CANARY.len().to_string());
}

/// An update of one field must not tell what stands in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_is_no_oracle() {
    let stage = Stage::new().await;
    let (types, fields) = login(&stage).await;
    let given = [value("userName", "", true), value("password", "abc", false)];
    let Err(NormaliseFailure::Invalid(problems)) =
        types.normalise(&name("type-login"), &fields, &given).await
    else {
        panic!("it took them")
    };
    assert_eq!(problems[0], FieldProblem::new(["userName".into()], "is empty"));
    assert_eq!(problems[1].place(), "password");
    assert!(!problems[1].message.contains('3'), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_breaks_breaks_one_call_and_tells_nothing() {
    let stage = Stage::new().await;
    let (types, fields) = login(&stage).await;
    let mark = Mark::now();
    for (user, how, part) in [("trap", Trap, ""), ("undefined", BadOutput, "does not have")] {
        let given = [value("userName", user, true), value("password", CANARY, true)];
        let (was, what) = broken(
            types.normalise(&name("type-login"), &fields, &given).await.map(|_| ()).unwrap_err(),
        );
        assert_eq!(was, how, "{user}");
        assert!(
            what.starts_with("plugin type-login ") && what.contains("failed to normalise"),
            "{what}"
        );
        assert!(what.contains(part) && !what.contains(CANARY), "{what}");
    }
    // What it logs is counted and thrown away: it sees plain secrets.
    let given = [value("userName", "log", true), value("password", CANARY, true)];
    types.normalise(&name("type-login"), &fields, &given).await.unwrap();
    assert!(!mark.text().contains(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_are_known_by_name() {
    let stage = Stage::new().await;
    let (types, fields) = login(&stage).await;
    let nobody = types.normalise(&name("nobody"), &fields, &[]).await.unwrap_err();
    assert!(matches!(nobody, NormaliseFailure::NotLoaded), "{nobody:?}");

    let twice =
        [source(fixture("type-login")), source(fixture("unique")), source(fixture("type-login"))];
    let errors = stage.host.load_types(&twice).await.unwrap_err();
    let faults: Vec<_> = errors.iter().map(|error| error.fault()).collect();
    assert_eq!(
        faults,
        [LoadFault::WrongWorld, LoadFault::NameTaken],
        "every fault is told: {errors:?}"
    );
}
