//! Certificates of the bundled `ssh-ca`, signed by keys that stay in the host, judged by a library
//! that knows neither: what they say, and that the CA's key and no other signed it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use credsmith_core::ids::LeaseId;
use credsmith_core::ports::plugins::{IssueCall, IssueOutcome, ServicePlugins};
use credsmith_core::secret::Secret;
use credsmith_core::time::Timestamp;
use credsmith_host::{LoadFault, ServiceSetup, Setting};
use serde_json::json;
use ssh_key::certificate::CertType;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, Certificate, EcdsaCurve, HashAlg, LineEnding, PrivateKey};

use crate::log::Mark;
use crate::stage::{End, Stage, call, setup, text};

const P256: Algorithm = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };

fn key(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut OsRng, algorithm).unwrap()
}

/// The text of a private key as `ssh-keygen` writes it.
fn written(key: &PrivateKey) -> Secret {
    Secret::new(key.to_openssh(LineEnding::LF).unwrap().as_bytes())
}

fn authority(service: &str, ca: &PrivateKey, settings: &[(&str, Setting)]) -> ServiceSetup {
    let mut setup = setup(service, credsmith_bundle::find("ssh-ca").unwrap());
    setup.settings = BTreeMap::from([
        ("ca_key".to_owned(), Setting::SigningKey { pem: written(ca) }),
        ("principals".to_owned(), Setting::Json(json!(["{sub}", "guest"]))),
        ("validity".to_owned(), text("15m")),
    ]);
    setup.settings.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    setup
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What came of a request: the certificate, and when core is told that it ends.
struct Certified {
    certificate: Certificate,
    expires_at: u64,
    state: String,
}

async fn certify(stage: &Stage, call: IssueCall) -> Certified {
    let report = stage.host.issue(call).await;
    let IssueOutcome::Issued(issued) = report.outcome.unwrap() else {
        panic!("no login is needed")
    };
    let file = issued
        .entries
        .iter()
        .find(|entry| entry.save_as.as_deref() == Some("id-cert.pub"))
        .unwrap();
    Certified {
        certificate: Certificate::from_openssh(file.value.expose_str().unwrap().trim()).unwrap(),
        expires_at: issued.expires_at.unwrap().as_secs(),
        state: issued.state,
    }
}

fn for_key(service: &str, user: &PrivateKey) -> IssueCall {
    call(service, &[("pub_key", &user.public_key().to_openssh().unwrap())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_says_what_was_configured_and_is_signed_by_the_ca() {
    let stage = Stage::new().await;
    let user = key(Algorithm::Ed25519);
    for algorithm in [Algorithm::Ed25519, P256] {
        let ca = key(algorithm.clone());
        let settings = [
            ("force_command", text("/usr/bin/true")),
            ("source_address", Setting::Json(json!(["192.0.2.0/24", "2001:db8::/32"]))),
            ("extensions", Setting::Json(json!(["permit-pty", "permit-agent-forwarding"]))),
            ("backdate", text("30s")),
        ];
        stage.load(authority("ssh", &ca, &settings)).await.unwrap();
        let before = now();
        let request = for_key("ssh", &user);
        let lease = request.lease.to_string();
        let Certified { certificate, expires_at, state } = certify(&stage, request).await;
        let after = now();

        assert_eq!(certificate.cert_type(), CertType::User);
        assert_eq!(certificate.public_key(), user.public_key().key_data());
        assert_eq!(certificate.valid_principals(), ["alice", "guest"]);
        assert_eq!(certificate.key_id(), format!("{lease} alice"));
        assert!((before + 900..=after + 900).contains(&certificate.valid_before()));
        assert!((before - 30..=after - 30).contains(&certificate.valid_after()));
        assert_eq!(expires_at, certificate.valid_before(), "core and servers agree on its end");
        assert_eq!(certificate.critical_options().get("force-command").unwrap(), "/usr/bin/true");
        assert_eq!(
            certificate.critical_options().get("source-address").unwrap(),
            "192.0.2.0/24,2001:db8::/32"
        );
        assert_eq!(certificate.critical_options().iter().count(), 2);
        let extensions: Vec<&str> = certificate.extensions().keys().map(String::as_str).collect();
        assert_eq!(extensions, ["permit-agent-forwarding", "permit-pty"]);
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        assert_eq!(state["serial"], certificate.serial().to_string());

        assert_eq!(certificate.signature_key(), ca.public_key().key_data());
        assert_eq!(certificate.signature().algorithm(), algorithm);
        certificate.verify_signature().unwrap();
        let trusted = ca.fingerprint(HashAlg::Sha256);
        certificate.validate_at(after, &[trusted]).unwrap();
        certificate.validate_at(after, &[key(algorithm).fingerprint(HashAlg::Sha256)]).unwrap_err();
        certificate.validate_at(certificate.valid_before(), &[trusted]).unwrap_err();
        certificate.validate_at(certificate.valid_after() - 1, &[trusted]).unwrap_err();
    }
}

/// That the check above can fail: one flipped bit anywhere in the certificate, and it is nobody's.
/// (The parser forgives some bytes that say nothing, such as the padding of a length; what it then
/// reads is the same certificate.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_was_changed_is_not_signed() {
    let stage = Stage::new().await;
    let ca = key(P256);
    stage.load(authority("ssh", &ca, &[])).await.unwrap();
    let Certified { certificate, .. } =
        certify(&stage, for_key("ssh", &key(Algorithm::Ed25519))).await;
    let trusted = ca.fingerprint(HashAlg::Sha256);
    let bytes = certificate.to_bytes().unwrap();
    // Without its comment, which is no part of what is signed.
    let certificate = Certificate::from_bytes(&bytes).unwrap();
    certificate.validate_at(now(), &[trusted]).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let read = Certificate::from_bytes(&changed).ok().filter(|read| *read != certificate);
        let valid = read.is_some_and(|read| read.validate_at(now(), &[trusted]).is_ok());
        assert!(!valid, "byte {at} of {} does not matter", bytes.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_user_key_and_every_serial_is_its_own() {
    let stage = Stage::new().await;
    let ca = key(Algorithm::Ed25519);
    stage.load(authority("ssh", &ca, &[])).await.unwrap();
    let mut serials = Vec::new();
    for algorithm in [Algorithm::Ed25519, P256] {
        let user = key(algorithm);
        for _ in 0..2 {
            let Certified { certificate, .. } = certify(&stage, for_key("ssh", &user)).await;
            assert_eq!(certificate.public_key(), user.public_key().key_data());
            certificate.validate_at(now(), &[ca.fingerprint(HashAlg::Sha256)]).unwrap();
            serials.push(certificate.serial());
        }
    }
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 4, "serials are random");
}

/// Core's own limit wins over the validity that is configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_certificate_outlives_its_lease() {
    let stage = Stage::new().await;
    stage.load(authority("ssh", &key(Algorithm::Ed25519), &[])).await.unwrap();
    let end = now() + 60;
    let mut request = for_key("ssh", &key(Algorithm::Ed25519));
    request.not_after = Some(Timestamp::from_secs(end));
    request.lease = LeaseId::from_random([9; 16]);
    let Certified { certificate, expires_at, .. } = certify(&stage, request).await;
    assert_eq!((certificate.valid_before(), expires_at), (end, end));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_public_key_is_refused_in_words() {
    let stage = Stage::new().await;
    stage.load(authority("ssh", &key(Algorithm::Ed25519), &[])).await.unwrap();
    let user = key(Algorithm::Ed25519);
    let private = user.to_openssh(LineEnding::LF).unwrap();
    let good = user.public_key().to_openssh().unwrap();
    let Certified { certificate, .. } = certify(&stage, for_key("ssh", &user)).await;
    let own_certificate = certificate.to_openssh().unwrap();
    let two = format!("{good}\n{good}");
    for bad in
        ["", "ssh-ed25519", "ssh-ed25519 AAAA", "\u{1b}[2J", &private, &own_certificate, &two]
    {
        let ended = stage.issue(call("ssh", &[("pub_key", bad)])).await;
        let End::Refused(words) = &ended.end else { panic!("{bad:?}: {ended:?}") };
        assert!(words.len() > 10 && words.ends_with('.'), "{bad:?}: {words}");
    }
    // A private key that was sent by mistake is not repeated anywhere.
    let mark = Mark::now();
    stage.issue(call("ssh", &[("pub_key", &private)])).await;
    let body = private.lines().nth(1).unwrap();
    assert!(!mark.text().contains(body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_kind_is_no_ca() {
    let stage = Stage::new().await;
    let mut wrong = authority("ssh", &key(Algorithm::Ed25519), &[]);
    wrong
        .settings
        .insert("ca_key".to_owned(), Setting::SigningKey { pem: Secret::new("no key at all") });
    assert_eq!(stage.load(wrong).await.unwrap_err().fault(), LoadFault::BadSettings);
    let mut missing = authority("ssh", &key(Algorithm::Ed25519), &[]);
    missing.settings.remove("ca_key");
    assert_eq!(stage.load(missing).await.unwrap_err().fault(), LoadFault::BadSettings);
    let mut literal = authority("ssh", &key(Algorithm::Ed25519), &[]);
    let ca = key(Algorithm::Ed25519);
    literal
        .settings
        .insert("ca_key".to_owned(), text(ca.to_openssh(LineEnding::LF).unwrap().as_str()));
    let error = stage.load(literal).await.unwrap_err();
    assert_eq!(error.fault(), LoadFault::BadSettings);
    assert!(
        !error.to_string().contains("PRIVATE KEY"),
        "a key in the wrong place is not quoted: {error}"
    );
}

/// The CA's key shows in nothing that is answered, kept or logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_the_ca_shows_nowhere() {
    let stage = Stage::new().await;
    let ca = key(Algorithm::Ed25519);
    let mark = Mark::now();
    stage.load(authority("ssh", &ca, &[])).await.unwrap();
    let made = stage.issue(for_key("ssh", &key(Algorithm::Ed25519))).await;
    let pem = ca.to_openssh(LineEnding::LF).unwrap();
    let shown = format!("{:?}{}", made.end.made(), mark.text());
    for line in pem.lines().filter(|line| !line.contains("-----")) {
        assert!(!shown.contains(line));
    }
    let seed = ca.key_data().ed25519().unwrap().private.to_bytes();
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!shown.contains(&hex));
}
