//! The bundled types of credentials as components in the real host: what each takes, what it says
//! instead, and that what it takes longest for ends in time. Their own tests have the tables; here
//! is one row of each.

use std::time::Instant;

use credsmith_core::field::{Field, ValueType};
use credsmith_core::ids::PluginName;
use credsmith_core::ports::types::{NormaliseFailure, TypePlugins, TypeValue};
use credsmith_core::secret::Secret;
use credsmith_host::TypePluginSet;

use crate::log::Mark;
use crate::stage::{Stage, source};

const PRIVATE_KEY: &str = "privateKey";
const PASSPHRASE: &str = "passphrase";
const PHRASE: &str = "correct horse";

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("../../../plugins/ssh-key/testdata/", $name))
    };
}

/// One bundled plugin on a host of its own.
struct Type {
    name: PluginName,
    plugins: TypePluginSet,
    _stage: Stage,
}

type Pairs = Vec<(String, String)>;

impl Type {
    async fn load(name: &str) -> Self {
        let stage = Stage::new().await;
        let plugin =
            credsmith_bundle::find(name).unwrap_or_else(|| panic!("{name} is not bundled"));
        let plugins = stage.host.load_types(&[source(plugin)]).await.unwrap();
        Self { name: PluginName::parse(name).unwrap(), plugins, _stage: stage }
    }

    fn declared(&self) -> Vec<Field> {
        self.plugins.list()[0].declares.clone().expect("it declares a type").fields
    }

    /// What a credential of these values becomes, or its problems as path and message.
    async fn normalise(&self, fields: &[Field], values: &[TypeValue]) -> Result<Pairs, Pairs> {
        match self.plugins.normalise(&self.name, fields, values).await {
            Ok(normal) => {
                let pair =
                    |(key, value): (String, Secret)| (key, value.expose_str().unwrap().to_owned());
                Ok(normal.into_iter().map(pair).collect())
            }
            Err(NormaliseFailure::Invalid(problems)) => Err(problems
                .iter()
                .map(|problem| (problem.place(), problem.message.to_string()))
                .collect()),
            Err(other) => panic!("{}: {other:?}", self.name),
        }
    }

    /// As a request that names them all.
    async fn named(&self, fields: &[Field], values: &[(&str, &str)]) -> Result<Pairs, Pairs> {
        let values: Vec<_> = values.iter().map(|(key, text)| value(key, text, true)).collect();
        self.normalise(fields, &values).await
    }
}

fn field(id: &str, value_type: ValueType) -> Field {
    Field {
        id: id.to_owned(),
        name: id.to_owned(),
        required: false,
        secure: false,
        value_type,
        choices: if value_type == ValueType::Choice {
            vec!["red".into(), "blue".into()]
        } else {
            Vec::new()
        },
        computed: false,
    }
}

fn value(field: &str, value: &str, named: bool) -> TypeValue {
    TypeValue { field: field.to_owned(), value: Secret::new(value), named }
}

