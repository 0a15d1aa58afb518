//! Private keys as text. Each form is recognised by its first line, opened where it is encrypted,
//! and read strictly: one key, nothing around it.
//!
//! Opening has a price that the key itself names. It is checked first, and a key that takes longer
//! than a call may take is refused.

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::{Decode, SecretDocument};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf as Pbes2Kdf;
use ssh_key::{Error, Kdf, PrivateKey, PublicKey};

use crate::public;

/// Most rounds of bcrypt (`ssh-keygen -a`): 16 or 24 by default.
const MOST_BCRYPT_ROUNDS: u32 = 100;
/// Most iterations of PBKDF2: OpenSSL's default is 2048.
const MOST_PBKDF2_ITERATIONS: u32 = 200_000;
/// Most work of scrypt, as the product of its three parameters; its memory, 128 bytes each, is a
/// part of what a call has. OpenSSL's default is half of it.
const MOST_SCRYPT_WORK: u64 = 1 << 18;

/// A fault, and its field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// At the private key.
    Key(String),
    /// At its passphrase.
    Passphrase(String),
}

impl Fault {
    /// At the private key.
    pub(crate) fn key(why: &str) -> Self {
        Self::Key(why.to_owned())
    }
}

/// The submitted key.
pub(crate) struct Given<'a> {
    /// The private key.
    pub(crate) text: &'a str,
    /// Its passphrase.
    pub(crate) passphrase: Option<&'a str>,
}

impl<'a> Given<'a> {
    pub(crate) fn needed(&self) -> Result<&'a str, Fault> {
        self.passphrase.ok_or_else(|| Fault::key("is encrypted; expected its passphrase with it"))
    }

    pub(crate) fn not_needed(&self) -> Result<(), Fault> {
        let none = self.passphrase.is_none();
        none.then_some(())
            .ok_or_else(|| Fault::Passphrase("expected none: the key is not encrypted".to_owned()))
    }

    pub(crate) fn wrong(&self) -> Fault {
        Fault::Passphrase("does not open the key".to_owned())
    }
}

/// The public half of a private key, computed from the private one.
///
/// # Errors
/// A sentence; it quotes nothing.
pub(crate) fn public_half(given: &Given<'_>) -> Result<PublicKey, Fault> {
    match label(given.text)? {
        "OPENSSH PRIVATE KEY" => openssh(given),
        "ENCRYPTED PRIVATE KEY" => encrypted_pkcs8(given),
        "PRIVATE KEY" => public::of_pkcs8(plain(given)?.as_bytes()),
        "EC PRIVATE KEY" => public::of_sec1(plain(given)?.as_bytes(), None),
        "RSA PRIVATE KEY" => public::of_pkcs1(plain(given)?.as_bytes()),
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {
            Err(Fault::key("is a public key; expected the private one"))
        }
        _ => Err(Fault::key(
            "expected a PEM block that says PRIVATE KEY, OPENSSH, EC or RSA PRIVATE KEY",
        )),
    }
}

/// The label of the block.
fn label(text: &str) -> Result<&str, Fault> {
    let first = text.lines().next().unwrap_or_default();
    if first.starts_with("ssh-") || first.starts_with("ecdsa-") {
        return Err(Fault::key("is a public key; expected the private one"));
    }
    if text.contains("\nProc-Type: 4,ENCRYPTED") {
        return Err(Fault::key(
            "is encrypted in an old, weak way; expected what `ssh-keygen -p -f KEY` makes of it",
        ));
    }
    if text.matches("-----BEGIN ").count() > 1 {
        return Err(Fault::key("expected one PEM block, with nothing around it"));
    }
    let label = first.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
    label.ok_or_else(|| Fault::key("expected a private key from its BEGIN line to its END line"))
}

/// Its text is no whole key.
pub(crate) fn damaged() -> Fault {
    Fault::key("is damaged or cut off")
}

/// The content of a PEM block that needs no passphrase.
fn plain(given: &Given<'_>) -> Result<SecretDocument, Fault> {
    given.not_needed()?;
    document(given.text)
}

fn document(text: &str) -> Result<SecretDocument, Fault> {
    SecretDocument::from_pem(text).map(|(_, document)| document).map_err(|_| damaged())
}

fn openssh(given: &Given<'_>) -> Result<PublicKey, Fault> {
    let key = PrivateKey::from_openssh(given.text).map_err(unread)?;
    if !key.is_encrypted() {
        given.not_needed()?;
        return public::of_openssh(key.key_data());
    }
    let passphrase = given.needed()?;
    if matches!(key.kdf(), Kdf::Bcrypt { rounds, .. } if *rounds > MOST_BCRYPT_ROUNDS) {
        return Err(Fault::Key(format!(
            "takes too long to open; expected at most {MOST_BCRYPT_ROUNDS} rounds (`ssh-keygen -p -a 24 -f KEY`)"
        )));
    }
    let opened = key.decrypt(passphrase).map_err(|error| match error {
        // The check numbers differ, or the tag of the ciphertext.
        Error::Crypto => given.wrong(),
        other => unread(other),
    })?;
    public::of_openssh(opened.key_data())
}

fn unread(error: Error) -> Fault {
    match error {
        Error::AlgorithmUnknown | Error::AlgorithmUnsupported { .. } => public::unknown_algorithm(),
        Error::PublicKey => public::mismatch(),
        // Of an Ed25519 key the library compares the halves itself, and calls that by the same name
        // as check numbers that differ.
        Error::Crypto => Fault::key("is damaged, or has a public half that is not its own"),
        _ => damaged(),
    }
}

fn encrypted_pkcs8(given: &Given<'_>) -> Result<PublicKey, Fault> {
    let document = document(given.text)?;
    let key = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|_| unopenable())?;
    let passphrase = given.needed()?;
    let EncryptionScheme::Pbes2(scheme) = &key.encryption_algorithm else {
        return Err(unopenable());
    };
    if !is_bearable(&scheme.kdf) {
        return Err(Fault::key(
            "takes too long to open; expected what `ssh-keygen -p -f KEY` makes of it",
        ));
    }
    // A wrong passphrase shows in the padding, or, by chance, only in what comes out.
    let opened = key.decrypt(passphrase).map_err(|_| given.wrong())?;
    let is_key = pkcs8::PrivateKeyInfo::try_from(opened.as_bytes()).is_ok();
    if is_key { public::of_pkcs8(opened.as_bytes()) } else { Err(given.wrong()) }
}

fn unopenable() -> Fault {
    Fault::key(
        "is encrypted in a way that is not known here; expected what `ssh-keygen -p -f KEY` makes of it",
    )
}

fn is_bearable(kdf: &Pbes2Kdf<'_>) -> bool {
    match kdf {
        Pbes2Kdf::Pbkdf2(kdf) => kdf.iteration_count <= MOST_PBKDF2_ITERATIONS,
        Pbes2Kdf::Scrypt(kdf) => {
            let work = kdf.cost_parameter.checked_mul(u64::from(kdf.block_size));
            let work = work.and_then(|work| work.checked_mul(u64::from(kdf.parallelization)));
            work.is_some_and(|work| work <= MOST_SCRYPT_WORK)
        }
        _ => false,
    }
}
