//! Checks access keys of AWS: the shape of key id, secret and account id, so that a value that was
//! cut off or mixed up when it was copied is noticed at once. Whether AWS accepts the key cannot be
//! checked here: a credential type has no network.
//!
//! Start reading at `Aws`.

use credsmith_plugin_sdk::credential_type::{CredentialType, DeclaredType, Description, Values};
use credsmith_plugin_sdk::{Field, FieldProblem, export_credential_type};

struct Aws;

const KEY_ID: &str = "accessKeyId";
const SECRET: &str = "secretAccessKey";
const SESSION_TOKEN: &str = "sessionToken";
const ACCOUNT: &str = "accountId";

/// How the id of a temporary key begins (IAM User Guide, "IAM identifiers": unique ID prefixes). A
/// lasting one begins with AKIA.
const TEMPORARY: &str = "ASIA";
const LASTING: &str = "AKIA";

impl CredentialType for Aws {
    fn describe() -> Description {
        let declared = DeclaredType::new("AWS", "https://aws.amazon.com/favicon.ico")
            .permission_scope("aws.credentials")
            .field(Field::text(KEY_ID).label("Access Key ID").required())
            .field(Field::password(SECRET).label("Secret Access Key").required().secure())
            .field(
                Field::password(SESSION_TOKEN)
                    .label("Session Token")
                    .help("Of a temporary key, whose id begins with ASIA.")
                    .secure(),
            )
            .field(Field::text(ACCOUNT).label("Account ID").help("Twelve digits."));
        Description::new("aws", env!("CARGO_PKG_VERSION")).declares(declared)
    }

    fn normalise(
        definition: &[Field],
        values: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, Vec<FieldProblem>> {
        let mut values = Values::read(definition, values, &[]);
        values.expect(KEY_ID);
        values.expect_secure(SECRET);
        if values.defines(SESSION_TOKEN) {
            values.expect_secure(SESSION_TOKEN);
        }
        values.parse(SECRET, secret);
        values.parse(SESSION_TOKEN, session_token);
        values.parse(ACCOUNT, account);
        if values.parse(KEY_ID, key_id) == Some(Lifetime::Temporary)
            && values.get(SESSION_TOKEN).is_none()
        {
            // At the key id: a problem of a field that was not sent loses its text.
            values.problem(KEY_ID, "is of a temporary key; expected its session token with it");
        }
        values.finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Lasting,
    Temporary,
}

/// Twenty characters, as in all that AWS documents, such as AKIAIOSFODNN7EXAMPLE. Its ids seem to
/// be base32, but AWS does not say so, and has examples with an 8: all capital letters and digits
/// pass.
fn key_id(id: &str) -> Result<Lifetime, String> {
    let known = [(LASTING, Lifetime::Lasting), (TEMPORARY, Lifetime::Temporary)];
    let found =
        known.into_iter().find_map(|(prefix, lifetime)| Some((id.strip_prefix(prefix)?, lifetime)));
    let Some((rest, lifetime)) = found else {
        return Err(format!("expected a key id, which begins with {LASTING} or {TEMPORARY}"));
    };
    let fits =
        rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    fits.then_some(lifetime)
        .ok_or_else(|| "expected a key id of 20 capital letters and digits".to_owned())
}

/// Forty characters of the base64 alphabet, such as wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY.
fn secret(secret: &str) -> Result<(), String> {
    let fits = secret.len() == 40 && secret.bytes().all(is_base64);
    fits.then_some(())
        .ok_or_else(|| "expected 40 characters of letters, digits, `+` and `/`".to_owned())
}

/// Base64 of a length that AWS leaves open.
fn session_token(token: &str) -> Result<(), String> {
    let fits = token.trim_end_matches('=').bytes().all(is_base64);
    fits.then_some(()).ok_or_else(|| "expected base64, in one piece".to_owned())
}

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')
}

fn account(id: &str) -> Result<(), String> {
    let fits = id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    fits.then_some(())
        .ok_or_else(|| "expected the 12 digits of an account id, without hyphens".to_owned())
}

export_credential_type!(Aws);

#[cfg(test)]
mod tests {
    use credsmith_plugin_sdk::testing::TypeKit;

    use super::*;

