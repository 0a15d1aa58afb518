use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::caller::{Client, Identity, Subject};
use crate::doubles;

fn configured() -> Configured {
    Configured { providers: [id("op"), id("other")].into(), rsps: ["portal".to_owned()].into() }
}

fn id(text: &str) -> ProviderId {
    ProviderId::parse(text).unwrap()
}

fn rule(provider: &str, claim: &str, condition: Condition) -> Rule {
    Rule::new(ProviderMatch::parse(provider).unwrap(), claim, condition).unwrap()
}

/// Alice at `op`, with one more claim.
fn alice(claim: &str, value: Value) -> Caller {
    doubles::caller_with_claim("alice", claim, value)
}

fn judge(allow: Vec<Rule>, forbid: Vec<Rule>, caller: &Caller) -> Decision {
    Rules::new(allow, forbid, &configured()).judge(caller)
}

/// Whether one rule alone allows, and whether it forbids a caller whom another rule allows.
fn effects(rule: &Rule, caller: &Caller) -> (bool, bool) {
    let allows = judge(vec![rule.clone()], vec![], caller).is_allowed();
    let all = self::rule("any", "sub", Condition::any(true));
    let forbids = !judge(vec![all], vec![rule.clone()], caller).is_allowed();
    (allows, forbids)
}

/// Every test against every type of value. `y` and `n`: the test holds or not, whichever list the
/// rule stands in. `!`: it cannot be judged, so that allow says no and forbid says yes.
#[test]
fn every_test_judges_every_type() {
    let values = [
        json!("admin"),
        json!("the admins"),
        json!("ADMIN"),
        json!("a, b"),
        json!(""),
        json!("5"),
        json!(5),
        json!(1.5),
        json!(true),
        json!({"admin": "admin"}),
        json!([]),
        json!(["users", "admin"]),
        json!(["users", "the admins"]),
        json!(["ad", "min"]),
        json!([5, "admin"]),
        json!([5, "users"]),
        json!([["admin"]]),
        json!([5, null, true]),
    ];
    #[rustfmt::skip]
    let table = [
        (Condition::any(true),                                    "yyyyyyyyyyyyyyyyyy"),
        (Condition::any(false),                                   "nnnnnnnnnnnnnnnnnn"),
        (Condition::equals("admin"),                              "ynnnnnnnnnnnnnnnnn"),
        (Condition::equals(""),                                   "nnnnynnnnnnnnnnnnn"),
        (Condition::equals("5"),                                  "nnnnnynnnnnnnnnnnn"),
        (Condition::equals("true"),                               "nnnnnnnnnnnnnnnnnn"),
        (Condition::is_member_of(["x", " admin ", "5"]).unwrap(), "ynnnnynnnnnnnnnnnn"),
        (Condition::is_member_of(["true", "1.5"]).unwrap(),       "nnnnnnnnnnnnnnnnnn"),
        (Condition::has("admin").unwrap(),                        "ynnnnn!!!!nynnynnn"),
        (Condition::has("5").unwrap(),                            "nnnnny!!!!nnnnnnnn"),
        (Condition::contains("admin").unwrap(),                   "yynnnn!!!!nynnynnn"),
        (Condition::contains("5").unwrap(),                       "nnnnny!!!!nnnnnnnn"),
        (Condition::regexp("admin").unwrap(),                     "yynnnn!!!!nyyny!!!"),
        (Condition::regexp("^admin$").unwrap(),                   "ynnnnn!!!!nynny!!!"),
        (Condition::regexp("(?i)^admin$").unwrap(),               "ynynnn!!!!nynny!!!"),
        (Condition::regexp("").unwrap(),                          "yyyyyy!!!!nyyyyy!!"),
        (Condition::regexp("^$").unwrap(),                        "nnnnyn!!!!nnnn!!!!"),
    ];
    for (test, expected) in table {
        assert_eq!(expected.len(), values.len(), "{test:?}");
        let rule = rule("op", "role", test);
        for (value, expected) in values.iter().zip(expected.chars()) {
            let expected = match expected {
                'y' => (true, true),
                'n' => (false, false),
                _ => (false, true),
            };
            assert_eq!(
                effects(&rule, &alice("role", value.clone())),
                expected,
                "{rule} at {value}"
            );
        }
    }
}