fn get<'a>(pairs: &'a [(String, String)], key: &str) -> &'a str {
    pairs.iter().find(|(known, _)| known == key).map_or("", |(_, value)| value.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_say_what_they_are() {
    for (name, label, scope, secure) in [
        ("generic", None, None, &[][..]),
        ("aws", Some("AWS"), Some("aws.credentials"), &["secretAccessKey", "sessionToken"]),
        ("ssh-key", Some("SSH key"), Some("ssh_key.credentials"), &[PRIVATE_KEY, PASSPHRASE]),
        ("totp", Some("TOTP"), Some("totp.credentials"), &["secret"]),
    ] {
        let plugin = Type::load(name).await;
        let view = &plugin.plugins.list()[0];
        assert_eq!(view.identity.name, plugin.name);
        let declares = view.declares.as_ref();
        assert_eq!(declares.map(|declared| declared.name.as_str()), label);
        assert_eq!(declares.and_then(|declared| declared.permission_scope.as_deref()), scope);
        let fields = declares.map(|declared| declared.fields.as_slice()).unwrap_or_default();
        let sealed: Vec<_> =
            fields.iter().filter(|field| field.secure).map(|field| field.id.as_str()).collect();
        assert_eq!(sealed, secure, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generic_checks_each_value_by_its_kind() {
    let plugin = Type::load("generic").await;
    for (kind, good, bad) in [
        (ValueType::PlainText, "Ünïcode", "two\nlines"),
        (ValueType::MultiLine, "two\nlines", "a\u{202e}b"),
        (ValueType::Password, " p4ss wörd ", "nul\0byte"),
        (ValueType::Url, "https://example.org/a?b", "javascript:alert(1)"),
        (ValueType::Email, "alice@example.org", "alice@@example.org"),
        (ValueType::Number, "-1.5", "1e5"),
        (ValueType::Boolean, "false", "FALSE"),
        (ValueType::Date, "2024-02-29", "2026-02-29"),
        (ValueType::IpAddress, "2001:db8::1", "192.0.2.256"),
        (ValueType::TotpSecret, "JBSWY3DPEHPK3PXP", "JBSWY3DPEHPK3PX1"),
        (ValueType::Choice, "red", "green"),
    ] {
        let fields = [field("value", kind), field("other", ValueType::PlainText)];
        assert_eq!(
            plugin.named(&fields, &[("value", good)]).await,
            Ok(vec![("value".into(), good.into())])
        );
        let problems =
            plugin.named(&fields, &[("value", bad), ("other", "fine")]).await.unwrap_err();
        assert_eq!(problems.len(), 1, "{kind:?}: {problems:?}");
        assert!(get(&problems, "value").starts_with("expected "), "{kind:?}: {problems:?}");
    }
    let fields = [field("value", ValueType::PlainText)];
    let all = plugin
        .named(&fields, &[("value", &"x".repeat(16 * 1024 + 1)), ("other", "x")])
        .await
        .unwrap_err();
    assert_eq!(all.len(), 2, "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_knows_the_shapes_of_a_key() {
    let plugin = Type::load("aws").await;
    let fields = plugin.declared();
    let good = [
        ("accessKeyId", "AKIAIOSFODNN7EXAMPLE"),
        ("secretAccessKey", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ];
    assert_eq!(plugin.named(&fields, &good).await.unwrap().len(), 2);
    let mixed_up = [(good[0].0, good[1].1), (good[1].0, good[0].1)];
    let problems = plugin.named(&fields, &mixed_up).await.unwrap_err();
    assert!(
        get(&problems, "accessKeyId").contains("AKIA")
            && get(&problems, "secretAccessKey").contains("40")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totp_tells_how_codes_are_made() {
    let plugin = Type::load("totp").await;
    let fields = plugin.declared();
    let uri = "otpauth://totp/Acme:alice?secret=JBSWY3DPEHPK3PXP&digits=8";
    let normal = plugin.named(&fields, &[("secret", uri)]).await.unwrap();
    assert_eq!(
        (get(&normal, "issuer"), get(&normal, "digits"), get(&normal, "secret")),
        ("Acme", "8", uri)
    );
    let normal = plugin.named(&fields, &[("secret", "jbsw y3dp ehpk 3pxp")]).await.unwrap();
    assert_eq!((get(&normal, "secret"), get(&normal, "period")), ("JBSWY3DPEHPK3PXP", "30"));
    let problems =
        plugin.named(&fields, &[("secret", "otpauth://hotp/a?secret=JBSWY3DPEHPK3PXP")]).await;
    assert!(get(&problems.unwrap_err(), "secret").contains("time-based"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ssh_key_tells_which_key_it_is() {
    let plugin = Type::load("ssh-key").await;
    let fields = plugin.declared();
    for (key, passphrase, line) in [
        (key!("ed25519-openssh"), None, key!("ed25519-openssh.pub")),
        (key!("ed25519-encrypted-openssh"), Some(PHRASE), key!("ed25519-openssh.pub")),
        (key!("p256-sec1.pem"), None, key!("p256-openssh.pub")),
        (key!("p384-pkcs8.pem"), None, key!("p384-openssh.pub")),
        (key!("rsa-pkcs1.pem"), None, key!("rsa-openssh.pub")),
        (key!("rsa-encrypted-pkcs8.pem"), Some(PHRASE), key!("rsa-openssh.pub")),
    ] {
        let given = [Some((PRIVATE_KEY, key)), passphrase.map(|phrase| (PASSPHRASE, phrase))];
        let given: Vec<_> = given.into_iter().flatten().collect();
        let normal = plugin.named(&fields, &given).await.unwrap();
        assert_eq!(get(&normal, "publicKey"), line.trim());
        assert!(get(&normal, "fingerprint").starts_with("SHA256:"));
    }
    let problems = plugin.named(&fields, &[(PRIVATE_KEY, key!("p521-openssh"))]).await.unwrap_err();
    assert!(get(&problems, PRIVATE_KEY).contains("Ed25519"));
}

/// An update of one field says nothing about the others, which the caller may not be allowed to
/// see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_tells_nothing_of_what_it_does_not_name() {
    let plugin = Type::load("ssh-key").await;
    let fields = plugin.declared();
    let mark = Mark::now();
    let values = [
        value(PRIVATE_KEY, key!("ed25519-encrypted-openssh"), true),
        value(PASSPHRASE, "not the one that is stored here", false),
    ];
    let problems = plugin.normalise(&fields, &values).await.unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].0, PASSPHRASE, "{problems:?}");
    assert!(!problems[0].1.contains("open"), "{problems:?}");
    assert!(!mark.text().contains("stored here"));
}

/// What takes longest of what is taken at all ends before a call has to; what names a higher price
/// is refused at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_a_key_ends_in_time() {
    let plugin = Type::load("ssh-key").await;
    let fields = plugin.declared();
    for (key, passphrase, line) in [
        (key!("ed25519-100-rounds-openssh"), PHRASE, key!("ed25519-openssh.pub").trim()),
        (key!("p256-slow-pbkdf2-pkcs8.pem"), PHRASE, key!("p256-openssh.pub").trim()),
        (key!("p256-slow-scrypt-pkcs8.pem"), PHRASE, key!("p256-openssh.pub").trim()),
        (key!("rsa-8192-pkcs8.pem"), "", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAEAQ"),
    ] {
        let begun = Instant::now();
        let normal =
            plugin.named(&fields, &[(PRIVATE_KEY, key), (PASSPHRASE, passphrase)]).await.unwrap();
        assert!(get(&normal, "publicKey").starts_with(line), "after {:?}", begun.elapsed());
    }
    for key in [key!("ed25519-costly-openssh"), key!("p256-costly-pkcs8.pem")] {
        let problems =
            plugin.named(&fields, &[(PRIVATE_KEY, key), (PASSPHRASE, PHRASE)]).await.unwrap_err();
        assert!(get(&problems, PRIVATE_KEY).contains("too long"));
    }
}