    const ID: (&str, &str) = (KEY_ID, "AKIAIOSFODNN7EXAMPLE");
    const KEY: (&str, &str) = (SECRET, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");

    #[test]
    fn it_brings_a_type() {
        let declared = TypeKit::<Aws>::of([]).describe().declares.unwrap();
        assert_eq!(
            (declared.label.as_str(), declared.permission_scope.as_deref()),
            ("AWS", Some("aws.credentials"))
        );
        let secure: Vec<_> =
            declared.fields.iter().filter(|field| field.secure).map(|field| &field.key).collect();
        assert_eq!(secure, [SECRET, SESSION_TOKEN]);
    }

    #[test]
    fn keys_pass_as_they_are() {
        let kit = TypeKit::<Aws>::declared();
        assert_eq!(kit.normalise(&[ID, KEY]).unwrap().len(), 2);
        assert_eq!(
            kit.normalise(&[ID, KEY, (ACCOUNT, "012345678901")]).unwrap()[ACCOUNT],
            "012345678901"
        );
        kit.normalise(&[(KEY_ID, "AKIAI44QH8DHBEXAMPLE"), KEY]).unwrap();
        let token = (SESSION_TOKEN, "IQoJb3JpZ2luX2VjEA/+==");
        kit.normalise(&[(KEY_ID, "ASIAIOSFODNN7EXAMPLE"), KEY, token]).unwrap();
    }

    #[test]
    fn other_shapes_are_refused() {
        let kit = TypeKit::<Aws>::declared();
        let good_secret = KEY.1;
        let cases = [
            (KEY_ID, "AKIAIOSFODNN7EXAMPL", "20"),
            (KEY_ID, "AKIAIOSFODNN7EXAMPLEE", "20"),
            (KEY_ID, "akiaiosfodnn7example", "begins with"),
            (KEY_ID, "AKIAiosfodnn7example", "20"),
            (KEY_ID, "AIDAIOSFODNN7EXAMPLE", "begins with"),
            (KEY_ID, " AKIAIOSFODNN7EXAMPLE", "begins with"),
            (KEY_ID, "AKIAIOSFODNN7EXAMPLE ", "20"),
            (KEY_ID, "AKIA\u{ff11}234567890\u{661}A", "20"),
            (KEY_ID, "AKIAIOSFODNN7\u{202e}XAM", "one line"),
            (KEY_ID, good_secret, "begins with"),
            (SECRET, &good_secret[1..], "40"),
            (SECRET, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEYx", "40"),
            (SECRET, "wJalrXUtnFEMI-K7MDENG_bPxRfiCYEXAMPLEKEY", "40"),
            (SECRET, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE=", "40"),
            (SECRET, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE\n", "one line"),
            (SECRET, "AKIAIOSFODNN7EXAMPLE", "40"),
            (SESSION_TOKEN, "FwoG ZXIv", "base64"),
            (SESSION_TOKEN, "=FwoGZXIv", "base64"),
            (ACCOUNT, "123456789", "12"),
            (ACCOUNT, "1234-5678-9012", "12"),
            (ACCOUNT, "1234567890123", "12"),
            (ACCOUNT, "\u{ff11}\u{ff11}\u{ff11}\u{ff11}", "12"),
        ];
        for (key, value, expected) in cases {
            let mut values: Vec<_> =
                [ID, KEY].into_iter().filter(|(known, _)| *known != key).collect();
            values.push((key, value));
            let problems = kit.normalise(&values).unwrap_err();
            assert!(problems[key].contains(expected), "{value:?}: {problems:?}");
            assert_eq!(problems.len(), 1);
        }
    }

    #[test]
    fn a_temporary_key_needs_its_token() {
        let problems = TypeKit::<Aws>::declared()
            .normalise(&[(KEY_ID, "ASIAIOSFODNN7EXAMPLE"), KEY])
            .unwrap_err();
        assert!(problems[KEY_ID].contains("session token"));
    }

    #[test]
    fn both_parts_are_required() {
        let problems = TypeKit::<Aws>::declared().normalise(&[]).unwrap_err();
        assert_eq!(problems.into_keys().collect::<Vec<_>>(), [KEY_ID, SECRET]);
    }

    /// A type that was defined on this plugin may have fields of its own, but not a plain secret.
    #[test]
    fn types_of_others_keep_the_secret_sealed() {
        let id = || Field::text(KEY_ID).required();
        let own = TypeKit::<Aws>::of([id(), Field::text(SECRET).secure(), Field::email("owner")]);
        own.normalise(&[ID, KEY, ("owner", "alice@example.org")]).unwrap();
        assert!(own.normalise(&[ID, KEY, ("owner", "alice")]).unwrap_err().contains_key("owner"));
        let plain = TypeKit::<Aws>::of([id(), Field::text(SECRET), Field::text(SESSION_TOKEN)]);
        let problems = plain.normalise(&[ID, KEY]).unwrap_err();
        assert_eq!(problems.keys().collect::<Vec<_>>(), [SECRET, SESSION_TOKEN]);
        assert!(problems[SECRET].contains("secure"));
        let without = TypeKit::<Aws>::of([Field::text("other")]).normalise(&[]).unwrap_err();
        assert_eq!(without.len(), 2);
        let computed = TypeKit::<Aws>::of([
            id(),
            Field::text(SECRET).secure(),
            Field::text(ACCOUNT).computed(),
        ]);
        assert!(computed.normalise(&[ID, KEY]).unwrap_err()[ACCOUNT].contains("computed"));
    }
}
