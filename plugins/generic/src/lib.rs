//! Credentials of any type that is defined through the API: each value is checked by the kind of
//! its field alone.
//!
//! It computes nothing. Start reading at `Values` of the SDK, where the kinds are.

use credsmith_plugin_sdk::credential_type::{CredentialType, Description, Values};
use credsmith_plugin_sdk::{Field, FieldProblem, export_credential_type};

struct Generic;

impl CredentialType for Generic {
    fn describe() -> Description {
        Description::new("generic", env!("CARGO_PKG_VERSION"))
    }

    fn normalise(
        definition: &[Field],
        values: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, Vec<FieldProblem>> {
        Values::read(definition, values, &[]).finish()
    }
}

export_credential_type!(Generic);

#[cfg(test)]
mod tests {
    use credsmith_plugin_sdk::testing::TypeKit;

    use super::*;

    /// A field of every kind, called as its kind.
    fn every_kind() -> Vec<Field> {
        let kinds = [
            "text",
            "multiline",
            "password",
            "url",
            "email",
            "number",
            "integer",
            "boolean",
            "date",
        ];
        let mut fields: Vec<Field> =
            kinds.into_iter().map(|kind| Field::of_kind(kind, kind)).collect();
        fields.push(Field::ip_address("ip"));
        fields.push(Field::totp_secret("totp"));
        fields.push(Field::choice("choice", ["red", "blue"]));
        fields
    }

    const GOOD: &[(&str, &str)] = &[
        ("text", "Ünïcode, ✓"),
        ("multiline", "one\ntwo\r\n\tthree\n"),
        ("password", " p4ss wörd "),
        ("url", "https://example.org:8443/a?b#c"),
        ("email", "alice@example.org"),
        ("number", "-1.50"),
        ("integer", "42"),
        ("boolean", "true"),
        ("date", "2024-02-29"),
        ("ip", "2001:db8::1"),
        ("totp", "JBSWY3DPEHPK3PXP"),
        ("choice", "blue"),
    ];

    #[test]
    fn it_has_no_type_of_its_own() {
        assert_eq!(TypeKit::<Generic>::of([]).describe().declares, None);
    }

    #[test]
    fn good_values_of_every_kind_stay_as_they_are() {
        let normal = TypeKit::<Generic>::of(every_kind()).normalise(GOOD).unwrap();
        assert_eq!(
            normal,
            GOOD.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        );
    }

    #[test]
    fn values_of_every_kind_may_be_wrong_at_once() {
        let bad = [
            ("text", "two\nlines"),
            ("multiline", "bell\u{7}"),
            ("password", "two\nlines"),
            ("url", "javascript:alert(1)"),
            ("email", "alice"),
            ("number", "1e9"),
            ("integer", "1.5"),
            ("boolean", "yes!"),
            ("date", "2026-02-29"),
            ("ip", "192.0.2.256"),
            ("totp", "JBSWY3DPEHPK3PX1"),
            ("choice", "green"),
        ];
        let problems = TypeKit::<Generic>::of(every_kind()).normalise(&bad).unwrap_err();
        assert_eq!(problems.len(), bad.len());
        for (key, _) in bad {
            assert!(problems[key].starts_with("expected "), "{key}: {}", problems[key]);
        }
    }

    /// Texts that are harmless in one program and dangerous in another.
    #[test]
    fn hostile_values_do_not_pass_at_any_kind() {
        let kit = TypeKit::<Generic>::of(every_kind());
        let huge = "A".repeat(16 * 1024 + 1);
        for field in every_kind() {
            for value in [
                "nul\0byte",
                "esc\u{1b}]0;title\u{7}",
                "txt\u{202e}fdp.exe",
                "iso\u{2067}late",
                &huge,
            ] {
                let problems = kit.normalise(&[(&field.key, value)]).unwrap_err();
                assert_eq!(problems.len(), 1, "{}", field.kind);
            }
        }
        for kind in ["number", "integer", "date", "ip", "url", "email", "totp"] {
            assert!(
                kit.normalise(&[(kind, "\u{ff11}\u{ff12}\u{ff13}\u{ff14}")]).is_err(),
                "{kind}"
            );
        }
    }

    #[test]
    fn required_values_are_there_and_not_empty() {
        let kit = TypeKit::<Generic>::of([Field::text("a").required(), Field::text("b")]);
        assert_eq!(kit.normalise(&[]).unwrap_err()["a"], "is required");
        assert_eq!(kit.normalise(&[("a", ""), ("b", "x")]).unwrap_err()["a"], "is required");
        assert_eq!(
            kit.normalise(&[("a", "x"), ("b", "")]).unwrap().len(),
            1,
            "an empty value is none"
        );
    }

    #[test]
    fn only_fields_of_the_type_are_taken() {
        let kit = TypeKit::<Generic>::of([Field::text("a")]);
        for key in ["b", "A", "", "a "] {
            assert_eq!(
                kit.normalise(&[(key, "x")]).unwrap_err()[key],
                "is not a field of this type"
            );
        }
    }

    #[test]
    fn nothing_is_computed() {
        let kit = TypeKit::<Generic>::of([Field::text("a").computed()]);
        for values in [&[][..], &[("a", "x")]] {
            assert!(kit.normalise(values).unwrap_err()["a"].contains("cannot be computed"));
        }
    }
}
