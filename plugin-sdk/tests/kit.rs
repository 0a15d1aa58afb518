//! The test kit: it gives a plugin what the daemon would give it, and takes from it only what the
//! daemon would take.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what stands around a test may fail it"
)]

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use credsmith_plugin_sdk::http::{Code, Syntax};
use credsmith_plugin_sdk::prelude::*;
use credsmith_plugin_sdk::testing::{Call, Kit, Login, Reply, TestKey};
use credsmith_plugin_sdk::{Algorithm, Hash, clock, log, random};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, UnparsedPublicKey,
    VerificationAlgorithm,
};

/// A service whose `issue` a test writes.
struct Written<I> {
    parts: Parts,
    issue: PhantomData<I>,
}

/// What `issue` may use.
struct Parts {
    secret: Option<Secret>,
    key: Option<SigningKey>,
}

trait Issue {
    fn issue(request: &Request, parts: &Parts) -> Result<Outcome, NotIssued>;
}

impl<I: Issue> Service for Written<I> {
    fn describe() -> Description {
        Description::new("test", "1")
            .setting(Field::secret("secret"))
            .setting(Field::signing_key("key"))
    }

    fn configure(settings: &Settings) -> Result<Self, Noted> {
        let (secret, key) = (settings.get("secret"), settings.get("key"));
        Ok(Self { parts: Parts { secret: secret?, key: key? }, issue: PhantomData })
    }

    fn offer(&self) -> Offer {
        Offer::revocable()
            .parameters([])
            .parameters([Field::text("p").required(), Field::text("pin").secure()])
    }

    fn issue(&self, request: &Request) -> Result<Outcome, NotIssued> {
        I::issue(request, &self.parts)
    }

    fn revoke(&self, request: &Request, made: &Made) -> Result<(), Refusal> {
        let token = request.user().access_token().is_some();
        log::info(format!(
            "{:?} {:?} {:?} {token}",
            made.state(),
            made.revoke_with(),
            request.parameters()
        ));
        Ok(())
    }
}

/// Names a [`Written`] service and gives it its `issue`.
macro_rules! service {
    ($name:ident, |$request:ident, $parts:ident| $issue:expr) => {
        enum Body {}
        impl Issue for Body {
            fn issue($request: &Request, $parts: &Parts) -> Result<Outcome, NotIssued> {
                $issue
            }
        }
        type $name = Written<Body>;
    };
}

fn complaint(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the kit took it");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap()
}

