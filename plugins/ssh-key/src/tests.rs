//! Keys as OpenSSH and OpenSSL write them, and keys that only look like some.

use std::collections::BTreeMap;

use credsmith_plugin_sdk::testing::TypeKit;
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::{LineEnding, Mpint, PrivateKey};

use p256::elliptic_curve::sec1::ToEncodedPoint;

use super::*;

const PHRASE: &str = "correct horse";

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!("../testdata/", $name))
    };
}

type Answer = Result<BTreeMap<String, String>, BTreeMap<String, String>>;

fn normalise(key: &str, passphrase: Option<&str>) -> Answer {
    let values = [Some((PRIVATE_KEY, key)), passphrase.map(|phrase| (PASSPHRASE, phrase))];
    TypeKit::<SshKey>::declared().normalise(&values.into_iter().flatten().collect::<Vec<_>>())
}

fn refused(key: &str, passphrase: Option<&str>, field: &str) -> String {
    let problems = normalise(key, passphrase).unwrap_err();
    assert_eq!(problems.keys().collect::<Vec<_>>(), [field], "{problems:?}");
    problems[field].clone()
}

#[test]
fn public_keys_and_fingerprints_are_those_that_ssh_keygen_shows() {
    let ed25519 =
        (data!("ed25519-openssh.pub"), "SHA256:+s9dY8DaHPRP1E+BTiDwG8LRG/EKOrXjtemQY+e/NlQ");
    let p256 = (data!("p256-openssh.pub"), "SHA256:QyK/qHIaFZcj9trpsEkFtUbVw/GEDlFURnHkIkKmtzc");
    let p384 = (data!("p384-openssh.pub"), "SHA256:RgilTBzOD2mfNMqNvd4nNZYLDoX0NKIQ7mK53l7Rprw");
    let rsa = (data!("rsa-openssh.pub"), "SHA256:ZfNpDia6MlH5NH4Cedd+UOzjORvAwSra5FeKbyUp+jE");
    for (key, passphrase, (line, fingerprint)) in [
        (data!("ed25519-openssh"), None, ed25519),
        (data!("ed25519-encrypted-openssh"), Some(PHRASE), ed25519),
        (data!("p256-openssh"), None, p256),
        (data!("p256-encrypted-gcm-openssh"), Some(PHRASE), p256),
        (data!("p256-sec1.pem"), None, p256),
        (data!("p256-no-public.pem"), None, p256),
        (data!("p256-pkcs8.pem"), None, p256),
        (data!("p256-scrypt-pkcs8.pem"), Some(PHRASE), p256),
        (data!("p384-openssh"), None, p384),
        (data!("p384-sec1.pem"), None, p384),
        (data!("p384-pkcs8.pem"), None, p384),
        (data!("rsa-openssh"), None, rsa),
        (data!("rsa-pkcs1.pem"), None, rsa),
        (data!("rsa-pkcs8.pem"), None, rsa),
        (data!("rsa-encrypted-pkcs8.pem"), Some(PHRASE), rsa),
    ] {
        let normal = normalise(key, passphrase).unwrap();
        assert_eq!(normal[PUBLIC_KEY], line.trim(), "{key}");
        assert_eq!(normal[FINGERPRINT], fingerprint);
        assert_eq!(normal[PRIVATE_KEY], key);
        assert_eq!(normal.get(PASSPHRASE).map(String::as_str), passphrase);
    }
    let from_openssl = normalise(data!("ed25519-pkcs8.pem"), None).unwrap();
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSK7mu0MQYQQlmXbp5xiqA5+taMrk+HitJcOA0BfJOf";
    assert_eq!(from_openssl[PUBLIC_KEY], line);
}

