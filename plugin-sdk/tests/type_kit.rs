//! The kit for types of credentials: it takes from a plugin only what the daemon would take.

#![expect(clippy::panic, reason = "what stands around a test may fail it")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use credsmith_plugin_sdk::credential_type::{CredentialType, DeclaredType, Description};
use credsmith_plugin_sdk::testing::TypeKit;
use credsmith_plugin_sdk::{Field, FieldProblem, random};

/// A credential type that does as the value of `how` says.
struct Told;

type Answer = Result<Vec<(String, String)>, Vec<FieldProblem>>;

impl CredentialType for Told {
    fn describe() -> Description {
        let declared = DeclaredType::new("Told", "").permission_scope("told.login");
        Description::new("told", "1").declares(declared.field(Field::text("how").required()))
    }

    fn normalise(_: &[Field], values: Vec<(String, String)>) -> Answer {
        let how =
            values.iter().find(|(key, _)| key == "how").map_or("", |(_, value)| value.as_str());
        let fault = |path: &[&str], message: &str| {
            let path = path.iter().map(|part| (*part).to_owned()).collect();
            Err(vec![FieldProblem { path, message: message.to_owned() }])
        };
        match how {
            "foreign" => Ok(vec![("how".into(), "x".into()), ("other".into(), String::new())]),
            "twice" => Ok(vec![("how".into(), "x".into()), ("how".into(), "x".into())]),
            "missing" => Ok(Vec::new()),
            "huge" => Ok(vec![("how".into(), "x".repeat(1_100_000))]),
            "growing" => Ok(vec![("how".into(), format!("{how}growing"))]),
            "growinggrowing" => Ok(vec![("how".into(), "shrunk".into())]),
            "silent" => Err(Vec::new()),
            "deep" => fault(&["how", "1"], "is wrong"),
            "nowhere" => fault(&[], "is wrong"),
            "lines" => fault(&["how"], "is\nwrong"),
            "quoting" => fault(&["how"], "must not be quoting"),
            "wrong" => fault(&["how"], "is faulty"),
            _ => Ok(values),
        }
    }
}

/// The description of a type, written by a test.
macro_rules! described {
    ($name:ident, $description:expr) => {
        struct $name;
        impl CredentialType for $name {
            fn describe() -> Description {
                $description
            }
            fn normalise(_: &[Field], values: Vec<(String, String)>) -> Answer {
                Ok(values)
            }
        }
    };
}

described!(Nameless, Description::new("", "1"));
described!(Moody, Description::new(format!("n{}", random::hex::<4>()), "1"));
described!(
    Spelled,
    Description::new("s", "1").declares(DeclaredType::new("S", "").field(Field::text("a-b")))
);
described!(
    Keyed,
    Description::new("k", "1").declares(DeclaredType::new("K", "").field(Field::signing_key("a")))
);
described!(
    Scoped,
    Description::new("s", "1").declares(DeclaredType::new("S", "").permission_scope("user.all"))
);
described!(
    Wild,
    Description::new("s", "1").declares(DeclaredType::new("S", "").permission_scope("a.*"))
);
described!(Pictured, Description::new("p", "1").declares(DeclaredType::new("P", "key")));
described!(
    Asking,
    Description::new("a", "1")
        .declares(DeclaredType::new("A", "").field(Field::text("a").required().computed()))
);
described!(
    Preset,
    Description::new("p", "1")
        .declares(DeclaredType::new("P", "").field(Field::text("a").default(1)))
);
described!(Plain, Description::new("plain", "1"));

fn complaint(run: impl FnOnce()) -> String {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => panic!("nothing was complained about"),
        Err(said) => match said.downcast::<String>() {
            Ok(text) => *text,
            Err(said) => said.downcast_ref::<&str>().copied().unwrap_or_default().to_owned(),
        },
    }
}

#[test]
fn answers_come_back_by_field() {
    let kit = TypeKit::<Told>::declared();
    assert_eq!(kit.normalise(&[("how", "well")]).unwrap_or_default()["how"], "well");
    assert_eq!(kit.normalise(&[("how", "wrong")]).err().unwrap_or_default()["how"], "is faulty");
}

#[test]
fn what_the_daemon_would_not_take_fails_the_test() {
    let kit = TypeKit::<Told>::declared();
    for (how, expected) in [
        ("foreign", "does not have"),
        ("twice", "twice"),
        ("missing", "required"),
        ("huge", "longer than"),
        ("growing", "its own answer"),
        ("silent", "without a problem"),
        ("deep", "not at a field"),
        ("nowhere", "not at a field"),
        ("lines", "one line"),
        ("quoting", "contains the secret"),
    ] {
        let said = complaint(|| drop(kit.normalise(&[("how", how)])));
        assert!(said.contains(expected), "{how}: {said}");
    }
}

#[test]
fn descriptions_are_checked() {
    for (said, expected) in [
        (complaint(|| drop(TypeKit::<Nameless>::of([]).describe())), "name"),
        (complaint(|| drop(TypeKit::<Moody>::of([]).describe())), "describe"),
        (complaint(|| drop(TypeKit::<Spelled>::declared())), "does not match"),
        (complaint(|| drop(TypeKit::<Keyed>::declared())), "for settings"),
        (complaint(|| drop(TypeKit::<Scoped>::declared())), "scope"),
        (complaint(|| drop(TypeKit::<Wild>::declared())), "scope"),
        (complaint(|| drop(TypeKit::<Pictured>::declared())), "icon"),
        (complaint(|| drop(TypeKit::<Asking>::declared())), "required and computed"),
        (complaint(|| drop(TypeKit::<Preset>::declared())), "has a default"),
        (complaint(|| drop(TypeKit::<Plain>::declared())), "declares no type"),
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
