//! Secrets behind one-time passwords (RFC 6238): checked, kept in one spelling, and identified by
//! plain fields that say how codes are made.
//!
//! It makes no codes. Start reading at `TotpSecret` of the SDK.

use credsmith_plugin_sdk::credential_type::{
    CredentialType, DeclaredType, Description, TotpSecret, Values,
};
use credsmith_plugin_sdk::{Field, FieldProblem, export_credential_type};

struct Totp;

const SECRET: &str = "secret";
const ISSUER: &str = "issuer";
const ACCOUNT: &str = "account";
const ALGORITHM: &str = "algorithm";
const DIGITS: &str = "digits";
const PERIOD: &str = "period";

impl CredentialType for Totp {
    fn describe() -> Description {
        let declared = DeclaredType::new("TOTP", "")
            .permission_scope("totp.credentials")
            .field(
                Field::totp_secret(SECRET)
                    .label("Secret")
                    .help("Base32, or the otpauth URI of the QR code.")
                    .required()
                    .secure(),
            )
            .field(Field::text(ISSUER).label("Issuer").computed())
            .field(Field::text(ACCOUNT).label("Account").computed())
            .field(Field::text(ALGORITHM).label("Algorithm").computed())
            .field(Field::integer(DIGITS).label("Digits").computed())
            .field(Field::integer(PERIOD).label("Period").help("In seconds.").computed());
        Description::new("totp", env!("CARGO_PKG_VERSION")).declares(declared)
    }

    fn normalise(
        definition: &[Field],
        values: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, Vec<FieldProblem>> {
        let mut values =
            Values::read(definition, values, &[ISSUER, ACCOUNT, ALGORITHM, DIGITS, PERIOD]);
        values.expect_secure(SECRET);
        if let Some(secret) = values.parse(SECRET, TotpSecret::parse) {
            describe_codes(&mut values, &secret);
            values.replace(SECRET, secret.into_text());
        }
        values.finish()
    }
}

/// Fills in what is no secret.
fn describe_codes(values: &mut Values<'_>, secret: &TotpSecret) {
    values.compute(ALGORITHM, secret.algorithm());
    values.compute(DIGITS, secret.digits().to_string());
    values.compute(PERIOD, secret.period().to_string());
    for (key, named) in [(ISSUER, secret.issuer()), (ACCOUNT, secret.account())] {
        if let Some(named) = named {
            values.compute(key, named);
        }
    }
}

export_credential_type!(Totp);

#[cfg(test)]
mod tests {
    use credsmith_plugin_sdk::testing::TypeKit;

    use super::*;

    fn pairs(values: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
        values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_bare_secret_is_of_the_usual_kind() {
        let normal =
            TypeKit::<Totp>::declared().normalise(&[(SECRET, "jbsw y3dp ehpk 3pxp")]).unwrap();
        let expected =
            [(SECRET, "JBSWY3DPEHPK3PXP"), (ALGORITHM, "SHA1"), (DIGITS, "6"), (PERIOD, "30")];
        assert_eq!(normal, pairs(&expected));
    }

    #[test]
    fn a_uri_says_more() {
        let uri = "otpauth://totp/Acme:alice?secret=JBSWY3DPEHPK3PXP&issuer=Acme&algorithm=SHA512&digits=8&period=60";
        let normal = TypeKit::<Totp>::declared().normalise(&[(SECRET, uri)]).unwrap();
        let expected = [
            (SECRET, uri),
            (ISSUER, "Acme"),
            (ACCOUNT, "alice"),
            (ALGORITHM, "SHA512"),
            (DIGITS, "8"),
            (PERIOD, "60"),
        ];
        assert_eq!(normal, pairs(&expected));
    }

    /// Plain fields show the content of the secret; values that are sent along are ignored.
    #[test]
    fn what_is_computed_cannot_be_forged() {
        let forged = [(SECRET, "JBSWY3DPEHPK3PXP"), (ISSUER, "Bank"), (DIGITS, "8")];
        let normal = TypeKit::<Totp>::declared().normalise(&forged).unwrap();
        assert_eq!((normal.get(ISSUER), normal[DIGITS].as_str()), (None, "6"));
    }

    #[test]
    fn bad_secrets_are_refused_without_being_quoted() {
        let kit = TypeKit::<Totp>::declared();
        for (secret, expected) in [
            ("", "required"),
            ("JBSWY3DPEHPK3PX1", "base32"),
            ("JBSWY3DP", "at least"),
            ("JBSWY3DPEHPK3PX\u{ff32}", "base32"),
            ("JBSWY3DPEHPK3PXP\u{202e}", "base32"),
            ("otpauth://hotp/a?secret=JBSWY3DPEHPK3PXP", "time-based"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&digits=9", "digits"),
            ("otpauth://totp/a%1B%5B2J?secret=JBSWY3DPEHPK3PXP", "lines of text"),
            (&"A".repeat(17_000), "16384"),
        ] {
            let problems = kit.normalise(&[(SECRET, secret)]).unwrap_err();
            assert!(problems[SECRET].contains(expected), "{problems:?}");
            assert_eq!(problems.len(), 1);
        }
    }

    #[test]
    fn types_of_others_keep_the_secret_sealed() {
        let given = [(SECRET, "JBSWY3DPEHPK3PXP")];
        let own = TypeKit::<Totp>::of([Field::text(SECRET).secure(), Field::text("note")]);
        assert_eq!(own.normalise(&[given[0], ("note", "of the bank")]).unwrap().len(), 2);
        assert!(own.normalise(&[(SECRET, "not base32")]).unwrap_err().contains_key(SECRET));
        let plain = TypeKit::<Totp>::of([Field::totp_secret(SECRET)]);
        assert!(plain.normalise(&given).unwrap_err()[SECRET].contains("secure"));
        assert!(TypeKit::<Totp>::of([]).normalise(&[]).unwrap_err().contains_key(SECRET));
        let settable =
            TypeKit::<Totp>::of([Field::totp_secret(SECRET).secure(), Field::text(DIGITS)]);
        assert!(settable.normalise(&given).unwrap_err()[DIGITS].contains("computed"));
    }
}