/// People paste keys with lines of another width, on one line, or with the escapes of JSON.
#[test]
fn private_keys_are_read_at_any_width() {
    for key in [
        data!("ed25519-openssh"),
        data!("ed25519-pkcs8.pem"),
        data!("p256-sec1.pem"),
        data!("p384-pkcs8.pem"),
        data!("rsa-pkcs1.pem"),
        data!("rsa-openssh"),
    ] {
        let mut lines: Vec<&str> = key.lines().collect();
        let (first, last) = (lines.remove(0), lines.pop().unwrap());
        let body = lines.concat();
        for width in [4, 5, 48, 63, 64, 65, 70, 76, 77, 199, 200, body.len()] {
            let folded: Vec<&str> = body
                .as_bytes()
                .chunks(width)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            let folded = folded.join("\n");
            let given = format!("{first}\n{folded}\n{last}");
            assert_eq!(normalise(&given, None).unwrap()[PRIVATE_KEY], key, "{width}");
        }
        for separator in ["", " ", "\\n", "\t"] {
            let given = [first, &lines.join(separator), last].join(separator);
            assert_eq!(normalise(&given, None).unwrap()[PRIVATE_KEY], key, "{separator:?}");
        }
    }
    let with_passphrase = data!("rsa-encrypted-pkcs8.pem").replace('\n', " ");
    let normal = normalise(&with_passphrase, Some(PHRASE)).unwrap();
    assert_eq!(normal[PRIVATE_KEY], data!("rsa-encrypted-pkcs8.pem"));
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let with_parameters = format!("{parameters}{}", data!("p256-sec1.pem"));
    assert_eq!(normalise(&with_parameters, None).unwrap()[PRIVATE_KEY], data!("p256-sec1.pem"));
}

/// Half of the technicians have PuTTY.
#[test]
fn keys_of_putty_become_keys_of_openssh() {
    let lines = [
        ("ed25519", data!("ed25519-openssh.pub")),
        ("p256", data!("p256-openssh.pub")),
        ("p384", data!("p384-openssh.pub")),
        ("rsa", data!("rsa-openssh.pub")),
    ];
    for (kind, key, passphrase) in [
        ("ed25519", data!("ed25519-v2.ppk"), None),
        ("ed25519", data!("ed25519-v3.ppk"), None),
        ("ed25519", data!("ed25519-encrypted-v2.ppk"), Some(PHRASE)),
        ("ed25519", data!("ed25519-encrypted-v3.ppk"), Some(PHRASE)),
        ("ed25519", data!("ed25519-argon2i-v3.ppk"), Some(PHRASE)),
        ("p256", data!("p256-v2.ppk"), None),
        ("p256", data!("p256-encrypted-v3.ppk"), Some(PHRASE)),
        ("p384", data!("p384-v3.ppk"), None),
        ("rsa", data!("rsa-v2.ppk"), None),
        ("rsa", data!("rsa-v3.ppk"), None),
        ("rsa", data!("rsa-encrypted-v2.ppk"), Some(PHRASE)),
        ("rsa", data!("rsa-encrypted-v3.ppk"), Some(PHRASE)),
    ] {
        let expected = lines.iter().find(|(name, _)| *name == kind).unwrap().1.trim();
        for spelled in [key.to_owned(), key.replace('\n', "\r\n"), format!("\n{key}\n")] {
            let normal = normalise(&spelled, passphrase).unwrap();
            assert_eq!(normal[PUBLIC_KEY], expected, "{key}");
            let kept = &normal[PRIVATE_KEY];
            let read = PrivateKey::from_openssh(kept).unwrap();
            assert_eq!(read.is_encrypted(), passphrase.is_some(), "the passphrase stays on it");
            // What is kept is taken again as it is.
            assert_eq!(normalise(kept, passphrase).unwrap(), normal);
        }
    }
}

