//! Private SSH keys: read, opened with their passphrase where they have one, and identified by
//! public key and fingerprint.
//!
//! Both are computed from the private half; a public half that comes with it only has to
//! agree. Never here: a signature, a key on its way out. Start reading at `SshKey`, then `reading`.

mod public;
mod putty;
mod reading;

use credsmith_plugin_sdk::credential_type::{CredentialType, DeclaredType, Description, Values};
use credsmith_plugin_sdk::{Field, FieldProblem, export_credential_type, pem};
use ssh_key::{HashAlg, PublicKey};

use crate::reading::{Fault, Given};

struct SshKey;

const PRIVATE_KEY: &str = "privateKey";
const PASSPHRASE: &str = "passphrase";
const PUBLIC_KEY: &str = "publicKey";
const FINGERPRINT: &str = "fingerprint";

impl CredentialType for SshKey {
    fn describe() -> Description {
        let declared = DeclaredType::new("SSH key", "")
            .permission_scope("ssh_key.credentials")
            .field(
                Field::multiline(PRIVATE_KEY)
                    .label("Private key")
                    .help("As ssh-keygen, openssl or puttygen write it: OpenSSH, PKCS#8, SEC 1 or PKCS#1 with its BEGIN and END lines, or PPK.")
                    .required()
                    .secure(),
            )
            .field(
                Field::password(PASSPHRASE).label("Passphrase").help("Of a private key that is encrypted.").secure(),
            )
            .field(Field::text(PUBLIC_KEY).label("Public key").computed())
            .field(Field::text(FINGERPRINT).label("Fingerprint").computed());
        Description::new("ssh-key", env!("CARGO_PKG_VERSION")).declares(declared)
    }

    fn normalise(
        definition: &[Field],
        values: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, Vec<FieldProblem>> {
        let mut values = Values::read(definition, values, &[PUBLIC_KEY, FINGERPRINT]);
        values.expect_secure(PRIVATE_KEY);
        if values.defines(PASSPHRASE) {
            values.expect_secure(PASSPHRASE);
        }
        if let Some(given) = values.get(PRIVATE_KEY) {
            match read(given, values.get(PASSPHRASE)) {
                Ok(key) => {
                    values.compute(PUBLIC_KEY, key.line);
                    values.compute(FINGERPRINT, key.fingerprint);
                    values.replace(PRIVATE_KEY, key.text);
                }
                Err(Fault::Key(why)) => values.problem(PRIVATE_KEY, why),
                Err(Fault::Passphrase(why)) => values.problem(PASSPHRASE, why),
            }
        }
        values.finish()
    }
}

/// A key that was read.
struct Identified {
    /// As it is kept.
    text: String,
    /// The line for `authorized_keys`.
    line: String,
    /// As `ssh-keygen -l` shows it.
    fingerprint: String,
}

fn read(given: &str, passphrase: Option<&str>) -> Result<Identified, Fault> {
    let text = tidied(given);
    let text = if putty::is_putty(&text) {
        putty::to_openssh(&Given { text: &text, passphrase })?
    } else {
        text
    };
    let key = reading::public_half(&Given { text: &text, passphrase })?;
    let (line, fingerprint) = identify(&key)?;
    Ok(Identified { text, line, fingerprint })
}

/// In the lines that OpenSSH and OpenSSL read: OpenSSH takes no key whose last line does not end,
/// or one with carriage returns, and both have a longest line.
fn tidied(text: &str) -> String {
    if let Some(block) = pem::rewrap(text).or_else(|| pem::rewrap(without_parameters(text)?)) {
        return block;
    }
    let mut lines = text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).replace("\r\n", "\n");
    lines.push('\n');
    lines
}

/// What follows a block with the parameters of a curve, which `openssl ecparam -genkey` writes in
/// front of the key; the key names its curve itself.
fn without_parameters(text: &str) -> Option<&str> {
    let (before, after) = text.split_once("-----END EC PARAMETERS-----")?;
    before.trim_start().starts_with("-----BEGIN EC PARAMETERS-----").then_some(after)
}

/// The line for `authorized_keys`, and the fingerprint as `ssh-keygen -l` shows it.
fn identify(key: &PublicKey) -> Result<(String, String), Fault> {
    let line =
        key.to_openssh().map_err(|_| Fault::key("has a public half that cannot be written"))?;
    Ok((line, key.fingerprint(HashAlg::Sha256).to_string()))
}

export_credential_type!(SshKey);

#[cfg(test)]
mod tests;