#[test]
fn secrets_go_out_by_handle() {
    service!(Sender, |_request, this| {
        let secret = this.secret.as_ref().unwrap();
        http::post("https://a.example/")
            .header("x-plain", "p")
            .basic_auth("admin", secret)
            .body("{\"k\":\"")
            .body_secret(Syntax::Json, secret)
            .body("\"}")
            .send()?
            .success()?;
        Ok(Issued::new("1").into())
    });
    let kit = Kit::<Sender>::new().secret("secret", "a\"b").reply(Reply::status(204));
    kit.issued(&Call::of("alice"));
    let sent = &kit.sent()[0];
    assert_eq!((sent.method.as_str(), sent.url.as_str()), ("POST", "https://a.example/"));
    assert_eq!(sent.header("X-Plain").as_deref(), Some("p"));
    assert_eq!(sent.header("authorization").as_deref(), Some("Basic admin:{secret:secret}"));
    assert_eq!(sent.header_on_the_wire("authorization").as_deref(), Some("Basic admin:a\"b"));
    assert_eq!(sent.body(), r#"{"k":"{secret:secret}"}"#);
    assert_eq!(sent.body_on_the_wire(), br#"{"k":"a\"b"}"#);
    assert!(!format!("{sent:?}").contains("a\\\"b"), "a secret is not shown");
}

#[test]
fn failures_say_what_they_mean() {
    service!(Asker, |_request, _this| {
        let answer = http::get("https://a.example/").send().and_then(http::Response::success);
        match answer {
            Ok(_) => Ok(Issued::new("1").into()),
            Err(failure) => {
                log::info(format!("{:?}", failure.code));
                Err(failure.into())
            }
        }
    });
    // Reply, code, unsure, worth retrying.
    let cases = [
        (Reply::not_sent("connect"), Code::Connect, false, true),
        (Reply::not_sent("not-granted"), Code::NotGranted, false, false),
        (Reply::not_sent("something-new"), Code::Other("something-new".into()), false, false),
        (Reply::lost(), Code::Timeout, true, true),
        (Reply::status(302), Code::Status(302), true, false),
        (Reply::status(404), Code::Status(404), false, false),
        (Reply::status(429), Code::Status(429), false, true),
        (Reply::status(503), Code::Status(503), true, true),
    ];
    for (reply, code, unsure, retry) in cases {
        let kit = Kit::<Asker>::new().reply(reply);
        let answer = kit.issue(&Call::of("alice")).unwrap_err();
        assert_eq!(kit.log()[0].message, format!("{code:?}"));
        match answer {
            NotIssued::Unsure(_) => assert!(unsure, "{code:?}"),
            NotIssued::Refused(refusal) => {
                assert_eq!((unsure, refusal.retry_after.is_some()), (false, retry), "{code:?}")
            }
        }
    }
}

#[test]
fn grants_are_kept() {
    service!(Looker, |_request, this| {
        let secret = this.secret.as_ref().unwrap();
        let hmac = secret.hmac(Hash::Sha256, "", &[b"what do ya want for nothing?".to_vec()]);
        let chained = secret.hmac(Hash::Sha512, "k", &[]);
        log::info(format!(
            "{:?} {:x?} {chained:?}",
            secret.reveal(),
            hmac.map(|bytes| bytes[..4].to_vec())
        ));
        Ok(Issued::new("1").into())
    });
    let log = |kit: Kit<Looker>| {
        kit.issued(&Call::of("alice"));
        kit.log()[0].message.clone()
    };
    let refused = log(Kit::new().secret("secret", "Jefe"));
    assert_eq!(refused.matches("is not granted").count(), 3, "{refused}");
    assert!(log(Kit::new().revealable_secret("secret", "Jefe")).starts_with(r#"Ok("Jefe") Err"#));
    // RFC 4231, test case 2; without messages the chain is its beginning.
    let computed = log(Kit::new().hmac_secret("secret", "Jefe"));
    assert!(computed.contains("Ok([5b, dc, c1, 46])"), "{computed}");
    assert!(computed.contains(&format!("{:?}", b"kJefe".to_vec())), "{computed}");
}

#[test]
fn keys_really_sign() {
    service!(Signer, |_request, this| {
        let key = this.key.as_ref().unwrap();
        let algorithm = key.algorithms()[0];
        assert!(key.sign(Algorithm::RsaPssSha256, b"m").is_err());
        let signature = key.sign(algorithm, b"message").unwrap();
        Ok(Issued::new("1")
            .entry(Entry::text("key", hex::encode(key.public_key())))
            .entry(Entry::text("signature", hex::encode(signature)))
            .into())
    });
    let unhex = |text: &str| hex::decode(text).unwrap();
    let kinds: [(TestKey, &dyn VerificationAlgorithm, usize); 3] = [
        (TestKey::ed25519(), &ED25519, 32),
        (TestKey::ecdsa_p256(), &ECDSA_P256_SHA256_ASN1, 65),
        (TestKey::ecdsa_p384(), &ECDSA_P384_SHA384_ASN1, 97),
    ];
    for (key, algorithm, length) in kinds {
        let issued = Kit::<Signer>::new().key("key", key).issued(&Call::of("alice"));
        let (key, signature) = (unhex(&issued.entries[0].value), unhex(&issued.entries[1].value));
        // DER of less than 128 bytes: the second byte is the length of the rest.
        assert_eq!(usize::from(key[1]), key.len() - 2);
        let key = UnparsedPublicKey::new(algorithm, &key[key.len() - length..]);
        key.verify(b"message", &signature).unwrap();
        key.verify(b"massage", &signature).unwrap_err();
    }
}

#[test]
fn time_and_randomness_can_be_fixed() {
    service!(Clock, |_request, _this| Ok(Issued::new(format!(
        "{} {}",
        clock::now(),
        random::hex::<4>()
    ))
    .into()));
    let kit = Kit::<Clock>::new().at(17).random(&[1, 2, 3]);
    assert_eq!(kit.issued(&Call::of("alice")).state, "17 01020301");
    assert_eq!(kit.issued(&Call::of("alice")).state, "17 02030102");
    let free = Kit::<Clock>::new();
    assert_ne!(free.issued(&Call::of("alice")).state, free.issued(&Call::of("alice")).state);
}

#[test]
fn identity_and_parameters_arrive() {
    service!(Echo, |request, _this| {
        let user = request.user();
        let shown = json!({
            "who": [user.provider(), user.issuer(), user.subject()],
            "groups": user.claim_list("groups"),
            "one": user.claim_list("email"),
            "odd": user.claim_list("odd"),
            "text": user.claim_text("email"),
            "claims": user.claims().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            "logins": request.additional_logins().iter().map(Identity::subject).collect::<Vec<_>>(),
            "p": request.get::<u32>("p").map_err(|refusal| refusal.user),
            "none": request.get::<String>("none").map_err(|refusal| refusal.user),
            "not_after": request.not_after(),
        });
        Ok(Issued::new("1").entry(Entry::text("shown", shown.to_string())).into())
    });
    let call = Call::by(Login::of("alice").at("op", "https://op.example"))
        .claim("groups", json!(["a", "b"]))
        .claim("email", "a@b")
        .claim("odd", json!([1]))
        .parameter("p", "x")
        .not_after(9)
        .additional_login(Login::of("alice2"));
    let issued = Kit::<Echo>::new().issued(&call);
    let shown: Value = issued.entries[0].value.parse().unwrap();
    assert_eq!(
        shown,
        json!({
            "who": ["op", "https://op.example", "alice"],
            "groups": ["a", "b"],
            "one": ["a@b"],
            "odd": null,
            "text": "a@b",
            "claims": ["email", "groups", "odd", "urn:grease:claim"],
            "logins": ["alice2"],
            "p": {"Err": "The parameter `p` is no whole number from 0 to 4294967295."},
            "none": {"Err": "The parameter `none` is missing."},
            "not_after": 9,
        })
    );
}

#[test]
fn a_revoke_gets_what_was_kept() {
    service!(Keeper, |_request, _this| Ok(Issued::new("s").revoke_with("r").into()));
    let kit = Kit::<Keeper>::new();
    let login = Login::of("alice").access_token("tok-1", true);
    let call = Call::by(login).parameter("p", "1").parameter("pin", "2");
    let issued = kit.issued(&call);
    kit.revoke(&call, &issued).unwrap();
    kit.revoke_cut_short(&call).unwrap();
    let lines: Vec<_> = kit.log().into_iter().map(|line| line.message).collect();
    assert_eq!(
        lines,
        [r#"Some("s") Some("r") [("p", "1")] false"#, r#"None None [("p", "1")] false"#]
    );
}

#[test]
fn what_the_daemon_refuses_the_kit_refuses() {
    service!(Bad, |request, this| {
        let secret = this.secret.as_ref().unwrap().reveal().unwrap();
        let how: String = request.get("p")?;
        let issued = match how.as_str() {
            "leak" => Issued::new(secret),
            "refusal" => return Err(Refusal::new(format!("It is {secret}.")).into()),
            "long" => return Err(Refusal::new("x".repeat(501)).into()),
            "control" => return Err(Refusal::new("a\nb").into()),
            "state" => Issued::new("s".repeat(4097)),
            "nothing" => Issued::new(""),
            "twice" => Issued::new("1").entry(Entry::text("a", "1")).entry(Entry::text("a", "2")),
            "kind" => Issued::new("1").entry(Entry::of_kind("video", "a", "b")),
            "lines" => Issued::new("1").entry(Entry::text("a", "b\nc")),
            "path" => Issued::new("1").entry(Entry::textfile("a", "../b", "c")),
            "size" => Issued::new("1").entry(Entry::textarea("a", "b").size(20_000, 1)),
            "large" => Issued::new("1").entry(Entry::textfile("a", "b", "x".repeat(300_000))),
            "end" => Issued::new("1").expires_at(0),
            "http" => return Err(http::get("https://a.example").send().unwrap_err().into()),
            _ => Issued::new("1"),
        };
        Ok(issued.into())
    });
    let kit = || Kit::<Bad>::new().revealable_secret("secret", "hunter2");
    kit().issued(&Call::of("alice").parameter("p", "fine"));
    for (how, expected) in [
        ("leak", "the state contains the secret `secret`"),
        ("refusal", "the refusal contains the secret `secret`"),
        ("long", "longer than 500 characters"),
        ("control", "the refusal has control characters"),
        ("state", "longer than 4096 bytes"),
        ("nothing", "the state is empty"),
        ("twice", "`a` is there twice"),
        ("kind", "unknown kind video"),
        ("lines", "a text is one line"),
        ("path", "no plain file name"),
        ("size", "absurd size"),
        ("large", "longer than 262144 bytes"),
        ("end", "no point in time"),
        ("http", "no reply was scripted for GET https://a.example"),
    ] {
        let complaint = complaint(|| drop(kit().issue(&Call::of("alice").parameter("p", how))));
        assert!(complaint.contains(expected), "{how}: {complaint}");
    }
    let unfit = complaint(|| drop(kit().issue(&Call::of("alice").parameter("pin", "1"))));
    assert!(unfit.contains("they fit no set"), "{unfit}");
}

#[test]
fn descriptions_are_checked() {
    struct Odd;
    impl Service for Odd {
        fn describe() -> Description {
            Description::new("two words", "")
                .setting(Field::text("Upper"))
                .setting(Field::text("a"))
                .setting(Field::of_kind("a", "odd"))
                .setting(Field::choice("c", [] as [&str; 0]))
                .setting(Field::text("d").required().default(1))
        }
        fn configure(_: &Settings) -> Result<Self, Noted> {
            Ok(Self)
        }
        fn offer(&self) -> Offer {
            Offer::revocable()
        }
        fn issue(&self, _: &Request) -> Result<Outcome, NotIssued> {
            Ok(Issued::new("1").into())
        }
        fn revoke(&self, _: &Request, _: &Made) -> Result<(), Refusal> {
            Ok(())
        }
    }
    let complaint = complaint(|| drop(Kit::<Odd>::new().describe()));
    for expected in [
        "plugin's name",
        "version",
        "`Upper`",
        "`a` is there twice",
        "kind odd",
        "no choice",
        "`d` is required and has a default",
    ] {
        assert!(complaint.contains(expected), "{expected}: {complaint}");
    }
}

#[test]
fn kits_do_not_mix() {
    service!(Who, |_request, this| {
        Ok(Issued::new(this.secret.as_ref().unwrap().reveal().unwrap().len().to_string()).into())
    });
    let (one, other) = (
        Kit::<Who>::new().revealable_secret("secret", "1234"),
        Kit::<Who>::new().revealable_secret("secret", "12345"),
    );
    assert_eq!(one.issued(&Call::of("a")).state, "4");
    assert_eq!(other.issued(&Call::of("a")).state, "5");
    assert_eq!(one.issued(&Call::of("a")).state, "4");
}

#[test]
fn a_path_segment_is_one() {
    assert_eq!(http::segment("a/b?c#d e%ü~-._"), "a%2Fb%3Fc%23d%20e%25%C3%BC~-._");
}