/// Attack: a provider sends a claim as one text, and a user chooses a group that has the name of
/// the administrators in it.
#[test]
fn has_never_matches_a_part_of_a_text() {
    let rule = rule("op", "groups", Condition::has("admins").unwrap());
    for part in [
        "not-admins-at-all",
        "admins ",
        " admins",
        "admins,users",
        "users admins",
        "ADMINS",
        "admin",
    ] {
        assert_eq!(effects(&rule, &alice("groups", json!(part))), (false, false), "{part:?}");
        assert_eq!(effects(&rule, &alice("groups", json!([part]))), (false, false), "{part:?}");
    }
    assert_eq!(effects(&rule, &alice("groups", json!("admins"))), (true, true));
    assert_eq!(effects(&rule, &alice("groups", json!(["users", "admins"]))), (true, true));
}

#[test]
fn an_absent_or_null_claim_never_allows_and_always_forbids() {
    let tests = [
        Condition::any(true),
        Condition::any(false),
        Condition::equals(""),
        Condition::is_member_of(["a"]).unwrap(),
        Condition::has("a").unwrap(),
        Condition::contains("a").unwrap(),
        Condition::regexp("").unwrap(),
    ];
    for test in tests {
        let rule = rule("any", "role", test);
        assert_eq!(effects(&rule, &doubles::caller("alice")), (false, true), "{rule}, absent");
        assert_eq!(effects(&rule, &alice("role", Value::Null)), (false, true), "{rule}, null");
    }
}

#[test]
fn a_claim_is_found_by_its_exact_name() {
    let role = rule("op", "role", Condition::any(true));
    for name in ["Role", "role ", "roles", ""] {
        assert!(!effects(&role, &alice(name, json!("admin"))).0, "{name:?}");
    }
}

#[test]
fn a_pattern_is_not_tried_on_more_than_16_kib() {
    let rule = rule("op", "role", Condition::regexp("x").unwrap());
    let full = "x".repeat(16 * 1024);
    assert_eq!(effects(&rule, &alice("role", json!(full))), (true, true));
    assert_eq!(effects(&rule, &alice("role", json!(format!("{full}x")))), (false, true));
    assert_eq!(effects(&rule, &alice("role", json!([full]))), (true, true));
    assert_eq!(effects(&rule, &alice("role", json!([full, "x"]))), (false, true));
}

#[test]
fn a_rule_counts_for_users_of_its_provider() {
    let from = |provider: &str, issuer: &str, interface| {
        let subject = Subject { issuer: issuer.into(), subject: "alice".into() };
        let claims = doubles::identity("alice").claims().clone();
        let identity = Identity::vouched_by(id(provider), subject, claims);
        Caller {
            identity: Arc::new(identity),
            interface,
            access_token: None,
            client: Client::default(),
        }
    };
    let users = [
        from("op", "https://op.example.org", Interface::Rest),
        from("op", "https://op.example.org", Interface::Web),
        from("other", "https://other.example.org", Interface::Rest),
        from("portal", "rsp-portal", Interface::Rsp),
        from("op", "rsp-op", Interface::Rsp),
        // A provider cannot pass for a relying service provider by the name of its issuer.
        from("op", "rsp-portal", Interface::Rest),
    ];
    let table = [
        ("any", [true, true, true, true, true, true]),
        ("op", [true, true, false, false, false, true]),
        ("other", [false, false, true, false, false, false]),
        ("rsp-portal", [false, false, false, true, false, false]),
    ];
    for (provider, expected) in table {
        let rule = rule(provider, "sub", Condition::any(true));
        for (user, expected) in users.iter().zip(expected) {
            assert_eq!(
                effects(&rule, user),
                (expected, expected),
                "{provider} and {:?}",
                user.identity
            );
        }
    }
}

#[test]
fn what_is_not_configured_never_allows_and_forbids_everybody() {
    let other = doubles::caller("alice");
    for provider in ["gone", "rsp-gone", "rsp-op"] {
        let rule = rule(provider, "sub", Condition::any(true));
        assert_eq!(effects(&rule, &other), (false, true), "{provider}");
        let differs = self::rule(provider, "sub", Condition::equals("bob"));
        assert_eq!(effects(&differs, &other), (false, true), "{provider}");
    }
}

