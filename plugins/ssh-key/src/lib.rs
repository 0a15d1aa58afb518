//! Private SSH keys: read, opened with their passphrase where they have one, and identified by
//! public key and fingerprint.
//!
//! Both are computed from the private half; a public half that comes with it only has to
//! agree. Never here: a signature, a key on its way out. Start reading at `SshKey`, then `reading`.

mod public;
mod reading;

use credsmith_plugin_sdk::credential_type::{CredentialType, DeclaredType, Description, Values};
use credsmith_plugin_sdk::{Field, FieldProblem, export_credential_type};
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
                    .help("As ssh-keygen or openssl write it: OpenSSH, PKCS#8, SEC 1 or PKCS#1, with its BEGIN and END lines.")
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
        if let Some(text) = values.get(PRIVATE_KEY).map(tidied) {
            let read =
                reading::public_half(&Given { text: &text, passphrase: values.get(PASSPHRASE) });
            match read.and_then(|key| identify(&key)) {
                Ok((line, fingerprint)) => {
                    values.compute(PUBLIC_KEY, line);
                    values.compute(FINGERPRINT, fingerprint);
                    values.replace(PRIVATE_KEY, text);
                }
                Err(Fault::Key(why)) => values.problem(PRIVATE_KEY, why),
                Err(Fault::Passphrase(why)) => values.problem(PASSPHRASE, why),
            }
        }
        values.finish()
    }
}

/// With the line ends that OpenSSH asks for: it does not read a key whose last line does not end,
/// or one with carriage returns.
fn tidied(text: &str) -> String {
    let mut lines = text.trim().replace("\r\n", "\n");
    lines.push('\n');
    lines
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