/// Attack: a file whose MAC does not cover what is read, one that asks for minutes of work, and one
/// with the halves of two keys.
#[test]
fn damaged_keys_of_putty_are_refused() {
    let plain = data!("ed25519-v3.ppk");
    let sealed = data!("ed25519-encrypted-v3.ppk");
    let changed = |text: &str, line: &str| {
        let at = text.find(line).unwrap() + line.len() + 3;
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    for line in ["Public-Lines: 2\n", "Private-Lines: 1\n"] {
        assert!(refused(&changed(plain, line), None, PRIVATE_KEY).contains("damaged"));
    }
    assert!(
        refused(&plain.replace("Comment: ", "Comment: x"), None, PRIVATE_KEY).contains("damaged")
    );
    assert!(
        refused(&plain.replace("ssh-ed25519\n", "ssh-rsa\n"), None, PRIVATE_KEY)
            .contains("damaged")
    );
    assert!(refused(&format!("{plain}more"), None, PRIVATE_KEY).contains("damaged"));
    for lines in 1..plain.lines().count() {
        let cut: Vec<&str> = plain.lines().take(lines).collect();
        assert!(refused(&cut.join("\n"), None, PRIVATE_KEY).contains("damaged"));
    }
    assert!(refused(plain, Some(PHRASE), PASSPHRASE).contains("not encrypted"));
    assert!(refused(sealed, None, PRIVATE_KEY).contains("its passphrase"));
    assert!(refused(sealed, Some("Correct horse"), PASSPHRASE).contains("does not open"));
    assert!(
        refused(data!("ed25519-costly-v3.ppk"), Some(PHRASE), PRIVATE_KEY).contains("too long")
    );
    let many = sealed.replace("Argon2-Passes: 21", "Argon2-Passes: 4294967295");
    assert!(refused(&many, Some(PHRASE), PRIVATE_KEY).contains("too long"));
    let none = sealed.replace("Argon2-Passes: 21", "Argon2-Passes: 0");
    assert!(refused(&none, Some(PHRASE), PRIVATE_KEY).contains("damaged"));
}

/// OpenSSH does not read a key without its last line end.
#[test]
fn line_ends_are_those_that_openssh_reads() {
    let key = data!("ed25519-openssh");
    for spelled in [key.replace('\n', "\r\n"), key.trim().to_owned(), format!("\n\n  {key}\n\n")] {
        assert_eq!(normalise(&spelled, None).unwrap()[PRIVATE_KEY], key);
    }
}

#[test]
fn a_passphrase_has_to_fit() {
    for key in [
        data!("ed25519-encrypted-openssh"),
        data!("p256-encrypted-gcm-openssh"),
        data!("rsa-encrypted-pkcs8.pem"),
        data!("p256-scrypt-pkcs8.pem"),
    ] {
        for wrong in ["Correct horse", "correct horse ", "c\u{43e}rrect horse"] {
            assert!(refused(key, Some(wrong), PASSPHRASE).contains("does not open"));
        }
        for none in [None, Some("")] {
            assert!(refused(key, none, PRIVATE_KEY).contains("its passphrase"));
        }
    }
    for key in [data!("ed25519-openssh"), data!("rsa-pkcs8.pem"), data!("p256-sec1.pem")] {
        assert!(refused(key, Some(PHRASE), PASSPHRASE).contains("not encrypted"));
    }
}

/// A key that asks for minutes of work would keep others waiting, and end in a timeout that says
/// nothing.
#[test]
fn what_is_costly_to_open_is_not_opened() {
    for key in [data!("ed25519-costly-openssh"), data!("p256-costly-pkcs8.pem")] {
        assert!(refused(key, Some(PHRASE), PRIVATE_KEY).contains("too long"));
    }
}

#[test]
fn other_things_get_a_clear_no() {
    let key = data!("ed25519-openssh");
    let line = |at: usize| key.lines().nth(at).unwrap();
    let changed = key.replacen(&line(2)[..8], "AAAAAAAA", 1);
    let two = format!("{key}{key}");
    let around = format!("{key}and more\n");
    let cut = key.lines().take(3).collect::<Vec<_>>().join("\n");
    let relabelled = key.replace("OPENSSH PRIVATE KEY", "PRIVATE KEY");
    for (text, expected) in [
        (" \n", "from its BEGIN line"),
        ("hunter2-hunter2", "from its BEGIN line"),
        (&key[1..], "from its BEGIN line"),
        (data!("ed25519-openssh.pub"), "the private one"),
        (
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----",
            "the private one",
        ),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "that says PRIVATE KEY"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none", "damaged"),
        ("PuTTY-User-Key-File-1: ssh-rsa\nEncryption: none", "version 2 or 3"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: rot13", "does not have"),
        (data!("rsa-legacy-encrypted.pem"), "ssh-keygen -p"),
        (data!("rsa-1024-openssh"), "1024 bits"),
        (data!("p521-openssh"), "expected an Ed25519"),
        (data!("x25519-pkcs8.pem"), "expected an Ed25519"),
        (&two, "one PEM block"),
        (&around, "damaged"),
        (&cut, "damaged"),
        (&changed, "damaged"),
        (&relabelled, "damaged"),
        ("-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----", "damaged"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----",
            "not known here",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\u{202e}\n", "direction-override"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\0\n", "control"),
        (&"A".repeat(17_000), "16384"),
    ] {
        let why = refused(text, None, PRIVATE_KEY);
        assert!(why.contains(expected), "{text:.60}: {why}");
    }
}

fn written(pair: KeypairData) -> String {
    PrivateKey::try_from(pair).unwrap().to_openssh(LineEnding::LF).unwrap().to_string()
}

fn pair(of: &str) -> KeypairData {
    PrivateKey::from_openssh(of).unwrap().key_data().clone()
}

/// An attacker submits a key with another public half, so that the attacker's own public key would
/// be shown and rolled out under its name.
#[test]
fn a_public_half_of_another_key_is_refused() {
    let mine = Ed25519PrivateKey::from_bytes(&[7; 32]);
    let KeypairData::Ed25519(theirs) = pair(data!("ed25519-openssh")) else {
        panic!("an Ed25519 key")
    };
    let forged = Ed25519Keypair { public: theirs.public, private: mine };
    assert!(
        refused(&written(KeypairData::Ed25519(forged)), None, PRIVATE_KEY).contains("not its own")
    );

    let KeypairData::Ecdsa(EcdsaKeypair::NistP256 { private, .. }) = pair(data!("p256-openssh"))
    else {
        panic!("an ECDSA key")
    };
    let other = p256::SecretKey::from_slice(&[9; 32]).unwrap().public_key();
    let forged = EcdsaKeypair::NistP256 { public: other.to_encoded_point(false), private };
    assert!(
        refused(&written(KeypairData::Ecdsa(forged)), None, PRIVATE_KEY).contains("not its own")
    );
}

/// Numbers of an RSA key that do not belong together: what is shown would be a key that this one
/// does not open.
#[test]
fn numbers_that_make_no_rsa_key_are_refused() {
    let KeypairData::Rsa(good) = pair(data!("rsa-openssh")) else { panic!("an RSA key") };
    let small = |number: &[u8]| Mpint::from_positive_bytes(number).unwrap();
    let mut exponent = good.clone();
    exponent.public.e = small(&[3]);
    let mut modulus = good.clone();
    let mut bytes = modulus.public.n.as_positive_bytes().unwrap().to_vec();
    bytes[100] ^= 1;
    modulus.public.n = small(&bytes);
    let mut prime = good.clone();
    prime.private.p = small(&[1]);
    let mut none = good.clone();
    none.private.d = small(&[1]);
    for forged in [exponent, modulus, prime, none] {
        assert!(refused(&written(KeypairData::Rsa(forged)), None, PRIVATE_KEY).contains("damaged"));
    }
}

#[test]
fn types_of_others_keep_secrets_sealed() {
    let key = || Field::multiline(PRIVATE_KEY).secure();
    let given = [(PRIVATE_KEY, data!("ed25519-openssh"))];
    let own = TypeKit::<SshKey>::of([
        key(),
        Field::text("host").required(),
        Field::text(FINGERPRINT).computed(),
    ]);
    let normal = own.normalise(&[given[0], ("host", "server")]).unwrap();
    assert_eq!(normal.len(), 3);
    assert!(own.normalise(&given).unwrap_err().contains_key("host"));
    let without_phrase =
        own.normalise(&[(PRIVATE_KEY, data!("ed25519-encrypted-openssh")), ("host", "a")]);
    assert!(without_phrase.unwrap_err().contains_key(PRIVATE_KEY));

    let plain = TypeKit::<SshKey>::of([Field::multiline(PRIVATE_KEY), Field::text(PASSPHRASE)]);
    let problems = plain.normalise(&given).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(problems.values().all(|why| why.contains("secure")));
    let settable = TypeKit::<SshKey>::of([key(), Field::text(PUBLIC_KEY)]);
    assert!(settable.normalise(&given).unwrap_err()[PUBLIC_KEY].contains("computed"));
    assert!(TypeKit::<SshKey>::of([]).normalise(&[]).unwrap_err().contains_key(PRIVATE_KEY));
}

/// A public key that is sent along is not shown.
#[test]
fn what_is_computed_cannot_be_forged() {
    let forged = [
        (PRIVATE_KEY, data!("ed25519-openssh")),
        (FINGERPRINT, "SHA256:mine"),
        (PUBLIC_KEY, "mine"),
    ];
    let normal = TypeKit::<SshKey>::declared().normalise(&forged).unwrap();
    assert_eq!(normal[PUBLIC_KEY], data!("ed25519-openssh.pub").trim());
    assert!(normal[FINGERPRINT].starts_with("SHA256:+s9d"));
}
