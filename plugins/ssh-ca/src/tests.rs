//! The service as a whole: certificates that OpenSSH's rules are applied to.

use credsmith_plugin_sdk::testing::{Call, Kit, TestKey};
use ssh_key::{Certificate, HashAlg, PublicKey};

use super::*;

const PUB_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti alice@laptop";
const NOW: u64 = 1_800_000_000;

fn kit(principals: &Value) -> Kit<SshCa> {
    with_key(TestKey::ed25519(), principals)
}

fn with_key(key: TestKey, principals: &Value) -> Kit<SshCa> {
    Kit::new().key("ca_key", key).setting("principals", principals.clone()).at(NOW)
}

fn call() -> Call {
    Call::of("alice").claim("preferred_username", "alice").parameter("pub_key", PUB_KEY)
}

fn certificate(issued: &Issued) -> Certificate {
    let entry = issued.entries.iter().find(|entry| entry.name == "Certificate").unwrap();
    assert_eq!((entry.kind.as_str(), entry.save_as.as_deref()), ("textfile", Some("id-cert.pub")));
    entry.value.trim_end().parse().unwrap()
}

fn faults(kit: &Kit<SshCa>) -> Vec<String> {
    kit.configure().unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_certificate_says_what_it_should() {
    let issued = kit(&json!(["{preferred_username}", "deploy"])).issued(&call());
    let certificate = certificate(&issued);

    assert_eq!(certificate.cert_type(), CertType::User);
    assert_eq!(certificate.valid_principals(), ["alice", "deploy"]);
    assert_eq!((certificate.valid_after(), certificate.valid_before()), (NOW - 60, NOW + 3600));
    assert_eq!(issued.expires_at, Some(NOW + 3600));
    assert_eq!(certificate.key_id(), "0b5c9b3e-6d1f-4f5e-9a55-1c7d3e0f2a41 alice");
    assert_eq!(certificate.public_key(), PUB_KEY.parse::<PublicKey>().unwrap().key_data());
    assert_eq!(certificate.extensions().keys().collect::<Vec<_>>(), ["permit-pty"]);
    assert!(certificate.critical_options().is_empty());
    assert!(issued.state.contains(&certificate.serial().to_string()));
}

#[test]
fn both_kinds_of_keys_sign() {
    let kinds: [fn() -> TestKey; 2] = [TestKey::ed25519, TestKey::ecdsa_p256];
    for kind in kinds {
        let kit = with_key(kind(), &json!(["deploy"]));
        // Half of the numbers in ECDSA signatures need a leading zero: a few meet both forms.
        for _ in 0..4 {
            let certificate = certificate(&kit.issued(&call()));
            let ca = certificate.signature_key().fingerprint(HashAlg::Sha256);
            certificate.validate_at(NOW, [&ca]).unwrap();
            assert!(certificate.validate_at(NOW + 3600, [&ca]).is_err());
        }
    }
}

#[test]
fn other_keys_are_refused_at_load() {
    let kit = with_key(TestKey::ecdsa_p384(), &json!(["deploy"]));
    assert!(faults(&kit)[0].contains("expected Ed25519 or ECDSA P-256"));
}

#[test]
fn serials_are_random() {
    let kit = kit(&json!(["deploy"]));
    let (one, other) = (certificate(&kit.issued(&call())), certificate(&kit.issued(&call())));
    assert_ne!(one.serial(), other.serial());
    assert_ne!(one.nonce(), other.nonce());
}

/// A certificate with an empty list of principals is taken by OpenSSH for every account, root
/// included. A user who can empty the claim behind the list would control every server.
#[test]
fn no_claim_makes_a_certificate_for_every_account() {
    let kit = kit(&json!(["{groups}"]));
    for emptied in [
        json!([]),
        json!(""),
        json!([""]),
        json!(null),
        json!({}),
        json!(0),
        json!([[]]),
        json!(["a", ""]),
    ] {
        let refusal = kit.refused(&call().claim("groups", emptied.clone()));
        assert!(refusal.user.contains("groups"), "{emptied}: {}", refusal.user);
    }
    assert!(kit.refused(&call()).user.contains("does not say your `groups`"));
    let without =
        Kit::<SshCa>::new().key("ca_key", TestKey::ed25519()).setting("principals", json!([]));
    assert!(faults(&without)[0].contains("`principals` is empty"));
}

#[test]
fn a_claim_is_no_way_to_other_accounts() {
    let kit = kit(&json!(["{preferred_username}"]));
    for bad in
        ["a,root", "a root", "root\n", "root\0", "*", "../root", "räuber", "-oProxyCommand", "root"]
    {
        let call =
            Call::of("mallory").claim("preferred_username", bad).parameter("pub_key", PUB_KEY);
        assert!(!kit.refused(&call).user.contains(bad.trim()) || bad == "root", "{bad:?}");
    }
}

#[test]
fn an_admin_may_name_a_reserved_account() {
    let certificate = certificate(&kit(&json!(["root"])).issued(&call()));
    assert_eq!(certificate.valid_principals(), ["root"]);
}

#[test]
fn lists_expand() {
    let kit = kit(&json!(["{groups}", "{preferred_username}-{groups}", "alice-ops"]));
    let certificate = certificate(&kit.issued(&call().claim("groups", json!(["ops", "dev"]))));
    assert_eq!(certificate.valid_principals(), ["ops", "dev", "alice-ops", "alice-dev"]);

    let many: Vec<_> = (0..200).map(|n| format!("g{n}")).collect();
    assert!(kit.refused(&call().claim("groups", json!(many))).user.contains("more than 128"));
}

#[test]
fn it_never_outlives_the_limit_of_the_daemon() {
    let kit = kit(&json!(["deploy"]));
    assert_eq!(certificate(&kit.issued(&call().not_after(NOW + 10))).valid_before(), NOW + 10);
    assert_eq!(certificate(&kit.issued(&call().not_after(NOW + 7200))).valid_before(), NOW + 3600);
    for over in [NOW, NOW - 1, 0] {
        assert!(kit.refused(&call().not_after(over)).user.contains("over already"));
    }
}

#[test]
fn restrictions_reach_the_certificate() {
    let kit = kit(&json!(["deploy"]))
        .setting("validity", "5s")
        .setting("backdate", "0s")
        .setting("extensions", json!(["permit-user-rc", "permit-pty", "permit-pty"]))
        .setting("force_command", "internal-sftp")
        .setting("source_address", json!(["192.0.2.0/24", "2001:db8::/32"]));
    let certificate = certificate(&kit.issued(&call()));

    assert_eq!((certificate.valid_after(), certificate.valid_before()), (NOW, NOW + 5));
    assert_eq!(
        certificate.extensions().keys().collect::<Vec<_>>(),
        ["permit-pty", "permit-user-rc"]
    );
    assert_eq!(certificate.critical_options()["force-command"], "internal-sftp");
    assert_eq!(certificate.critical_options()["source-address"], "192.0.2.0/24,2001:db8::/32");
}

#[test]
fn all_faults_are_reported_at_once() {
    let kit = Kit::<SshCa>::new()
        .setting("principals", json!(["{a", "b c", "fine"]))
        .setting("validity", "0s")
        .setting("backdate", "1d")
        .setting("key_id", "{sub}")
        .setting("extensions", json!(["permit-everything"]))
        .setting("force_command", "")
        .setting("source_address", json!(["10.0.0.1/8", "::1"]))
        .setting("min_rsa_bits", 512);
    let faults = faults(&kit);
    let paths = [
        "ca_key",
        "principals.0",
        "principals.1",
        "key_id",
        "validity",
        "backdate",
        "extensions.0",
        "force_command",
        "source_address.0",
        "min_rsa_bits",
    ];
    for path in paths {
        assert_eq!(
            faults.iter().filter(|fault| fault.starts_with(&format!("`{path}` "))).count(),
            1,
            "{path}: {faults:?}"
        );
    }
    assert_eq!(faults.len(), paths.len(), "{faults:?}");
}

#[test]
fn an_empty_list_of_networks_is_a_mistake() {
    let kit = kit(&json!(["deploy"])).setting("source_address", json!([]));
    assert!(faults(&kit)[0].contains("1 to 64 networks"));
}

#[test]
fn a_key_id_cannot_forge_a_log_line() {
    let kit =
        kit(&json!(["deploy"])).setting("key_id", "{credential_id} {name} {service} {missing}");
    let call = call().claim("name", "Eve\nAccepted publickey for root \"x\"");
    assert_eq!(
        certificate(&kit.issued(&call)).key_id(),
        "0b5c9b3e-6d1f-4f5e-9a55-1c7d3e0f2a41 Eve_Accepted_publickey_for_root__x_ test -"
    );
    let long = certificate(
        &kit.issued(&Call::of("x").claim("name", "n".repeat(5000)).parameter("pub_key", PUB_KEY)),
    );
    assert_eq!(long.key_id().len(), 256);
}

/// A user with a long name at the provider would push the credential's id out of the servers' logs.
#[test]
fn no_claim_hides_the_credential_behind_a_certificate() {
    let kit =
        kit(&json!(["deploy"])).setting("key_id", "{name} {email} by {service}: {credential_id}");
    let call = call().claim("name", "n".repeat(5000)).claim("email", "e".repeat(5000));
    let certificate = certificate(&kit.issued(&call));
    assert!(certificate.key_id().ends_with("by test: 0b5c9b3e-6d1f-4f5e-9a55-1c7d3e0f2a41"));
    assert_eq!(certificate.key_id().len(), 256);
}

#[test]
fn a_bad_key_is_refused() {
    let call =
        Call::of("alice").claim("preferred_username", "alice").parameter("pub_key", "ssh-dss AAAA");
    assert!(kit(&json!(["deploy"])).refused(&call).user.contains("DSA"));
}

#[test]
fn nothing_is_taken_back() {
    let kit = kit(&json!(["deploy"]));
    let issued = kit.issued(&call());
    assert!(!kit.configure().unwrap().can_revoke);
    let refusal = kit.revoke(&call(), &issued).unwrap_err();
    assert_eq!(refusal.retry_after, None);
    assert_eq!(kit.revoke_cut_short(&call()), Ok(()));
}