#[test]
fn one_allow_rule_is_enough_and_so_is_one_forbid_rule() {
    let hit = || rule("op", "sub", Condition::equals("alice"));
    let miss = || rule("op", "sub", Condition::equals("bob"));
    let table = [
        (vec![], vec![], false),
        (vec![], vec![miss()], false),
        (vec![miss()], vec![], false),
        (vec![hit()], vec![], true),
        (vec![miss(), hit()], vec![], true),
        (vec![hit()], vec![miss()], true),
        (vec![hit()], vec![hit()], false),
        (vec![hit(), hit()], vec![miss(), hit()], false),
        (vec![miss()], vec![hit()], false),
    ];
    for (allow, forbid, expected) in table {
        let decision = judge(allow.clone(), forbid.clone(), &doubles::caller("alice"));
        assert_eq!(decision.is_allowed(), expected, "{allow:?} {forbid:?}");
    }
}

/// A rule that cannot be judged takes nothing from the other rules of its list.
#[test]
fn a_type_error_concerns_its_own_rule_alone() {
    let unfit = rule("op", "level", Condition::contains("x").unwrap());
    let hit = rule("op", "sub", Condition::equals("alice"));
    let alice = alice("level", json!(5));
    assert!(judge(vec![unfit.clone(), hit.clone()], vec![], &alice).is_allowed());
    assert!(!judge(vec![hit], vec![unfit], &alice).is_allowed());
}

#[test]
fn a_decision_says_which_rule_made_it_and_never_a_value() {
    let alice = alice("level", json!(["private"]));
    let hit = || rule("op", "level", Condition::contains("private").unwrap());
    let absent = || rule("any", "age", Condition::regexp("private").unwrap());
    let unfit = || rule("any", "level", Condition::regexp("private").unwrap());
    let mut odd = alice.clone();
    odd.identity = self::alice("level", json!(5)).identity;
    let gone = || rule("gone", "sub", Condition::any(true));
    let table = [
        (judge(vec![absent(), hit()], vec![], &alice), "the allow rule op.level.contains matches"),
        (
            judge(vec![hit()], vec![hit()], &alice),
            "the forbid rule op.level.contains decides: it matches",
        ),
        (
            judge(vec![hit()], vec![absent()], &alice),
            "the forbid rule any.age.regexp decides: the claim is absent",
        ),
        (
            judge(vec![hit()], vec![gone()], &alice),
            "the forbid rule gone.sub.any decides: its provider is not configured",
        ),
        (judge(vec![absent(), gone()], vec![], &alice), "no allow rule matches"),
        (
            judge(vec![absent(), unfit()], vec![], &odd),
            "no allow rule matches; at any.level.regexp the claim has a type or length that the test cannot look at",
        ),
    ];
    for (decision, expected) in table {
        assert_eq!(decision.to_string(), expected);
    }
    assert!(!format!("{:?}", hit()).contains("private"));
}

#[test]
fn providers_are_written_as_in_the_configuration() {
    for text in ["any", "op", "rsp-portal"] {
        assert_eq!(ProviderMatch::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(ProviderMatch::parse("rsp-a").unwrap(), ProviderMatch::Rsp("a".into()));
    for bad in ["", "rsp", "rsp-", "rsp-a b", "a b", "Any!"] {
        assert!(ProviderMatch::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_makes_no_rule_is_refused_in_words() {
    let table = [
        (Condition::has("").map(drop), "`has` needs a text that is not empty"),
        (Condition::contains("").map(drop), "`contains` needs a text that is not empty"),
        (Condition::is_member_of::<&str>([]).map(drop), "`is_member_of` needs at least one text"),
        (
            Condition::is_member_of(["a", " "]).map(drop),
            "`is_member_of` has an empty text in its list",
        ),
        (
            Condition::regexp(r"\w{1000}{100}").map(drop),
            "the pattern takes more than 1 MiB when compiled: make it simpler",
        ),
        (
            Rule::new(ProviderMatch::Any, "", Condition::any(true)).map(drop),
            "a claim's name has 1 to 256 bytes and no control characters",
        ),
    ];
    for (result, expected) in table {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
    assert!(Rule::new(ProviderMatch::Any, "a\nb", Condition::any(true)).is_err());
    assert!(Rule::new(ProviderMatch::Any, "x".repeat(257), Condition::any(true)).is_err());
    let unclosed = Condition::regexp("(").unwrap_err().to_string();
    assert!(unclosed.starts_with("the pattern is not a regular expression: "), "{unclosed}");
}
