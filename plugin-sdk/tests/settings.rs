//! Reading settings: every type, defaults, and all faults at once.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what stands around a test may fail it"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use credsmith_plugin_sdk::prelude::*;
use credsmith_plugin_sdk::testing::{Kit, TestKey};
use credsmith_plugin_sdk::{Algorithm, FieldProblem};

/// Hands each setting out as an extra of the offer.
struct Reader {
    text: String,
    count: u32,
    flag: bool,
    span: Duration,
    list: Vec<String>,
    map: BTreeMap<String, String>,
    absent: Option<String>,
    secret: Option<Secret>,
    key: Option<SigningKey>,
}

impl Service for Reader {
    fn describe() -> Description {
        Description::new("reader", "1")
            .setting(Field::text("text").required())
            .setting(Field::integer("count").default(7))
            .setting(Field::boolean("flag").default(false))
            .setting(Field::duration("span").default(60))
            .setting(Field::list("list").default(json!(["a", "b"])))
            .setting(Field::map("map").default(json!({"k": "v"})))
            .setting(Field::text("absent"))
            .setting(Field::secret("secret"))
            .setting(Field::signing_key("key"))
    }

    fn configure(settings: &Settings) -> Result<Self, Noted> {
        let text = settings.parse("text", |text: String| {
            if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text) }
        });
        let (count, flag) = (settings.get("count"), settings.get("flag"));
        let span = settings.parse("span", |span: Duration| {
            if span < Duration::from_secs(86_400) {
                Ok(span)
            } else {
                Err("is too long".to_owned())
            }
        });
        let (list, map, absent) =
            (settings.get("list"), settings.get("map"), settings.get("absent"));
        let (secret, key) = (settings.get("secret"), settings.get("key"));
        Ok(Self {
            text: text?,
            count: count?,
            flag: flag?,
            span: span?,
            list: list?,
            map: map?,
            absent: absent?,
            secret: secret?,
            key: key?,
        })
    }

    fn offer(&self) -> Offer {
        let Self { text, count, flag, span, list, map, absent, secret, key } = self;
        let algorithms = key.as_ref().map(SigningKey::algorithms);
        let all = format!(
            "{text} {count} {flag} {span:?} {list:?} {map:?} {absent:?} {secret:?} {algorithms:?}"
        );
        Offer::revocable().extra("all", all)
    }

    fn issue(&self, request: &Request) -> Result<Outcome, NotIssued> {
        Ok(Issued::new(request.credential_id()).into())
    }

    fn revoke(&self, _: &Request, _: &Made) -> Result<(), Refusal> {
        Ok(())
    }
}

fn read(kit: &Kit<Reader>) -> String {
    kit.configure().unwrap().extra[0].1.clone()
}

#[test]
fn defaults_apply() {
    let all = read(&Kit::new().setting("text", "t"));
    assert_eq!(all, r#"t 7 false 60s ["a", "b"] {"k": "v"} None None None"#);
}

#[test]
fn every_type_is_read() {
    let kit = Kit::new()
        .setting("text", "t")
        .setting("count", 1)
        .setting("flag", true)
        .setting("span", "1m30s500ms")
        .setting("list", json!(["x"]))
        .setting("map", json!({}))
        .setting("absent", "here")
        .secret("secret", "hunter2")
        .key("key", TestKey::ecdsa_p256());
    let algorithms = Some(vec![Algorithm::EcdsaP256Sha256]);
    assert_eq!(
        read(&kit),
        format!(r#"t 1 true 90.5s ["x"] {{}} Some("here") Some(Secret(..)) {algorithms:?}"#)
    );
}

#[test]
fn all_faults_are_collected() {
    let kit = Kit::<Reader>::new()
        .setting("text", "")
        .setting("count", -1)
        .setting("flag", "maybe")
        .setting("span", "2w")
        .setting("list", json!([1]))
        .setting("map", json!([]));
    let faults = kit.configure().unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.path[0].as_str()).collect();
    assert_eq!(keys, ["text", "count", "flag", "span", "list", "map"]);
    assert_eq!(faults[1].to_string(), "`count` is no whole number from 0 to 4294967295");
}

#[test]
#[should_panic(expected = "`span`: expected a duration like `500ms`, `15m`, `1h30m` or `2w`")]
fn a_duration_without_a_unit_fails_the_test() {
    let _ = Kit::<Reader>::new().setting("text", "t").setting("span", 90).configure();
}

#[test]
fn what_is_missing_is_said() {
    assert_eq!(Kit::<Reader>::new().configure(), Err(vec![FieldProblem::at("text", "is missing")]));
}
